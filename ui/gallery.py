"""Home: every lesson as a card with a picture of what it computes."""

from __future__ import annotations

import io

import numpy as np
import streamlit as st
from PIL import Image

from modules import LESSONS, lesson
from modules import lesson as lesson_of
from modules.chinese import chinese
from modules.lesson import Lesson, tensor
from tracer import TensorNote
from tracer.views import colours
from ui import language
from ui import run as runs
from ui.language import say
from ui.run import Job
from ui.text import escaped
from ui.view import View, default_view, preset_view

LARGE = 10**9
"""Bytes from which a thumbnail is made of one example instead of the batch."""

PICTURE = 480
"""Pixels of a thumbnail's longer side."""


def gallery() -> None:
    with st.container(key="hero"):
        st.title("Shapewalk", anchor=False)
        st.markdown(
            say(
                "Attention modules as they really run. Step through the forward pass one "
                "expression at a time, and see for each the shape before, the shape after, why, "
                "and the values."
            )
        )
    with st.container(key="search", horizontal=True, vertical_alignment="center"):
        words = st.text_input(
            say("Search"),
            placeholder=say("Search by name, paper or idea"),
            label_visibility="collapsed",
            icon=":material/search:",
            live=True,
            width=340,
        )
        families = list(dict.fromkeys(each.family for each in LESSONS))
        family = st.pills(say("Family"), families, format_func=say, label_visibility="collapsed")
    found = matching(words or "", family)
    if not found:
        st.info(
            say(
                "No lesson mentions “{words}”. Try a shorter word, or another family.",
                words=escaped(words or ""),
            )
        )
    slots = {}
    for name in dict.fromkeys(each.family for each in found):
        members = [each for each in found if each.family == name]
        posts = ", ".join(dict.fromkeys(each.post for each in members))
        with st.container(key=f"family-{families.index(name)}", horizontal=True):
            st.subheader(say(name), anchor=False, width="content")
            st.caption(say("Post {posts}", posts=posts), width="content")
        with st.container(key=f"cards-{families.index(name)}"):
            for each in members:
                slots[each.key] = _card(each)
    # The cards are there at once, their pictures come one after another.
    for key, slot in slots.items():
        picture = _picture(key, slot)
        if picture is not None:
            title = say(lesson(key).title)
            alt = say("The tensor {name} of {title}", name=lesson(key).map, title=title)
            slot.image(picture, alt=alt)


def matching(words: str, family: str | None) -> list[Lesson]:
    """The lessons of the family in which every word occurs."""
    return [
        each
        for each in LESSONS
        if family in (None, each.family)
        and all(word in _everything(each) for word in words.casefold().split())
    ]


def _everything(each: Lesson) -> str:
    paper = each.paper
    texts = (each.title, each.family, each.teaches, each.about)
    known = (each.key, *texts, *(chinese(text) or "" for text in texts))
    return " ".join((*known, paper.title, paper.authors, paper.venue, str(paper.year))).casefold()


def _card(each: Lesson):  # type: ignore[no-untyped-def]
    with st.container(key=f"card-{each.key}", border=True, gap="xsmall"):
        slot = st.container(key=f"picture-{each.key}", height=200, border=False).empty()
        st.page_link(
            "pages/1_Walkthrough.py",
            label=f"**{say(each.title)}**",
            query_params={"lesson": each.key, **language.link()},
        )
        st.markdown(say(each.teaches))
        st.caption(f"{each.paper.title} · {each.paper.venue} {each.paper.year}")
    return slot


# --- pictures ---------------------------------------------------------------------------------


def _picture(key: str, slot) -> bytes | None:  # type: ignore[no-untyped-def]
    """The lesson's map in a run at its default sizes, or at its first preset that fits."""
    kept = _pictures.get(key)
    if kept is not None:
        return kept
    view = _affordable(default_view(key))
    if view is None:
        return None
    job = Job(view, 0)
    try:
        while not job.wait(0.2):
            # Writing to the page is also what lets a click on it end this script.
            slot.caption(say("Computing …"))
    finally:
        # A reader who has gone on to a lesson must not wait for this one.
        job.cancel()
    slot.empty()
    if job.run is None:
        return None
    note = tensor(job.run.trace, lesson_of(key).map)
    return _pictures.setdefault(key, thumbnail(note))


_pictures: dict[str, bytes] = {}
"""By lesson: as many as there are lessons, a few kilobytes each."""


def _affordable(view: View) -> View | None:
    for candidate in (view, *(preset_view(view, p.name) for p in lesson(view.lesson).presets)):
        shapes = runs.outline(candidate).trace
        if candidate.values and shapes.failure is None and runs.forecast(shapes).fits:
            large = runs.forecast(shapes).bytes > LARGE and "B" in dict(candidate.settings)
            # A picture shows the first of the batch: where many would take long, one does.
            return candidate.with_settings({"B": 1}) if large else candidate
    return None


def thumbnail(note: TensorNote) -> bytes:
    """A tensor's heatmap as PNG, in the proportions of its two axes."""
    heatmap = note.heatmap
    if heatmap is None or not heatmap.rows * heatmap.columns:
        raise ValueError(f"{note.name} has no heatmap to draw.")
    cells = np.frombuffer(heatmap.cells, "<f4").reshape(heatmap.rows, heatmap.columns)
    low, high = heatmap.low or 0.0, heatmap.high or 0.0
    scale: tuple[str, ...] = colours.ONE_SIDED
    if heatmap.signed:
        scale, high = colours.SIGNED, max(-low, high)
        low = -high
    share = (cells - low) / ((high - low) or 1.0)
    known = np.array([colours.channels(colour) for colour in scale])
    stops = np.linspace(0, 1, len(scale))
    finite = np.nan_to_num(share, nan=0, posinf=0, neginf=0)
    pixels = np.stack([np.interp(finite, stops, part) for part in known.T], axis=-1)
    odd = (np.isnan(cells), np.isposinf(cells), np.isneginf(cells))
    own = (colours.NAN, colours.INFINITY, colours.MINUS_INFINITY)
    for colour, where in zip(own, odd, strict=True):
        pixels[where] = colours.channels(colour)
    height, width = _proportions(note)
    image = Image.fromarray(pixels.astype(np.uint8)).resize(
        (width, height), Image.Resampling.NEAREST
    )
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def _proportions(note: TensorNote) -> tuple[int, int]:
    heatmap = note.heatmap
    assert heatmap is not None
    rows = note.shape[heatmap.row_axis] if heatmap.row_axis is not None else 1
    columns = note.shape[heatmap.column_axis] if heatmap.column_axis is not None else 1
    # A vector would be a hair: no thumbnail is more than four times as long as wide.
    ratio = min(max(columns / max(rows, 1), 0.25), 4.0)
    if ratio >= 1:
        return round(PICTURE / ratio), PICTURE
    return PICTURE, round(PICTURE * ratio)

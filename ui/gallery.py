"""Home: every lesson as a card with a picture of what it computes."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from modules.chinese import chinese
from modules.lesson import Description
from modules.posts import POSTS
from ui import language
from ui.language import say
from ui.shipped import LESSONS, picture
from ui.text import escaped, post_name

FIRST = "squeeze-excite"
"""Where a stranger begins: few steps, and an idea that all later lessons answer to."""

WALKTHROUGH = "pages/1_Walkthrough.py"

_family = st.components.v2.component(
    "shapewalk.family",
    html='<section class="family"></section>',
    js=(Path(__file__).parent / "gallery.js").read_text(encoding="utf-8"),
    isolate_styles=False,  # a card is written in the page's own fonts and colours
)


def gallery() -> None:
    hero = st.container(key="hero")
    with hero, st.container(key="hero-words"):
        _welcome()
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
    for name in dict.fromkeys(each.family for each in found):
        members = [each for each in found if each.family == name]
        result: Any = _family(
            # Of a text Streamlit asks whether it is a data frame, for which it loads pandas.
            data=written(name, members).encode(),
            key=f"family-{families.index(name)}",
            on_open_change=lambda: None,
        )
        _follow(result)
    # Once the cards are there: to tell a step takes longer.
    with hero:
        from ui.glimpse import glimpse

        told = glimpse(FIRST, _address(FIRST), language.language())
        _follow(_family(data=told.encode(), key="glimpse", on_open_change=lambda: None))


def _welcome() -> None:
    st.title("Shapewalk", anchor=False)
    st.markdown(
        say(
            "Attention modules as they really run. Step through the forward pass one "
            "expression at a time, and see for each the shape before, the shape after, why, "
            "and the values."
        )
    )
    with st.container(key="ways-in", horizontal=True, gap="small"):
        st.page_link(
            WALKTHROUGH,
            label=say("Begin with a short lesson"),
            icon=":material/directions_walk:",
            query_params=_query(FIRST),
        )
        st.page_link(
            "pages/3_Your_module.py",
            label=say("Walk your own module"),
            icon=":material/deployed_code:",
        )
        st.page_link(
            "pages/3_Your_module.py",
            label=say("or a class of an installed package"),
            icon=":material/search:",
            query_params={"class": "", **language.link()},
        )


def _follow(result: Any) -> None:
    if result.open:
        st.switch_page(WALKTHROUGH, query_params=_query(result.open))


def matching(words: str, family: str | None) -> list[Description]:
    """The lessons of the family in which every word occurs."""
    return [
        each
        for each in LESSONS
        if family in (None, each.family)
        and all(word in _everything(each) for word in words.casefold().split())
    ]


def _everything(each: Description) -> str:
    paper = each.paper
    texts = (each.title, each.family, each.teaches, each.about)
    known = (each.key, *texts, *(chinese(text) or "" for text in texts))
    return " ".join((*known, paper.title, paper.authors, paper.venue, str(paper.year))).casefold()


def _query(key: str) -> dict[str, str]:
    return {"lesson": key, **language.link()}


def _address(key: str) -> str:
    return f"Walkthrough?{urlencode(_query(key))}"


def written(name: str, members: Sequence[Description]) -> str:
    """A family as HTML: its heading, the posts that it stands beside, and a card for each lesson.
    Pictures are in it: what takes time is to draw elements and to ask, and never the bytes."""
    posts = [POSTS[key] for key in dict.fromkeys(each.post for each in members)]
    names = " · ".join(post_name(each, escape) for each in posts)
    beside = say("Beside {posts}", posts=names)
    return (
        f"<header><h2>{escape(say(name))}</h2><p>{beside}</p></header>"
        f'<div class="cards">{"".join(map(_card, members))}</div>'
    )


def _card(each: Description) -> str:
    title = escape(say(each.title))
    alt = say("The tensor {name} of {title}", name=escape(each.map), title=title)
    drawn = base64.b64encode(picture(each.key).read_bytes()).decode()
    address = escape(_address(each.key))
    # A paper is named as it was published, whatever the page is in.
    paper = escape(f"{each.paper.title} · {each.paper.venue} {each.paper.year}")
    return (
        '<article class="card">'
        f'<div class="picture"><img alt="{alt}" src="data:image/png;base64,{drawn}"></div>'
        f'<a href="{address}" data-lesson="{each.key}">{title}</a>'
        f'<p>{escape(say(each.teaches))}</p><p class="paper" lang="en">{paper}</p>'
        "</article>"
    )

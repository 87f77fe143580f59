"""Home: every lesson as a card with a picture of what it computes."""

from __future__ import annotations

from html import escape

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
        with st.container(key="ways-in", horizontal=True, gap="small"):
            st.page_link(
                "pages/1_Walkthrough.py",
                label=say("Begin with a short lesson"),
                icon=":material/directions_walk:",
                query_params={"lesson": FIRST, **language.link()},
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
        posts = [POSTS[key] for key in dict.fromkeys(each.post for each in members)]
        with st.container(key=f"family-{families.index(name)}", horizontal=True):
            st.header(say(name), anchor=False, width="content")
            st.caption(
                say("Beside {posts}", posts=" · ".join(map(post_name, posts))), width="content"
            )
        with st.container(key=f"cards-{families.index(name)}"):
            for each in members:
                _card(each)


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


def _card(each: Description) -> None:
    with st.container(key=f"card-{each.key}", border=True, gap="xsmall"):
        with st.container(key=f"picture-{each.key}", height=200, border=False):
            alt = say("The tensor {name} of {title}", name=each.map, title=say(each.title))
            st.image(picture(each.key), alt=alt)
        st.page_link(
            "pages/1_Walkthrough.py",
            label=f"**{say(each.title)}**",
            query_params={"lesson": each.key, **language.link()},
        )
        st.markdown(say(each.teaches))
        # A paper is named as it was published, whatever the page is in.
        paper = f"{each.paper.title} · {each.paper.venue} {each.paper.year}"
        st.html(f'<p class="paper" lang="en">{escape(paper)}</p>')

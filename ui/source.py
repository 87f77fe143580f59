"""The source of a lesson under the player: its classes, folded, with the current line in view."""

from __future__ import annotations

import ast
from html import escape
from pathlib import Path
from typing import Any

import streamlit as st

from modules.lesson import Description
from modules.posts import POSTS
from tracer import Trace
from tracer.syntax import parsed
from tracer.views.player import script, style
from ui.language import say
from ui.player import FONTS
from ui.text import escaped, post_name

_HERE = Path(__file__).parent

_LOOK = """
.shapewalk {
  & .code {
    max-height: min(36rem, 62dvh);
    overflow: auto;
    padding: 8px 0;
    font: 13px / 1.6 var(--mono);
    background: var(--wash);
    border: 1px solid var(--line);
    border-radius: 6px;
  }
  & summary { cursor: pointer; list-style: none; padding: 3px 0 }
  & summary .text::before { content: "▸ "; color: var(--soft) }
  & [open] > summary .text::before { content: "▾ " }
  & .text { white-space: pre; overflow-wrap: normal }
}
"""

_source = st.components.v2.component(
    "shapewalk.source",
    html='<div class="place"></div>',
    css=style() + FONTS + _LOOK,
    js=script((_HERE / "source.js").read_text(encoding="utf-8")),
)


def source_tab(trace: Trace, chosen: Description, written: Path) -> None:
    """`written` is the file that the lesson is written in."""
    paper = chosen.paper
    # A paper is named as it was published, whatever the page is in.
    title, authors, venue = map(escape, (paper.title, paper.authors, paper.venue))
    link = f'<a href="{escape(paper.link)}">{escape(paper.link)}</a>'
    cited = f"<b>{title}</b><br>{authors}. <i>{venue}</i>, {paper.year}. {link}"
    st.markdown(f'<p lang="en">{cited}</p>', unsafe_allow_html=True)
    st.markdown(say(chosen.about))
    st.markdown(
        say(
            "Written after [{name}]({link}) and {post}. {subject}",
            name=escaped(chosen.source),
            link=chosen.source,
            post=post_name(POSTS[chosen.post]),
            subject=say(POSTS[chosen.post].subject),
        )
    )
    file = str(written)
    data = {"parts": parts(trace, file), "steps": lines(trace, file), "name": say("Source")}
    _source(data=data, key="source")


def own_source(trace: Trace) -> None:
    """The functions that a run of somebody's own went through, as the run has kept them: a file of
    that name need not be here, or be another's."""
    files = list(dict.fromkeys(source.file for source in trace.sources))
    if not files:
        st.info(say("This run has no source to show."))
        return
    file = files[0]
    if len(files) > 1:
        file = st.selectbox(say("File"), files, key="source-file", width=420)
    functions = sorted(
        {(source.first, source.text) for source in trace.sources if source.file == file}
    )
    data = {
        "parts": [{"first": first, "text": text} for first, text in functions],
        "steps": lines(trace, file),
        "name": say("Source"),
    }
    _source(data=data, key="source")


def parts(trace: Trace, file: str) -> list[dict[str, Any]]:
    """The classes and functions of the file that the run went through: `text` of each, and the
    number of its `first` line."""
    text = Path(file).read_text(encoding="utf-8")
    rows = text.split("\n")
    run = {line for line in lines(trace, file) if line is not None}
    run |= {call.place.line for call in trace.calls if call.place.file == file}
    found = []
    for node in parsed(text).body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef):
            continue
        first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
        last = node.end_lineno or node.lineno
        if any(first <= line <= last for line in run):
            found.append({"first": first, "text": "\n".join(rows[first - 1 : last])})
    return found


def lines(trace: Trace, file: str) -> list[int | None]:
    """The line of each step, None where it is written in another file."""
    return [step.place.line if step.place.file == file else None for step in trace.steps]

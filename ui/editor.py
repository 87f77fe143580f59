"""The editor of one's own code: Ace from an installed package, with what the latest run has told
marked in the text."""

from __future__ import annotations

import difflib
import importlib.util
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

from tracer import Failure, Trace
from tracer.document import Place
from tracer.language import translator
from tracer.source.files import FilesError, plain, taken
from tracer.views import colours
from tracer.views.beside import beside
from tracer.views.graph import shape_text
from ui.language import language, say

_HERE = Path(__file__).parent

_START = uuid.uuid4().hex
"""Tells one start of the server from the next."""
MOST_KEPT = 500_000
"""Characters of files beside the one in the editor: a browser keeps few megabytes of a site."""

_PARTS = ("ace.js", "mode-python.js", "ext-searchbox.js")

_editor = st.components.v2.component(
    "shapewalk.editor",
    html='<div class="shapewalk-editor"><div class="editor"></div></div>',
    css=colours.style(":root") + (_HERE / "editor.css").read_text(encoding="utf-8"),
    js=(_HERE / "editor.js").read_text(encoding="utf-8"),
    isolate_styles=False,  # Streamlit's own shortcuts would take what is typed inside for theirs
)


@dataclass(frozen=True)
class Offer:
    """A fix: its `number`, what it changes in `words`, and the `text` with it."""

    number: int
    words: str
    text: str


@dataclass(frozen=True)
class Program:
    """The files beside the one in the editor, by their paths, which file is `shown` and which is
    the `main` one, that is run; `take` takes all of them, with these two."""

    others: dict[str, str]
    main: str
    shown: str
    take: Callable[[dict[str, str], str, str], None]

    def packed(self) -> dict[str, Any] | None:
        """For the browser; None of what it would not keep."""
        if sum(map(len, self.others.values())) > MOST_KEPT:
            return None
        return {"others": self.others, "main": self.main, "shown": self.shown}


def kept(found: object) -> tuple[dict[str, str], str, str] | None:
    """The files, which is run and which is shown, as a browser has kept them; None where that is
    damaged."""
    match found:
        case {"texts": dict() as texts, "main": str() as main, "shown": str() as shown}:
            pass
        case _:
            return None
    if not all(isinstance(text, str) for text in texts.values()):
        return None
    try:
        files = [(str(path), text.encode()) for path, text in texts.items()]
        known = taken(shown, files, whole=True)
    except (FilesError, UnicodeEncodeError):
        return None
    return (known, main, shown) if main in known and shown in known else None


# long: what the browser is told, by name
def show(
    text: str,
    change: Callable[[str], None],
    trace: Trace | None,
    file: str,
    run: int,
    ran: str,
    program: Program,
    offer: Offer | None,
    apply: Callable[[int], None],
) -> None:
    """Draw the editor with this text; `change` is called with what the reader makes of it.
    `trace` is the run of this very text, which is that of this `file`; `run` is its number, 0
    before the first, and `ran` the text of it.  The browser keeps the text with the others of its
    `program`, should the page come from another start of the server.  The fix that is on `offer`
    stands as a diff among the lines; `apply` is called with its number when the reader takes
    it."""
    state = st.session_state.setdefault(
        "editor", {"text": text, "count": 0, "session": uuid.uuid4().hex}
    )
    if state["text"] != text:
        state["text"], state["count"] = text, state["count"] + 1

    def typed() -> None:
        written = st.session_state["debug-editor"].get("text")
        if isinstance(written, str):
            state["text"] = plain(written)
            change(state["text"])

    def applied() -> None:
        number = st.session_state["debug-editor"].get("fix")
        if isinstance(number, int):
            apply(number)

    def brought() -> None:
        found = kept(st.session_state["debug-editor"].get("files"))
        if found is not None:
            program.take(*found)

    data = {
        "ace": ace(),
        "text": text,
        "count": state["count"],
        "label": say("Code"),
        "placeholder": say("Paste a file with your nn.Module here, imports included."),
        "program": program.packed(),
        "fresh": state["count"] == 0 and run == 0,
        "run": run,
        "ran": ran,
        "session": state["session"],
        "start": _START,
        "messages": _messages(),
        "marks": marks(trace.failure, file) if trace is not None and trace.failure else [],
        "shapes": shapes(trace, file) if trace is not None else {},
        "offer": _shown(text, offer) if offer is not None and offer.text != text else None,
    }
    _editor(
        data=data,
        key="debug-editor",
        on_text_change=typed,
        on_fix_change=applied,
        on_files_change=brought,
    )


def _shown(text: str, offer: Offer) -> dict[str, Any]:
    """A fix as the editor draws it: each place with its lines (from 1) that go, and what comes
    below the last of these."""
    old, new = text.split("\n"), offer.text.split("\n")
    matched = difflib.SequenceMatcher(None, old, new, autojunk=False)
    changes = [
        {"first": a + 1, "last": b, "added": new[c:d]}
        for kind, a, b, c, d in matched.get_opcodes()
        if kind != "equal"
    ]
    words = {"words": offer.words, "apply": say("Apply and run again"), "label": say("A fix")}
    return {"number": offer.number, "changes": changes, **words}


def _messages() -> dict[str, str]:
    """What Ace says by itself, by its names for it."""
    find = "search-box"
    return {
        "editor.scroller.aria-label": say(
            "Editor content, press Enter to start editing, press Escape to exit"
        ),
        "editor.scroller.aria-roledescription": say("editor"),
        "editor.gutter.aria-label": say(
            "Editor gutter, press Enter to interact with controls using arrow keys, press Escape "
            "to exit"
        ),
        "editor.gutter.aria-roledescription": say("editor gutter"),
        "text-input.aria-label": say("Cursor at row $0"),
        "text-input.aria-roledescription": say("editor"),
        "gutter.annotation.aria-label.error": say("Failure, read annotations row $0"),
        "gutter.annotation.aria-label.warning": say("Root, read annotations row $0"),
        "gutter.annotation.aria-label.info": say("On the way, read annotations row $0"),
        **dict.fromkeys(
            ("gutter.code-folding.range.aria-label", "gutter.code-folding.closed.aria-label"),
            say("Fold or unfold code, rows $0 to $1"),
        ),
        "gutter.code-folding.open.aria-label": say("Fold code, row $0"),
        "gutter.code-folding.closed.title": say("Unfold code"),
        "gutter.code-folding.open.title": say("Fold code"),
        "inline-fold.closed.title": say("Unfold code"),
        f"{find}.find.placeholder": say("Search for"),
        f"{find}.find-all.text": say("All"),
        f"{find}.replace.placeholder": say("Replace with"),
        f"{find}.replace-next.text": say("Replace"),
        f"{find}.replace-all.text": say("All"),
        f"{find}.toggle-replace.title": say("Toggle replacing"),
        f"{find}.toggle-regexp.title": say("Regular expression"),
        f"{find}.toggle-case.title": say("Case matters"),
        f"{find}.toggle-whole-word.title": say("Whole words"),
        f"{find}.toggle-in-selection.title": say("In the selection"),
        f"{find}.search-counter": say("$0 of $1"),
    }


@cache
def _script() -> bytes:
    """Ace as one script.  The package is found and not imported: it is another framework's."""
    spec = importlib.util.find_spec("django_ace")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "static" / "django_ace" / "ace"
    return b"\n;".join((folder / part).read_bytes() for part in _PARTS)


def ace() -> str:
    """The path at which this server has Ace: by its content, so that a browser keeps it.  Streamlit
    has a file for as long as each run of a session asks for it, and a browser may be fetching it
    while the editor is out of sight."""
    if not st.runtime.exists():
        return ""  # run by a test
    files = st.runtime.get_instance().media_file_mgr
    return files.add(_script(), "text/javascript", "editor/ace")


def marks(failure: Failure, file: str) -> list[dict[str, Any]]:
    """What a failure says of places in a file: where the wrong size was born, the way that it
    took, where it does not fit; the last of one place covers the others."""
    translate = translator(language())
    found: dict[tuple[int, int, int, int], dict[str, Any]] = {}

    def add(kind: str, place: Place, words: str) -> None:
        if place.file != file:
            return
        span = place.span
        where = (
            (span.line, span.column, span.end_line, span.end_column)
            if span is not None
            else (place.line, 0, place.line, 1_000)
        )
        names = ("line", "column", "end_line", "end_column")
        found[where] = dict(zip(names, where, strict=True)) | {"kind": kind, "text": words}

    for link in failure.chain:
        add("way", link.place, link.told(translate))
    if failure.root is not None:
        add("root", failure.root.place, failure.root.told(translate))
    add("failed", failure.place, failure.told(translate)[0] or failure.message)
    return list(found.values())


def shapes(trace: Trace, file: str) -> dict[str, str]:
    """What the statements of a file made, by the line in which they end."""
    return {
        str(line): " · ".join(texts[:2]) + (" …" if len(texts) > 2 else "")
        for line, texts in beside(trace, file, shape_text).items()
    }

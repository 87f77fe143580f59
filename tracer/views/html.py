"""A trace and its player as HTML: one self-contained page, and the same framed for a notebook."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping

from tracer.document import Trace
from tracer.language import translator
from tracer.sentences import render, said
from tracer.views.player import payload, script, style

NOTEBOOK_HEIGHT = 700

_PAGE_STYLE = """body { margin: 0; }
/* For whom cannot see the player, which says what it shows. */
h1 { position: absolute; width: 1px; height: 1px; margin: 0; overflow: hidden;
  clip-path: inset(50%); }
"""

_START = """import { mount } from "./player.js";

const payload = JSON.parse(document.getElementById("trace").textContent);
mount(document.getElementById("player"), payload, { url: URL_KEPT, height: "100dvh" });
"""


def page(
    trace: Trace,
    dims: Mapping[str, str] | None = None,
    language: str = "en",
    exercise: str = "",
) -> str:
    """One HTML document that shows `trace` with the player: no other file, no network.

    `dims` names the inputs' dimensions, as `{"x": "B C H W"}`; `language` is what it is told in;
    `exercise` is what an address says of what a teacher asks (`ui/exercise.py`).

    Raises:
        ValueError: the language is none of `tracer.language.LANGUAGES`.
    """
    return _document(trace, dims, language, url_kept=True, exercise=exercise)


def notebook(trace: Trace, dims: Mapping[str, str] | None = None, language: str = "en") -> str:
    """The page in a sandboxed frame, so that neither styles nor keys leak into the notebook."""
    title = render(said("Trace of {name}", name=_title(trace)), translator(language))
    content = html.escape(_document(trace, dims, language, url_kept=False), quote=True)
    return (
        f'<iframe title="{title}" sandbox="allow-scripts allow-popups" srcdoc="{content}" '
        f'style="width: 100%; height: {NOTEBOOK_HEIGHT}px; border: 0; border-radius: 6px" '
        "></iframe>"
    )


def _document(
    trace: Trace,
    dims: Mapping[str, str] | None,
    language: str,
    url_kept: bool,
    exercise: str = "",
) -> str:
    run = script(_START.replace("URL_KEPT", "true" if url_kept else "false"))
    look = _PAGE_STYLE + style()
    without = render(said("This page draws the trace with JavaScript."), translator(language))
    return f"""{head(f"{_title(trace)} · Shapewalk", look, run, language)}
<body>
<main>
<h1>{_title(trace)}</h1>
<div id="player"></div>
</main>
<noscript>{without}</noscript>
<script type="application/json" id="trace">{_json(trace, dims, language, exercise)}</script>
<script type="module">{run}</script>
</body>
</html>
"""


def head(title: str, look: str, run: str, language: str) -> str:
    """What stands before the body of a page, in which no script but `run` and no style but `look`
    may run, whatever a trace holds.  The `title` is escaped already."""
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; "
        f"script-src '{_digest(run)}'; style-src '{_digest(look)}'"
    )
    return f"""<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>{look}</style>
</head>"""


def _title(trace: Trace) -> str:
    readable = trace.name[:200].encode("utf-8", "replace").decode("utf-8")
    return html.escape(readable, quote=True)


def _json(trace: Trace, dims: Mapping[str, str] | None, language: str, exercise: str) -> str:
    """The payload as ASCII text that cannot end its script element or start another."""
    body = payload(trace, dims, language) | ({"exercise": exercise} if exercise else {})
    return json.dumps(body, separators=(",", ":")).replace("<", "\\u003c")


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"

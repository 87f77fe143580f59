"""A run as slides: one HTML deck that is stepped through in a browser, and printed as one page a
slide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

from tracer.document import Step, TensorNote, Trace
from tracer.language import translator
from tracer.sentences import Said, render, said, shape_text
from tracer.views.changes import Explanation, explain
from tracer.views.html import head
from tracer.views.rounds import rounds

_STYLE = """
@page { size: 297mm 167mm; margin: 0; }
:root { color-scheme: light dark; }
* { box-sizing: border-box; }
body { margin: 0; font: 400 clamp(15px, 2vw, 30px)/1.45 system-ui, "Noto Sans CJK SC", sans-serif;
  background: Canvas; color: CanvasText; }
section { min-height: 100vh; padding: 6vmin 7vw; display: flex; flex-direction: column;
  justify-content: center; gap: 2.2vmin; break-after: page; break-inside: avoid;
  scroll-snap-align: start; }
section:last-child { break-after: auto; }
html { scroll-snap-type: y proximity; }
:is(h1, h2, p, dl, dd) { margin: 0; }
h1 { font-size: 2em; line-height: 1.15; }
h2, code { font-family: ui-monospace, Menlo, Consolas, monospace; }
h2 { font-size: 1.35em; font-weight: 400; line-height: 1.35; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3em 1.2em; }
dd { overflow-wrap: anywhere; } .made { font-weight: 700; }
.count { font-size: .7em; }
@media (max-width: 40em) { dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5em; } }
@media print { :root { color-scheme: light; } body { font-size: 18pt; }
  section { min-height: 166mm; } }
"""

_SCRIPT = """
const slides = [...document.querySelectorAll("section")];
const on = { ArrowRight: 1, PageDown: 1, " ": 1, ArrowDown: 1,
  ArrowLeft: -1, PageUp: -1, ArrowUp: -1 };
const top = each => Math.abs(each.getBoundingClientRect().top);
addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const now = slides.reduce((best, each, at) => top(each) < top(slides[best]) ? at : best, 0);
  const ends = { Home: 0, End: slides.length - 1 };
  const by = event.key === " " && event.shiftKey ? -1 : on[event.key];
  const next = ends[event.key] ?? (by === undefined ? undefined : now + by);
  if (next === undefined) return;
  event.preventDefault();
  slides[Math.min(Math.max(next, 0), slides.length - 1)].scrollIntoView();
});
"""


def slides(trace: Trace, dims: Mapping[str, str] | None = None, language: str = "en") -> str:
    """One HTML document without any other file: a slide for the run, for each chapter and for each
    step, of a loop's rounds that do the same the first; where it failed, that too.  `dims` names
    the inputs' dimensions, as `{"x": "B C H W"}`.

    Raises:
        ValueError: the language is none of `tracer.language.LANGUAGES`.
    """
    deck = _Deck(trace, dims, language)
    return f"""{head(escape(deck.title), _STYLE, _SCRIPT, language)}
<body>
<main>
{"".join(deck.slides())}</main>
<script type="module">{_SCRIPT}</script>
</body>
</html>
"""


class _Deck:
    def __init__(self, trace: Trace, dims: Mapping[str, str] | None, language: str) -> None:
        self.trace = trace
        self.translate = translator(language)
        self.why = explain(trace, dims, translate=self.translate)
        self.title = trace.story.title if trace.story is not None else trace.name

    def say(self, sentence: Said) -> str:
        return escape(render(sentence, self.translate))

    def slides(self) -> Iterator[str]:
        trace = self.trace
        given = "".join(f"<dd>{_note(note)}</dd>" for note in trace.inputs)
        head = f"<dl><dt>{self.say(said('input'))}</dt>{given}</dl>" if given else ""
        yield _slide(f"<h1>{escape(self.title)}</h1>{head}")
        chapters = {chapter.start: chapter.title for chapter in trace.chapters}
        again = {
            step: each
            for each in rounds(trace)
            for step in range(each.start + each.length, each.stop)
        }
        for step, why in zip(trace.steps, self.why, strict=True):
            if step.index in chapters:
                yield _slide(f"<h1>{escape(chapters[step.index])}</h1>")
            found = again.get(step.index)
            if found is None:
                yield self.step(step, why)
            elif step.index == found.start + found.length:
                more = said("{count} rounds of this loop do the same", count=found.count)
                yield _slide(f"<p>{self.say(more)}</p>")
        if trace.failure is not None:
            rule, reason = trace.failure.told(self.translate)
            code = f"<h2>{escape(' '.join(trace.failure.place.expression.split()))}</h2>"
            error = f"<p>{escape(f'{trace.failure.type}: {trace.failure.message}')}</p>"
            told = "".join(f"<p>{escape(text)}</p>" for text in (rule, reason) if text)
            yield _slide(code + error + told)

    def step(self, step: Step, why: Explanation) -> str:
        names = ", ".join(note.name for note in step.outputs if note.name)
        code = " ".join(step.expression.split())
        count = f"{step.index + 1} / {len(self.trace.steps)}"
        rows = (
            (said("before"), step.inputs, ""),
            (said("after"), step.outputs, ' class="made"'),
        )
        shapes = "".join(
            f"<dt>{self.say(name)}</dt>"
            + "".join(f"<dd{look}>{_note(note)}</dd>" for note in notes)
            for name, notes, look in rows
            if notes
        )
        written = f"{names} = {code}" if names else code
        return _slide(
            f'<p class="count">{count}</p><h2>{escape(written)}</h2>'
            f"<dl>{shapes}</dl><p>{escape(why.summary)}</p>"
        )


def _slide(content: str) -> str:
    return f"<section>{content}</section>\n"


def _note(note: TensorNote) -> str:
    shape = shape_text(note)
    return f"<code>{escape(f'{note.name} {shape}'.strip())}</code>"

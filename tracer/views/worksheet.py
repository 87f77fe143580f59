"""A run as a worksheet: one printable page on which the shapes are blanks, and their answers with
the reasons on a page of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

from tracer.document import Step, TensorNote, Trace
from tracer.language import translator
from tracer.sentences import Said, Translate, render, said, shape_text
from tracer.views.changes import explain
from tracer.views.rounds import rounds
from tracer.views.rules import rules

_STYLE = """
@page { margin: 18mm 16mm; }
body { max-width: 46rem; margin: 2rem auto; padding: 0 1rem;
  font: 11pt/1.45 system-ui, "Noto Sans CJK SC", sans-serif; }
h1 { font-size: 17pt; margin: 0 0 .2rem; } h2 { font-size: 12pt; margin: 1.3rem 0 .3rem; }
code { font: 9.5pt/1.4 ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.who { display: flex; gap: 2rem; margin: 1rem 0; } .who span { flex: 1; border-bottom: 1px solid; }
ol { margin: 0; padding: 0 0 0 2.2em; } li { break-inside: avoid; padding: .35rem 0 .3rem; }
.given { font-size: 9.5pt; } .plain { list-style: none; font-size: 9.5pt; }
.blank { display: inline-block; min-width: 15em; border-bottom: 1px solid; }
.blanks { display: block; margin-top: .45rem; }
.answers { break-before: page; } table { width: 100%; border-collapse: collapse; }
:is(th, td) { padding: .25rem .6rem .25rem 0; border-bottom: .5px solid;
  text-align: left; vertical-align: top; } td:last-child { font-size: 9.5pt; }
"""
"""As a browser prints, black on white."""


def worksheet(trace: Trace, dims: Mapping[str, str] | None = None, language: str = "en") -> str:
    """One HTML page, for a browser's print.  Asked is what the player's predictions ask: each step
    that makes a shape of its own, of a loop's rounds that do the same the first."""
    translate = translator(language)
    sheet = _Sheet(trace, dims, translate)
    title = trace.story.title if trace.story is not None else trace.name
    task = said("Write down the shape of what each line makes. Inputs and weights are given.")
    questions = "\n".join(sheet.questions())
    return f"""<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
<p class="who"><span>{sheet.say(said("Name:"))}</span><span>{sheet.say(said("Date:"))}</span></p>
<p>{sheet.say(task)}</p>
<p>{sheet.given()}</p>
{questions}
<section class="answers">
<h2>{sheet.say(said("Answers"))}</h2>
<table>
<tr><th>#</th><th>{sheet.say(said("result"))}</th><th>{sheet.say(said("shape"))}</th><th>{sheet.say(said("why"))}</th></tr>
{"".join(sheet.answers())}
</table>
</section>
</main>
</body>
</html>
"""


class _Sheet:
    def __init__(self, trace: Trace, dims: Mapping[str, str] | None, translate: Translate) -> None:
        self.trace = trace
        self.translate = translate
        self.why = explain(trace, dims, translate=translate)
        found = rules(trace)
        self.folded = {
            step: each
            for each in rounds(trace)
            for step in range(each.start + each.length, each.stop)
        }
        self.numbers: dict[int, int] = {}
        for step, rule in zip(trace.steps, found, strict=True):
            if rule is not None and not rule["plain"] and step.index not in self.folded:
                self.numbers[step.index] = len(self.numbers) + 1

    def say(self, sentence: Said) -> str:
        return escape(render(sentence, self.translate))

    def given(self) -> str:
        return ", ".join(map(_with_shape, self.trace.inputs))

    def questions(self) -> Iterator[str]:
        """The steps in the order of the run, under the titles of their chapters."""
        titles = {chapter.start: chapter.title for chapter in self.trace.chapters}
        yield "<ol>"
        for step in self.trace.steps:
            if step.index in titles:
                yield f"</ol><h2>{escape(titles[step.index])}</h2>"
                yield "<ol>"
            fold = self.folded.get(step.index)
            if fold is None:
                yield self.question(step)
            elif step.index == fold.start + fold.length:
                more = self.say(said("{count} rounds of this loop do the same", count=fold.count))
                yield f'<li class="plain">{more}</li>'
        yield "</ol>"

    def question(self, step: Step) -> str:
        names = ", ".join(escape(note.name) for note in step.outputs if note.name)
        code = escape(" ".join(step.expression.split()))
        weights = [note for note in step.inputs if note.kind in ("parameter", "buffer")]
        # What a layer was made with; what stands in the expression is read there.
        made = [each for each in step.arguments if each.rpartition("=")[2] not in step.expression]
        if any([*map(str, note.shape)] == [*step.arguments] for note in step.outputs):
            made = []  # where it says the shape itself, its names are what is to be known
        known = ", ".join([*map(_with_shape, weights), *map(escape, made)])
        given = f' <span class="given">{known}</span>' if known else ""
        line = f"<code>{names + ' = ' if names else ''}{code}</code>{given}"
        number = self.numbers.get(step.index)
        if number is None:
            return f'<li class="plain">{line}</li>'
        blank = '<span class="blanks">( <span class="blank">&nbsp;</span> )</span>'
        return f'<li value="{number}">{line}{blank * len(step.outputs)}</li>'

    def answers(self) -> Iterator[str]:
        for index, number in self.numbers.items():
            step, why = self.trace.steps[index], self.why[index]
            names = ", ".join(escape(note.name) for note in step.outputs)
            shapes = "<br>".join(map(_answer, step.outputs))
            yield (
                f"<tr><td>{number}</td><td><code>{names}</code></td>"
                f"<td>{shapes}</td><td>{escape(why.summary)}</td></tr>\n"
            )


def _with_shape(note: TensorNote) -> str:
    return f"<code>{escape(note.name)} {_shape(note)}</code>"


def _shape(note: TensorNote) -> str:
    return shape_text(note)


def _answer(note: TensorNote) -> str:
    """Its sizes, and as formulas where these say more."""
    texts = [dim.text for dim in note.dims]
    formulas = shape_text(texts) if texts and texts != list(map(str, note.shape)) else ""
    told = f"<br><code>{escape(formulas)}</code>" if formulas else ""
    return f"<code>{_shape(note)}</code>{told}"

"""What a reader takes along of a run: files that are made when they are asked for, one
`Format` each."""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from tracer import Step, TensorNote, Trace
from tracer.language import translator
from tracer.views import graph, html, slides, svg, text, worksheet
from ui import address, embed, exercise, shipped
from ui.language import link, say
from ui.notebook import notebook
from ui.run import Run
from ui.view import View, to_query


@dataclass(frozen=True)
class Format:
    """A file of a run: `name` in the reader's language, `ending` that of its own name; `fits` says
    of which runs there is one."""

    name: str
    make: Callable[[Run], str | bytes]
    ending: str
    mime: str
    fits: Callable[[Trace], bool] = lambda trace: True


def _annotated(run: Run) -> str:
    trace, translate = run.trace, translator(run.language)
    source = text.annotated(trace, translate=translate)
    if not trace.symbols:
        return source
    return f"{source}\n\n{text.annotated(trace, symbols=True, translate=translate)}"


def _pictures(run: Run) -> bytes:
    from tracer.views import png  # which takes its time to load

    return png.pictures(run.trace)


def _is_drawn(trace: Trace) -> bool:
    return graph.readable(trace) is not None


def _formats() -> tuple[Format, ...]:
    return (
        Format(say("Trace"), lambda run: run.trace.to_json(), ".json", "application/json"),
        Format(say("Table"), lambda run: as_csv(step_table(run.trace)), ".csv", "text/csv"),
        Format(
            say("Page"),
            lambda run: html.page(run.trace, language=run.language),
            ".html",
            "text/html",
        ),
        Format(say("Annotated source"), _annotated, ".txt", "text/plain"),
        Format(
            "Markdown",
            lambda run: text.markdown(run.trace, translator(run.language)),
            ".md",
            "text/markdown",
        ),
        Format(
            say("Worksheet"),
            lambda run: worksheet.worksheet(run.trace, language=run.language),
            "-worksheet.html",
            "text/html",
        ),
        Format(
            say("Slides"),
            lambda run: slides.slides(run.trace, language=run.language),
            "-slides.html",
            "text/html",
        ),
        Format(say("Graph"), lambda run: svg.svg(run.trace), ".svg", "image/svg+xml", _is_drawn),
        Format(say("Heatmaps"), _pictures, ".zip", "application/zip", lambda trace: trace.values),
    )


def _programs(source: str) -> tuple[Format, ...]:
    """The file that ran, which runs on with its shapes as comments: as numbers and as formulas."""

    def written(run: Run, symbols: bool) -> str:
        translate = translator(run.language)
        return text.program(run.trace, source, translate=translate, symbols=symbols) or source

    def fits(trace: Trace, symbols: bool) -> bool:
        return text.file_of(trace, source) is not None and bool(trace.symbols or not symbols)

    return tuple(
        Format(
            name,
            functools.partial(written, symbols=symbols),
            ending,
            "text/x-python",
            functools.partial(fits, symbols=symbols),
        )
        for name, ending, symbols in (
            ("Python", ".py", False),
            (say("Program with formulas"), "-formulas.py", True),
        )
    )


def downloads(
    run: Run, view: View | None, elsewhere: str, query: Mapping[str, str], source: str
) -> None:
    """The run in every format that there is of it, its link, a lesson's `view` for the frame of
    another page, and the way to another run beside it, where one that is no lesson is known as
    `elsewhere`.  `query` is what an address says of a module of one's own, `source` is its text;
    without it and a view there is no link."""
    trace = run.trace
    stem = "".join(c if c.isalnum() else "-" for c in trace.name.lower()).strip("-") or "trace"
    with st.container(key="downloads", horizontal=True, gap="small", vertical_alignment="center"):
        formats = _formats()
        if view is not None and not view.own:
            book = notebook(view)  # in the language of this moment, in which it is short to make
            formats += (Format(say("Notebook"), lambda _: book, ".ipynb", "application/json"),)
        if view is not None:
            source = shipped.source(view.lesson).read_text(encoding="utf-8")
        with st.popover(say("Take away"), icon=":material/download:", key="formats"):
            for each in (*formats, *_programs(source)):
                if each.fits(trace):
                    st.download_button(
                        each.name,
                        functools.partial(each.make, run),
                        f"{stem}{each.ending}",
                        each.mime,
                        key=f"download{each.ending}",
                        type="tertiary",
                        on_click="ignore",
                    )
        if view is not None:
            address.button("Walkthrough", to_query(view), without=bool(view.own))
            embed.snippet(view)
        elif query:
            address.button("Your_module", query)
        exercise.button(run, {} if view is None or view.own else to_query(view))
        compared = urlencode(to_query(view)) if view is not None else elsewhere
        st.page_link(
            "pages/4_Compare.py",
            label=say("Compare"),
            icon=":material/compare_arrows:",
            query_params={"one": compared, **link()},
        )


# --- the table of steps ---


def step_table(trace: Trace) -> dict[str, list[Any]]:
    """One row for each step, by columns. A column without a single entry says nothing and is left
    out."""

    def shapes(notes: Iterable[TensorNote]) -> str:
        return ", ".join(graph.shape_text(note) for note in notes)

    def row(step: Step) -> dict[str, Any]:
        weights = [note for note in step.inputs if note.kind in ("parameter", "buffer")]
        made = step.outputs[0] if step.outputs else None
        stats = made.stats if made else None
        return {
            "step": step.index + 1,
            "name": ", ".join(note.name for note in step.outputs if note.name),
            "expression": " ".join(step.expression.split()),
            "from": shapes(note for note in step.inputs if note not in weights),
            "to": shapes(step.outputs),
            "weights": shapes(weights),
            "operation": step.op,
            "arguments": ", ".join(step.arguments),
            "module": step.module,
            "line": step.line,
            "type": made.dtype.removeprefix("torch.") if made else "",
            "min": stats.minimum if stats else None,
            "max": stats.maximum if stats else None,
            "mean": stats.mean if stats else None,
            "NaN": stats.nan if stats else None,
            "ms": step.seconds * 1000,
        }

    rows = [row(step) for step in trace.steps]
    names = rows[0] if rows else ("step",)
    columns = {name: [row[name] for row in rows] for name in names}
    return {
        name: cells for name, cells in columns.items() if any(c not in ("", None) for c in cells)
    }


def as_csv(table: dict[str, list[Any]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    return file.getvalue()

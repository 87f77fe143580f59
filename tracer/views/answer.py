"""What a run answers, as plain values that a program reads: the same for the command line, for
continuous integration and for agents."""

from __future__ import annotations

import contextlib
import difflib
import os
from dataclasses import dataclass
from typing import Any

from tracer.document import Failure, Fix, History, Place, Root, TensorNote, Trace
from tracer.language import translator
from tracer.ops.names import shape_text
from tracer.sentences import Translate, render
from tracer.views.histories import heading, lines


def answer(trace: Trace, language: str = "en") -> dict[str, Any]:
    """Names, shapes, warnings and the failure of a run as dictionaries, lists, text and numbers.

    Lines and columns count from 1.  `failure` is None where the run succeeded; each of its `fixes`
    has the `diff` that makes it, None where a file cannot be read.
    """
    translate = translator(language)
    return {
        "name": trace.name,
        "inputs": [_tensor(note) for note in trace.inputs],
        "outputs": [_tensor(note) for note in trace.outputs],
        "warnings": [
            _place(trace.steps[warning.step].place)
            | {"kind": warning.kind, "code": warning.code, "reason": warning.told(translate)}
            for warning in trace.warnings
        ],
        "failure": _failure(trace.failure, translate) if trace.failure is not None else None,
    }


@dataclass(frozen=True)
class Finding:
    """What is wrong at a place: `level` is `error` or `warning`, `code` that of the rule (or the
    exception's type), `message` one sentence, `reason` more, or empty."""

    level: str
    place: Place
    code: str
    message: str
    reason: str = ""


def findings(trace: Trace, translate: Translate = str) -> list[Finding]:
    """The warnings of a run in the steps' order, and its failure as the last."""
    found = [
        Finding("warning", trace.steps[each.step].place, each.code, each.told(translate))
        for each in trace.warnings
    ]
    failure = trace.failure
    if failure is not None:
        code = failure.violation.code if failure.violation is not None else failure.type
        rule, reason = failure.told(translate)
        message = rule or f"{failure.type}: {failure.message}"
        found.append(Finding("error", failure.place, code, message, reason))
    return found


def sizes(note: TensorNote) -> str:
    """A tensor's shape as formulas, `(B, H·W)`, where it has them, else in numbers."""
    if not note.dims:
        return shape_text(note.shape)
    return f"({', '.join(dim.text for dim in note.dims)}{',' * (len(note.dims) == 1)})"


def at(place: Place) -> str:
    """`file:line:column` as an editor finds it; columns count from 1."""
    column = place.span.column + 1 if place.span is not None else 1
    return f"{shown_path(place.file)}:{place.line}:{column}"


def diff(fix: Fix) -> str:
    """The edits of a fix as a unified diff of its files, named as seen from the folder one is in.

    Raises:
        OSError, ValueError: a file cannot be read, or is no longer what was edited.
    """
    texts = []
    for file in dict.fromkeys(edit.file for edit in fix.edits):
        old = source(file)
        name = shown_path(file)
        new = fix.apply(old, file)
        for line in difflib.unified_diff(
            old.splitlines(keepends=True), new.splitlines(keepends=True), name, name
        ):
            texts.append(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
    return "".join(texts)


def source(file: str) -> str:
    """A file's text with its own line ends."""
    with open(file, encoding="utf-8", newline="") as stream:
        return stream.read()


def shown_path(file: str) -> str:
    """A file as seen from the folder one is in; in full where it lies outside."""
    path = os.path.relpath(file)
    return file if path.startswith("..") else path


def _failure(failure: Failure, translate: Translate) -> dict[str, Any]:
    rule, reason = failure.told(translate)
    return {
        "type": failure.type,
        "message": failure.message,
        **_place(failure.place),
        "module": failure.module,
        "code": failure.violation.code if failure.violation is not None else "",
        "rule": rule,
        "reason": reason,
        "operands": [
            _tensor(operand.note)
            | {"expression": operand.expression, "file": operand.file, "line": operand.line}
            | {"marks": list(operand.marks)}
            for operand in failure.operands
        ],
        "root": _link(failure.root, translate) if failure.root is not None else None,
        "chain": [_link(link, translate) for link in failure.chain],
        "histories": [_history(failure, each, translate) for each in failure.histories],
        "fixes": [_fix(fix, translate) for fix in failure.fixes],
    }


def _fix(fix: Fix, translate: Translate) -> dict[str, Any]:
    summary, caveat = fix.told(translate)
    changes = None
    with contextlib.suppress(OSError, ValueError):
        changes = diff(fix)
    return {
        "summary": summary,
        "verified": fix.verified,
        "caveat": caveat,
        "output_shapes": [list(shape) for shape in fix.output_shapes],
        "inputs": dict(fix.inputs),
        "diff": changes,
    }


def _link(link: Root, translate: Translate) -> dict[str, Any]:
    return _place(link.place) | {
        "kind": link.kind,
        "module": link.module,
        "why": link.told(translate),
    }


def _history(failure: Failure, history: History, translate: Translate) -> dict[str, Any]:
    return {
        "size": history.term.value,
        "operand": history.operand,
        "dim": history.dim,
        "of": render(heading(failure, history), translate),
        "lines": [
            _place(line.place)
            | {"depth": line.depth, "value": line.value, "made_of": line.made_of}
            | {"made_from": line.made_from}
            | {"code": line.code, "times": line.times, "apart": line.apart}
            for line in lines(history)
        ],
    }


def _tensor(note: TensorNote) -> dict[str, Any]:
    return {"name": note.name, "shape": list(note.shape), "dtype": note.dtype, "kind": note.kind}


def _place(place: Place) -> dict[str, Any]:
    span = place.span
    return {
        "file": place.file,
        "line": place.line,
        "column": span.column + 1 if span is not None else None,
        "end_line": span.end_line if span is not None else None,
        "end_column": span.end_column + 1 if span is not None else None,
        "function": place.function,
        "expression": place.expression,
    }

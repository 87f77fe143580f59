"""Edits of models made from text, as the tests of repairs write them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from tracer.diagnosis.budget import Budget
from tracer.diagnosis.repair.bench import Bench, Program
from tracer.diagnosis.repair.proof import Proof, prove
from tracer.document import Edit, Span
from tracer.source.text import text_of


def edited(model: nn.Module | Callable[..., Any], old: str, new: str) -> Edit:
    """The edit that replaces a text which occurs once in the file of a model's class."""
    function: Any = inspect.unwrap(type(model).forward if isinstance(model, nn.Module) else model)
    file = function.__code__.co_filename
    text = text_of(file)
    assert text is not None
    assert text.text.count(old) == 1, old
    at = text.text.index(old)

    def place(offset: int) -> tuple[int, int]:
        before = text.text[:offset]
        return before.count("\n") + 1, offset - (before.rfind("\n") + 1)

    (line, column), (end_line, end_column) = place(at), place(at + len(old))
    return Edit(file, Span(line, column, end_line, end_column), new)


def program(model: nn.Module, *pairs: str, **fields: Any) -> Program:
    """The program in which each old text gives way to the new one behind it."""
    edits = [edited(model, *pair) for pair in zip(pairs[::2], pairs[1::2], strict=True)]
    return Program.of(edits, **fields)


def bench_of(
    model: nn.Module, inputs: tuple[Any, ...], build: Any = None, work: float | None = None
) -> Bench:
    return Bench(model, inputs, {}, build, Budget(work))


def proven(model: nn.Module, inputs: tuple[Any, ...], *pairs: str, **fields: Any) -> Proof:
    bench = bench_of(model, inputs, fields.pop("build", None))
    made = program(model, *pairs, **fields)
    assert bench.plain.error is not None
    return prove(bench, made)

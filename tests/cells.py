"""Modules made from text, the way a notebook makes them: the tests know every line of them."""

from __future__ import annotations

import itertools
import linecache
import textwrap
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from tracer import Step, TensorNote

_number = itertools.count(1)


def run_cell(source: str, *, remember: bool = True, **names: Any) -> dict[str, Any]:
    """Execute `source` as a notebook cell and return its names.

    `remember=False` leaves no text behind, as `exec` of a string does.
    """
    source = textwrap.dedent(source).strip("\n") + "\n"
    file = f"<cell {next(_number)}>"
    if remember:
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    space = {"__name__": "__cell__", "torch": torch, "nn": nn, "F": F, **names}
    exec(compile(source, file, "exec"), space)
    return space


def forward_cell(arguments: str, body: str, **names: Any) -> nn.Module:
    """A module whose forward is `body`; the body's first line is line 3 of the cell."""
    head = f"class Cell(nn.Module):\n    def forward({', '.join(['self', *arguments.split()])}):\n"
    cell = run_cell(head + textwrap.indent(textwrap.dedent(body).strip("\n"), " " * 8), **names)
    module: nn.Module = cell["Cell"]()
    return module


def shapes(notes: tuple[TensorNote, ...]) -> list[tuple[int, ...]]:
    return [note.shape for note in notes]


def named(notes: tuple[TensorNote, ...]) -> dict[str, tuple[int, ...]]:
    """Name → shape; fails if two tensors have one name."""
    found = {note.name: note.shape for note in notes}
    assert len(found) == len({note.id for note in notes}), [note.name for note in notes]
    return found


def summary(step: Step) -> tuple[str, str]:
    return step.op, step.expression

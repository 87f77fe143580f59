"""The broken models of `tests/broken`: expression, operands, module, root and the best fix.

What is expected there is what a good engineer would say.  A fix is judged by what the mended model
computes on the same weights, not by its text.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import re
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.broken import CASES, Case
from tests.broken.case import Program, same
from tracer import Failure, Trace, trace
from tracer.views.diff import changes, known_lines

NAMES = [case.name for case in CASES]
BY_NAME = {case.name: case for case in CASES}
TEMPTING = [case.name for case in CASES if case.tempting]
MENDED = frozenset(NAMES[::4])
"""For these `make test` searches what mends them, which takes a hundred times as long as to say
what is wrong: every fourth, so that every family of causes has some.  The others are `deep`."""

Outcome = list[list[Tensor] | None]

# What is not found yet, and why.
NO_FIX = {
    "ctc_style_permute_of_three": "of a hundred repairs that are said to be the one, one is not",
    "lstm_in_a_sequential": "no repair takes a layer out of nn.Sequential to pick of its pair",
    "keypoints_reshaped_for_the_loss": "no repair follows a target's numbers to the layer's",
}
NO_ROOT = {"model_called_without_its_mask": "an argument that is missing has no tensor to follow"}


def marked(names: list[str], reasons: dict[str, str], ordinary: Collection[str]) -> list[Any]:
    """These names, for `parametrize`: those that are not answered yet, for a reason, expected to
    fail; those that are not `ordinary` deep."""
    assert reasons.keys() <= set(names)
    marks: dict[str, list[Any]] = {name: [] for name in names}
    for name, reason in reasons.items():
        marks[name].append(pytest.mark.xfail(strict=True, reason=reason))
    for name in marks.keys() - set(ordinary):
        marks[name].append(pytest.mark.deep)
    return [pytest.param(name, marks=marks[name]) for name in names]


@functools.cache
def folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="broken"))


@functools.cache
def broken(name: str) -> tuple[Program, nn.Module]:
    program = BY_NAME[name].load(folder())
    return program, program.build()


@functools.cache
def run(name: str, mend: bool) -> Trace:
    program, model = broken(name)
    return trace(model, *program.inputs(), name=name, mend=mend)


def answer(name: str, mend: bool = True) -> Failure:
    failure = run(name, mend).failure
    assert failure is not None, "the model does not fail"
    return failure


def located(name: str) -> Failure:
    """What is wrong, and where; of a model that is mended as well the same answer says both."""
    return answer(name, mend=name in MENDED)


def outcome(program: Program, weights: nn.Module) -> Outcome:
    """What a mended program computes for three batch sizes, None where it raises."""
    found: Outcome = []
    for batch in (program.case.batch, 3, 2):
        try:
            found.append(program.outputs(program.like(weights), batch))
        except (RuntimeError, ValueError, IndexError, TypeError, AttributeError):
            found.append(None)
    return found


def agree(left: Outcome, right: Outcome) -> bool:
    return all(
        (a is None and b is None) or (a is not None and b is not None and same(a, b))
        for a, b in zip(left, right, strict=True)
    )


# --- each aspect of an answer: what is wrong with it, or nothing ------------------------------


def wrong_place(case: Case, failure: Failure) -> str:
    found, wanted = (failure.expression, failure.module), (case.expression, case.module)
    return "" if found == wanted else f"{found} should be {wanted}"


def _operand(text: str) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """`x: 4, 400*` as its name, its shape and the dimensions with a star."""
    name, _, sizes = text.rpartition(":")
    parts = [part.strip() for part in sizes.split(",") if part.strip()]
    shape = tuple(int(part.rstrip("*")) for part in parts)
    return name, shape, tuple(i for i, part in enumerate(parts) if part.endswith("*"))


def _given(case: Case, failure: Failure) -> list[tuple[set[str], tuple[int, ...], tuple[int, ...]]]:
    """The operands given, each with all it is called; parameters nobody asked for are left out."""
    wanted = {_operand(text)[0] for text in case.operands}
    aliases = failure.step.names if failure.step is not None else ()
    given = []
    for operand in failure.operands:
        names = {operand.note.name, operand.expression}
        names |= {text for text, note in aliases if note == operand.note.id}
        if operand.note.kind not in ("parameter", "buffer") or names & wanted:
            given.append((names, operand.note.shape, operand.marks))
    return given


def wrong_operands(case: Case, failure: Failure) -> str:
    if not case.operands:
        return ""
    wanted = [_operand(text) for text in case.operands]
    given = _given(case, failure)
    right = len(given) == len(wanted) and all(
        name in names and shape == found
        for (name, shape, _), (names, found, _) in zip(wanted, given, strict=True)
    )
    return "" if right else f"{[(n, s) for n, s, _ in given]} should be {list(case.operands)}"


def wrong_marks(case: Case, failure: Failure) -> str:
    """The dimensions at odds are marked, and their sizes stand in the rule."""
    if not failure.rule or not failure.reason:
        return "no rule or no reason"
    wanted = [_operand(text) for text in case.operands]
    if not any(stars for _, _, stars in wanted):
        return ""
    marks = [marks for _, _, marks in _given(case, failure)]
    stray = any(
        set(given) - set(stars) for given, (_, _, stars) in zip(marks, wanted, strict=False)
    )
    if wrong_operands(case, failure) == "" and (stray or not any(marks)):
        return f"marks {marks} should be {list(case.operands)}"
    # A table of 16 rows may be said to hold rows 0 to 15.
    sizes = [shape[star] for _, shape, stars in wanted for star in stars]
    numbers = {str(n) for size in sizes for n in (size, size - 1)}
    said = set(re.findall(r"\d+", failure.rule.replace(",", "")))
    return "" if numbers & said else f"the rule has none of {sizes}: {failure.rule}"


def wrong_root(case: Case, failure: Failure) -> str:
    root = failure.root
    if not case.root:
        fine = root is None or root.line == failure.line
        return "" if fine else f"the root {_root_text(failure)} should be the failing line"
    if root is None or root.line == failure.line:
        return "" if _born_here(case, failure) else f"no root, should be one of {case.root}"
    fine = any(
        kind == root.kind and text in (_line(case, root.line) if text else "")
        for kind, text in case.root
    )
    return "" if fine else f"{_root_text(failure)} should be one of {case.root}"


def _born_here(case: Case, failure: Failure) -> bool:
    """Whether the failing line may be called the root: it is one of the roots, or what is to be
    mended stands in it and the input alone is not to blame."""
    line = _line(case, failure.line)
    return any(text and text in line for _, text in case.root) or (
        any(kind != "input" for kind, _ in case.root)
        and any(all(old in line for old in change) for change in case.fixed)
    )


def _line(case: Case, number: int) -> str:
    lines = case.text.splitlines()
    return lines[number - 1] if 0 < number <= len(lines) else ""


def _root_text(failure: Failure) -> str:
    root = failure.root
    return "" if root is None else f"{root.kind} {root.line}: {root.expression!r} ({root.why})"


def best(case: Case, failure: Failure) -> Program:
    """The source with the first fix applied, and the inputs as it wants them, as a program."""
    program, _ = broken(case.name)
    fix = failure.fixes[0]
    assert {edit.file for edit in fix.edits} <= {str(program.path)}
    mended = case.load(folder(), fix.apply(case.text, str(program.path)))
    return dataclasses.replace(mended, given=fix.inputs)


def wrong_fix(case: Case, failure: Failure) -> str:
    fixes = failure.fixes
    if not case.fixed:
        sound = [fix for fix in fixes[:1] if fix.verified and not fix.caveat]
        return f"offered as sound: {_fix_text(failure)}" if sound else ""
    if not fixes or not fixes[0].verified:
        return f"no verified fix comes first; should be {case.fixed[0]}"
    _, model = broken(case.name)
    mended = best(case, failure)
    found = None
    for change in case.fixed:
        right = case.load(folder(), case.changed(change))
        weights = right.like(model)
        found = outcome(mended, weights)
        if agree(found, outcome(right, weights)):
            return ""
    return f"does not compute what {case.fixed[0]} does: {_fix_text(failure)}"


def wrong_temptation(case: Case, failure: Failure) -> str:
    """The tempting change does not come first."""
    if not failure.fixes:
        return ""
    _, model = broken(case.name)
    mended = best(case, failure)
    for change in case.tempting:
        if agree(outcome(mended, model), outcome(case.load(folder(), case.changed(change)), model)):
            return f"takes {change}: {_fix_text(failure)}"
    return ""


def _fix_text(failure: Failure) -> str:
    fix = failure.fixes[0]
    edits = "; ".join(f"{edit.span.line}: {edit.replacement}" for edit in fix.edits)
    return f"{fix.summary} [{edits}] verified={fix.verified} caveat={fix.caveat!r}"


# --- the tests ------------------------------------------------------------------------------


def test_there_are_enough() -> None:
    assert len(set(NAMES)) == len(CASES) >= 65
    assert len(TEMPTING) >= 15


@pytest.mark.parametrize("name", NAMES, scope="module")
def test_the_case_is_sound(name: str) -> None:
    """The model fails, each right change runs with the broken model's weights for every batch
    size, and each tempting one runs too and computes something else."""
    case = BY_NAME[name]
    program, model = broken(name)
    torch.default_generator.manual_seed(2)
    with pytest.raises(Exception):  # noqa: B017, PT011 - any of torch's or Python's
        model(*program.inputs())
    right = [outcome(case.load(folder(), case.changed(c)), model) for c in case.fixed]
    assert not any(None in found for found in right)
    for change in case.tempting:
        wrong = outcome(case.load(folder(), case.changed(change)), model)
        assert wrong[0] is not None, "what does not run tempts nobody"
        assert not any(agree(wrong, found) for found in right)


@pytest.mark.parametrize("name", NAMES, scope="module")
def test_expression_module_operands_rule_and_marks(name: str) -> None:
    case, failure = BY_NAME[name], located(name)
    assert wrong_place(case, failure) == ""
    assert wrong_operands(case, failure) == ""
    assert wrong_marks(case, failure) == ""


@pytest.mark.parametrize("name", marked(NAMES, NO_ROOT, NAMES), scope="module")
def test_root(name: str) -> None:
    assert wrong_root(BY_NAME[name], located(name)) == ""


@pytest.mark.parametrize("name", marked(NAMES, NO_FIX, MENDED), scope="module")
def test_best_fix(name: str) -> None:
    assert wrong_fix(BY_NAME[name], answer(name)) == ""


@pytest.mark.parametrize("name", marked(TEMPTING, {}, MENDED), scope="module")
def test_a_tempting_wrong_fix_does_not_come_first(name: str) -> None:
    assert wrong_temptation(BY_NAME[name], answer(name)) == ""


@pytest.mark.parametrize("name", marked(NAMES, {}, MENDED), scope="module")
def test_the_lines_shown_of_a_fix_are_those_that_applying_it_changes(name: str) -> None:
    case, failure = BY_NAME[name], answer(name)
    path, known = str(broken(name)[0].path), known_lines(failure, run(name, True).sources)
    for fix in failure.fixes:
        lines = case.text.split("\n")
        shown = list(changes(fix, known))
        if any(change.column is not None for change in shown):
            continue
        for change in reversed(shown):
            start = change.line - 1
            assert tuple(lines[start : start + len(change.old)]) == change.old
            lines[start : start + len(change.old)] = change.new
        applied = fix.apply(case.text, path).split("\n")
        assert lines == applied, "\n".join(difflib.unified_diff(lines, applied, lineterm=""))

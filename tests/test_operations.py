"""The page of operations: its examples against torch, its fields, its address, the page itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.apps import page
from tests.test_pages import said
from tests.together import together
from tracer.ops.examples import EXAMPLES, mistakes
from tracer.ops.spec import TABLE
from tracer.ops.steps import call_of
from tracer.ops.table import bound_step
from ui import errors, operations, shipped
from ui.language import LANGUAGES
from ui.operations import FieldError, Shown, from_query, run_of, to_query

HOLDS_A_PLACE = {"Identity"}
"""What does nothing, and is no call of a function."""


def test_every_operation_of_the_lessons_has_an_example() -> None:
    used = {op for each in shipped._entries().values() for op in each.operations}
    assert used - HOLDS_A_PLACE == set(EXAMPLES)


@together("op", EXAMPLES)
def test_an_example_is_one_step_of_its_operation_which_the_table_knows(op: str) -> None:
    trace = run_of(Shown(op)).trace
    (step,) = trace.steps
    call = call_of(step)
    assert call is not None
    assert call.op == op
    assert step.error is None
    assert trace.failure is None
    assert bound_step(step) is not None
    assert all(each.holds for each in trace.constraints)
    assert [each.name for each in call.operands] == [each.name for each in EXAMPLES[op].tensors]
    assert EXAMPLES[op].arguments.keys() <= call.arguments.keys()
    # Its rule holds at its own sizes.
    sizes = {each.name: each.value for each in trace.symbols}
    for note in step.outputs:
        assert tuple(formula.at(**sizes) for formula in note.dims) == note.shape
    whole, address = operations.documentation(step.op)
    assert address.endswith((f"/{whole}.html", "/tensors.html"))
    named = torch
    for part in whole.split(".")[1:]:
        named = getattr(named, part)


@together("op", EXAMPLES)
def test_what_is_said_to_go_wrong_does(op: str) -> None:
    call = call_of(run_of(Shown(op)).trace.steps[0])
    assert call is not None
    for each in mistakes(EXAMPLES[op], call):
        changes = {name: ", ".join(map(str, shape)) for name, shape in each.shapes.items()}
        changes |= {name: repr(value) for name, value in each.arguments.items()}
        failure = run_of(Shown(op).with_fields(changes)).trace.failure
        assert failure is not None, (op, changes)
        assert failure.violation is not None, (op, changes)
        assert failure.violation.code == each.code, (op, changes)
        assert (errors.PAGES / f"{each.code}.md").is_file()


def test_an_address_holds_what_was_written() -> None:
    shown = Shown("permute").with_fields({"x": "2, 3", "dims": "(1, 0)", "x.numbers": "1 2"})
    query = to_query(shown)
    assert query == {
        "op": "permute",
        "with.x": "2, 3",
        "with.dims": "(1, 0)",
        "with.x.numbers": "1 2",
    }
    assert from_query(query) == (shown, [])
    assert run_of(shown).trace.steps[0].outputs[0].shape == (3, 2)
    assert to_query(Shown("view").with_fields({"x": "2, 3, 4"})) == {"op": "view"}
    found, (complaint,) = from_query({"op": "mat<b>"})
    assert found == Shown()
    assert "mat<b>" in str(complaint)


def test_numbers_are_taken_over_and_over_and_a_size_of_its_own_has_no_letter() -> None:
    shown = Shown("matmul").with_fields({"a": "2, 2", "b": "2, 1", "a.numbers": "1, -2"})
    trace = run_of(shown).trace
    step = trace.steps[0]
    stats = step.inputs[0].stats
    assert stats is not None
    assert (stats.minimum, stats.maximum, stats.mean) == (-2, 1, -0.5)
    assert step.outputs[0].shape == (2, 1)
    # The two K are not one size any more.
    failed = run_of(Shown("matmul").with_fields({"a": "2, 3, 7"})).trace
    assert failed.failure is not None


@pytest.mark.parametrize(
    ("op", "fields"),
    [
        ("view", {"x": "two"}),
        ("view", {"x": "65"}),
        ("view", {"x": "-1"}),
        ("view", {"x": "1, 1, 1, 1, 1, 1, 1"}),
        ("view", {"x": "64, 64, 2"}),
        ("view", {"x.numbers": "1 a"}),
        ("view", {"x.numbers": "1 inf"}),
        ("view", {"x.numbers": "1 " * 257}),
        ("view", {"size": "__import__('os')"}),
        ("view", {"size": "(1, 'a')"}),
        ("view", {"size": "65"}),
        ("view", {"size": "(1, (2, 3))"}),
        ("view", {"size": "(" * 999}),
        ("expand", {"x": "1", "size": "(64, 64, 64)"}),
    ],
)
def test_what_cannot_be_taken_is_one_sentence(op: str, fields: dict[str, str]) -> None:
    with pytest.raises(FieldError) as refused:
        run_of(Shown(op).with_fields(fields))
    assert str(refused.value).endswith((".", "again."))


def test_every_kind_of_scene_has_a_name_and_every_language_the_page() -> None:
    assert {TABLE[op].scene.kind for op in EXAMPLES} <= operations._kinds().keys()
    for language in LANGUAGES:
        app = page("pages/5_Operations.py", op="matmul", lang=language)
        assert not app.exception
        assert said(app) == ""


def test_a_mistake_is_tried_and_taken_back() -> None:
    app = page("pages/5_Operations.py", op="matmul", lang="en")
    (rule,) = [each.value for each in app.get("html") if 'class="formula"' in each.value]
    assert "a (B, M, K), b (B, K, N) → (B, M, N)" in rule
    assert "input (*b m k), other (*b k n) → (*b m n)" in rule
    app.button(key="try-matmul-SW-matmul").click().run()
    assert not app.exception
    assert operations_shown(app) == Shown("matmul", {"a": "2, 3, 5"})
    assert not [each for each in app.get("html") if 'class="formula"' in each.value]
    app.button(key="operation-back").click().run()
    assert operations_shown(app) == Shown("matmul")
    (size,) = [box for box in app.text_input if box.key.startswith("operation/matmul/a.numbers")]
    size.set_value("x").run()
    assert "The numbers of `a` are written as" in said(app)
    assert not app.exception
    app.selectbox(key="operation/chosen").set_value("view").run()
    assert operations_shown(app) == Shown("view")
    assert said(app) == ""


def operations_shown(app: object) -> Shown:
    found: Shown = app.session_state["operation"]  # type: ignore[attr-defined]
    return found


def test_pages_of_rules_are_where_they_are_looked_for() -> None:
    assert Path(__file__).parents[1] / "docs" / "errors" == errors.PAGES

"""The tests would notice: break the recorder in one place, and some of them must fail.

Each mutation rewrites one line of a copy of the recorder; the checks below then run on that copy.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from inspect import unwrap
from pathlib import Path
from typing import Any

import pytest
import test_failure
import test_faithful
import test_independent
import test_recorder_operations as operations
import test_recorder_structure as structure

from tests.models import BY_KEY
from tracer import document

PACKAGE = Path(document.__file__).parent
TESTS = (operations, structure, test_failure, test_faithful, test_independent)


@dataclass(frozen=True)
class Mutation:
    name: str
    file: str
    old: str
    new: str


MUTATIONS = [
    Mutation(
        "writing by index is not seen",
        "record/mode.py",
        "if func in FACTS or",
        'if func in FACTS or getattr(func, "__name__", "") == "__setitem__" or',
    ),
    Mutation(
        "what is written in place keeps its old note",
        "record/notes.py",
        "            and noted.version == (0 if tensor.is_inference() else tensor._version)\n"
        "            and (not self.written or noted.moment == self._moment(tensor))\n",
        "",
    ),
    Mutation(
        "a step does not say that it writes",
        "record/mode.py",
        "draft.writes = any(",
        "draft.writes = False and any(",
    ),
    Mutation(
        "inputs and outputs are swapped",
        "record/freezing.py",
        '"inputs": self.notes(draft.inputs),\n                "outputs": self.notes(draft.outputs)',
        '"inputs": self.notes(draft.outputs),\n                "outputs": self.notes(draft.inputs)',
    ),
    Mutation(
        "operations name no module",
        "record/mode.py",
        'around.module if around is not None else "",',
        '"",',
    ),
    Mutation(
        "a part of two modules has one path",
        "record/mode.py",
        'p.startswith(within + ".")',
        "True",
    ),
    Mutation(
        "notes are not filled",
        "record/freezing.py",
        '"note": filled(draft.site.note, draft.fill)',
        '"note": draft.site.note',
    ),
    Mutation(
        "only the first of several outputs",
        "record/mode.py",
        "outputs = tensors_in(result)\n",
        "outputs = tensors_in(result)[:1]\n",
    ),
    Mutation(
        "tensors in lists are no operands",
        "record/calls.py",
        "        operands.append(value)\n        return True",
        "        return True",
    ),
    Mutation(
        "a step was born one later",
        "record/mode.py",
        "return len(self.steps) - 1 if self.steps else None",
        "return len(self.steps) if self.steps else None",
    ),
    Mutation(
        "torch's functions stay closed",
        "record/mode.py",
        "if operation.twin is not None:\n                self._open(draft)",
        "if False:\n                self._open(draft)",
    ),
    Mutation(
        "parameters have no name",
        "record/notes.py",
        "return self.make(tensor, owned[0], owned[1], None, None)",
        'return self.make(tensor, "", owned[1], None, None)',
    ),
    Mutation(
        "hooks stay behind",
        "record/mode.py",
        "handle.remove()",
        "handle",
    ),
    Mutation(
        "the failing step is not marked",
        "record/mode.py",
        "            draft.raised = error\n            if self.failed",
        "            if self.failed",
    ),
    Mutation(
        "the step that fails is lost",
        "record/failing.py",
        "site, operands, found = last.site, last.inputs, steps[-1]",
        "site, operands, found = last.site, last.inputs, None",
    ),
    Mutation(
        "buffers are not put back",
        "record/isolation.py",
        "tensor.data.copy_(content)",
        "tensor.data.copy_(tensor)",
    ),
    Mutation(
        "attributes are not put back",
        "record/isolation.py",
        "own.update((k, v) for k, v in attributes.items() if k not in self.HOOKS)",
        "own.update({})",
    ),
    Mutation(
        "columns are counted in bytes",
        "source/text.py",
        'return column if text.isascii() else len(text.encode()[:column].decode(errors="replace"))',
        "return column",
    ),
    Mutation(
        "the line is the statement's",
        "source/sites.py",
        "line=span.line",
        "line=statement.lineno",
    ),
    Mutation(
        "every expression of a statement has its targets",
        "source/sites.py",
        "if node is statement or node in _values(statement.value):\n            return tuple(",
        "if True:\n            return tuple(",
    ),
]


def counted(key: str) -> None:
    test_independent.test_every_tensor_of_the_larger_models(BY_KEY[key])


# A quick choice of the tests: enough that each mutation is caught.
CHECKS: list[Callable[[], Any]] = [
    *(
        partial(unwrap(operations.test_one_statement_is_one_step), case)
        for table in (operations.IN_PLACE, operations.WRITING, operations.MANY, operations.METHODS)
        for case in table
    ),
    operations.test_names_of_several_outputs_reach_their_uses,
    operations.TestInPlace().test_makes_a_new_note_of_the_same_tensor,
    operations.TestInPlace().test_through_a_view_changes_the_base,
    operations.TestInPlace().test_writing_by_index_shows_the_whole_tensor,
    operations.TestArgumentsInContainers().test_every_tensor_in_a_list_is_an_operand,
    structure.test_python_forms,
    structure.test_unicode_before_the_expression,
    structure.TestModules().test_paths_and_order,
    structure.TestModules().test_parameters_and_buffers_are_operands,
    structure.TestModules().test_the_tree_of_calls,
    structure.TestOpened().test_multihead_attention,
    structure.TestNotes().test_filled_from_each_pass_of_a_loop,
    structure.TestModules().test_a_part_shared_by_two_modules,
    test_failure.test_three_modules_deep,
    partial(unwrap(test_failure.test_the_failing_expression), "return x + y", "x + y", None),
    test_faithful.test_batch_norm_in_training,
    partial(unwrap(test_faithful.test_a_forward_that_changes_everything), None, False, True),
    partial(counted, "experts"),
    partial(counted, "swin"),
]


# What is between an operation and the document, the lowest first.
FILES = (
    *("source/text.py", "source/sites.py"),
    *("record/tensors.py", "record/isolation.py", "record/functions.py", "record/names.py"),
    *("record/calls.py", "record/drafts.py", "record/frames.py", "record/notes.py"),
    "record/mode.py",
    *("record/failing.py", "record/freezing.py", "record/run.py", "api.py"),
)


def modified(mutation: Mutation | None) -> dict[str, Any]:
    """The names of api.py, as they are when one file below it is changed."""
    spaces: dict[str, Any] = {}
    for file in FILES:
        text = (PACKAGE / file).read_text(encoding="utf-8")
        if mutation is not None and mutation.file == file:
            assert text.count(mutation.old) >= 1, f"{mutation.name}: {file} has changed"
            text = text.replace(mutation.old, mutation.new)
        name = f"tracer.{file.removesuffix('.py').replace('/', '.')}"
        module = types.ModuleType(name)
        module.__file__ = str(PACKAGE / file)
        # What a file imports from its neighbours are these copies of them.
        code = compile(text, str(PACKAGE / file), "exec")
        with pytest.MonkeyPatch.context() as patch:
            for other, copy in spaces.items():
                patch.setitem(sys.modules, other, copy)
            patch.setitem(sys.modules, name, module)
            exec(code, vars(module))
        spaces[name] = module
    return vars(spaces["tracer.api"])


def failures(names: dict[str, Any], patch: pytest.MonkeyPatch, enough: int) -> list[str]:
    """The checks that fail with this recorder, at most `enough` of them."""
    for test in TESTS:
        patch.setattr(test, "trace", names["trace"])
    found = []
    for check in CHECKS:
        try:
            check()
        except Exception as error:  # noqa: BLE001 - whatever a broken recorder leads to
            found.append(f"{getattr(check, '__name__', check)}: {error}")
        if len(found) == enough:
            break
    return found


def test_the_recorder_as_it_is_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert failures(modified(None), monkeypatch, len(CHECKS)) == []


@pytest.mark.deep
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_broken_recorder_is_noticed(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    assert failures(modified(mutation), monkeypatch, 1)

"""The kinds of violations: a closed list, with general words for each."""

import ast
import re
from pathlib import Path

import tracer
from tests.together import together
from tracer.document import code_of
from tracer.ops.bound import Mark, Violation
from tracer.ops.call import Call, Operand
from tracer.ops.kinds import KINDS, general_report
from tracer.ops.refusal import Refusal
from tracer.sentences import render

_SOURCES = Path(tracer.__file__).parent


def _kinds_written(path: Path) -> set[str]:
    """The first argument of each `refuse(...)` and `case.found(...)`, and the values of `kinds=`
    and `_KINDS` in the table."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            name = node.func.id if isinstance(node.func, ast.Name) else name
            if name in ("refuse", "found", "Must") and isinstance(node.args[0].value, str):
                found.add(node.args[0].value)
    return found


def test_every_kind_that_is_written_is_in_the_list() -> None:
    files = [*(_SOURCES / "ops").glob("*.py"), *(_SOURCES / "diagnosis").glob("*.py")]
    written = {path.name: _kinds_written(path) for path in files}
    assert written["python_errors.py"], "the rules are found"
    assert {kind for kinds in written.values() for kind in kinds} <= KINDS.keys()


def test_codes_are_stable_words() -> None:
    assert code_of("matmul") == "SW-matmul"
    assert all(re.fullmatch(r"SW-[a-z]+", kind.code) for kind in KINDS.values())
    assert all(name == kind.name for name, kind in KINDS.items())


@together("kind", KINDS)
def test_each_kind_can_be_said_of_any_violation(kind: str) -> None:
    call = Call("frobnicate", (Operand((2, 3), name="x"), Operand((4, 5))))
    plain = general_report(Refusal(call, Violation(kind), "frobnicate"))
    assert render(plain.rule).startswith("frobnicate ")
    assert render(plain.rule).endswith(".")
    marks = (Mark(0, 1, 3, 4), Mark(1, 0, 4))
    marked = general_report(Refusal(call, Violation(kind, marks), "frobnicate"))
    assert render(marked.rule).endswith(": 3 ≠ 4.")
    assert [render(each) for each in marked.reason] == [
        "Dimension 1 of x (2, 3) is 3, where 4 would do.",
        "Dimension 0 of the tensor (4, 5) is 4.",
    ]
    assert marked.check is not None
    assert render(marked.check).endswith(".")

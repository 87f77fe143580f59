"""A trace as text: golden files, alignment, and nothing from a file that commands a terminal."""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Callable
from functools import cache, partial
from typing import Any
from unicodedata import east_asian_width

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from modules import LESSONS
from tests import models, traces
from tests.effort import TIMES
from tests.together import together
from tests.tracer.views.small import Chains, Fails, Refuses, Repeats
from tests.tracer.views.symbolic import formula, with_formulas
from tracer import Trace, trace
from tracer.document import (
    Constraint,
    Edit,
    Failure,
    Fix,
    Operand,
    Place,
    Root,
    Source,
    Span,
    TensorNote,
    Violation,
)
from tracer.language import translator
from tracer.sentences import as_written, said
from tracer.views.text import annotated, failure_text, markdown

ANSI = re.compile(r"\x1b\[\d*m")


def small(model: nn.Module, *inputs: Tensor) -> Trace:
    return trace(model.eval(), *inputs, values=False, diagnose=False)


SMALL: dict[str, Callable[[], Trace]] = {
    "chains": lambda: small(Chains(), torch.ones(2, 3, 4, 5)),
    "repeats": lambda: small(Repeats(), torch.ones(4, 4)),
    "fails": lambda: small(Fails(), torch.ones(2, 4)),
    "refuses": lambda: small(Refuses(), torch.ones(2, 4)),
    "container": lambda: small(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), torch.ones(2, 4)),
    "no-call": lambda: small(Fails()),
}


MAKERS: dict[str, Callable[[], Trace]] = {
    **SMALL,
    **{lesson.key: partial(traces.of_lesson, lesson) for lesson in LESSONS},
    **{model.key: partial(traces.of_model, model) for model in models.MODELS},
}


@cache
def made(name: str) -> Trace:
    return MAKERS[name]()


GOLDEN = [*SMALL, *(lesson.key for lesson in LESSONS)]


def timeless(found: Trace) -> Trace:
    """What differs from run to run and from machine to machine is set."""
    return dataclasses.replace(found, seconds=0.0123, torch="2.13.0")


@pytest.mark.parametrize("name", GOLDEN)
def test_annotated_source(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"annotated-{name}.txt", annotated(timeless(made(name))))


@pytest.mark.parametrize("name", ["chains", "fails", "eca-image"])
def test_markdown_table(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"table-{name}.md", markdown(timeless(made(name))))


@together("name", MAKERS)
def test_every_step_has_its_shape(name: str) -> None:
    """Of a line that ran several times, the first and the last run are shown."""
    found = made(name)
    text = annotated(found, width=10_000)
    runs: dict[tuple[Any, ...], list[tuple[int, ...]]] = {}
    for step in found.steps:
        for note in step.outputs[:1]:
            key = (step.call, step.op, step.place.source, step.place.span)
            runs.setdefault(key, []).append(note.shape)
    for shapes in runs.values():
        for shape in (shapes[0], shapes[-1]):
            assert f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})" in text


@together("name", MAKERS)
def test_every_line_that_ran_is_marked(name: str) -> None:
    found = made(name)
    lines = annotated(found, width=10_000).splitlines()
    marked = {line.split("  # ")[0].strip() for line in lines if " → " in line}
    for step in found.steps:
        place = step.place
        if place.source is None or place.span is None:
            continue
        source = found.sources[place.source]
        if source.function != "Sequential.forward":
            line = source.text.splitlines()[place.span.end_line - source.first]
            assert line.split("  # ")[0].strip() in marked


@together("width", [40, 60, 80, 100, 140])
@together("name", MAKERS)
def test_shapes_keep_to_the_width(name: str, width: int) -> None:
    for line in annotated(made(name), width=width).splitlines():
        code, mark, comment = line.rpartition("  # ")
        if mark and " → " in comment and code.strip():
            assert len(line) <= width
        elif line.lstrip().startswith("# (") and ", " in line:
            assert len(line) <= max(width, 24) or line.count("(") == 1


def test_comments_of_a_block_stand_under_each_other() -> None:
    lines = annotated(made("fbkd-student")).splitlines()
    start = next(i for i, line in enumerate(lines) if "spatial_mask, fbkd" in line)
    block = lines[start : next(i for i in range(start, len(lines)) if not lines[i + 1 : i + 2])]
    block = block[: next((i for i, line in enumerate(block[1:], 1) if line[:2] == "──"), None)]
    columns = {line.index("  # (") for line in block if "  # (" in line}
    found = {line.rstrip().rindex("# (2") for line in block if "  # (2" in line}
    assert len(found) == 1, columns


@together("name", MAKERS)
def test_colour_adds_nothing_but_colour(name: str) -> None:
    plain = [line for line in annotated(made(name)).splitlines() if line.strip(" ^")]
    colored = annotated(made(name), color=True)
    assert "\x1b" not in "".join(plain)
    assert [line for line in ANSI.sub("", colored).splitlines() if line.strip(" ^")] == plain
    assert len(re.findall(r"\x1b\[(?!0m)", colored)) == colored.count("\x1b[0m")


def test_the_failing_expression_is_bold() -> None:
    found = made("fails")
    assert found.failure is not None
    for text in (annotated(found, color=True), failure_text(found.failure, color=True)):
        assert "z = 1 - (\x1b[1my @ self.weights\x1b[0m).exp()" in text


def test_a_failure_names_the_operands_and_where_they_came_from() -> None:
    failure = made("fails").failure
    assert failure is not None
    lines = failure_text(failure).splitlines()
    assert re.fullmatch(r"Stopped at small\.py:\d+, in Mix\.forward, module mix", lines[0])
    assert lines[1:4] == [
        "    z = 1 - (y @ self.weights).exp()",
        "             ^^^^^^^^^^^^^^^^",
        "RuntimeError: mat1 and mat2 shapes cannot be multiplied (2x3 and 5x2)",
    ]
    assert re.fullmatch(
        r" +y +\(2, 3\)  float32  from small.py:\d+: self.fc\(x\).tanh\(\)", lines[4]
    )
    assert re.fullmatch(r" +mix.weights +\(5, 2\)  float32  parameter", lines[5])


def at(line: int, text: str, part: str, function: str) -> Place:
    """The place of `part` in a statement that begins in column 8 of `line`."""
    statement = text.strip()
    before = statement[: statement.index(part)]
    row, column = line + before.count("\n"), len(before.rpartition("\n")[2])
    column += 0 if "\n" in before else 8
    lines = part.split("\n")
    end = len(lines[-1]) + (column if len(lines) == 1 else 0)
    last = statement.rpartition("\n")[2]
    return Place(
        file="/home/me/net.py",
        line=row,
        function=function,
        source=None,
        span=Span(row, column, row + len(lines) - 1, end),
        expression=part,
        statement=statement,
        statement_span=Span(
            line, 8, line + statement.count("\n"), len(last) + (0 if "\n" in statement else 8)
        ),
    )


def tensor(number: int, name: str, *shape: int, kind: str = "made") -> TensorNote:
    return TensorNote(number, name, shape, "float32", "cpu", kind, None, None, None)


def edit(line: int, column: int, end: int, text: str) -> Edit:
    return Edit("/home/me/net.py", Span(line, column, line, end), text)


DIAGNOSED = Failure(
    type="RuntimeError",
    message="mat1 and mat2 shapes cannot be multiplied (16x576 and 400x120)",
    step=None,
    place=at(30, "x = F.relu(self.fc1(x))", "self.fc1(x)", "Net.forward"),
    module="body.fc1",
    operands=(
        Operand(tensor(1, "x", 16, 576), "x.flatten(1)", "/home/me/net.py", 29, (1,)),
        Operand(tensor(2, "body.fc1.weight", 120, 400, kind="parameter"), "", "", None, (1,)),
        Operand(tensor(3, "body.fc1.bias", 120, kind="parameter"), "", "", None),
    ),
    violation=Violation(
        "width",
        said("linear needs the last size of its input to equal in_features: 576 ≠ 400."),
        (
            said("After flatten every sample has 16 · 6 · 6 = 576 numbers."),
            said("The layer was made for 400, which is what images of 32 × 32 would give."),
            said("These are 36 × 36."),
        ),
    ),
    root=Root(
        "constructor",
        at(12, "self.fc1 = nn.Linear(400, 120)", "400", "Net.__init__"),
        "body",
        None,
        said("The layer is made for 400 numbers for each sample, and 576 come."),
    ),
    fixes=(
        Fix(
            as_written("Make the layer for 576 numbers"),
            (edit(12, 29, 32, "576"),),
            True,
            ((16, 10),),
            (as_written("It then fits images of 36 × 36 alone."),),
        ),
        Fix(
            as_written("Pool to 5 × 5 before flatten"),
            (edit(29, 0, 0, "        x = F.adaptive_avg_pool2d(x, 5)\n"),),
            False,
            (),
        ),
    ),
)
FORWARD = Source(
    "/home/me/net.py",
    "Net.forward",
    28,
    "    def forward(self, x):\n        x = x.flatten(1)\n        x = F.relu(self.fc1(x))",
    (),
)


def test_a_diagnosis_as_text(golden: Callable[[str, str], None]) -> None:
    golden("failure.txt", failure_text(DIAGNOSED, sources=(FORWARD,)) + "\n")


def test_a_diagnosis_in_narrow_columns() -> None:
    lines = failure_text(DIAGNOSED, width=40).splitlines()
    first = lines.index(next(line for line in lines if line.startswith("Rule:")))
    told = [line for line in lines[first:] if not line.startswith(("Root:", "    +", "    -"))]
    assert max(map(len, told)) <= 40
    assert " ".join(DIAGNOSED.reason.split()) in " ".join(" ".join(lines).split())


def test_an_edit_of_unknown_lines_is_told_by_its_place() -> None:
    text = failure_text(dataclasses.replace(DIAGNOSED, root=None))
    assert "    net.py:12, column 30\n    + 576\n" in text


def test_edits_of_one_line_and_over_lines() -> None:
    def shown(*edits: Edit) -> list[str]:
        fix = Fix(as_written("Mend it"), edits, True, ())
        whole = dataclasses.replace(DIAGNOSED, fixes=(fix,))
        lines = failure_text(whole, sources=(FORWARD,)).splitlines()
        return [line for line in lines if line.startswith(("    + ", "    - "))]

    assert shown(edit(30, 12, 18, "F.gelu"), edit(30, 28, 29, "x.detach()")) == [
        "    - x = F.relu(self.fc1(x))",
        "    + x = F.gelu(self.fc1(x.detach()))",
    ]
    over = Edit("/home/me/net.py", Span(29, 12, 30, 31), "self.fc1(\n            x)")
    assert shown(over) == [
        "    - x = x.flatten(1)",
        "    - x = F.relu(self.fc1(x))",
        "    + x = self.fc1(",
        "    +     x)",
    ]


@together("color", [False, True])
@together(
    ("shapes", "marks", "lines"),
    [
        (
            [(2, 100, 3), (5,)],
            [(2,), (0,)],
            ["a  (2, 100, 3)", "            ^", "b          (5,)", "            ^"],
        ),
        ([(), (1, 20)], [(), (0, 1)], ["a  ()", "b  (1, 20)", "    ^  ^^"]),
        ([(64, 8), (8, 1000)], [(1,), (0,)], None),
    ],
)
def test_shapes_stand_under_each_other_by_their_last_dimension(
    shapes: list[tuple[int, ...]],
    marks: list[tuple[int, ...]],
    lines: list[str] | None,
    color: bool,
) -> None:
    operands = tuple(
        Operand(tensor(i, "ab"[i], *shape, kind="input"), "", "", None, marked)
        for i, (shape, marked) in enumerate(zip(shapes, marks, strict=True))
    )
    text = failure_text(dataclasses.replace(DIAGNOSED, operands=operands, violation=None), color)
    shown = ANSI.sub("", text).split("400x120)\n")[1].split("\n\n")[0].splitlines()
    if lines is not None:
        assert [line[4:].split("  float32")[0].rstrip() for line in shown] == lines
    for row, (shape, marked) in enumerate(zip(shapes, marks, strict=True)):
        # What stands above the signs of a row are the sizes that are marked, and no others.
        signs = [i for i, line in enumerate(shown) if not line.strip(" ^")]
        under = [i for i in signs if shown[i - 1].split()[0] == "ab"[row]]
        assert bool(under) == bool(marked)
        for i in under:
            found = [
                shown[i - 1][match.start() : match.end()] for match in re.finditer(r"\^+", shown[i])
            ]
            assert found == [str(shape[dim]) for dim in marked]
    if color:
        for shape, marked in zip(shapes, marks, strict=True):
            for dim in marked:
                assert f"\x1b[31m{shape[dim]}\x1b[0m" in text


def test_the_exception_carries_the_explanation() -> None:
    with pytest.raises(RuntimeError) as raised:
        trace(Fails(), torch.ones(2, 4), reraise=True)
    (note,) = raised.value.__notes__
    assert note.startswith("Stopped at small.py:")


class Breeds(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x / 0
        z = y * 0
        return z + 1


def test_values_that_are_no_numbers_are_told_where_they_come_up() -> None:
    found = trace(Breeds(), torch.ones(2, 3))
    text = annotated(found)
    assert re.search(r"y = x / 0 +# \(2, 3\) → \(2, 3\) with 6 Inf", text)
    assert re.search(r"z = y \* 0 +# \(2, 3\) → \(2, 3\) with 6 NaN", text)
    assert text.count("NaN") == 1


class Wide(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        θ = x + 1
        名前 = θ * 2
        return 名前


def test_wide_letters_take_two_columns() -> None:
    lines = [line for line in annotated(small(Wide(), torch.ones(2))).splitlines() if " → " in line]
    assert len(lines) == 2
    assert lines[0].index("# (2,)") == lines[1].index("# (2,)") + 2


@together("name", MAKERS)
def test_a_saved_trace_reads_the_same(name: str) -> None:
    found = made(name)
    again = Trace.from_json(found.to_json())
    assert annotated(again) == annotated(found)
    assert markdown(again) == markdown(found)


# --- formulas ---------------------------------------------------------------------------------


def symbolic(key: str = "chains") -> Trace:
    """`Chains` on (2, 3, 4, 5), as if found out by a symbolic run."""
    sizes = {2: "B", 3: "C", 5: "W", 20: formula("H·W", "N", "places"), 4: "max(4, ⌊H/2⌋)"}
    step = 2 if len(made(key).steps) > 2 else None
    demands = (
        Constraint(formula("H % 2 = 0"), said("H is even."), step),
        Constraint(formula("C ≥ r"), said("C is at least r."), None, holds=False),
    )
    return with_formulas(made(key), {"B": 2, "C": 3, "H": 4, "W": 5}, sizes, demands)


def test_shapes_as_formulas_with_what_they_are_written_in() -> None:
    text = annotated(symbolic(), symbols=True)
    lines = text.splitlines()
    assert "input       x (B, C, max(4, ⌊H/2⌋), W) float32" in lines
    assert "sizes       B = 2, C = 3, H = 4, W = 5" in lines
    assert "names       N = H·W, places = H·W" in lines
    place = made("chains").steps[2].place
    assert f"demands     ✓ H % 2 = 0  H is even. (small.py:{place.line}: {place.expression})" in (
        re.sub(r"\n {14}", " ", text)
    )
    assert "            ✗ not met: C ≥ r  C is at least r." in lines
    shown = text[text.index("demands") :]
    assert "(B, H·W, max(4, ⌊H/2⌋))" in shown
    assert not re.search(r"# \(2, ", shown)
    assert annotated(made("chains"), symbols=True) == annotated(made("chains"))
    assert annotated(symbolic()) == annotated(made("chains"))
    assert markdown(symbolic()) == markdown(made("chains"))


@together("width", [40, 60, 80, 100, 140])
@together("name", ["chains", "repeats", "fails"])
def test_formulas_keep_to_the_width(name: str, width: int) -> None:
    """A shape breaks only where it is itself wider than the room, a formula never."""
    text = annotated(symbolic(name), width=width, symbols=True)
    for line in text.splitlines():
        code, mark, comment = line.rpartition("  # ")
        if mark and " → " in comment and code.strip():
            assert len(line) <= width
        elif line.lstrip().startswith("# ("):
            assert len(line) <= width or len(line.split()) <= 3
    header = text[: text.index("── ")]
    assert all(len(line) <= max(width, 60) for line in header.splitlines()[4:])
    assert text.count("max(4, ⌊H/2⌋)") == re.sub(r"\s+", " ", text).count("max(4, ⌊H/2⌋)")


# --- what a file may hold ---------------------------------------------------------------------

COMMANDS = "\x1b]0;title\x07\x1b[2J\r\b\x9b31m\u202e\u2028\ud800\x00\t`|<script>*_#"


def poisoned(value: Any, chance: random.Random) -> Any:
    """The trace with commands in every text, and places that are nowhere."""
    if isinstance(value, str):
        spot = chance.randrange(len(value) + 1)
        return value[:spot] + COMMANDS + value[spot:]
    if isinstance(value, tuple):
        return tuple(poisoned(item, chance) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changes = {
            f.name: poisoned(getattr(value, f.name), chance) for f in dataclasses.fields(value)
        }
        if "end_column" in changes and chance.random() < 0.3:
            changes = {key: chance.randrange(-3, 400) for key in changes}
        return dataclasses.replace(value, **changes)
    return value


@settings(max_examples=15 * TIMES, deadline=None)
@given(st.integers(0, 2**32))
def test_no_text_of_a_trace_commands_the_terminal(seed: int) -> None:
    chance = random.Random(seed)
    for name in SMALL:
        found = made(name)
        if found.failure is not None:
            found = dataclasses.replace(found, failure=DIAGNOSED)
        bad = poisoned(found, chance)
        texts = [annotated(bad, width=chance.choice([0, 30, 100])), markdown(bad)]
        if bad.failure is not None:
            texts.append(failure_text(bad.failure))
        texts.append(annotated(poisoned(symbolic(name), chance), width=60, symbols=True))
        for text in texts:
            assert all(letter.isprintable() or letter == "\n" for letter in text)
            text.encode("utf-8")
        assert not set(ANSI.sub("", annotated(bad, color=True))) & set("\x1b\x07\x9b\r\b\u202e")


def test_a_table_cell_cannot_be_left() -> None:
    bad = poisoned(made("chains"), random.Random(0))
    rows = [row for row in markdown(bad).splitlines() if row.startswith("|")]
    for row in rows[2:]:
        assert len(re.split(r"(?<!\\)\|", row)) == 9
        outside = re.sub(r"(`+)(?:(?!\1).)*?\1(?!`)", "", row)
        assert "<script>" not in outside


def test_a_failure_may_point_nowhere() -> None:
    found = made("fails")
    failure = found.failure
    assert failure is not None
    assert failure.step is not None
    lost = dataclasses.replace(failure, step=dataclasses.replace(failure.step, call=999))
    assert "RuntimeError" in annotated(dataclasses.replace(found, failure=lost))
    bare = dataclasses.replace(
        failure,
        step=None,
        operands=(),
        module="no.such",
        place=dataclasses.replace(failure.place, source=None, span=None, statement_span=None),
    )
    assert annotated(dataclasses.replace(found, failure=bare)).endswith(
        "    z = 1 - (y @ self.weights).exp()\n"
        "RuntimeError: mat1 and mat2 shapes cannot be multiplied (2x3 and 5x2)\n"
    )


def test_chinese_is_wrapped_by_the_columns_that_it_takes() -> None:
    net = nn.Sequential(nn.BatchNorm2d(3))
    failure = trace(net, torch.ones(1, 3, 1, 1)).failure
    assert failure is not None
    told = failure_text(failure, width=60, translate=translator("zh"))
    lines = told[told.index("原因：") : told.index("详见：")].strip().splitlines()
    assert len(lines) > 3
    wide = [sum(1 + (east_asian_width(letter) in "WF") for letter in line) for line in lines]
    assert all(40 < columns <= 60 for columns in wide[:-1]), lines
    assert not any(line.strip()[0] in "，。；：、）" for line in lines)
    reason = failure.told(translator("zh"))[1]
    shown = "".join(lines).removeprefix("原因：")
    assert shown.replace(" ", "") == reason.replace(" ", "")


def test_headings_and_places_are_told_in_chinese() -> None:
    failure = DIAGNOSED
    told = failure_text(failure, translate=translator("zh"))
    assert told.startswith("停止于 ")
    for heading in ("规则：", "原因：", "根源：", "修改 1："):
        assert any(line.startswith(heading) for line in told.splitlines()), told
    for heading in ("Stopped", "Rule:", "Why:", "Root:", "Fix 1", "More:", "Note:", "(not run)"):
        assert heading not in told

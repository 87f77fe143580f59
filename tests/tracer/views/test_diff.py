"""The lines that a fix changes: the same that applying it to the file would change."""

from __future__ import annotations

import dataclasses

from tests.together import together
from tracer import Trace
from tracer.document import Edit, Failure, Fix, Place, Root, Source, Span
from tracer.sentences import as_written, said
from tracer.views.diff import Change, changes, known_lines

TEXT = """\
def forward(self, x):
    a = self.first(x)
    b = f(a, 'é🐍', c)

    return a + b
"""


def edit(line: int, column: int, end_line: int, end_column: int, text: str) -> Edit:
    return Edit("net.py", Span(line, column, end_line, end_column), text)


def found(*edits: Edit, first: int = 1) -> list[Change]:
    lines = TEXT.removesuffix("\n").split("\n")
    known = {"net.py": dict(enumerate(lines, first))}
    return list(changes(Fix(as_written(""), edits, False, ()), known))


def test_a_replacement_inside_a_line() -> None:
    (change,) = found(edit(2, 8, 2, 18, "self.second"))
    assert change == Change(
        "net.py", 2, None, ("    a = self.first(x)",), ("    a = self.second(x)",)
    )


def test_columns_count_characters() -> None:
    (change,) = found(edit(3, 19, 3, 20, "d"))
    assert change.new == ("    b = f(a, 'é🐍', d)",)


def test_two_edits_of_one_line_are_one_change_and_those_of_two_lines_are_two() -> None:
    (change,) = found(edit(5, 15, 5, 16, "y"), edit(5, 11, 5, 12, "x"))
    assert change.new == ("    return x + y",)
    first, second = found(edit(5, 15, 5, 16, "y"), edit(2, 4, 2, 5, "x"))
    assert (first.line, second.line) == (2, 5)


def test_a_line_that_is_put_between_others_removes_none() -> None:
    below = found(edit(2, 21, 2, 21, "\n    a = a + 1"))
    above = found(edit(3, 0, 3, 0, "    a = a + 1\n"))
    inserted = [Change("net.py", 3, None, (), ("    a = a + 1",))]
    assert below == above == inserted


def test_lines_that_go_leave_nothing() -> None:
    (change,) = found(edit(2, 0, 4, 0, ""))
    assert (change.line, len(change.old), change.new) == (2, 2, ())


def test_below_the_text_at_hand_whole_lines_are_still_lines() -> None:
    assert found(edit(6, 0, 6, 0, "    more()\n")) == [
        Change("net.py", 6, None, (), ("    more()",))
    ]


@together(
    "span",
    [(40, 12, 40, 15), (5, 3, 9, 1), (5, 9, 5, 2), (5, 2, 3, 2), (2, -4, 2, 3), (2, 900, 2, 901)],
)
def test_where_the_text_is_not_at_hand_there_is_the_replacement_and_its_place(
    span: tuple[int, int, int, int],
) -> None:
    (change,) = found(edit(*span, "12\n34"))
    assert (change.line, change.old, change.new) == (span[0], (), ("12", "34"))
    assert change.column == max(span[1], 0)


def test_another_file_is_not_mistaken_for_this_one() -> None:
    other = dataclasses.replace(edit(2, 4, 2, 5, "q"), file="other.py")
    assert [change.old for change in found(other)] == [()]


def test_the_number_of_edits_is_bounded() -> None:
    assert len(found(*[edit(10 * n, 0, 10 * n, 0, "x") for n in range(1, 5000)])) <= 50


def test_the_statement_to_blame_is_known_too_and_a_source_is_believed_first() -> None:
    def place(line: int, statement: str) -> Place:
        end = len(statement.split("\n")[-1])
        span = Span(line, 8, line + statement.count("\n"), end)
        return Place("net.py", line, "f", None, None, statement, statement, span)

    root = Root(
        "constructor", place(3, "self.fc = nn.Linear(\n            4, 5)"), "", None, said("")
    )
    failure = Failure("E", "", None, place(12, "wrong"), "", (), root=root)
    source = Source("net.py", "f", 11, "    def f():\n        right\n", ())
    run = Trace("", (), (), (), (), failure, (source,), (), True, True, 0, 0.0, "")
    assert known_lines(run.failure, run.sources)["net.py"] == {
        3: "        self.fc = nn.Linear(",
        4: "            4, 5)",
        11: "    def f():",
        12: "        right",
    }

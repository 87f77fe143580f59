"""What lies under the player, apart from its widgets."""

from __future__ import annotations

import csv
import inspect
import io
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from modules import lesson
from modules.lesson import run as run_lesson
from tests.together import together
from tracer import Trace, trace
from ui.inspector import _result_of, dimensions
from ui.source import lines, parts
from ui.takeaway import as_csv, step_table
from ui.text import escaped, label, shown


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(x)
        low, high = y.split([1, 2], dim=1)
        return torch.cat([low, high / 0], dim=1)


@pytest.fixture(scope="module")
def small() -> Trace:
    return trace(Small(), torch.ones(2, 4))


def test_the_table_has_a_row_for_each_step(small: Trace) -> None:
    table = step_table(small)
    assert table["step"] == list(range(1, len(small.steps) + 1))
    assert table["expression"] == [step.expression for step in small.steps]
    assert table["from"][0] == "(2, 4)"
    assert table["weights"][0] == "(3, 4), (3,)" or table["weights"][0] == "(3, 4), (3)"
    assert table["to"][1] == "(2, 1), (2, 2)"
    assert table["name"][1] == "low, high"
    assert table["NaN"] == [0] * len(small.steps)


def test_shapes_alone_have_no_columns_of_figures() -> None:
    table = step_table(trace(Small(), torch.ones(2, 4), values=False))
    assert not {"min", "max", "mean", "NaN"} & table.keys()
    assert "to" in table


def test_the_table_of_no_steps() -> None:
    class Same(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x

    assert as_csv(step_table(trace(Same(), torch.ones(1)))) == "\n"


def test_csv_reads_back(small: Trace) -> None:
    table = step_table(small)
    rows = list(csv.reader(io.StringIO(as_csv(table))))
    assert rows[0] == list(table)
    assert [row[2] for row in rows[1:]] == table["expression"]
    assert all(len(row) == len(rows[0]) for row in rows)


@pytest.mark.parametrize(
    ("path", "step"), [("0", 0), ("2", 2), ("99", None), ("x", None), ("", None), ("0.5", None)]
)
def test_the_result_of_the_step_on_screen(small: Trace, path: str, step: int | None) -> None:
    wanted = None if step is None else small.steps[step].outputs[0].id
    assert _result_of(small, path) == wanted


@together(
    ("labels", "names"),
    [
        (("B", "C", "H·W", "W′"), ["B", "C", "H·W", "W′"]),
        (("B", "N", "N"), ["B", "N (dim 1)", "N (dim 2)"]),
        (("B", "1", ""), ["B", "dim 1", "dim 2"]),
        ((), ["dim 0", "dim 1"]),
    ],
)
def test_dimensions_are_called_by_their_letters(labels: tuple[str, ...], names: list[str]) -> None:
    assert dimensions(labels, len(names)) == names


@pytest.mark.parametrize("key", ["fbkd-student", "non-local"])
def test_the_source_is_the_classes_that_ran_and_no_more(key: str) -> None:
    chosen = lesson(key)
    run = run_lesson(chosen, chosen.settings(), values=False)
    file = inspect.getsourcefile(chosen.build)
    assert file is not None
    found = parts(run, file)
    covered = {
        number
        for part in found
        for number in range(part["first"], part["first"] + part["text"].count("\n") + 1)
    }
    ran = {line for line in lines(run, file) if line is not None}
    assert ran
    assert ran <= covered
    whole = Path(file).read_text(encoding="utf-8").split("\n")
    for part in found:
        rows = part["text"].split("\n")
        assert rows == whole[part["first"] - 1 : part["first"] - 1 + len(rows)]
        assert rows[0].startswith(("class ", "def ", "@"))
    assert len(covered) < len(whole) / 2


@together(
    "words",
    [
        "plain",
        "a * b ** c _d_ [x](http://y) <script>alert(1)</script> `code` # 1. - + | ~~s~~",
        "$x^2$ :material/home: :red[x] ![i](j) \\n & &amp; == a",
        "1. first",
        "    indented",
        "first\n\n# second",
    ],
)
def test_escaped_words_mean_nothing_to_markdown(words: str) -> None:
    line = escaped(words)
    assert re.sub(r"\\(.)", r"\1", line) == " ".join(words.split())
    bare = re.sub(r"\\.", "", line)
    assert not re.search(r"[\\`*_{}\[\]<>#+\-.!|$~:&=\n]", bare)


@pytest.mark.parametrize(
    ("name", "shown"), [("in_features", "in_features"), ("__x__", r"\_\_x\_\_"), ("a b*", r"a b\*")]
)
def test_a_field_is_called_as_it_is_read_aloud(name: str, shown: str) -> None:
    assert label(name) == shown


@pytest.mark.parametrize(
    ("quote", "seen"),
    [
        (r"- $\text{ReLU}$:激活函数", "ReLU:激活函数"),
        (r"\text{Conv}\left(x\right) \cdot a_h$$", "Conv(x) · a_h"),
        ("self.pool_w1 = nn.MaxPool2d((1, None))", "self.pool_w1 = nn.MaxPool2d((1, None))"),
    ],
)
def test_a_post_is_quoted_as_its_readers_see_it(quote: str, seen: str) -> None:
    assert shown(quote) == seen

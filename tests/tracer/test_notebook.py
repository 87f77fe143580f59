"""`%load_ext tracer` in a notebook that runs, in a kernel of its own."""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

CELLS = {
    "load": "%load_ext tracer\nimport torch\nfrom torch import nn",
    "model": (
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.fc = nn.Linear(4, 3)\n"
        "        self.norm = nn.BatchNorm1d(3)\n"
        "    def forward(self, x):\n"
        "        return self.norm(self.fc(x)).relu()\n"
        "net = Net()"
    ),
    "shapes": (
        "%%shapes\n"
        "# a comment\n"
        "x = torch.randn(5, 4)\n"
        "y = net(x)\n"
        "loss = (y ** 2).mean()\n"
        "print('printed')\n"
        "loss.shape"
    ),
    "kept": "int(net.norm.num_batches_tracked), y.shape, torch.equal(y, y)",
    "built": "%%shapes\nother = nn.Sequential(nn.Linear(4, 2))\nz = other(x)",
    "nothing": "%%shapes\nn = 3",
    "fails": "\nnet(torch.randn(5, 7))",
    "fails shown": "%%shapes\nw = torch.randn(5, 7)\nnet(w)",
    "other": "1 / 0",
    "large": "%%shapes\nbig = torch.randn(60, 64, 64)\nfor i in range(80): big = big + big.sin()",
    "unload": "%unload_ext tracer",
    "plain": "net(torch.randn(5, 7))",
}


@pytest.fixture(scope="module")
def outputs() -> dict[str, list[Any]]:
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(text) for text in CELLS.values()],
        metadata={"kernelspec": {"name": "python3", "display_name": "", "language": "python"}},
    )
    client = nbclient.NotebookClient(book, timeout=600, allow_errors=True, kernel_name="python3")
    client.create_kernel_manager()
    client.km.kernel_spec.argv[0] = sys.executable
    client.execute()
    return {name: cell.outputs for name, cell in zip(CELLS, book.cells, strict=True)}


def texts(found: list[Any]) -> list[str]:
    """The texts of a cell, without colours."""
    told = [
        "\n".join(each.get("traceback", []))
        or each.get("text", "")
        or each.get("data", {}).get("text/plain", "")
        for each in found
    ]
    return [re.sub(r"\x1b\[[0-9;]*m", "", text) for text in told]


def test_a_cell_with_its_shapes_and_the_player(outputs: dict[str, list[Any]]) -> None:
    printed, value, shown = outputs["shapes"]
    assert printed["text"] == "printed\n"
    assert value["data"]["text/plain"] == "torch.Size([])"
    text = shown["data"]["text/plain"]
    assert "y = net(x)  # (5, 4) → (5, 3)" in text
    assert "loss = (y ** 2).mean()" in text
    assert "# (5, 3) → (5, 3) → ()" in text
    page = shown["data"]["text/html"]
    assert page.startswith("<pre>")
    assert "<iframe" in page
    lines = text.splitlines()
    at = lines.index("# %%shapes")
    assert lines[at + 1] == "# a comment"
    assert "&quot;line&quot;:4," in page  # `y = net(x)` in the cell, whose first is the magic's


def test_the_cell_has_run_once_as_it_would(outputs: dict[str, list[Any]]) -> None:
    assert texts(outputs["kept"]) == ["(1, torch.Size([5, 3]), True)"]


def test_a_module_that_the_cell_builds(outputs: dict[str, list[Any]]) -> None:
    shown = texts(outputs["built"])[-1]
    assert "z = other(x)  # (5, 4) → (5, 2)" in shown
    assert "# parameters  10\n" in shown
    assert "remark" not in shown
    assert outputs["nothing"] == []


def test_below_the_traceback_stands_why(outputs: dict[str, list[Any]]) -> None:
    for name, line in (("fails", "self.fc(x)"), ("fails shown", "self.fc(x)")):
        error, why, *shown = outputs[name]
        assert len(shown) == (name != "fails")
        assert error["output_type"] == "error"
        assert error["ename"] == "RuntimeError"
        text = texts([why])[0]
        assert text.startswith("Shapewalk explains:\nStopped")
        assert line in text
        assert "needs the last size of its input to be 4: 7 ≠ 4" in text


def test_nothing_is_said_otherwise(outputs: dict[str, list[Any]]) -> None:
    assert [each["output_type"] for each in outputs["other"]] == ["error"]
    assert [each["output_type"] for each in outputs["plain"]] == ["error"]
    assert outputs["load"] == outputs["model"] == outputs["unload"] == []


def test_a_cell_shows_at_most_a_megabyte(outputs: dict[str, list[Any]]) -> None:
    for found in outputs.values():
        for each in found:
            page = each.get("data", {}).get("text/html", "")
            assert len(page) <= 1_000_000
            assert "http://" not in page.replace("http://www.w3.org", "")
    assert "<iframe" in outputs["large"][-1]["data"]["text/html"]

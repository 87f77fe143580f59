"""Formulas of code that asks for values, which runs of shapes do not have: what the run was
answered is answered again, and said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tracer import Cancelled, trace
from tracer.symbolic import trace_symbolic

BODIES = {
    # what needs a value, what its line is called in the remark, and the formulas of the result
    "item": ("n = int(x.max().item()) + 1\n    return self.fc(x) * n", "x.max().item()", "B T 3"),
    "condition": (
        "if x.sum() > -1e9:\n        x = x.relu()\n    return self.fc(x)",
        "x.sum() > -1e9", "B T 3",
    ),
    "list": ("m = max(lengths.tolist())\n    return self.fc(x)[:, :m]", "lengths.tolist()",
             "B min(5,T) 3"),
    "positions": (
        "rows, _ = torch.where(lengths[:, None] > 3)\n    return self.fc(x)[rows]",
        "torch.where(lengths[:, None] > 3)", "1 T 3",
    ),
    "mask": (
        "kept = x[x[..., 0] > -1e9]\n    return self.fc(x), kept", "x[x[..., 0] > -1e9]", "B T 3",
    ),
    "experts": (
        "y = self.fc(x).flatten(0, 1)\n"
        "    best = y.argmax(1)\n"
        "    for k in range(3):\n"
        "        at = torch.nonzero(best == k)[:, 0]\n"
        "        y = y.index_add(0, at, y[at])\n"
        "    return y.view(x.shape[0], -1, 3)",
        "torch.nonzero(best == k)", "B T 3",
    ),
    "equal": (
        "if torch.equal(x, x):\n        x = x * 2\n    return self.fc(x)", "torch.equal(x, x)",
        "B T 3",
    ),
    "array": (
        "scale = float(x.detach().numpy().max())\n    return self.fc(x * scale)",
        "x.detach().numpy()", "B T 3",
    ),
    "written": (
        "y = self.fc(x)\n    y[y > 0] = 0\n    return y.transpose(0, 1)", "", "T B 3",
    ),
}  # fmt: skip


NUMBERS = ("positions", "mask", "experts")
"""Of which the run with values at another size has other sizes, which have no formula."""


def model(folder: Path, body: str) -> tuple[nn.Module, Tensor, Tensor]:
    file = folder / "net.py"
    file.write_text(
        "import torch\nfrom torch import nn\n"
        "class Net(nn.Module):\n"
        "  def __init__(self):\n"
        "    super().__init__()\n"
        "    self.fc = nn.Linear(4, 3)\n"
        "  def forward(self, x, lengths):\n"
        f"    {body}\n"
    )
    space: dict[str, Any] = {"__name__": "net"}
    exec(compile(file.read_bytes(), str(file), "exec"), space)
    torch.default_generator.manual_seed(0)
    return space["Net"]().eval(), torch.randn(2, 6, 4), torch.tensor([3, 5])


@pytest.mark.parametrize("case", BODIES)
def test_what_needs_a_value_is_assumed_and_the_rest_has_formulas(case: str, tmp_path: Path) -> None:
    body, expression, wanted = BODIES[case]
    net, x, lengths = model(tmp_path, body)
    with torch.no_grad():
        found = trace(net, x, lengths, dims={"x": "B T 4", "lengths": "B"})
    dims = " ".join(each.text.replace(" ", "") for each in found.outputs[0].dims)
    assert dims == wanted
    assert all(note.dims for step in found for note in step.outputs if note.shape)
    remarks = [str(each) for each in found.remarks]
    if expression:
        held = "A run with values at B = 4, T = "
        assert remarks.pop().startswith(held)
        if case in NUMBERS:
            assert remarks.pop(0).startswith("A size of ")
            remarks = [each for each in remarks if not each.startswith("A size of ")]
    assert len(remarks) == bool(expression)
    for remark in remarks:
        assert remark.startswith(
            f"Assumed at every size, for it depends on values: `{expression}` (net.py:"
        )
        assert remark.endswith("in this run.")


class Gate(nn.Module):
    """Its constructor asks for values, too."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.rates = [rate.item() for rate in torch.linspace(0, 1, 3)]
        self.fc = nn.Linear(width, 2 * width)

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "meta":
            x = x + 1
        return self.fc(x) * self.rates[1]


def test_a_constructor_and_the_device_are_answered_as_in_the_run() -> None:
    found = trace_symbolic(
        lambda sizes: Gate(sizes["D"]),
        lambda sizes: ((torch.randn(sizes["B"], sizes["D"]),), {}),
        {"B": 5, "D": 4},
    )
    assert [step.op for step in found] == ["nn.Linear", "Tensor.mul"]
    assert [each.text for each in found.outputs[0].dims] == ["B", "2·D"]
    assert "rate.item()" in str(found.remarks[0])


class Looks(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.device.type == "cpu" else x


def test_code_that_asks_where_it_runs_alone() -> None:
    found = trace(Looks(), torch.randn(3, 4), dims={"x": "B D"})
    assert [each.text for each in found.outputs[0].dims] == ["B", "D"]
    assert not found.remarks


def test_the_module_is_run_as_it_is_and_left_so(tmp_path: Path) -> None:
    net, x, lengths = model(tmp_path, BODIES["item"][0])
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    trace(net, x, lengths, dims={"x": "B T 4"})
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_the_search_for_formulas_is_watched() -> None:
    counts: list[int] = []

    def watch(steps: int) -> None:
        counts.append(steps)
        if len(counts) > 3:  # the run itself has one step
            raise Cancelled

    with pytest.raises(Cancelled):
        trace(nn.Linear(4, 3), torch.randn(2, 4), dims={"input": "B 4"}, watch=watch)


HALVES = """
return self.fc(x.view(
        x.shape[0], torch.div(x.shape[1], 2, rounding_mode="trunc"), 2, 4
    ))
"""


def test_a_size_that_goes_through_a_tensor_keeps_its_formula(tmp_path: Path) -> None:
    net, x, lengths = model(tmp_path, HALVES.strip())
    found = trace(net, x, lengths, dims={"x": "B T 4"})
    assert "T" in found.outputs[0].dims[1].text
    assert [each.at(B=3, T=10) for each in found.outputs[0].dims] == [3, 5, 2, 3]
    assert not [each for each in found.remarks if "Assumed" in str(each)]
    assert all(step.error is None for step in found)


class Otherwise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.relu() if x.sum() > 20 else x + 1


def test_a_run_with_values_may_take_other_steps() -> None:
    found = trace(Otherwise(), torch.ones(3, 4), dims={"x": "B D"})
    assert [each.text for each in found.outputs[0].dims] == ["B", "D"]
    assert "takes other steps: the formulas are those of runs" in str(found.remarks[-1])


class Reshapes(nn.Module):
    """What it demands of B and T comes from the number of rows that this run has chosen."""

    def forward(self, x: Tensor) -> Tensor:
        rows = x[x[..., 0] > -1e9]
        return rows.view(x.shape[0], x.shape[1], -1)


def test_demands_that_rest_on_an_answer_say_so() -> None:
    found = trace(Reshapes(), torch.randn(2, 6, 4), dims={"x": "B T D"})
    assert found.constraints
    assert str(found.remarks[-1]).startswith("The demands are those of a run with these answers")

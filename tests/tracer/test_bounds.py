"""What is said of how small a size may be: it works at the bound and fails one below."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn

from tracer import trace


class Square(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y + y.transpose(2, 3)


class Flat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 4, 9)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.flatten(2))


POOLS = [nn.MaxPool2d(2) for _ in range(3)]
FRONT = [nn.Conv1d(1, 4, 10, 5), nn.Conv1d(4, 4, 3, 2)]

CASES = {
    "convolution": (nn.Conv2d(3, 4, 5), "B 3 H W", (2, 3, 64, 64), {"H": 5, "W": 5}),
    "two": (
        nn.Sequential(nn.Conv2d(3, 4, 5), nn.Conv2d(4, 4, 5)),
        "B 3 H W", (2, 3, 64, 64), {"H": 9, "W": 9},
    ),
    "pooling": (nn.Sequential(*POOLS), "B 3 H W", (2, 3, 64, 64), {"H": 8, "W": 8}),
    "speech": (nn.Sequential(*FRONT), "B 1 T", (2, 1, 400), {"T": 20}),
    "patches": (
        nn.Sequential(nn.Conv2d(3, 4, 7, 4, 3), nn.Conv2d(4, 4, 8, 8)),
        "B 3 H W", (2, 3, 64, 64), {"H": 29, "W": 29},
    ),
    "windows": (nn.Unfold(4), "B 3 H W", (2, 3, 64, 64), {"H": 4, "W": 4}),
    "equal": (Square(), "B 3 H W", (2, 3, 32, 32), {"H": 5}),
    "reflected": (nn.ReflectionPad2d(3), "B 3 H W", (2, 3, 32, 24), {"H": 4, "W": 4}),
    "dilated": (
        nn.Sequential(nn.AvgPool1d(7, 3, padding=2), nn.Conv1d(4, 5, 3, dilation=2)),
        "B 4 T", (2, 4, 100), {"T": 15},
    ),
    "volume": (
        nn.Sequential(nn.Conv3d(1, 2, (3, 5, 2)), nn.MaxPool3d(2)),
        "B 1 D H W", (2, 1, 9, 17, 12), {"D": 4, "H": 6, "W": 3},
    ),
    "transposed": (
        nn.Sequential(nn.ConvTranspose1d(2, 2, 3, 2), nn.Conv1d(2, 2, 8), nn.Conv1d(2, 2, 2, 3)),
        "B 2 T", (2, 2, 40), {"T": 4},
    ),
    "none": (nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()), "B 3 H W", (2, 3, 8, 9), {}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_bound_works_at_its_value_and_fails_one_below(case: str) -> None:
    model, dims, shape, bounds = CASES[case]
    (name,) = (note.name for note in trace(model, torch.zeros(shape), values=False).inputs)
    found = trace(model, torch.zeros(shape), values=False, dims={name: dims})
    texts = " ∧ ".join(each.formula.text for each in found.constraints)
    assert dict(re.findall(r"(\w+) ≥ (\d+)", texts)) == {n: str(b) for n, b in bounds.items()}
    sizes = {each.name: each.value for each in found.symbols}
    equal = {"W": "H"} if case == "equal" else {}

    def run(at: dict[str, int]) -> Tensor:
        at |= {one: at[other] for one, other in equal.items()}
        return model(torch.zeros([at.get(n, 0) or int(n) for n in dims.split()]))

    for bounded, least in bounds.items():
        run({**sizes, bounded: least})
        with pytest.raises(RuntimeError):
            run({**sizes, bounded: least - 1})
    run({**sizes, **bounds})


def test_the_step_that_needs_it_is_named() -> None:
    model, dims, shape, _ = CASES["two"]
    found = trace(model, torch.zeros(shape), values=False, dims={"input": dims})
    assert {each.step for each in found.constraints} == {1}


class Checked(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x.relu()
        if y.shape[1] // 4 == 0:
            raise ValueError("too few channels")
        return y


def test_no_step_is_named_where_none_needs_it_and_the_one_that_shapes_alone_let_pass() -> None:
    (found,) = trace(Checked(), torch.zeros(2, 8), dims={"x": "B C"}).constraints
    assert (found.formula.text, found.step) == ("C ≥ 4", None)
    model = nn.Sequential(nn.ReLU(), nn.MaxPool3d((1, 2, 2)), nn.Flatten())
    found = trace(model, torch.zeros(1, 2, 3, 4, 4), dims={"input": "1 2 3 H 4"}).constraints[0]
    assert (found.formula.text, found.step) == ("H ≥ 2", 1)


def test_sizes_that_bound_each_other_are_told_together() -> None:
    found = trace(Flat(), torch.zeros(2, 3, 6, 4), values=False, dims={"x": "B 3 H W"})
    assert [each.formula.text for each in found.constraints] == ["H·W ≥ 9"]


class Windows(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        B, C, H, W = x.shape
        return self.conv(x.view(B, C, H // 4, 4, W // 4, 4).mean((3, 5)))


def test_what_fails_and_is_not_demanded_is_a_remark() -> None:
    """It runs at 12 and not at 15: that is no bound."""
    found = trace(Windows(), torch.zeros(2, 3, 32, 24), values=False, dims={"x": "B 3 H W"})
    assert not any("H ≥" in each.formula.text for each in found.constraints)
    (remark,) = map(str, found.remarks)
    sizes = {n: int(v) for n, v in re.findall(r"(\w) = (\d+)", remark)}
    assert remark.startswith("The run fails at B = ")
    with pytest.raises(RuntimeError):
        Windows()(torch.zeros(sizes["B"], 3, sizes["H"], sizes["W"]))

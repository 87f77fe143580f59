"""Shapes that a test expects."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.together import together
from tracer import assert_shapes

CONV = nn.Conv2d(3, 8, 3, stride=2, padding=1)
LSTM = nn.LSTM(4, 6)


@together(
    ("pattern", "names"),
    [
        ("B 3 H W -> B 8 H//2 W//2", {"B": 2, "H": 10, "W": 12}),
        ("B C H W -> B D _ _", {"B": 2, "C": 3, "H": 10, "W": 12, "D": 8}),
        ("... W -> B ...", {"W": 12, "B": 2}),
        ("B ... -> B 8 ...", {"B": 2}),
        ("B _ H W -> B 8 H-5 W*2-18", {"B": 2, "H": 10, "W": 12}),
        ("... -> ...", {}),
    ],
)
def test_shapes_as_expected(pattern: str, names: dict[str, int]) -> None:
    assert assert_shapes(CONV, torch.ones(2, 3, 10, 12), pattern) == names


def test_several_outputs_in_their_order() -> None:
    found = assert_shapes(LSTM, torch.ones(5, 2, 4), "N B C -> N B D, 1 B D, 1 B D")
    assert found == {"N": 5, "B": 2, "C": 4, "D": 6}


def test_keywords_reach_the_forward() -> None:
    class Scaled(nn.Module):
        def forward(self, x: torch.Tensor, *, scale: torch.Tensor) -> torch.Tensor:
            return x * scale

    found = assert_shapes(Scaled(), torch.ones(2, 3), "B C, C -> B C", scale=torch.ones(3))
    assert found == {"B": 2, "C": 3}


@together(
    ("pattern", "words"),
    [
        ("B 3 H W -> B 9 H//2 W//2", "output (2, 8, 5, 6) should be B 9 H//2 W//2: 8 where 9 is"),
        ("B 3 H W -> B 8 H W", "5 where H = 10 is expected. (B = 2, H = 10, W = 12)"),
        ("B 3 H H -> ...", "input"),
        ("B 3 H -> ...", "has 4 dimensions, not those of B 3 H."),
        ("B ... -> B 8", "has 4 dimensions, not those of B 8."),
        ("B 3 H W -> B 8 H W, _", "names 2 output tensors, and there is 1: (2, 8, 5, 6)."),
        ("-> ...", "names 0 input tensors, and there is 1"),
    ],
)
def test_a_shape_that_differs_is_one_sentence(pattern: str, words: str) -> None:
    with pytest.raises(AssertionError) as caught:
        assert_shapes(CONV, torch.ones(2, 3, 10, 12), pattern)
    assert words in str(caught.value)


@together(
    "pattern",
    ["B C", "B -> C -> D", "B ... ... -> B", "B -> B(", "B -> f(B)", "B -> D*2", "_ -> 1//0"],
)
def test_what_is_no_pattern_is_said(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"pattern|\.\.\.|dimension|no size|zero"):
        assert_shapes(nn.Identity(), torch.ones(3), pattern)


def test_a_forward_that_fails_is_explained() -> None:
    with pytest.raises(AssertionError, match="mat1 and mat2") as caught:
        assert_shapes(nn.Linear(4, 5), torch.ones(2, 3), "B C -> B D")
    assert "Rule:" in str(caught.value)

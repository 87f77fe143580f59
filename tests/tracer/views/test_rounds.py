"""Which loops go round alike, and which rounds are left as they are."""

from __future__ import annotations

import torch

from tests.cells import forward_cell, run_cell
from tests.together import together
from tracer import Trace, trace
from tracer.views.rounds import Rounds, rounds


def looped(body: str, size: int = 8) -> Trace:
    return trace(forward_cell("x", body), torch.randn(size, 4))


def found(run: Trace) -> list[tuple[int, int, int, str]]:
    return [(r.start, r.length, r.count, r.place.expression) for r in rounds(run)]


@together(
    ("body", "expected"),
    [
        (
            """
            x = x + 1
            for turn in range(4):
                y = x * 2
                x = y.tanh()
            return x - 1
            """,
            [(1, 2, 4, "for turn in range(4)")],
        ),
        (
            """
            turns = 3
            while turns:
                x = x * 2
                turns -= 1
            return x
            """,
            [(0, 1, 3, "while turns")],
        ),
        (
            """
            return torch.stack([x[i] * 2 for i in range(5)])
            """,
            [(0, 2, 5, "[x[i] * 2 for i in range(5)]")],
        ),
        # Two rounds are not worth a fold.
        ("for turn in range(2):\n    x = x * 2\nreturn x", []),
        # Each round has another shape.
        ("for turn in range(3):\n    x = x[1:]\nreturn x", []),
        # Of the rounds the first few are alike.
        (
            "for turn in range(5):\n    x = x * 2 if turn < 3 else x + 1\nreturn x",
            [(0, 1, 3, "for turn in range(5)")],
        ),
    ],
)
def test_rounds_that_do_the_same_to_the_same_shapes(
    body: str, expected: list[tuple[int, int, int, str]]
) -> None:
    assert found(looped(body)) == expected


def test_a_loop_inside_a_loop_stands_behind_the_outer_one() -> None:
    run = looped(
        """
        for turn in range(3):
            x = x + 1
            for again in range(4):
                x = x * 2
        return x
        """
    )
    assert found(run)[0] == (0, 5, 3, "for turn in range(3)")
    assert (1, 1, 4, "for again in range(4)") in found(run)[1:]


def test_a_loop_over_layers_folds_with_all_that_they_do() -> None:
    cell = run_cell(
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))

            def forward(self, x):
                for layer in self.layers:
                    x = torch.relu(layer(x))
                return x
        """
    )
    run = trace(cell["Net"](), torch.randn(2, 4))
    (only,) = rounds(run)
    assert (only.start, only.length, only.count, only.call) == (0, 2, 3, 0)
    assert only.stop == 6


def test_the_round_that_fails_is_no_round_like_the_others() -> None:
    run = looped(
        """
        for turn in range(5):
            x = x + torch.ones(9 if turn == 4 else 4)
        return x
        """
    )
    assert run.failure is not None
    failing = len(run.steps) - 1
    assert all(isinstance(r, Rounds) and r.stop <= failing for r in rounds(run))

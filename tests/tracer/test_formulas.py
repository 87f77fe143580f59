"""Formulas: equal numbers look equal, they are written as a person writes them, and they keep
their value whatever is done to them."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
import sympy
from torch.utils._sympy.functions import (
    CeilToInt,
    CleanDiv,
    FloorDiv,
    FloorToInt,
    IntTrueDiv,
    Max,
    Min,
    Mod,
    PythonMod,
    ToFloat,
    TruncToInt,
)

from tests.effort import TIMES
from tests.together import together
from tracer.formulas.writing import (
    demand,
    demanded,
    divisions,
    evaluate,
    growth,
    simplified,
    symbol,
    written,
)

B, C, H, W, r, k, D, heads, T, ws, N, M = map(
    symbol, ["B", "C", "H", "W", "r", "k", "D", "heads", "T", "ws", "N", "M"]
)
ORDER = ("B", "C", "D", "T", "H", "W", "N", "M", "r", "heads", "k", "ws")
SIZES = (1, 2, 3, 4, 5, 7, 8, 12, 16, 30)


def text(expression: Any, *conditions: Any) -> str:
    known = divisions(demand(simplified(each)) for each in conditions)
    return written(simplified(expression, known), ORDER).text


@together(
    ("expression", "expected"),
    [
        (H * W, "H·W"),
        (W * H * B, "B·H·W"),
        (FloorDiv(H, 2), "⌊H/2⌋"),
        (FloorDiv(H, 2) * FloorDiv(W, 2), "⌊H/2⌋·⌊W/2⌋"),
        (FloorDiv(FloorDiv(H, 2), 2), "⌊H/4⌋"),
        (FloorDiv(H - 1, 2) + 1, "⌈H/2⌉"),
        (FloorDiv(H + 1, 2), "⌈H/2⌉"),
        (FloorDiv(H + 2 - 3, 1) + 1, "H"),
        (FloorDiv(H + ws - 1, ws), "⌈H/ws⌉"),
        (ws * FloorDiv(H + ws - 1, ws), "⌈H/ws⌉·ws"),
        (FloorDiv(H * W * C, H * W), "C"),
        (FloorDiv(H * W, W), "H"),
        (FloorDiv(2 * H + 1, 2), "H"),
        (FloorDiv(3 * C, 3), "C"),
        (C - FloorDiv(C, 2), "⌈C/2⌉"),
        (FloorDiv(C, 2) + FloorDiv(C + 1, 2), "C"),
        (H + W, "H + W"),
        (W + H, "H + W"),
        (T - k + 1, "T − k + 1"),
        (T + FloorDiv(k - 1, 2) + k - FloorDiv(k - 1, 2) - 1 - k + 1, "T"),
        (Max(8, FloorDiv(C, r)), "max(8, ⌊C/r⌋)"),
        (Max(1, C), "C"),
        (Min(C, 8), "min(8, C)"),
        (TruncToInt(4.0 * ToFloat(C)), "4·C"),
        (FloorToInt(IntTrueDiv(H, 2)), "⌊H/2⌋"),
        (CeilToInt(IntTrueDiv(H, 2)), "⌈H/2⌉"),
        (TruncToInt(0.25 * ToFloat(C)), "⌊C/4⌋"),
        (CleanDiv(C, 2), "⌊C/2⌋"),
        (Mod(H, 4), "H mod 4"),
        (PythonMod(-H, 4) + H, "H + ((−H) mod 4)"),
        (PythonMod(4 * H, 4), "0"),
        (H**2 * W, "H²·W"),
        ((H + 1) ** 2, "(H + 1)²"),
        (2 * B * C + 2 * B * H, "2·B·(C + H)"),
        (sympy.Integer(7), "7"),
        (sympy.Integer(0), "0"),
        (FloorDiv(H + 2 * FloorDiv(k, 2) - k, r) + 1, "⌊(H + 2·⌊k/2⌋ − k)/r⌋ + 1"),
        (FloorDiv(H + 2 * FloorDiv(k, 2) - k, 2) + 1, "⌊(H − k)/2⌋ + ⌊k/2⌋ + 1"),
        (8 - C, "8 − C"),
    ],
)
def test_written_as_a_person_writes(expression: Any, expected: str) -> None:
    assert text(expression) == expected


@together(
    ("expression", "condition", "expected"),
    [
        (FloorDiv(C, r), sympy.Eq(Mod(C, r), 0), "C/r"),
        (FloorDiv(D, heads), sympy.Eq(D, heads * FloorDiv(D, heads)), "D/heads"),
        (FloorDiv(3 * D, heads), sympy.Eq(Mod(D, heads), 0), "3·D/heads"),
        (FloorDiv(B * D, heads), sympy.Eq(Mod(D, heads), 0), "B·D/heads"),
        (heads * FloorDiv(D, heads), sympy.Eq(Mod(D, heads), 0), "D"),
        (FloorDiv(C, 2 * r), sympy.Eq(Mod(C, r), 0), "⌊C/(2·r)⌋"),
        (Mod(C, r), sympy.Eq(Mod(C, r), 0), "0"),
    ],
)
def test_what_is_known_to_divide(expression: Any, condition: Any, expected: str) -> None:
    assert text(expression, condition) == expected


def random_expression(draw: random.Random, depth: int) -> Any:
    if depth == 0:
        return draw.choice([B, C, H, W, r, sympy.Integer(draw.randint(1, 5))])
    a, b = random_expression(draw, depth - 1), random_expression(draw, depth - 1)
    return draw.choice(
        [
            lambda: a + b,
            lambda: a * b,
            lambda: a - b,
            lambda: FloorDiv(a, draw.choice([sympy.Integer(2), sympy.Integer(3), C, r])),
            lambda: FloorDiv(a + draw.choice([C, r]) - 1, draw.choice([C, r])),
            lambda: Max(a, b),
            lambda: Min(a, b),
            lambda: Mod(a, draw.choice([sympy.Integer(4), r])) if a.is_positive else a,
            lambda: CeilToInt(IntTrueDiv(a, draw.choice([sympy.Integer(2), r]))),
        ]
    )()


@together("seed", range(60 * TIMES))
def test_the_value_stays(seed: int) -> None:
    draw = random.Random(seed)
    expression = random_expression(draw, draw.randint(1, 3))
    simple = simplified(expression)
    formula = written(simple, ORDER)
    assert formula.text
    for _ in range(20):
        sizes = {name: draw.choice(SIZES) for name in "BCHWr"}
        # torch's own arithmetic, with numbers in the place of the symbols.
        true = expression.subs({symbol(name): size for name, size in sizes.items()})
        assert evaluate(simple, sizes) == evaluate(expression, sizes) == int(true), sizes


@together("seed", range(60))
def test_a_demand_means_what_the_condition_means(seed: int) -> None:
    draw = random.Random(1000 + seed)
    a, b = random_expression(draw, 1), random_expression(draw, draw.randint(0, 2))
    relation = draw.choice([sympy.Eq, sympy.Ne, sympy.Ge, sympy.Gt, sympy.Le, sympy.Lt])
    condition = relation(a, b, evaluate=False)
    if draw.random() < 0.3:
        condition = sympy.Not(sympy.And(condition, relation(b, C + 1, evaluate=False)))
    stated = demand(simplified(condition))
    for sizes in ({name: draw.choice(SIZES) for name in "BCHWr"} for _ in range(60)):
        assert evaluate(stated, sizes) == evaluate(condition, sizes), (condition, stated, sizes)


@together(
    ("condition", "formula", "words"),
    [
        (sympy.Eq(Mod(D, heads), 0), "D mod heads = 0", "D must be divisible by heads."),
        (sympy.Eq(Mod(H, 2), 0), "H mod 2 = 0", "H must be even."),
        (sympy.Eq(2 * FloorDiv(H, 2), H), "H mod 2 = 0", "H must be even."),
        (sympy.Ne(FloorDiv(C, r), 0), "C ≥ r", "C must be at least r."),
        (FloorDiv(H, 4) >= 1, "H ≥ 4", "H must be at least 4."),
        (FloorDiv(FloorDiv(H + 1, 2), 2) >= 1, "H ≥ 3", "H must be at least 3."),
        (sympy.Eq(W, H), "H = W", "H must equal W."),
        (sympy.Eq(C, 64), "C = 64", "C must equal 64."),
        (sympy.Le(k, H), "H ≥ k", "H must be at least k."),
        (H + W < 9, "H + W ≤ 8", "H + W must be at most 8."),
        (sympy.Eq(C * H, C * W), "H = W", "H must equal W."),
    ],
)
def test_conditions_in_words(condition: Any, formula: str, words: str) -> None:
    found, sentence = demanded(demand(simplified(condition)), ORDER)
    assert (found.text, str(sentence)) == (formula, words)


@together("condition", [sympy.Ge(C, 1), sympy.Ne(C, 0), C * H > 0, sympy.Ne(B * H, 0), H + 1 > H])
def test_what_sizes_always_meet_is_no_demand(condition: Any) -> None:
    assert demand(simplified(condition)) == sympy.true


@together(
    ("expression", "expected"),
    [
        (B * H**2 * W**2 + 4 * B * C * H * W, "B·H²·W² + B·C·H·W"),
        (2 * B * C * H * W + 3 * B * C, "B·C·H·W"),
        (B * FloorDiv(H, 2) * FloorDiv(W, 2), "B·H·W"),
        (FloorDiv(C, r) * C, "C²/r"),
        (B * Max(8, FloorDiv(C, r)), "B + B·C/r"),
        (sympy.Integer(5), "1"),
        (H - k + 1, "H"),
    ],
)
def test_growth(expression: Any, expected: str) -> None:
    found = growth(simplified(expression), ORDER).text
    assert sorted(found.split(" + ")) == sorted(expected.split(" + "))


def test_latex() -> None:
    def latex(expression: Any) -> str:
        return written(simplified(expression), ORDER).latex

    assert latex(FloorDiv(H, 2)) == r"\left\lfloor \frac{H}{2} \right\rfloor"
    assert latex(H * W) == r"H \cdot W"
    assert latex(H**2) == "H^{2}"
    assert (
        latex(symbol("H_t") * heads) == r"H_{t} \cdot \mathrm{heads}"
        or latex(symbol("H_t") * heads) == r"\mathrm{heads} \cdot H_{t}"
    )
    assert latex(symbol("num_codes")) == r"\mathrm{num\_codes}"


def test_what_has_no_value() -> None:
    with pytest.raises(ValueError, match="C"):
        evaluate(simplified(C * H), {"H": 2})
    with pytest.raises(ValueError, match="no value"):
        evaluate(FloorDiv(C, H), {"C": 2, "H": 0})
    with pytest.raises(ValueError, match="sin is no function of sizes"):
        simplified(sympy.sin(C))


def test_equal_sizes_look_equal() -> None:
    """Different ways to the same number end in one formula."""
    same = [FloorDiv(H - 1, 2) + 1, FloorDiv(H + 1, 2), H - FloorDiv(H, 2), CeilToInt(H / 2)]
    for one, another in itertools.pairwise(same):
        assert simplified(one) == simplified(another)

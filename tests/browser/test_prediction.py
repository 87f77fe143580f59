"""Predicted shapes: what is read as a size, and that a wrong answer gets the rule that it missed,
and nothing that is not so."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import pytest
import torch

from modules import LESSONS
from tests import models, traces
from tests.browser.test_player_modules import Modules
from tests.browser.test_player_modules import page as page
from tests.browser.test_player_modules import run as run
from tests.cells import forward_cell
from tests.effort import TIMES
from tracer import Step, Trace, trace
from tracer.ops.bound import HOWS
from tracer.ops.call import At
from tracer.ops.spec import bind
from tracer.ops.steps import call_of
from tracer.ops.table import TABLE, bound_step
from tracer.views.rules import rules

CALLS = """
n, s, row = torch.zeros(2, 6, 9, 12), torch.zeros(2, 8, 6), torch.zeros(6)
F.conv_transpose2d(n, torch.zeros(6, 4, 3, 3), stride=2, padding=1, output_padding=1)
F.conv2d(n, torch.zeros(4, 3, 3, 2), stride=2, padding=1, dilation=2, groups=2)
F.conv1d(s, torch.zeros(5, 8, 3), padding="same")
F.max_pool2d(n, 3, stride=2, padding=1, ceil_mode=True)
F.avg_pool1d(s, 2)
F.adaptive_avg_pool2d(n, (3, 5))
F.unfold(n, 3, padding=1)
F.fold(torch.zeros(2, 54, 108), (9, 12), 3, padding=1)
s.unfold(1, 3, 2)
F.pixel_shuffle(torch.zeros(2, 8, 3, 5), 2)
F.interpolate(n, scale_factor=2)
F.pad(n, (1, 2, 3, 0))
torch.cat([n, n[:, :2]], 1)
torch.stack([s, s, s], 1)
torch.hstack([row, row])
n.split(4, dim=1)
n.chunk(5, dim=3)
n.unbind(1)
n[:, 1:5, None, 2]
n[..., ::4]
s[torch.zeros(4, 3, dtype=torch.int64)]
n.narrow(3, 2, 7)
n.index_select(2, torch.zeros(4, dtype=torch.int64))
torch.gather(s, 1, torch.zeros(2, 5, 6, dtype=torch.int64))
n.select(1, 2)
F.embedding(torch.zeros(2, 7, dtype=torch.int64), torch.zeros(10, 16))
F.one_hot(torch.zeros(2, 7, dtype=torch.int64), 5)
torch.einsum("bchw,bcx->bxhw", n, torch.zeros(2, 6, 5))
torch.tensordot(s, torch.zeros(8, 6, 3), 2)
s @ torch.zeros(2, 6, 4)
torch.bmm(s, torch.zeros(2, 6, 3))
row @ torch.zeros(6, 4)
F.linear(s, torch.zeros(7, 6))
torch.outer(row, torch.zeros(4))
torch.cdist(s, torch.zeros(2, 5, 6))
n.permute(0, 2, 3, 1)
s.transpose(1, 2)
n.movedim(1, 3)
s.mT
n.view(2, 3, 2, 108)
n.reshape(2, 6, -1)
n.flatten(1, 2)
n.unflatten(1, (2, 3))
s.unsqueeze(1)
s[:, :1].squeeze(1)
torch.zeros(2, 1, 6).expand(2, 5, 6)
row.expand(4, 6)
row.repeat(3, 2)
torch.meshgrid(row, torch.zeros(4), indexing="ij")
s + torch.zeros(2, 1, 6)
n * torch.zeros(6, 1, 1)
torch.where(torch.zeros(8, 1) > 0, s, row)
n.mean((2, 3))
n.mean(1, keepdim=True)
n.sum()
s.max(dim=1)
s.argmax(2)
s.topk(3, dim=1)
torch.diag_embed(row)
n.diagonal(dim1=2, dim2=3)
F.scaled_dot_product_attention(s, torch.zeros(2, 5, 6), torch.zeros(2, 5, 3))
F.mse_loss(s, s)
F.cross_entropy(s, torch.zeros(2, 6, dtype=torch.int64), reduction="none")
F.grid_sample(n, torch.zeros(2, 4, 5, 2), align_corners=False)
F.affine_grid(torch.zeros(2, 2, 3), (2, 6, 4, 5), align_corners=False)
torch.fft.rfft(s)
torch.linalg.norm(s, dim=2)
torch.linalg.qr(s)
torch.histc(row, bins=7)
torch.searchsorted(row, torch.zeros(4))
torch.quantile(s, 0.5, dim=1)
torch.diff(s, dim=1)
nn.Linear(6, 5)(s)
nn.LSTM(6, 4, bidirectional=True, batch_first=True)(s)
nn.MultiheadAttention(6, 2, batch_first=True)(s, s, s)
nn.ConvTranspose1d(8, 3, 4, stride=3)(s)
nn.AdaptiveMaxPool1d(3)(s)
nn.Embedding(9, 4)(torch.zeros(3, 2, dtype=torch.int64))
"""


class Question(NamedTuple):
    """As `prediction.js` takes it, and the step that it asks for."""

    step: Step
    rule: Mapping[str, Any]

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        return [note.shape for note in self.step.inputs]

    @property
    def result(self) -> tuple[int, ...]:
        return self.step.outputs[0].shape

    def plain(self) -> dict[str, Any]:
        names = [f"t{number}" for number in range(len(self.shapes))]
        body = {"rule": self.rule, "shapes": self.shapes, "names": names, "result": self.result}
        return body


@cache
def runs() -> tuple[Trace, ...]:
    calls = trace(forward_cell("x", f"{CALLS}\nreturn x"), torch.zeros(1), values=False)
    own = [traces.of_model(models.BY_KEY[key]) for key in models.BY_KEY]
    return (calls, *map(traces.of_lesson, LESSONS), *own)


@cache
def questions() -> tuple[Question, ...]:
    return tuple(
        Question(step, rule)
        for each in runs()
        for step, rule in zip(each.steps, rules(each), strict=True)
        if rule is not None
    )


def family(op: str) -> str:
    entry = TABLE[op]
    made = next(each for each in (entry.words, entry.bind, entry.report) if each is not None)
    return made.__module__.rpartition(".")[2]


def wrong_answers(question: Question, draw: random.Random) -> Iterator[list[int]]:
    """As somebody would give them who has missed a rule."""
    right = list(question.result)
    sizes = [size for shape in question.shapes for size in shape] or [1]
    yield [*right, draw.choice(sizes)]
    if not right:
        return
    yield right[:-1]
    axis = draw.randrange(len(right))
    dim = question.rule["dims"][axis]
    met = [question.shapes[operand][place] for operand, place in dim.get("sources", [])]
    others = [sum(met), math.prod(met), *sizes, *met, 1, right[axis] - 1, right[axis] + 1]
    window = dim.get("window")
    if window:
        room = met[0] - window["dilation"] * (window["kernel"] - 1) - 1
        others += [room // window["stride"] + 1, room + 2 * window["padding"] + 1]
    for size in draw.sample(others, 3) + others[-2:]:
        yield [*right[:axis], max(size, 0), *right[axis + 1 :]]
    yield right[::-1]
    yield sorted(right)


def worth(formula: str) -> int:
    """`⌊(9 + 2·1 − 1·(3 − 1) − 1) / 2⌋ + 1`"""
    text = formula.replace("·", "*").replace("−", "-").replace(" ", "")
    for bracket, function in (("⌊⌋", "math.floor("), ("⌈⌉", "math.ceil(")):
        text = text.replace(bracket[0], function).replace(bracket[1], ")")
    assert re.fullmatch(r"(math\.(floor|ceil)|[\d+\-*/()])+", text), formula
    return int(eval(text, {"math": math}))


def without(question: Question, axis: int, name: str, value: int) -> int:
    """The size that torch's rule would give with a setting left out."""
    call = call_of(question.step)
    assert call is not None
    found = bind(replace(call, arguments={**call.arguments, name: value}))
    assert found is not None
    assert found.violation is None
    return int(found.results[0][axis].size)


PLACE = r"dim (\d+) of `t(\d+)`"


def is_so(question: Question, axis: int | None, answer: Sequence[int], clue: str) -> bool:
    """Whether what is said of an answer is true, by the table and by arithmetic."""
    right, op = question.result, question.rule["op"]
    if clue == "The sizes are right, their order is not.":
        return sorted(answer) == sorted(right) and list(answer) != list(right)
    held = re.fullmatch(
        rf"A shape of these sizes has (\d+) elements, `t0` has (\d+): `{op}` keeps all of them\.",
        clue,
    )
    if held:
        kept = math.prod(question.shapes[0])
        return (math.prod(answer), kept) == tuple(map(int, held.groups())) and kept == math.prod(
            right
        )
    assert axis is not None, clue
    given, dim = answer[axis], question.rule["dims"][axis]
    met = [question.shapes[operand][place] for operand, place in dim.get("sources", [])]
    if clue == "A size of 1 is stretched; it is the other that stays.":
        thin = [question.shapes[operand][place] for operand, place in dim["stretched"]]
        return given == 1 and set(thin) == {1} and right[axis] != 1
    number, _, rest = clue.partition(" ")
    assert int(number) == given, clue
    place = re.fullmatch(rf"is {PLACE}\.", rest)
    if place:
        return question.shapes[int(place[2])][int(place[1])] == given
    is_sum = re.fullmatch(
        rf"is ([\d +]+): `{op}` does not add the sizes, it multiplies them\.", rest
    )
    if is_sum:
        return worth(is_sum[1]) == given and dim["how"] == "grouped"
    is_product = re.fullmatch(
        r"is ([\d ·]+): joining adds the sizes, it does not multiply them\.", rest
    )
    if is_product:
        return worth(is_product[1]) == given and sum(met) == right[axis]
    said = {
        "counts the end with it, which is not taken.": lambda: (
            given == dim["stop"] - dim.get("start", 0) + 1
        ),
        "is what there was before; one value is left of it.": lambda: (
            given in met and right[axis] == 1
        ),
        "is what went in, before any window.": lambda: given == met[0],
        "is what there would be without the padding.": lambda: (
            given == without(question, axis, "padding", 0)
        ),
        "is what there would be with a stride of 1.": lambda: (
            given == without(question, axis, "stride", 1)
        ),
        "is what there would be without the dilation.": lambda: (
            given == without(question, axis, "dilation", 1)
        ),
        "is one too few: a window stands at the beginning too.": lambda: given + 1 == right[axis],
    }
    return said[rest]()


def test_wrong_answers_get_the_rule_that_they_missed_and_nothing_that_is_not_so(
    run: Modules,
) -> None:
    draw = random.Random(0)
    asked = [
        (question, answer)
        for question in questions()
        for answer in wrong_answers(question, draw)
        if answer != list(question.result)
    ]
    told = run(
        "prediction.js: reasons",
        "asked => asked.map(([question, answer]) => reasons(question, answer))",
        [[question.plain(), answer] for question, answer in asked],
    )
    families, hows, clues = set(), set(), 0
    for (question, answer), found in zip(asked, told, strict=True):
        bound = bound_step(question.step)
        assert bound is not None
        dims = bound.results[0]
        if len(answer) != len(dims):
            (reason,) = found
            assert (reason["axis"], reason["rule"]) == (None, "rank")
            has = f"The result has {len(dims)} dimensions, not {len(answer)}: "
            none = f"The result is a single number: it has no dimension, not {len(answer)}."
            assert reason["text"].startswith(has if dims else none), reason
        else:
            wrong = [axis for axis, dim in enumerate(dims) if dim.size != answer[axis]]
            assert [each["axis"] for each in found] == wrong
        for reason in found:
            axis = reason["axis"]
            if axis is not None:
                dim = dims[axis]
                assert reason["rule"] == dim.how
                assert reason["text"].startswith(f"Dim {axis} "), reason
                # What it comes from is where the table says that it comes from.
                named = {At(int(o), int(d)) for d, o in re.findall(PLACE, reason["text"])}
                for several, o in re.findall(r"dims ([\d, ]+) of `t(\d+)`", reason["text"]):
                    named |= {At(int(o), int(d)) for d in several.split(", ")}
                known = {*dim.sources, *dim.stretched, *([dim.replaces] if dim.replaces else [])}
                assert named <= known, reason
                assert bool(named) == bool(known), reason
                hows.add(dim.how)
            if reason["clue"]:
                clues += 1
                assert is_so(question, axis, answer, reason["clue"]), (question, answer, reason)
        families.add(family(question.rule["op"]))
    assert len(asked) >= 200 * TIMES
    assert hows == set(HOWS)
    assert clues > 200
    asked_for = {family(each) for each in TABLE if TABLE[each].bind is not None}
    assert asked_for - families <= {"ctc_loss", "margin", "memory", "create", "norm"}, asked_for


def test_a_right_answer_has_nothing_wrong_and_is_worked_out_rightly(run: Modules) -> None:
    told = run(
        "prediction.js: reasons, stepText, stepWorked, workedText",
        """asked => asked.map(question => ({
          wrong: reasons(question, question.result),
          rule: stepText(question),
          all: stepWorked(question),
          dims: question.result.map((_, axis) => workedText(question, axis)),
        }))""",
        [question.plain() for question in questions()],
    )
    equations = 0
    for question, found in zip(questions(), told, strict=True):
        assert found["wrong"] == []
        assert found["all"][: len(found["rule"])] == found["rule"]
        for axis, (size, text) in enumerate(zip(question.result, found["dims"], strict=True)):
            head, _, rest = text.removesuffix(".").partition(": ")
            assert head == f"Dim {axis}"
            left, _, right = rest.partition(" = ")
            if not right:
                assert int(left) == size
                continue
            equations += 1
            assert worth(left) == worth(right), text
            assert str(size) in re.findall(r"\d+", rest), text
    assert equations > 100


LETTERS = {"B": 2, "C": 64, "H": 100, "W": 148, "H′": 50, "d_k": 8, "高": 7}


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("14800", 14800),
        ("14,800", 14800),
        ("H*W", 14800),
        ("H·W", 14800),
        ("H × W", 14800),
        ("HW", 14800),
        ("2HW", 29600),
        ("２（Ｃ＋１）", 130),
        ("C // 3", 21),
        ("C/4", 16),
        ("C/3", None),
        ("H²", 10000),
        ("H**2", 10000),
        ("⌊(H + 2·1 − 3)/2⌋ + 1", 50),
        ("H′", 50),
        ("d_k*8", 64),
        ("高", 7),
        ("-1", None),
        ("K", None),
        ("HK", None),
        ("", None),
        ("3 +", None),
        ("(3", None),
        ("3)", None),
        ("1/0", None),
        ("9**99", None),
        ("2 3 5", None),
        ("2H 3", None),
        ("(C)(2)", 128),
        ("2..3", None),
        ("x.shape[1]", None),
    ],
)
def test_a_size_is_a_number_or_a_formula(run: Modules, text: str, size: int | None) -> None:
    code = "(text, letters) => sizeOf(text, new Map(Object.entries(letters)))"
    assert run("sizes-written.js: sizeOf", code, text, LETTERS) == size

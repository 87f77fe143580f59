"""Which cells of the operands a cell of a result depends on: what the operation table says, gone by
in the player's own module, against torch itself."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.browser.test_player_modules import Modules
from tests.browser.test_player_modules import page as page
from tests.browser.test_player_modules import run as run
from tests.cells import forward_cell
from tracer import trace
from tracer.document import Trace
from tracer.ops.cells import SCENES
from tracer.ops.table import TABLE
from tracer.views.cells import cells

CALLS = """
a + b                                              | a 2 3 4 | b 3 1
torch.where(a > 0, a, b)                           | a 2 3 | b 3
a.sub(b, alpha=2)                                  | a 2 3 | b 2 1
a.clamp(min=0.5)                                   | a 2 3
torch.sigmoid(a)                                   | a 2 3
F.prelu(a, b)                                      | a 2 3 2 | b 3
a @ b                                              | a 2 3 4 | b 4 2
a @ b                                              | a 4 | b 2 4 3
torch.bmm(a, b)                                    | a 2 3 4 | b 2 4 2
torch.mv(a, b)                                     | a 3 4 | b 4
torch.dot(a, b)                                    | a 4 | b 4
torch.addmm(c, a, b)                               | c 2 | a 3 4 | b 4 2
torch.baddbmm(c, a, b)                             | c 2 3 1 | a 2 3 4 | b 2 4 2
torch.outer(a, b)                                  | a 3 | b 2
F.linear(a, b, c)                                  | a 2 3 4 | b 2 4 | c 2
F.bilinear(a, b, c, d)                             | a 2 3 | b 2 2 | c 4 3 2 | d 4
torch.cdist(a, b)                                  | a 3 2 | b 4 2
torch.einsum("bij,bjk->bik", a, b)                 | a 2 3 4 | b 2 4 2
torch.einsum("bij->bj", a)                         | a 2 3 4
torch.einsum("ii->i", a)                           | a 3 3
torch.einsum("bi,bj,bk->ij", a, b, c)              | a 2 3 | b 2 2 | c 2 4
torch.tensordot(a, b, 1)                           | a 2 3 | b 3 4
F.conv1d(a, b, c, padding=1)                       | a 2 3 5 | b 4 3 3 | c 4
F.conv2d(a, b, stride=2, padding=1)                | a 1 2 5 6 | b 3 2 3 3
F.conv2d(a, b, dilation=2, groups=2)               | a 1 4 5 6 | b 6 2 2 2
F.conv2d(a, b, padding="same", dilation=2)         | a 1 2 5 6 | b 2 2 3 2
F.conv3d(a, b)                                     | a 1 1 3 3 4 | b 2 1 2 2 2
F.conv_transpose1d(a, b, stride=2, padding=1)      | a 1 2 4 | b 2 3 3
F.conv_transpose2d(a, b, stride=2, output_padding=1) | a 1 2 3 3 | b 2 1 2 3
F.conv_transpose1d(a, b, groups=2)                 | a 1 4 4 | b 4 1 3
F.max_pool2d(a, 3, stride=2, padding=1)            | a 1 2 5 6
F.avg_pool2d(a, 2, ceil_mode=True)                 | a 1 2 5 5
F.avg_pool1d(a, 3, stride=1, padding=1)            | a 1 2 5
F.lp_pool1d(a, 2, 2)                               | a 1 2 6
F.adaptive_avg_pool2d(a, (3, 2))                   | a 1 2 5 5
F.adaptive_avg_pool2d(a, 1)                        | a 1 2 4 4
F.adaptive_max_pool1d(a, 3)                        | a 1 2 7
a.view(3, -1)                                      | a 2 3 4
a.flatten(1)                                       | a 2 3 2
a.unsqueeze(1)                                     | a 2 3
a.squeeze(1)                                       | a 2 1 3
a.unflatten(1, (2, 2))                             | a 3 4
a.permute(2, 0, 1)                                 | a 2 3 4
a.transpose(0, 1)                                  | a 2 3
a.mT                                               | a 2 3 4
a.flip(0)                                          | a 3 2
a.roll(1, 0)                                       | a 4 2
a.rot90()                                          | a 2 3
a.diagonal()                                       | a 3 4
torch.cat([a, b], 1)                               | a 2 3 | b 2 1
torch.cat([a, a])                                  | a 2 3
torch.stack([a, b], 1)                             | a 2 3 | b 2 3
torch.hstack([a, b])                               | a 2 | b 3
torch.vstack([a, b])                               | a 2 | b 2
a.split(2, 1)                                      | a 2 5
a.chunk(2, -1)                                     | a 2 4
a.unbind(1)                                        | a 2 3
a.narrow(1, 1, 2)                                  | a 2 4
a.select(1, -1)                                    | a 2 3
a[:, 1:4:2]                                        | a 2 5
a[..., -1]                                         | a 2 3
a[1, None]                                         | a 2 3
a[[1, 0]]                                          | a 2 3
a[i]                                               | a 4 2 | i 2 3 = 4
a[:, i]                                            | a 2 4 2 | i 3 = 4
a[a[:, 0] > -9]                                    | a 3 2
F.glu(a, 1)                                        | a 2 4
F.embedding(i, a)                                  | i 2 3 = 4 | a 4 3
a.index_select(1, i)                               | a 2 4 | i 3 = 4
torch.gather(a, 1, i)                              | a 2 4 | i 2 3 = 4
a.expand(2, 3, 4)                                  | a 3 1
a.expand_as(b)                                     | a 3 1 | b 2 3 4
a.repeat(2, 1, 3)                                  | a 2 2
a.repeat_interleave(2, 1)                          | a 2 3
a.repeat_interleave(2)                             | a 2 3
torch.meshgrid(a, b, indexing="xy")                | a 2 | b 3
F.pad(a, (1, 2))                                   | a 2 3
F.pad(a, (1, 1), mode="reflect")                   | a 1 2 4
F.interpolate(a, scale_factor=2)                   | a 1 2 3 2
F.interpolate(a, size=(4, 5))                      | a 1 1 3 2
F.interpolate(a, scale_factor=2, mode="bilinear")  | a 1 1 3 2
a.mean(1)                                          | a 2 3 2
a.sum((0, 2), keepdim=True)                        | a 2 3 2
a.sum()                                            | a 2 3
a.amax(1)                                          | a 2 3
a.max(1)                                           | a 2 3
torch.max(a, b)                                    | a 2 3 | b 3
a.std(0)                                           | a 3 2
a.prod(1)                                          | a 2 3
a.norm(dim=1)                                      | a 2 3
a.softmax(1)                                       | a 2 3 2
F.log_softmax(a, -1)                               | a 2 3
F.normalize(a)                                     | a 2 3
a.cumsum(1)                                        | a 2 4
a.sort(1)                                          | a 2 4
a.topk(2, 1)                                       | a 2 4
a.tril()                                           | a 3 3
a.diff(dim=1)                                      | a 2 4
F.cosine_similarity(a, b)                          | a 2 3 | b 2 3
F.layer_norm(a, (3,), b)                           | a 2 3 | b 3
F.batch_norm(a, None, None, b, training=True)      | a 2 3 2 | b 3
F.batch_norm(a, b, c.abs(), training=False)        | a 2 3 2 | b 3 | c 3
F.group_norm(a, 2, b)                              | a 2 4 2 | b 4
F.instance_norm(a)                                 | a 2 2 3
F.grid_sample(a, b, align_corners=False)           | a 1 1 3 3 | b 1 2 2 2
F.scaled_dot_product_attention(a, b, c)            | a 1 2 3 | b 1 4 3 | c 1 4 2
F.pixel_shuffle(a, 2)                              | a 1 4 2 2
F.mse_loss(a, b)                                   | a 2 3 | b 2 3
torch.diag_embed(a)                                | a 3
torch.fft.rfft(a).abs()                            | a 4
F.unfold(a, 2)                                     | a 1 1 3 3
"""

EXACT = 0.75
"""The share of these calls of which the table knows the cells exactly."""

FOUND = """(rules, shapes, made, values) => {
  const valueOf = (operand, index) => values[operand]?.[placeOf(index, shapes[operand])] ?? null;
  const flat = (places, shape) => {
    let found = [0];
    places.forEach((each, axis) => {
      found = found.flatMap((before) => each.map((place) => before * shape[axis] + place));
    });
    return found.sort((a, b) => a - b);
  };
  const marked = (set, size) =>
    [...Array(size).keys()].filter((each) => set.has(indexOf(each, set.shape)));
  return made.map((shape, number) => {
    const rule = rules.results[number];
    const cells = [...Array(shape.reduce((all, size) => all * size, 1)).keys()];
    return cells.map((place) => {
      const found = reached(rule, shapes, indexOf(place, shape), shape, valueOf);
      const at = indexOf(place, shape);
      const one = CellSet.one(shape, at);
      return rule.reaches.map((_, operand) => {
        const reachedHere = found[operand] ? flat(found[operand], shapes[operand]) : [];
        const back = shapes[operand].reduce((all, size) => all * size, 1);
        const set = pull(rule, operand, shapes, one, valueOf);
        const pulled = marked(set, back);
        if (set.count !== pulled.length) throw new Error(`${set.count} of ${pulled.length}`);
        const pushed = [...Array(back).keys()].filter((from) => {
          const start = CellSet.one(shapes[operand], indexOf(from, shapes[operand]));
          return push(rule, operand, shapes, shape, start, valueOf).has(at);
        });
        return [reachedHere, pulled, pushed];
      });
    });
  });
}"""


def read(line: str) -> tuple[str, dict[str, Tensor]]:
    """A call, and what it is given: `a 2 3` is random, `i 2 3 = 4` whole numbers below 4."""
    expression, *given = (part.strip() for part in line.split("|"))
    torch.manual_seed(len(line))
    tensors = {}
    for each in given:
        sizes, _, below = each.partition("=")
        name, *shape = sizes.split()
        size = tuple(map(int, shape))
        tensors[name] = (
            torch.randint(int(below), size) if below else torch.randn(size, dtype=torch.float64)
        )
    return expression, tensors


def results(expression: str, tensors: dict[str, Tensor]) -> list[Tensor]:
    found = eval(expression, {"torch": torch, "F": F, "nn": nn, **tensors})
    return [found] if isinstance(found, Tensor) else list(found)


Elements = list[list[set[int]]]
"""For each result and each of its cells elements of an operand."""


def dependent(expression: str, tensors: dict[str, Tensor], name: str) -> tuple[Elements, Elements]:
    """Those that make the cell another number, and those that make it NaN by being so: what
    counts in one way or another does, even where these values hide it."""
    before = results(expression, tensors)
    finite: Elements = [[set() for _ in range(each.numel())] for each in before]
    strange: Elements = [[set() for _ in range(each.numel())] for each in before]
    tensor = tensors[name]
    for element in range(tensor.numel()):
        for value, found in ((math.nan, strange), (7.25, finite), (-9.5, finite)):
            other = tensor.clone()
            other.reshape(-1)[element] = value
            after = results(expression, {**tensors, name: other})
            for number, (one, two) in enumerate(zip(before, after, strict=True)):
                if one.shape != two.shape:
                    continue
                differs = ~torch.isclose(one, two, rtol=0, atol=0).reshape(-1)
                for place in differs.nonzero().reshape(-1).tolist():
                    found[number][place].add(element)
    return finite, strange


def recorded(expression: str, tensors: dict[str, Tensor]) -> Trace:
    module = forward_cell(" ".join(tensors), f"return {expression}")
    return trace(module, *tensors.values())


@pytest.mark.parametrize("line", CALLS.strip().splitlines())
def test_a_cell_depends_on_the_cells_that_the_table_says_and_on_no_other(
    run: Modules, line: str
) -> None:
    expression, tensors = read(line)
    run_ = recorded(expression, tensors)
    rule, step = _rule(run_), run_.steps[-1]
    if any(note.name not in tensors for note in step.inputs):
        return  # of what another step made: the last step alone is looked at
    operands = [tensors[note.name] for note in step.inputs]
    values = [each.reshape(-1).tolist() for each in operands]
    shapes, made = [list(each.shape) for each in operands], [list(n.shape) for n in step.outputs]
    names = "cells.js: reached, indexOf, placeOf; cell-sets.js: CellSet, pull, push"
    found = run(names, FOUND, rule, shapes, made, values)
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            continue
        held = [operand for operand, note in enumerate(step.inputs) if note.name == name]
        true, strange = dependent(expression, tensors, name)
        for number in range(len(made)):
            reaches = [rule["results"][number]["reaches"][operand] for operand in held]
            for place, cell in enumerate(found[number]):
                for operand in held:
                    lit, pulled, pushed = (set(each) for each in cell[operand])
                    assert lit == pulled == pushed, (line, place)
                every = {element for operand in held for element in cell[operand][0]}
                assert true[number][place] <= every, (line, name, place)
                if all(reach is None or reach["exact"] for reach in reaches):
                    assert every <= true[number][place] | strange[number][place], (line, place)
    assert rule["scene"] in SCENES


UNIONS = """(rule, shapes, shape, random, values) => {
  const valueOf = (operand, index) => values[operand]?.[placeOf(index, shapes[operand])] ?? null;
  const size = shape.reduce((all, each) => all * each, 1);
  const places = [...Array(size).keys()].filter((place) => random[place % random.length]);
  const set = places.map((place) => CellSet.one(shape, indexOf(place, shape)))
    .reduce((all, each) => all.joined(each), new CellSet(shape));
  return rule.reaches.map((_, operand) => {
    const together = pull(rule, operand, shapes, set, valueOf);
    const own = shapes[operand];
    const all = [...Array(own.reduce((a, b) => a * b, 1)).keys()].map((each) => indexOf(each, own));
    const lit = all.filter((index) => together.has(index)).length;
    const alone = places.map((place) =>
      pull(rule, operand, shapes, CellSet.one(shape, indexOf(place, shape)), valueOf));
    const either = all.filter((index) => alone.some((each) => each.has(index))).length;
    return [lit, together.count, either, together.isExact];
  });
}"""


@pytest.mark.parametrize("line", CALLS.strip().splitlines()[::3])
def test_several_cells_depend_on_what_each_of_them_depends_on(run: Modules, line: str) -> None:
    expression, tensors = read(line)
    run_ = recorded(expression, tensors)
    step = run_.steps[-1]
    if any(note.name not in tensors for note in step.inputs):
        return
    operands = [tensors[note.name] for note in step.inputs]
    values = [each.reshape(-1).tolist() for each in operands]
    shapes = [list(each.shape) for each in operands]
    names = "cells.js: indexOf, placeOf; cell-sets.js: CellSet, pull"
    rule, made = _rule(run_)["results"][0], list(step.outputs[0].shape)
    for random in ([1, 0, 0, 1, 1], [0, 1], [1, 1, 1, 0, 0, 0, 0]):
        for lit, count, either, exact in run(names, UNIONS, rule, shapes, made, random, values):
            assert lit == count
            assert lit == either if exact else lit >= either


def _rule(run_: Trace) -> dict[str, Any]:
    """That of the last step, which the steps inside it follow."""
    found = cells(run_)
    kinds: list[dict[str, Any]] = found["kinds"]
    return kinds[found["of"][list(run_.walk()).index(run_.steps[-1])]]


def test_most_of_these_are_known_exactly_and_every_scene_is_among_them() -> None:
    found = [_rule(recorded(*read(line))) for line in CALLS.strip().splitlines()]
    reaches = [each for rule in found for each in rule["results"][0]["reaches"] if each]
    assert sum(each["exact"] for each in reaches) > EXACT * len(reaches)
    assert {rule["scene"] for rule in found} == set(SCENES)
    assert {entry.scene.kind for entry in TABLE.values()} == set(SCENES)

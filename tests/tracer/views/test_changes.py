"""Explanations: true sentences for every kind of operation, and letters that follow dimensions."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from modules import LESSONS, lesson
from modules.lesson import run as run_lesson
from modules.lesson import with_formulas
from tests import models, traces
from tests.cells import forward_cell
from tests.chinese import english
from tests.effort import TIMES
from tests.together import together
from tracer import Step, TensorNote, Trace, trace
from tracer.document import Bound, Slice, TensorAt
from tracer.language import translator
from tracer.views.changes import Explanation, explain, labels
from ui import shipped


class Expression(nn.Module):
    """A forward that is one expression of its inputs `x`, `y`, `z` and the module `m`."""

    def __init__(self, text: str, module: nn.Module | None = None) -> None:
        super().__init__()
        self.text = text
        if module is not None:
            self.m = module

    def forward(self, x: Tensor, y: Tensor | None = None, z: Tensor | None = None) -> Any:
        names = {"x": x, "y": y, "z": z, "m": getattr(self, "m", None), "torch": torch, "F": F}
        return eval(self.text, names)  # the texts are those of this file


def run(text: str, *inputs: Tensor, module: nn.Module | None = None) -> Trace:
    found = trace(Expression(text, module), *inputs, values=False)
    assert found.failure is None, found.failure.message
    return found


def tensor(shape: Sequence[int] | str) -> Tensor:
    """Numbers for a shape, `5 mask` and `5 index` give True and False, and numbers from 0 to 2."""
    if isinstance(shape, str):
        *sizes, kind = shape.split()
        size = tuple(int(part) for part in sizes)
        generator = torch.Generator().manual_seed(0)
        if kind == "mask":
            return torch.rand(size, generator=generator) > 0.5
        return torch.randint(0, 3, size, generator=generator)
    return torch.arange(math.prod(shape), dtype=torch.float32).reshape(tuple(shape))


Row = tuple[Any, ...]

PLAIN: list[Row] = [
    # one value at a time
    ("x.sigmoid()", (2, 3)),
    ("torch.relu_(x + 0)", (2, 3)),
    ("F.gelu(x)", (2, 3)),
    ("x.abs().sqrt()", (2, 3)),
    ("-x", (2, 3)),
    ("x.clamp(min=0)", (2, 3)),
    ("x.clamp(max=1e-12)", (2, 3)),
    ("torch.clamp(x, -1, 2.5)", (2, 3)),
    ("x.clamp(x - 1, x + 1)", (2, 3)),
    ("F.hardtanh(x)", (2, 3)),
    ("x + y", (2, 3, 4), (2, 3, 4)),
    ("x * y", (2, 8, 4, 5), (2, 8, 1, 1)),
    ("x + y", (2, 1, 5), (3, 1)),
    ("x - y", (3,), (2, 3)),
    ("x / 0.5", (2, 3)),
    ("1 - x", (2, 3)),
    ("2 / x", (2, 3)),
    ("x ** 2", (2, 3)),
    ("torch.pow(2, x)", (2, 3)),
    ("torch.sub(1, x)", (2, 3)),
    ("x * 0.3535533905932738", (2, 3)),
    ("x // 2", (2, 3)),
    ("torch.div(x, 2, rounding_mode='floor')", (2, 3)),
    ("x > 1", (2, 3)),
    ("(x > 1) & (x < 3)", (2, 3)),
    ("~(x > 1)", (2, 3)),
    ("torch.maximum(x, y)", (2, 3), (2, 1)),
    ("x.max(y)", (2, 3), (2, 3)),
    ("x.add_(y)", (2, 3), (3,)),
    ("x.add(y, alpha=2)", (2, 3), (2, 3)),
    ("torch.where(x > 0, x, 0.0)", (2, 3)),
    ("torch.where(y, x, z)", (2, 3), "2 3 mask", (1, 3)),
    ("x.masked_fill(y, float('-inf'))", (2, 3), "2 3 mask"),
    ("x @ x.mT * x.sum()", (2, 3)),
    # reductions
    ("x.mean()", (2, 3, 4)),
    ("x.mean(1)", (2, 3, 4)),
    ("x.mean(dim=(2, 3), keepdim=True)", (2, 3, 4, 5)),
    ("x.sum((0, -1))", (2, 3, 4)),
    ("x.max(dim=1)", (2, 3)),
    ("x.max(1, keepdim=True)", (2, 3)),
    ("x.amax(-1)", (2, 3)),
    ("x.argmax(-1)", (2, 3)),
    ("x.std(dim=0)", (2, 3)),
    ("x.norm(dim=1)", (2, 3)),
    ("torch.linalg.vector_norm(x, dim=1)", (2, 3)),
    ("x.logsumexp(1)", (2, 3)),
    ("torch.all(x > 0)", (2, 3)),
    ("x.mode()", (2, 3)),
    ("torch.var_mean(x, dim=1)", (2, 3)),
    # the same elements in another shape
    ("x.view(2, -1)", (2, 1, 10, 14)),
    ("x.view(2, 8, 32)", (2, 256)),
    ("x.view(4, 4)", (4, 4)),
    ("x.reshape(6, 4)", (4, 6)),
    ("x.reshape(2, 6, 2)", (2, 3, 4)),
    ("x.reshape(8, 3)", (4, 6)),
    ("x.view(2, 3, 1, 1)", (2, 3)),
    ("x.flatten(1)", (2, 3, 4, 5)),
    ("x.unflatten(1, (2, 3))", (4, 6)),
    ("x.view_as(y)", (2, 6), (3, 4)),
    ("x.unsqueeze(-1)", (2, 3)),
    ("x.squeeze(1)", (2, 1, 3, 1)),
    ("x.squeeze()", (2, 1, 3, 1)),
    ("x.squeeze(0)", (2, 3)),
    ("x.permute(0, 2, 1)", (2, 3, 4)),
    ("x.permute((2, 0, 1))", (2, 3, 4)),
    ("x.transpose(-1, -2)", (2, 3, 4)),
    ("x.T", (2, 3)),
    ("x.mT", (2, 3, 4)),
    ("torch.movedim(x, 0, -1)", (2, 3, 4)),
    ("x.expand(2, 3, 4)", (3, 1)),
    ("x.expand_as(y)", (2, 3, 1, 1), (2, 3, 4, 5)),
    ("x.repeat(2, 1, 3)", (2, 3)),
    ("x.repeat_interleave(3, dim=1)", (2, 4)),
    ("torch.cat([x, y], dim=1)", (2, 3), (2, 5)),
    ("torch.cat((x, x), 1)", (2, 3)),
    ("torch.cat([x, y, z])", (2, 3), (4, 3), (1, 3)),
    ("torch.stack([x, y], 1)", (2, 3), (2, 3)),
    ("x.split(2, dim=1)", (3, 6)),
    ("torch.split(x, [1, 3], 1)", (2, 4)),
    ("x.chunk(3, dim=-1)", (2, 6)),
    ("x.unbind(1)", (2, 3)),
    ("torch.split(torch.cat([x, y.mT], 2), [4, 5], 2)", (2, 3, 4), (2, 5, 3)),
    # indexing
    ("x[0]", (2, 3)),
    ("x[:, 1:]", (2, 5)),
    ("x[:, ::2]", (2, 5)),
    ("x[:, None, :]", (2, 3)),
    ("x[..., 0]", (2, 3, 4)),
    ("x[0, ..., None]", (2, 3, 4)),
    ("x[y]", (4, 3), "2 5 index"),
    ("x[y]", (4, 3), "4 mask"),
    ("x[:, y]", (2, 3, 4), "3 4 mask"),
    ("x[:, [0, 2]]", (2, 3)),
    ("x[y, :, y]", (3, 4, 3), "5 index"),
    ("x[:, y, y]", (2, 3, 3), "5 index"),
    ("x[0, :, y]", (2, 3, 4), "2 index"),
    ("x.narrow(1, 1, 2)", (2, 4)),
    ("x.select(1, 0)", (2, 4)),
    ("x.index_select(1, y)", (2, 4), "3 index"),
    ("x.gather(1, y)", (2, 4), "2 3 index"),
    ("x.scatter(1, y, 1.0)", (2, 4), "2 3 index"),
    ("x.nonzero()", (2, 3)),
    ("x.masked_select(y)", (2, 3), "2 3 mask"),
    ("x.topk(2, dim=1)", (2, 5)),
    ("x.sort(1)", (2, 5)),
    ("x.cumsum(dim=1)", (2, 5)),
    ("x.triu(diagonal=1)", (4, 4)),
    ("torch.roll(x, 1, 1)", (2, 5)),
    ("x.flip(0)", (2, 5)),
    ("torch.diagonal(x)", (4, 4)),
    ("x.unfold(1, 3, 2)", (2, 9)),
    # products
    ("x @ y", (2, 5, 4), (2, 4, 3)),
    ("x @ y", (2, 3, 5, 4), (4, 6)),
    ("x @ y", (4,), (4,)),
    ("x @ x", (3, 3)),
    ("torch.bmm(x, y)", (2, 5, 4), (2, 4, 3)),
    ("torch.baddbmm(z, x, y)", (2, 5, 4), (2, 4, 3), (2, 5, 3)),
    ("torch.einsum('bqd,bkd->bqk', x, y)", (2, 5, 4), (2, 3, 4)),
    ("torch.einsum('bchw,bc->bhw', x, y)", (2, 3, 4, 5), (2, 3)),
    ("torch.einsum('...ij,...j', x, y)", (2, 3, 4), (2, 4)),
    ("torch.einsum('ii->i', x)", (3, 3)),
    ("F.linear(x, y)", (2, 5, 4), (3, 4)),
    ("F.scaled_dot_product_attention(x, y, z)", (2, 5, 4), (2, 7, 4), (2, 7, 6)),
    ("torch.outer(x, y)", (2,), (3,)),
    ("torch.cdist(x, y)", (2, 5, 4), (2, 3, 4)),
    ("torch.tensordot(x, y, dims=1)", (2, 4), (4, 3)),
    # windows
    ("F.conv2d(x, y)", (2, 3, 8, 8), (4, 3, 3, 3)),
    ("F.conv1d(x, y, padding=1)", (2, 1, 8), (1, 1, 3)),
    ("F.max_pool2d(x, 4)", (2, 3, 12, 16)),
    ("F.max_pool2d(x, 3, 2, 1)", (2, 3, 12, 12)),
    ("F.avg_pool1d(x, 2)", (2, 3, 8)),
    ("F.adaptive_avg_pool2d(x, 1)", (2, 3, 4, 5)),
    ("F.adaptive_max_pool2d(x, (2, 5))", (2, 3, 4, 5)),
    ("F.interpolate(x, scale_factor=2, mode='bilinear')", (2, 3, 4, 5)),
    ("F.pixel_shuffle(x, 2)", (2, 12, 4, 5)),
    ("F.unfold(x, 3)", (2, 3, 5, 5)),
    ("F.fold(x, (4, 4), 2)", (2, 12, 9)),
    ("F.pad(x, (1, 2))", (2, 3, 4)),
    ("F.pad(x, (1, 1, 0, 1))", (2, 3, 4)),
    ("F.grid_sample(x, y)", (2, 3, 4, 5), (2, 6, 7, 2)),
    # along a dimension
    ("torch.softmax(x, 1)", (2, 5)),
    ("F.log_softmax(x, dim=-1)", (2, 5)),
    ("F.normalize(x, dim=1)", (2, 5)),
    ("F.glu(x, dim=1)", (2, 6)),
    ("F.layer_norm(x, (4,))", (2, 3, 4)),
    ("F.group_norm(x, 3)", (2, 6, 4)),
    ("F.dropout(x, 0.5)", (2, 3)),
    ("F.dropout(x, 0.0)", (2, 3)),
    ("F.embedding(y, x)", (10, 4), "2 3 index"),
    ("F.one_hot(x, 5)", "2 3 index"),
    # new tensors and dtypes
    ("x + torch.zeros(2, 3)", (2, 3)),
    ("torch.arange(4)", (2, 3)),
    ("torch.randn(3, 4)", (2, 3)),
    ("torch.tensor([1.0, 2.0])", (2, 3)),
    ("torch.tensor(2.0)", (2, 3)),
    ("torch.zeros(())", (2, 3)),
    ("torch.rand(())", (2, 3)),
    ("torch.ones_like(x)", (2, 3)),
    ("x.half()", (2, 3)),
    ("x.to(torch.float64)", (2, 3)),
    ("x.float()", (2, 3)),
    ("x.clone().detach()", (2, 3)),
    ("F.mse_loss(x, y)", (2, 3), (2, 3)),
    # operations without a rule, and arguments that do not tell
    ("torch.linalg.inv(x + 9 * torch.eye(3))", (3, 3)),
    ("torch.fft.rfft(x)", (2, 8)),
    ("torch.unique(x)", (2, 3)),
    ("torch.bincount(x)", "5 index"),
    ("torch.meshgrid(x, y, indexing='ij')", (2,), (3,)),
]

WITH_MODULES: list[tuple[str, Callable[[], nn.Module], Any]] = [
    ("m(x)", lambda: nn.Conv2d(8, 4, 1), (2, 8, 6, 7)),
    ("m(x)", lambda: nn.Conv2d(3, 8, 3, 2, 1), (2, 3, 8, 9)),
    ("m(x)", lambda: nn.Conv2d(8, 8, 3, padding="same", groups=8), (2, 8, 6, 7)),
    ("m(x)", lambda: nn.Conv2d(8, 4, 3, groups=2, dilation=2), (2, 8, 6, 7)),
    ("m(x)", lambda: nn.ConvTranspose2d(8, 4, 2, 2), (2, 8, 3, 4)),
    ("m(x)", lambda: nn.MaxPool2d(2), (2, 8, 6, 7)),
    ("m(x)", lambda: nn.AvgPool2d(2, ceil_mode=True), (2, 8, 6, 7)),
    ("m(x)", lambda: nn.AdaptiveAvgPool2d(3), (2, 8, 6, 7)),
    ("m(x)", lambda: nn.LPPool2d(2, 3, 1), (2, 8, 6, 7)),
    ("m(x)", lambda: nn.Upsample(scale_factor=2), (2, 8, 3, 4)),
    ("m(x)", lambda: nn.ZeroPad2d(1), (2, 8, 3, 4)),
    ("m(x)", lambda: nn.ConstantPad1d(2, 0.0), (2, 8, 3)),
    ("m(x)", lambda: nn.PixelShuffle(2), (2, 8, 3, 4)),
    ("m(x)", lambda: nn.Flatten(), (2, 8, 3, 4)),
    ("m(x)", lambda: nn.Unflatten(1, (2, 4)), (2, 8, 3)),
    ("m(x)", lambda: nn.BatchNorm2d(8), (2, 8, 3, 4)),
    ("m(x)", lambda: nn.GroupNorm(2, 8), (2, 8, 3, 4)),
    ("m(x)", lambda: nn.InstanceNorm2d(8), (2, 8, 3, 4)),
    ("m(x)", lambda: nn.LayerNorm((3, 4)), (2, 8, 3, 4)),
    ("m(x)", lambda: nn.RMSNorm(4), (2, 8, 4)),
    ("m(x)", lambda: nn.Linear(8, 3), (2, 5, 8)),
    ("m(x)", lambda: nn.Linear(8, 1), (2, 8)),
    ("m(x, y)", lambda: nn.Bilinear(3, 4, 5), (2, 3), (2, 4)),
    ("m(x)", lambda: nn.PReLU(), (2, 3)),
    ("m(x)", lambda: nn.Softmax(dim=1), (2, 3)),
    ("m(x)", lambda: nn.Dropout(0.5), (2, 3)),
    ("m(x)", lambda: nn.Identity(), (2, 3)),
    ("m(x)", lambda: nn.Embedding(10, 4), "2 3 index"),
    ("m(x)", lambda: nn.LSTM(4, 5, batch_first=True), (2, 3, 4)),
    ("m(x)", lambda: nn.GRU(4, 5, num_layers=2, bidirectional=True), (3, 2, 4)),
    ("m(x, y)", lambda: nn.GRUCell(4, 5), (2, 4), (2, 5)),
    ("m(x, x, x)", lambda: nn.MultiheadAttention(8, 2, batch_first=True), (2, 3, 8)),
    ("m(x)", lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (2, 3, 8)),
    ("m(x)", lambda: nn.EmbeddingBag(10, 4), "2 3 index"),
]


ROWS = [*PLAIN, *WITH_MODULES]


@functools.cache
def example(number: int) -> tuple[str, Trace]:
    """A row with its module written out, and its run."""
    text, *shapes = ROWS[number]
    if number < len(PLAIN):
        return text, run(text, *map(tensor, shapes))
    make, *shapes = shapes
    with torch.random.fork_rng():
        module = make()
    found = run(text, *map(tensor, shapes), module=module)
    return text.replace("m(", f"{module}(".split("\n")[0]), found


def examples() -> list[tuple[str, Trace]]:
    return [example(number) for number in range(len(ROWS))]


def shown(step: Step, told: Explanation) -> str:
    def side(notes: tuple[TensorNote, ...], names: tuple[tuple[str, ...], ...]) -> str:
        return ", ".join(
            f"{'×'.join(map(str, note.shape))} ({' '.join(name)})"
            for note, name in zip(notes, names, strict=True)
        )

    lines = [
        f"    {step.op}: {side(step.inputs, told.inputs)} → {side(step.outputs, told.outputs)}"
    ]
    lines += [f"        {told.summary}.", *(f"        - {line}" for line in told.changes)]
    return "\n".join(lines)


def test_every_kind_of_operation_is_told(golden: Callable[[str, str], None]) -> None:
    text = "\n\n".join(
        "\n".join([name, *map(shown, found.steps, explain(found))]) for name, found in examples()
    )
    golden("changes.txt", text + "\n")


def test_every_kind_of_operation_is_told_in_chinese() -> None:
    for name, found in examples():
        told = explain(found, translate=translator("zh"))
        texts = [
            text for _, one in pairs(found.steps, told) for text in (one.summary, *one.changes)
        ]
        known = [text for step in found.walk() for text in (step.op, *step.arguments)]
        assert english(texts, [name, *known]) == {}, name


Made = Callable[[], tuple[Trace, dict[str, str]]]

TRACES: list[tuple[str, Made]] = [
    *((row[0], lambda n=n: (example(n)[1], {})) for n, row in enumerate(ROWS)),
    *((each.key, lambda each=each: (traces.of_lesson(each), dict(each.dims))) for each in LESSONS),
    *((each.key, lambda each=each: (traces.of_model(each), {})) for each in models.MODELS),
]
of_every_trace = together("made", [made for _, made in TRACES], ids=[name for name, _ in TRACES])


def pairs(steps: Sequence[Step], told: Sequence[Explanation]) -> Iterator[tuple[Step, Explanation]]:
    assert len(steps) == len(told)
    for step, one in zip(steps, told, strict=True):
        yield step, one
        yield from pairs(step.children, one.children)


def check(found: Trace, told: Sequence[Explanation]) -> None:
    """What must hold of every explanation, whatever the trace says."""
    sizes: dict[str, int] = {}
    products: dict[str, int] = {}
    for step, one in pairs(found.steps, told):
        for notes, names in ((step.inputs, one.inputs), (step.outputs, one.outputs)):
            assert len(notes) == len(names)
            for note, letters in zip(notes, names, strict=True):
                assert len(letters) == len(note.shape)
                for letter, size in zip(letters, note.shape, strict=True):
                    assert letter
                    assert sizes.setdefault(letter, size) == size, (step.op, letter)
                    if "·" in letter and "(" not in letter:
                        products[letter] = size
        assert one.summary
        assert "\n" not in one.summary
        for line in one.changes:
            check_line(step, line)
    for product, size in products.items():
        factors = [sizes.get(part) for part in product.split("·")]
        if None not in factors:
            assert math.prod(factors) == size  # type: ignore[arg-type]


def check_line(step: Step, line: str) -> None:
    before, after = step.inputs[0].shape if step.inputs else (), step.outputs[0].shape
    change = re.match(r"dim (\d+): (\d+) → (\d+)(?![ \d]*[×+])", line)
    if change:
        axis, old, new = map(int, change.groups())
        assert before[axis] == old
        assert new in after
        if len(before) == len(after) and not step.op.endswith("getitem__"):
            assert after[axis] == new
    gone = re.match(r"dim (\d+) \((\d+)\) removed", line)
    if gone:
        assert before[int(gone[1])] == int(gone[2])
    merged = re.search(r": ([\d, and]+) merged into (\d+)$", line)
    if merged:
        parts = [int(part) for part in re.findall(r"\d+", merged[1])]
        assert math.prod(parts) == int(merged[2])
        assert int(merged[2]) in after
    split = re.match(r"dim (\d+) split: (\d+) → ([\d× ]+)$", line)
    if split:
        parts = [int(part) for part in split[3].split(" × ")]
        assert before[int(split[1])] == int(split[2]) == math.prod(parts)


@of_every_trace
def test_letters_and_lines_fit_the_shapes(made: Made) -> None:
    found, dims = made()
    check(found, explain(found, dims))
    every = labels(found, dims)
    assert every.keys() == found.tensors().keys()
    assert all(len(every[key]) == len(note.shape) for key, note in found.tensors().items())


@of_every_trace
def test_a_saved_trace_is_told_the_same(made: Made) -> None:
    found, dims = made()
    assert explain(Trace.from_json(found.to_json()), dims) == explain(found, dims)


def letters(found: Trace, dims: dict[str, str] | None = None) -> list[str]:
    """The output letters of each step."""
    return [" ".join(one.outputs[0]) for one in explain(found, dims)]


def test_inputs_take_the_letters_they_are_given() -> None:
    found = run("x.mean(1) + y", tensor((2, 3, 4)), tensor((2, 4)))
    first, _ = explain(found, {"x": "B T C"})
    assert first.inputs == (("B", "T", "C"),)
    assert letters(found, {"x": "B T C", "y": "B C"}) == ["B C", "B C"]
    assert letters(found, {"x": "too few"}) == ["B C", "B C"]


def test_a_saved_run_keeps_the_letters_of_its_inputs() -> None:
    each = lesson("eca-sequence")
    of_lesson = run_lesson(each, {**each.settings(), "mask": "none"}, values=False)
    own = dataclasses.replace(run("x.abs()", tensor((2, 3, 4))), letters=(("x", "B T C"),))
    for found in (of_lesson, own):
        assert explain(Trace.from_json(found.to_json()))[0].inputs[0] == ("B", "T", "C")


def test_declared_letters_are_kept_apart() -> None:
    found = run("x + y", tensor((4, 4)), tensor((4, 4)))
    (step,) = explain(found, {"x": "B T", "y": "B S"})
    assert step.inputs == (("B", "T"), ("B", "S"))
    assert step.outputs == (("B", "T"),)


def test_a_coincidence_of_sizes_is_no_identity() -> None:
    square = run("x.reshape(4, 4)", tensor((2, 8)))
    assert letters(square) == ["B·h h₂"] or letters(square)[0].split()[0] != "B"
    unknown = run("torch.linalg.ldl_factor(x)[0]", torch.eye(4))
    assert not set(letters(unknown)[0].split()) & {"B", "C"}


def test_heads_come_from_the_channels_and_go_back() -> None:
    text = "x.view(2, 5, 4, 8).transpose(1, 2).transpose(1, 2).reshape(2, 5, 32)"
    assert letters(run(text, tensor((2, 5, 32)))) == ["B N h d", "B h N d", "B N h d", "B N C"]


def test_branches_of_equal_size_share_a_letter_and_matmul_contracts_it() -> None:
    found = dict(TRACES)["fbkd-student"]()
    told = explain(*found)
    by_module = {step.module: one for step, one in zip(found[0].steps, told, strict=True)}
    branches = [by_module[f"student_non_local.{name}.conv"] for name in ("g", "theta", "phi")]
    assert {one.outputs[0][:2] for one in branches} == {("B", "K")}
    product = next(
        one for step, one in zip(found[0].steps, told, strict=True) if "matmul" in step.op
    )
    assert product.inputs == (("B", "H·W", "K"), ("B", "K", "H′·W′"))
    assert product.outputs == (("B", "H·W", "H′·W′"),)
    assert product.changes == (
        "contracted over 64 (last of the first, last but one of the second)",
    )


def test_what_a_loop_makes_anew_has_one_letter_in_all_its_rounds() -> None:
    body = """
        for _ in range(3):
            grid = F.affine_grid(theta, (2, 1, 5, 7), align_corners=False)
            made = torch.linspace(0, 1, 4)
        return grid, made
    """
    told = explain(trace(forward_cell("theta", body), torch.zeros(2, 2, 3)))
    assert len({one.outputs for one in told[::2]}) == len({one.outputs for one in told[1::2]}) == 1


def test_a_size_that_only_happens_to_be_that_of_before_has_another_letter() -> None:
    body = "return F.interpolate(x[..., ::2], scale_factor=2)"
    plain = trace(forward_cell("x", body), torch.zeros(2, 3, 8))
    assert [one.outputs[0][2] for one in explain(plain, {"x": "B C T"})] == ["T′", "T"]
    told = trace(forward_cell("x", body), torch.zeros(2, 3, 8), dims={"x": "B C T"})
    *_, length = told.steps[-1].outputs[0].dims
    assert length.text == "2·⌈T/2⌉"
    assert [one.outputs[0][2] for one in explain(told, {"x": "B C T"})] == ["T′", "T″"]


def test_each_thing_is_said_once() -> None:
    def told(text: str, *shapes: Any) -> tuple[str, ...]:
        last = explain(run(text, *map(tensor, shapes)))[-1]
        return (last.summary, *last.changes)

    assert told("x.mean(1, keepdim=True)", (2, 256, 4)) == (
        "Dim 1 shrinks to 1: every 256 values averaged",
    )
    assert told("x.flatten(2)", (1, 2, 100, 148))[1:] == (
        "dims 2 and 3: 100 and 148 merged into 14800",
    )
    assert told("x.view(2, 8, 32)", (2, 256))[1:] == ("dim 1 split: 256 → 8 × 32",)
    assert told("x.view(2, 8)", (2, 8, 1, 1)) == (
        "(2, 8, 1, 1) → (2, 8): the same values in the same order",
        "dims 2 and 3 of size 1 removed",
    )
    assert told("F.pad(x, (2, 1))", (2, 8)) == (
        "(2, 8) → (2, 11): dim 1 padded with zeros",
        "dim 1: 2 before and 1 after",
    )
    assert told("x.transpose(1, 2)", (2, 3, 4)) == ("Dims 1 and 2 swapped: (2, 3, 4) → (2, 4, 3)",)
    assert told("x[:, 1:3]", (2, 4)) == ("Dim 1: 4 → 2, from 1 to 2",)
    assert told("torch.softmax(x, 1)", (2, 148)) == (
        "Shape kept: every 148 values along dim 1 turned into weights that sum to 1",
    )
    assert told("F.conv2d(x, y)", (1, 256, 2, 2), (64, 256, 1, 1)) == (
        "Channels 256 → 64: 64 filters 1×1 over all 256 channels",
    )
    assert told("F.max_pool2d(x, 4)", (1, 1, 100, 4)) == (
        "Height 100 → 25, width 4 → 1: the largest of every window of 4×4 kept",
    )
    assert told("F.max_pool2d(x, 3, 2)", (1, 1, 9, 7)) == (
        "Height 9 → 4, width 7 → 3: the largest of every window of 3×3 kept",
        "height and width: one window every 2",
    )
    assert told("torch.cat([x, y], 1)", (2, 128), (2, 128)) == (
        "Dim 1 grows to 128 + 128 = 256: 2 tensors joined end to end",
    )
    assert told("x.to(torch.float64)", (2, 3)) == ("Shape kept: dtype float32 → float64",)


def test_a_layer_that_writes_into_what_it_is_given_says_so() -> None:
    found = trace(nn.Sequential(nn.Linear(4, 3), nn.ReLU(inplace=True)), tensor((2, 4)))
    assert [step.writes for step in found.steps] == [False, True]
    assert explain(found)[1].summary == "Shape kept: negative values become 0, in place"


def test_a_failed_step_says_that_it_stopped() -> None:
    given = tensor((2, 3)), tensor((4, 5))
    found = trace(Expression("(x + 1) @ y"), *given, values=False, diagnose=False)
    assert found.failure is not None
    told = explain(found)
    assert told[-1].summary.startswith("Stopped here: RuntimeError")
    assert told[-1].inputs == (("B", "C"), ("N", "K"))


# --- letters follow the elements --------------------------------------------------------------


def divisors(number: int) -> list[int]:
    return [part for part in range(1, number + 1) if number % part == 0]


@st.composite
def rearrangements(draw: st.DrawFn) -> tuple[tuple[int, ...], list[str]]:
    """A shape and a chain of operations that move elements and change none."""
    shape = tuple(draw(st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=4)))
    now = list(shape)
    steps = []
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(
            st.sampled_from(["view", "permute", "unsqueeze", "squeeze", "expand", "cut", "pick"])
        )
        if kind == "view":
            rest, sizes = math.prod(now), []
            for _ in range(draw(st.integers(0, 3))):
                sizes.append(draw(st.sampled_from(divisors(rest))))
                rest //= sizes[-1]
            now = [*sizes, rest]
            steps.append(f".reshape({tuple(now)})")
        elif kind == "permute" and now:
            order = draw(st.permutations(range(len(now))))
            now = [now[axis] for axis in order]
            steps.append(f".permute({tuple(order)})")
        elif kind == "unsqueeze" and len(now) < 6:
            axis = draw(st.integers(0, len(now)))
            now.insert(axis, 1)
            steps.append(f".unsqueeze({axis})")
        elif kind == "squeeze":
            now = [size for size in now if size != 1]
            steps.append(".squeeze()")
        elif kind == "expand" and 1 in now:
            axis = now.index(1)
            now[axis] = draw(st.integers(2, 3))
            steps.append(f".expand({tuple(now)})")
        elif kind == "cut" and now:
            axis = draw(st.integers(0, len(now) - 1))
            stop = draw(st.integers(1, now[axis]))
            now[axis] = stop
            steps.append(f"[{':, ' * axis}:{stop}]")
        elif kind == "pick" and now:
            axis = draw(st.integers(0, len(now) - 1))
            place = draw(st.integers(0, now.pop(axis) - 1))
            steps.append(f"[{':, ' * axis}{place}]")
    return shape, steps


@settings(max_examples=150 * TIMES, deadline=None)
@given(rearrangements())
def test_letters_follow_the_elements(case: tuple[tuple[int, ...], list[str]]) -> None:
    """Every element holds its place in the input; where a letter of the input stands behind a
    dimension, the place along that dimension is the element's place along the letter's."""
    shape, steps = case
    names = "PQRS"[: len(shape)]
    text = "x" + "".join(steps) + "+ 0"
    x = tensor(shape)
    found = run(text, x)
    told = explain(found, {"x": " ".join(names)})
    check(found, told)
    result = eval(text, {"x": x}).long()
    places = torch.unravel_index(result, shape)
    size_of = dict(zip(names, shape, strict=True))
    for axis, label in enumerate(told[-1].outputs[0]):
        parts = label.split("·")
        if not all(part in size_of for part in parts):
            continue
        along = torch.arange(result.shape[axis]).reshape(
            [-1 if k == axis else 1 for k in range(result.dim())]
        )
        for part in reversed(parts):
            here = (along % size_of[part]).expand(result.shape)
            assert torch.equal(places[names.index(part)], here), (label, told[-1])
            along = along // size_of[part]


def test_letters_are_followed_through_most_rearrangements() -> None:
    """Letters that are never given would be true as well: they must come back."""
    chains = {
        "x.flatten(1).view(2, 3, 4, 5)": "P Q R S",
        "x.permute(3, 1, 0, 2).reshape(15, 2, 4).transpose(0, 2)": "R P S·Q",
        "x.view(2, 12, 5).view(6, 4, 5)": "P·Q R S",
        "x[:, None].squeeze(1)[0]": "Q R S",
    }
    for text, expected in chains.items():
        assert letters(run(text, tensor((2, 3, 4, 5))), {"x": "P Q R S"})[-1] == expected


# --- random shapes and arguments --------------------------------------------------------------

SIZES = st.integers(1, 5)


@settings(max_examples=100 * TIMES, deadline=None)
@given(
    shape=st.lists(SIZES, min_size=1, max_size=4),
    name=st.sampled_from(["mean", "sum", "amax", "nansum", "argmax", "logsumexp"]),
    keep=st.booleans(),
    data=st.data(),
)
def test_reductions_are_told_dimension_by_dimension(
    shape: list[int], name: str, keep: bool, data: st.DataObject
) -> None:
    rank = len(shape)
    many = name != "argmax"
    axes = data.draw(st.sets(st.integers(0, rank - 1), min_size=1, max_size=rank if many else 1))
    written = tuple(data.draw(st.sampled_from([axis, axis - rank])) for axis in axes)
    dim = written if many and len(written) > 1 else written[0]
    found = run(f"x.{name}(dim={dim}, keepdim={keep})", tensor(shape))
    (told,) = explain(found)
    check(found, [told])
    dims = " and ".join(", ".join(map(str, sorted(axes))).rsplit(", ", 1))
    verb = {True: "shrink to 1", False: "go away"}[keep]
    if len(axes) == 1:
        verb = {True: "shrinks to 1", False: "goes away"}[keep]
    assert told.summary.startswith(f"Dim{'s' * (len(axes) > 1)} {dims} {verb}: ")
    sizes = " × ".join(str(shape[axis]) for axis in sorted(axes))
    assert re.search(rf"every {sizes} values?\b", told.summary)
    before = told.inputs[0]
    expected = [
        ("1" if axis in axes else letter)
        for axis, letter in enumerate(before)
        if keep or axis not in axes
    ]
    assert list(told.outputs[0]) == expected


@settings(max_examples=100 * TIMES, deadline=None)
@given(shape=st.lists(SIZES, min_size=1, max_size=4), data=st.data())
def test_broadcasting_is_told_operand_by_operand(shape: list[int], data: st.DataObject) -> None:
    other = [data.draw(st.sampled_from([size, 1])) for size in shape]
    other = other[data.draw(st.integers(0, len(shape) - 1)) :]
    found = run("x * y", tensor(shape), tensor(other))
    (told,) = explain(found, {"x": " ".join("PQRS"[: len(shape)])})
    check(found, [told])
    assert told.outputs == told.inputs[:1]
    offset = len(shape) - len(other)
    stretched = [
        f"dim {axis}: 1 stretched to {size} (broadcast, second operand)"
        for axis, size in enumerate(shape)
        if axis >= offset and other[axis - offset] == 1 != size
    ]
    assert [line for line in told.changes if "stretched" in line] == stretched


@settings(max_examples=100 * TIMES, deadline=None)
@given(shape=st.lists(st.integers(0, 5), min_size=1, max_size=4), data=st.data())
def test_indexing_is_told(shape: list[int], data: st.DataObject) -> None:
    entries = []
    for size in shape[: data.draw(st.integers(0, len(shape)))]:
        kinds = [":", "None, :", f"{data.draw(st.integers(-6, 6))}:{data.draw(st.integers(-6, 6))}"]
        kinds += [f"::{data.draw(st.integers(1, 3))}"]
        if size:
            kinds += [str(data.draw(st.integers(-size, size - 1))), "[0, -1, 0]"]
        entries.append(data.draw(st.sampled_from(kinds)))
    if data.draw(st.booleans()):
        entries.append("...")
    text = f"x[{', '.join(entries) or '...'}] + 0"
    found = run(text, tensor(shape))
    told = explain(found)
    check(found, told)
    out = found.steps[0].outputs[0].shape
    # Every index is understood: the words never fall back to shapes alone.
    assert re.match(r"Shape kept|Dims? \d|[^:]*: [^:]*$", told[0].summary), (text, out)


@settings(max_examples=60 * TIMES, deadline=None)
@given(
    size=st.integers(1, 12),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    pool=st.booleans(),
)
def test_windows_are_told(
    size: int, kernel: int, stride: int, padding: int, dilation: int, pool: bool
) -> None:
    if size + 2 * padding < dilation * (kernel - 1) + 1 or (pool and padding > kernel // 2):
        return
    settings_text = f"{stride}, {padding}, {dilation}"
    text = f"F.max_pool1d(x, {kernel}, {settings_text})"
    if not pool:
        text = f"F.conv1d(x, y, None, {settings_text})"
    found = run(text, tensor((2, 3, size)), tensor((4, 3, kernel)))
    (told,) = explain(found)
    check(found, [told])
    length = found.steps[0].outputs[0].shape[2]
    assert (f"ength {size} → {length}" in told.summary) == (length != size)
    expected = []
    if length != size and pool and stride != kernel:
        expected = [f"length: one window every {stride}"]
    elif length != size and not pool and stride > 1:
        expected = [f"length: one result every {stride}"]
    elif length != size and not pool:
        expected = [line for line in told.changes if line.startswith("length: the places where")]
        assert expected
    assert list(told.changes) == expected


# --- what a file may hold ---------------------------------------------------------------------

HOSTILE = ["dim=", "dim=99", "-7", "(((", "[0", "'" * 9, "dim=[1, 1]", "\x1b[31m", "dim=None",
           "[...]", "[tensor, tensor]", "[:, ::-1]", "1" * 390, "dim=(0, True)", "=", "shape=()",
           "{1: 2}", "kernel_size=-1", "stride=0", "groups=0", "k=-1", "equation='...,...->...'",
           "'i,j->k'", "dims=(0, 0)", "[None, None]", "size=0", "step=0", "\ud800"]  # fmt: skip

HOSTILE_VALUES: list[Any] = [
    None, True, 0, -1, 1, 7, 10**400, 1.5, math.inf, math.nan, "", "ij,jk->ik", "same", "...,->",
    (), (1, 1), (0, -1), (2, None), ((1, 2), (3,)), (True,), ((((),),),), Ellipsis,
    (Ellipsis, Ellipsis), (Slice(None, None, 0),), (Slice(9, 1, -1), None), (Slice("a", (), 1.5),),
    TensorAt(None), (TensorAt(None),), TensorAt(0), (TensorAt(0),) * 3,
]  # fmt: skip


@functools.cache
def every_step() -> list[Step]:
    return [step for _, made in TRACES for step in made()[0].walk()]


@functools.cache
def every_op() -> list[str]:
    return sorted({step.op for step in every_step()})


@functools.cache
def every_text() -> list[str]:
    return sorted({text for step in every_step() for text in step.arguments})


@functools.cache
def every_pair() -> list[tuple[str, Any]]:
    return [pair for step in every_step() for pair in step.bound.items()]


def rebound(old: Bound, tensors: int, chance: random.Random) -> Bound:
    """Arguments exchanged at random; references to tensors stay inside, as in a file."""

    def inside(value: Any) -> Any:
        if isinstance(value, TensorAt):
            given = value.index is not None and value.index < tensors
            return value if given else TensorAt(None)
        return tuple(map(inside, value)) if isinstance(value, tuple) else value

    pairs = list(old.items())
    if chance.random() < 0.5:
        pairs += chance.choices(every_pair(), k=3)
    changed = {}
    for name, value in pairs:
        if chance.random() < 0.3:
            value = chance.choice(HOSTILE_VALUES)
        if chance.random() < 0.8:
            changed[name] = inside(value)
    return Bound(tuple(changed.items()))


def damaged(found: Trace, chance: random.Random) -> Trace:
    """The trace with operations, arguments and shapes exchanged at random."""
    shapes = [note.shape for note in found.tensors().values()]
    shapes += [(), (0,), (1,), (2, 0), (10**400, 3), (3, 3), (1,) * 9, (2, 3, 4, 5, 6, 7)]

    def note(old: TensorNote) -> TensorNote:
        if chance.random() < 0.8:
            return old
        return dataclasses.replace(
            old,
            shape=chance.choice(shapes),
            id=chance.choice([old.id, chance.randrange(10)]),
            dtype=chance.choice(["float32", "bool", "int64", "?", ""]),
            kind=chance.choice(["input", "parameter", "made", "?"]),
        )

    def step(old: Step) -> Step:
        notes = [*old.inputs, *old.outputs, *found.inputs]
        inputs = tuple(map(note, old.inputs))
        outputs = tuple(map(note, old.outputs))
        if notes and chance.random() < 0.2:
            inputs = tuple(note(chance.choice(notes)) for _ in range(chance.randrange(5)))
        if notes and chance.random() < 0.2:
            outputs = tuple(note(chance.choice(notes)) for _ in range(chance.randrange(4)))
        arguments = old.arguments
        if chance.random() < 0.4:
            arguments = tuple(chance.choices(every_text() + HOSTILE, k=chance.randrange(4)))
        # Without names, as in an old file, the texts are read.
        named = chance.random() < 0.6
        return dataclasses.replace(
            old,
            op=chance.choice(every_op()) if chance.random() < 0.4 else old.op,
            inputs=inputs,
            outputs=outputs,
            arguments=arguments,
            bound=rebound(old.bound, len(inputs), chance) if named else Bound(),
            children=tuple(map(step, old.children)),
        )

    return dataclasses.replace(
        found, steps=tuple(map(step, found.steps)), inputs=tuple(map(note, found.inputs))
    )


@settings(max_examples=6 * TIMES, deadline=None)
@given(st.integers(0, 2**32))
def test_nothing_that_a_trace_may_hold_makes_it_fail(seed: int) -> None:
    chance = random.Random(seed)
    for _, made in TRACES:
        found, dims = made()
        broken = damaged(found, chance)
        check(broken, explain(broken, dims))


def test_a_result_that_an_operation_cannot_give_is_only_compared() -> None:
    found = run("torch.bincount(x)", tensor("5 index"))
    (counted,) = found.steps
    scalar = dataclasses.replace(counted.outputs[0], shape=())
    broken = dataclasses.replace(counted, outputs=(scalar,))
    (told,) = explain(dataclasses.replace(found, steps=(broken,)))
    assert told.summary == "(5,) → ()"


def test_every_rule_refuses_what_it_does_not_fit() -> None:
    """Each operation's name over every other operation's tensors and arguments."""
    steps = [step for _, found in examples() for step in found.steps]
    for name, step in itertools.product(every_op(), steps[::3]):
        broken = dataclasses.replace(example(0)[1], steps=(dataclasses.replace(step, op=name),))
        check(broken, explain(broken))


@together("op", ["", ".", "torch.", "nn.", "mean", "my.mean", "torch.Conv2d", "F._"])
def test_an_unknown_operation_only_compares_shapes(op: str) -> None:
    found = run("x.view(2, 4, 2)", tensor((2, 8)))
    other = dataclasses.replace(found, steps=(dataclasses.replace(found.steps[0], op=op),))
    assert explain(other)[0].summary == "(2, 8) → (2, 4, 2)"
    assert explain(other)[0].changes == ()


def test_a_long_run_is_told_in_a_moment() -> None:
    found = run("x.view(2, 8).view(2, 2, 4).transpose(1, 2) * 2", tensor((2, 8)))
    many = dataclasses.replace(found, steps=found.steps * 1500)
    assert len(explain(many)) == len(many.steps)


# --- in formulas --------------------------------------------------------------------------------


def test_sentences_in_formulas() -> None:
    each = lesson("fbkd-student")
    chosen = each.settings()
    found = with_formulas(each, run_lesson(each, chosen, values=False), chosen)
    said = explain(found, each.dims, symbols=True)
    told = {step.expression: each for step, each in zip(found.steps, said, strict=True)}
    merged = told["s.view(B, -1)"]
    assert merged.summary.startswith("(B, 1, H, W) → (B, H·W)")
    assert "dims 2 and 3: H and W merged into H·W" in merged.changes
    assert told["torch.mean(x, dim=1)"].summary == "Dim 1 goes away: every C values averaged"
    assert told["self.g.conv(x)"].summary == (
        "Channels C → ⌊C/reduction⌋: ⌊C/reduction⌋ filters 1×1 over all C channels"
    )
    # What is said in numbers stays as it is, and the labels are the same in both.
    plain = explain(found, each.dims)
    assert plain == explain(run_lesson(each, chosen, values=False), each.dims)
    assert [one.outputs for one in plain] == [one.outputs for one in said]


@pytest.mark.parametrize("key", [each.key for each in LESSONS])
def test_a_dimension_has_one_name_whether_numbers_or_formulas_are_shown(key: str) -> None:
    found = shipped.default(key)
    assert found is not None
    symbols = {symbol.name for symbol in found.symbols}
    told = labels(found, shipped.lesson(key).dims)
    for id, note in found.tensors().items():
        for name, formula in zip(told[id], note.dims, strict=False):
            if formula.text in symbols:
                assert name == formula.text, note
            else:
                assert name not in symbols, note
    # A file that is passed on has them in its formulas.
    assert labels(found) == told


def test_an_input_of_which_one_size_is_a_number_has_the_letters_of_the_others() -> None:
    def linear(**dims: Any) -> Trace:
        return trace(nn.Linear(8, 4), torch.randn(2, 5, 8), values=False, **dims)

    found = linear(dims={"input": "B T _"})
    assert [symbol.name for symbol in found.symbols] == ["B", "T"]
    for each in (found, linear()):
        (told,) = explain(each, {"input": "B T _"})
        assert told.inputs[0] == ("B", "T", "C")
        assert told.outputs[0][:2] == ("B", "T")


def test_without_formulas_symbols_change_nothing() -> None:
    each = lesson("squeeze-excite")
    trace = run_lesson(each, each.settings(), values=False)
    assert explain(trace, each.dims, symbols=True) == explain(trace, each.dims)

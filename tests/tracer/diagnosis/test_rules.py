"""Which rule is broken: the kind, the numbers in the sentence and the marked dimensions, for each
family of operation and several shapes of the mistake."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.cells import forward_cell, run_cell
from tests.together import together
from tracer import Trace, trace
from tracer.diagnosis import rules
from tracer.diagnosis.finding import Finding
from tracer.diagnosis.rules import explain
from tracer.record.crash import Crash
from tracer.record.run import record
from tracer.strict import SWITCH


def crash(model: nn.Module, *args: Any, **kwargs: Any) -> Crash:
    """The crash of a run that must fail, without the search for fixes."""
    found = record(model, args, kwargs).crash
    assert found is not None
    return found


def marked(found: Crash, finding: Finding) -> dict[str, tuple[int, ...]]:
    """Name → marked dimensions; a tensor without a name goes by its expression."""
    assert found.trace.failure is not None
    marks: dict[str, set[int]] = {}
    for mark in finding.marks:
        operand = found.trace.failure.operands[mark.operand]
        assert operand.note.shape[mark.dim] == mark.size
        marks.setdefault(operand.note.name or operand.expression, set()).add(mark.dim)
    return {name: tuple(sorted(dims)) for name, dims in marks.items()}


def check(
    model: nn.Module,
    inputs: tuple[Any, ...],
    kind: str,
    numbers: str,
    marks: dict[str, tuple[int, ...]] | None = None,
) -> Finding:
    found = crash(model, *inputs)
    finding = explain(found)
    assert finding.kind == kind, (finding, found.error)
    for number in numbers.split("|"):
        assert number in finding.rule, finding.rule
    assert finding.rule.endswith(".")
    assert "\n" not in finding.rule
    assert 1 <= finding.reason.count(". ") + 1 <= 5
    assert "the tensor" not in finding.rule, "every operand of these has a name"
    if marks is not None:
        assert marked(found, finding) == marks
    return finding


def of(*sizes: int) -> Tensor:
    return torch.randn(*sizes)


def ints(*sizes: int, high: int = 3) -> Tensor:
    return torch.randint(0, high, sizes)


Case = tuple[str, tuple[Any, ...], str, str, dict[str, tuple[int, ...]] | None]

OPERATIONS: list[Case] = [
    # products
    ("a @ b", (of(2, 3), of(4, 5)), "matmul", "3 ≠ 4", {"a": (1,), "b": (0,)}),
    ("torch.matmul(a, b)", (of(2, 7, 3), of(2, 7, 3)), "matmul", "3 ≠ 7", {"a": (2,), "b": (1,)}),
    ("a.matmul(b)", (of(6, 3), of(4)), "matmul", "3 ≠ 4", {"a": (1,), "b": (0,)}),
    ("a @ b", (of(2, 3, 4), of(5, 4, 3)), "batch", "2 ≠ 5", {"a": (0,), "b": (0,)}),
    ("a @ b", (of(3, 4), torch.tensor(2.0)), "rank", "at least 1", {}),
    ("torch.bmm(a, b)", (of(2, 3, 4), of(3, 4, 5)), "batch", "2 ≠ 3", {"a": (0,), "b": (0,)}),
    ("torch.bmm(a, b)", (of(2, 3, 4), of(2, 3, 4)), "matmul", "4 ≠ 3", {"a": (2,), "b": (1,)}),
    ("torch.bmm(a, b)", (of(2, 3, 4), of(4, 5)), "rank", "3 dimensions|(4, 5)", {"b": (0, 1)}),
    ("torch.mm(a, b)", (of(2, 3), of(2, 3)), "matmul", "3 ≠ 2", {"a": (1,), "b": (0,)}),
    ("torch.mm(a, b)", (of(2, 3, 4), of(4, 3)), "rank", "(2, 3, 4)", {"a": (0, 1, 2)}),
    ("torch.mv(a, b)", (of(2, 3), of(2)), "matmul", "3 ≠ 2", {"a": (1,), "b": (0,)}),
    ("torch.dot(a, b)", (of(3), of(4)), "matmul", "3 ≠ 4", {"a": (0,), "b": (0,)}),
    ("torch.addmm(a, b, b)", (of(2, 2), of(2, 3)), "matmul", "3 ≠ 2", None),
    ("F.linear(a, b)", (of(2, 3), of(5, 4)), "width", "3 ≠ 4", {"a": (1,), "b": (1,)}),
    (
        "torch.einsum('bij,bjk->bik', a, b)",
        (of(2, 3, 4), of(2, 5, 6)),
        "einsum",
        "letter j|4 ≠ 5",
        {"a": (2,), "b": (1,)},
    ),
    (
        "torch.einsum('bij,bjk->bik', a, b)",
        (of(2, 3, 4), of(5, 6)),
        "einsum",
        "operand 2|(5, 6)",
        {"b": (0, 1)},
    ),
    ("torch.einsum('bij->bi', a, b)", (of(2, 3, 4), of(5)), "einsum", "1 operand|given 2", None),
    (
        "torch.einsum('...ij,jk->...ik', a, b)",
        (of(9, 3, 4), of(5, 6)),
        "einsum",
        "4 ≠ 5",
        {"a": (2,), "b": (0,)},
    ),
    ("torch.einsum('ij->ik', a) + b", (of(3, 4), of(1)), "einsum", "letter k", None),
    # broadcasting
    ("a + b", (of(2, 3, 4), of(2, 3)), "broadcast", "4 ≠ 3", {"a": (2,), "b": (1,)}),
    ("a * b", (of(2, 8, 5, 5), of(2, 8)), "broadcast", "5 ≠ 8", {"a": (3,), "b": (1,)}),
    ("a - b", (of(2, 4, 7, 7), of(2, 4, 8, 8)), "broadcast", "7 ≠ 8", {"a": (3,), "b": (3,)}),
    ("torch.div(a, b)", (of(4), of(3)), "broadcast", "4 ≠ 3", {"a": (0,), "b": (0,)}),
    ("torch.maximum(a, b)", (of(4, 2), of(4, 3)), "broadcast", "2 ≠ 3", {"a": (1,), "b": (1,)}),
    ("torch.where(a > 0, a, b)", (of(3, 4), of(3)), "broadcast", "4 ≠ 3", None),
    (
        "a.add_(b)",
        (of(2, 1, 4), of(2, 3, 4)),
        "broadcast",
        "(2, 3, 4)|(2, 1, 4)",
        {"a": (1,), "b": (1,)},
    ),
    ("a.mul_(b)", (of(4), of(2, 4)), "broadcast", "(2, 4)|(4,)", None),
    (
        "F.mse_loss(a, b)",
        (of(2, 7), of(3, 7)),
        "broadcast",
        "mse_loss|2 ≠ 3",
        {"a": (0,), "b": (0,)},
    ),
    ("a.expand(2, 3, 5)", (of(2, 3, 4), of(1)), "broadcast", "4 cannot become 5", {"a": (2,)}),
    (
        "a.expand_as(b)",
        (of(2, 3), of(2, 3, 4)),
        "broadcast",
        "3 cannot become 4",
        {"a": (1,), "b": (2,)},
    ),
    ("a.expand(4, 3)", (of(2, 4, 3), of(1)), "rank", "3|(4, 3)|2", {"a": (0,)}),
    (
        "torch.broadcast_to(a, b.shape)",
        (
            of(
                5,
            ),
            of(5, 4),
        ),
        "broadcast",
        "5 cannot become 4",
        {"a": (0,)},
    ),
    ("a.repeat(2)", (of(2, 3), of(1)), "rank", "(2,)|(2, 3)", {"a": (0,)}),
    # views
    ("a.view(-1, 400)", (of(4, 16, 7, 7), of(1)), "numel", "3136|400", {"a": (0, 1, 2, 3)}),
    ("a.reshape(4, 400)", (of(4, 16, 7, 7), of(1)), "numel", "3136 ≠ 1600", {"a": (1, 2, 3)}),
    ("torch.reshape(a, (4, 400))", (of(4, 16, 7, 7), of(1)), "numel", "3136 ≠ 1600", None),
    (
        "a.view(b.shape)",
        (
            of(4, 3),
            of(
                5,
            ),
        ),
        "numel",
        "12 ≠ 5",
        None,
    ),
    (
        "a.view_as(b)",
        (
            of(4, 3),
            of(
                5,
            ),
        ),
        "numel",
        "12 ≠ 5",
        None,
    ),
    ("a.view(-1, -1)", (of(4, 3), of(1)), "numel", "one size of -1, not 2", None),
    ("a.view(2, 5, 3, 64 // 3)", (of(2, 5, 64), of(1)), "heads", "640 ≠ 630", {"a": (2,)}),
    ("a.unflatten(1, (3, 4))", (of(2, 5), of(1)), "numel", "3·4 = 12|5", {"a": (1,)}),
    ("a.transpose(1, 2).view(2, -1)", (of(2, 5, 64), of(1)), "stride", "(320, 1, 64)", {}),
    ("a.permute(0, 2, 3, 1).view(2, -1)", (of(2, 3, 4, 4), of(1)), "stride", "strides", {}),
    # cat, stack
    (
        "torch.cat([a, b], 1)",
        (of(2, 5, 7, 7), of(2, 5, 8, 8)),
        "join",
        "7 ≠ 8|dimension 2",
        {"a": (2,), "b": (2,)},
    ),
    (
        "torch.cat((a, b), dim=-1)",
        (of(2, 5, 4), of(3, 5, 4)),
        "join",
        "2 ≠ 3",
        {"a": (0,), "b": (0,)},
    ),
    ("torch.cat([a, b], 1)", (of(2, 5, 7, 7), of(2, 5)), "rank", "4 ≠ 2", {"b": (0, 1)}),
    ("torch.cat([a, b], 2)", (of(2, 5), of(2, 5)), "axis", "dimension 2|(2, 5)", None),
    (
        "torch.stack([a, b])",
        (of(2, 5), of(2, 6)),
        "join",
        "(2, 5) ≠ (2, 6)",
        {"a": (1,), "b": (1,)},
    ),
    ("torch.stack([a, b])", (of(2, 5), of(5)), "rank", "(2, 5) ≠ (5,)", {"b": (0,)}),
    ("torch.cat([]) + a + b", (of(2), of(2)), "join", "empty", None),
    # axes
    ("a.softmax(2) + b", (of(2, 8), of(1)), "axis", "dimension 2|-2 to 1", {"a": (0, 1)}),
    ("a.mean(dim=(2, 3)) + b", (of(2, 8), of(1)), "axis", "dimension 2", {"a": (0, 1)}),
    ("a.transpose(1, 2) + b", (of(2, 8), of(1)), "axis", "dimension 2", {"a": (0, 1)}),
    ("torch.flatten(a, 2) + b", (of(2, 8), of(1)), "axis", "dimension 2", None),
    ("a.unsqueeze(4) + b", (of(2, 8), of(1)), "axis", "dimension 4|-3 to 2", None),
    (
        "a.permute(0, 2, 1) + b",
        (of(2, 8), of(1)),
        "permute",
        "2 dimensions|(0, 2, 1)|3",
        {"a": (0, 1)},
    ),
    ("a.permute(0, 0) + b", (of(2, 8), of(1)), "permute", "(0, 0)", None),
    ("a.t() + b", (of(2, 8, 3), of(1)), "rank", "(2, 8, 3)", {"a": (0, 1, 2)}),
    ("a.size(3) + b", (of(2, 8), of(1)), "axis", "(2, 8)|dimension 3", {"a": (0, 1)}),
    ("a.view(a.shape[2], -1) + b", (of(2, 8), of(1)), "axis", "(2, 8)|dimension 2", {"a": (0, 1)}),
    # indices
    ("a[:, 5] + b", (of(2, 3), of(1)), "range", "Index 5|-3 to 2", {"a": (1,)}),
    ("a[:, :, 0] + b", (of(2, 3), of(1)), "axis", "3 dimensions|(2, 3)", {"a": (0, 1)}),
    ("a[..., -1, 0] + b", (of(3), of(1)), "axis", "2 dimensions|(3,)", {"a": (0,)}),
    ("a[b]", (of(2, 3), torch.ones(3).bool()), "mask", "3 ≠ 2", {"a": (0,), "b": (0,)}),
    ("a[b]", (of(2, 3), torch.tensor([0, 7])), "range", "Index 7", {"a": (0,)}),
    ("a[b]", (of(2, 3), of(2)), "dtype", "float32", {}),
    ("a[b, torch.tensor([0, 1, 2])]", (of(9, 9), torch.tensor([1, 2])), "index", "2 ≠ 3", None),
    ("a.gather(1, b)", (of(2, 7), torch.tensor([1, 2])), "rank", "1 ≠ 2", {"b": (0,)}),
    ("a.gather(1, b)", (of(2, 7), ints(3, 1)), "index", "3 > 2", {"a": (0,), "b": (0,)}),
    ("a.gather(1, b)", (of(2, 7), torch.tensor([[1], [9]])), "range", "Index 9", {"a": (1,)}),
    ("a.gather(1, b)", (of(2, 7), of(2, 1)), "dtype", "float32", {}),
    ("a.scatter(1, b, a[:, :1])", (of(2, 7), ints(2, 2)), "index", "1 < 2", None),
    ("a.index_select(1, b)", (of(2, 7), ints(2, 2)), "rank", "1 dimension|(2, 2)", {"b": (0, 1)}),
    ("a.index_select(1, b)", (of(2, 7), torch.tensor([8])), "range", "Index 8", {"a": (1,)}),
    (
        "a.masked_fill(b == 0, 0.0)",
        (of(2, 4, 5, 5), of(2, 5)),
        "mask",
        "2 ≠ 5",
        {"a": (2,), "b == 0": (0,)},
    ),
    ("a.masked_fill(b, 0.0)", (of(2, 4), ints(2, 4)), "dtype", "bool|int64", {}),
    # splitting
    ("a.split([3, 4], 1)[0] + b", (of(2, 8), of(1)), "split", "3 + 4 = 7 ≠ 8", {"a": (1,)}),
    (
        "torch.split(a, [16, 16], dim=-1)[0] + b",
        (of(2, 48), of(1)),
        "split",
        "32 ≠ 48",
        {"a": (1,)},
    ),
    ("a.narrow(1, 0, 9) + b", (of(2, 3), of(1)), "range", "9|3", {"a": (1,)}),
    ("a.unfold(1, 9, 1) + b", (of(2, 3), of(1)), "kernel", "9 > 3", {"a": (1,)}),
    # convolutions and pooling as functions
    (
        "F.conv2d(a, b)",
        (of(2, 4, 9, 9), of(8, 3, 3, 3)),
        "channels",
        "4 ≠ 3",
        {"a": (1,), "b": (1,)},
    ),
    ("F.conv1d(a, b)", (of(2, 4, 2), of(8, 4, 3)), "kernel", "3 > 2", {"a": (2,)}),
    ("F.conv2d(a, b, groups=2)", (of(2, 5, 9, 9), of(8, 3, 3, 3)), "channels", "5 ≠ 6", None),
    ("F.max_pool2d(a, 2) + b", (of(3, 3), of(1)), "rank", "4 dimensions", {"a": (0, 1)}),
    ("F.avg_pool2d(a, 4) + b", (of(2, 3, 3, 9), of(1)), "kernel", "4 > 3", {"a": (2,)}),
    ("F.max_pool2d(a, 2, padding=2) + b", (of(2, 3, 9, 9), of(1)), "padding", "2 > 2 / 2", None),
    (
        "F.adaptive_avg_pool2d(a, 1) + b",
        (
            of(
                3,
            ),
            of(1),
        ),
        "rank",
        "4 dimensions",
        None,
    ),
    (
        "F.interpolate(a, scale_factor=2, mode='bilinear') + b",
        (of(2, 3, 4), of(1)),
        "rank",
        "4 dimensions|has 3",
        None,
    ),
    (
        "F.interpolate(a, size=b.shape)",
        (of(2, 3, 4, 4), of(2, 3, 8, 8)),
        "arguments",
        "4 ≠ 2",
        None,
    ),
    ("F.pixel_shuffle(a, 2) + b", (of(2, 3, 4, 4), of(1)), "divide", "3 % 4 = 3", {"a": (1,)}),
    ("F.pad(a, (5, 5), mode='reflect') + b", (of(2, 3, 4), of(1)), "padding", "5 ≥ 4", {"a": (2,)}),
    ("F.group_norm(a, 3) + b", (of(2, 7, 5), of(1)), "divide", "7 % 3 = 1", {"a": (1,)}),
    ("F.layer_norm(a, (8,)) + b", (of(2, 8, 5), of(1)), "features", "(8,)|(5,)", {"a": (2,)}),
    # attention
    (
        "F.scaled_dot_product_attention(a, b, b)",
        (of(2, 4, 3, 8), of(2, 4, 5, 6)),
        "matmul",
        "8 ≠ 6",
        {"a": (3,), "b": (3,)},
    ),
    (
        "F.scaled_dot_product_attention(a, b, b)",
        (of(2, 4, 3, 8), of(3, 4, 5, 8)),
        "batch",
        "2 ≠ 3",
        {"a": (0,), "b": (0,)},
    ),
    (
        "F.scaled_dot_product_attention(a, a, a, b)",
        (of(2, 4, 5, 8), torch.ones(2, 5).bool()),
        "mask",
        "(2, 4, 5, 5)|(2, 5)",
        {"b": (0,)},
    ),
    # losses
    (
        "F.cross_entropy(a, b)",
        (of(2, 5, 7), ints(2, 5)),
        "target",
        "(2, 7)|(2, 5)",
        {"a": (2,), "b": (1,)},
    ),
    ("F.cross_entropy(a, b)", (of(2, 7), ints(2, 1)), "target", "(2,)|(2, 1)", {"b": (0, 1)}),
    ("F.cross_entropy(a, b)", (of(4, 7), ints(2)), "target", "(4,)|(2,)", {"a": (0,), "b": (0,)}),
    ("F.cross_entropy(a, b)", (of(2, 7), torch.ones(2)), "dtype", "float32", {}),
    ("F.cross_entropy(a, b)", (of(2, 7), torch.tensor([7, 1])), "range", "0 to 6|7", {"a": (1,)}),
    ("F.nll_loss(a.log_softmax(1), b)", (of(2, 7), ints(2, 1)), "target", "(2,)|(2, 1)", None),
    (
        "F.binary_cross_entropy_with_logits(a, b)",
        (of(2, 1), of(2)),
        "target",
        "(2,) ≠ (2, 1)",
        {"b": (0,)},
    ),
    (
        "F.binary_cross_entropy(a.sigmoid(), b)",
        (of(2, 3), torch.ones(3, 2)),
        "target",
        "(3, 2) ≠ (2, 3)",
        {"b": (0, 1), "a.sigmoid()": (0, 1)},
    ),
    (
        "F.binary_cross_entropy(a, b)",
        (of(2, 9) * 9, torch.ones(2, 9)),
        "range",
        "between 0 and 1",
        None,
    ),
    ("F.one_hot(a, 3) + b", (torch.tensor([3]), of(1)), "range", "0 to 2|3", None),
    ("F.cross_entropy(a.argmax(1), b)", (of(4, 3), ints(4)), "dtype", "int64", {}),
    # rarer operations
    ("torch.cdist(a, b)", (of(4, 5), of(3, 7)), "width", "5 ≠ 7", {"a": (1,), "b": (1,)}),
    ("torch.outer(a, b)", (of(4, 5), of(3)), "rank", "(4, 5)", {"a": (0, 1)}),
    ("torch.tensordot(a, b, 1)", (of(4, 5), of(3, 7)), "matmul", "5 ≠ 3", {"a": (1,), "b": (0,)}),
    ("a.topk(9, 1)[0] + b", (of(4, 5), of(1)), "range", "9 > 5", {"a": (1,)}),
    ("F.prelu(a, b)", (of(4, 5), of(3)), "channels", "5 ≠ 3", {"a": (1,), "b": (0,)}),
    (
        "F.fold(a, (8, 8), 2, stride=2) + b",
        (of(2, 12, 9), of(1)),
        "split",
        "16|9 ≠ 16",
        {"a": (2,)},
    ),
    ("a.repeat_interleave(b, 0)", (of(3), torch.tensor([1, 2])), "index", "2 ≠ 3", None),
    ("F.conv2d(a, b)", (of(2, 3, 9, 9), of(8, 3)), "rank", "weight|(8, 3)", {"b": (0, 1)}),
    (
        "nn.utils.rnn.pack_padded_sequence(a, b)",
        (of(4, 7, 8), torch.tensor([7, 5, 3, 2])),
        "batch",
        "4 ≠ 7",
        {"a": (1,), "b": (0,)},
    ),
    ("nn.Dropout(a) + b", (of(3), of(3)), "type", "nn.Dropout is a class", None),
    ("a.view(3, 6 / 2) + b", (of(9), of(3)), "type", "whole number", None),
    # dtypes and devices
    ("a @ b", (of(3, 4), ints(4, 3)), "dtype", "int64|float32", {}),
    ("F.linear(a, b)", (of(3, 4).double(), of(3, 4)), "dtype", "float64|float32", {}),
    ("a.mean() + b", (ints(3), of(1)), "dtype", "mean|int64", {}),
    ("a.add_(b)", (ints(3), of(3)), "dtype", "float32|int64", {}),
    ("a + b", (of(3), of(3).to("meta")), "device", "cpu|meta", {}),
    # plain numbers, types
    ("a if a > 0 else b", (of(3), of(3)), "item", "3", None),
    ("a.item() + b", (of(3), of(3)), "item", "(3,)|3", None),
    ("F.relu((a, b))", (of(3), of(3)), "type", "tuple of 2", None),
    ("F.linear([a, b], a)", (of(3), of(3)), "type", "F.linear|list", None),
    ("(lambda pair: F.linear(pair, a))((a, b))", (of(3), of(3)), "type", "tuple of 2", None),
    ("(a, b).mean(1)", (of(3), of(3)), "type", ".mean|tuple of 2", None),
    ("F.linear({'x': a}, b)", (of(3), of(3)), "type", "F.linear|dict", None),
    ("F.linear([].sort(), a) + b", (of(3), of(3)), "type", "None", None),
]


@together(
    ("expression", "inputs", "kind", "numbers", "marks"),
    OPERATIONS,
    ids=[f"{case[2]}: {case[0]}" for case in OPERATIONS],
)
def test_operations(
    expression: str,
    inputs: tuple[Any, ...],
    kind: str,
    numbers: str,
    marks: dict[str, tuple[int, ...]] | None,
) -> None:
    check(forward_cell("a b", f"return {expression}"), inputs, kind, numbers, marks)


STATEMENTS: list[Case] = [
    (
        "z = a.clone()\nz += b\nreturn z",
        (of(2, 3), of(2, 4)),
        "broadcast",
        "3 ≠ 4",
        {"z": (1,), "b": (1,)},
    ),
    (
        "z = a.clone()\nz[:, :3] = b\nreturn z",
        (of(4, 5), of(4, 4)),
        "broadcast",
        "4 ≠ 3",
        {"b": (1,)},
    ),
    (
        "z = a.clone()\nz[0] = b\nreturn z",
        (of(4, 5), of(4, 5)),
        "broadcast",
        "(5,)|(4, 5)",
        {"b": (0,)},
    ),
    (
        "z = a.clone()\nz[a > 0] = b\nreturn z",
        (torch.ones(3), of(2)),
        "broadcast",
        "2 ≠ 3",
        {"b": (0,)},
    ),
    (
        "n, c, h, w = a.shape\nreturn a + b",
        (of(2, 8), of(1)),
        "unpack",
        "4 names|2 dimensions|(2, 8)",
        {"a": (0, 1)},
    ),
    (
        "n, c = a.size()\nreturn a + b",
        (of(2, 8, 3), of(1)),
        "unpack",
        "2 names|(2, 8, 3)",
        {"a": (0, 1, 2)},
    ),
    ("p, q = a.chunk(3, 1)\nreturn p + b", (of(2, 9), of(1)), "unpack", "2 names", None),
]


@together(("body", "inputs", "kind", "numbers", "marks"), STATEMENTS)
def test_statements(
    body: str,
    inputs: tuple[Any, ...],
    kind: str,
    numbers: str,
    marks: dict[str, tuple[int, ...]] | None,
) -> None:
    check(forward_cell("a b", body), inputs, kind, numbers, marks)


def inside(layer: nn.Module, call: str = "self.layer(x)", arguments: str = "x") -> nn.Module:
    """A module that calls `layer`, as a user's forward does."""
    model = forward_cell(arguments, f"y = {call}\nreturn y")
    model.layer = layer
    return model


W = "layer.weight"
LAYERS: list[tuple[nn.Module, tuple[Any, ...], str, str, dict[str, tuple[int, ...]] | None]] = [
    (nn.Linear(400, 10), (of(4, 784),), "width", "layer|784 ≠ 400", {"x": (1,), W: (1,)}),
    (nn.Linear(400, 10), (of(784),), "width", "784 ≠ 400", {"x": (0,), W: (1,)}),
    (nn.Linear(8, 2), (of(2, 8, 5),), "width", "5 ≠ 8", {"x": (2,), W: (1,)}),
    (nn.Bilinear(3, 4, 5), (of(2, 3),), "arguments", "given 1", None),
    (nn.Conv2d(3, 8, 3), (of(2, 4, 9, 9),), "channels", "4 ≠ 3", {"x": (1,), W: (1,)}),
    (nn.Conv2d(3, 8, 3), (of(2, 9, 9, 3),), "channels", "9 ≠ 3", {"x": (1,), W: (1,)}),
    (nn.Conv2d(3, 8, 3), (of(9, 9),), "rank", "4 dimensions|has 2", {"x": (0, 1)}),
    (nn.Conv2d(3, 8, 3), (of(2, 3, 2, 9, 9),), "rank", "has 5", None),
    (nn.Conv2d(3, 8, 5, padding=1), (of(2, 3, 2, 9),), "kernel", "5 > 2 + 2·1 = 4", {"x": (2,)}),
    (nn.Conv2d(3, 8, 3, dilation=4), (of(2, 3, 8, 9),), "kernel", "9 > 8", {"x": (2,)}),
    (nn.Conv1d(16, 8, 3), (of(2, 10, 16),), "channels", "10 ≠ 16", {"x": (1,), W: (1,)}),
    (nn.Conv1d(16, 8, 3), (of(2, 3, 16, 16),), "rank", "conv1d|has 4", None),
    (nn.Conv3d(3, 8, 3), (of(2, 3, 9, 9),), "channels", "2 ≠ 3", None),
    (nn.ConvTranspose2d(3, 8, 3), (of(2, 4, 9, 9),), "channels", "4 ≠ 3", {"x": (1,), W: (0,)}),
    (
        nn.ConvTranspose2d(3, 8, 3, 2, 1, output_padding=2),
        (of(2, 3, 9, 9),),
        "padding",
        "2 ≥ 2",
        {},
    ),
    (nn.MaxPool2d(4), (of(2, 3, 3, 9),), "kernel", "4 > 3", {"x": (2,)}),
    (nn.AvgPool1d(2), (of(2, 3, 4, 5),), "rank", "3 dimensions|has 4", None),
    (nn.BatchNorm2d(3), (of(2, 4, 5, 5),), "features", "4 ≠ 3", None),
    (nn.BatchNorm2d(3), (of(2, 3),), "rank", "BatchNorm2d|has 2", {"x": (0, 1)}),
    (nn.BatchNorm1d(8), (of(2, 5, 8),), "features", "5 ≠ 8", None),
    (nn.BatchNorm1d(3), (of(1, 3),), "single", "more than 1|(1, 3)", {"x": (0,)}),
    (nn.BatchNorm1d(3), (of(2, 3, 4, 4),), "rank", "2 or 3|has 4", None),
    (nn.InstanceNorm2d(3), (of(2, 3),), "rank", "InstanceNorm2d", None),
    (nn.LayerNorm(8), (of(2, 8, 5),), "features", "(8,)|(5,)", {"x": (2,), W: (0,)}),
    (nn.LayerNorm([3, 8]), (of(2, 3, 9),), "features", "(3, 8)|(3, 9)", {"x": (2,), W: (1,)}),
    (nn.GroupNorm(2, 8), (of(2, 7, 5),), "features", "7 ≠ 8", None),
    (nn.Embedding(10, 4), (of(2, 3),), "dtype", "int64|float32", {}),
    (nn.Embedding(10, 4), (torch.tensor([[3, 10]]),), "range", "0 to 9|10", {W: (0,)}),
    (nn.Embedding(10, 4), (torch.tensor([[3, -1]]),), "range", "-1", {}),
    (nn.LSTM(5, 4), (of(2, 3, 6),), "width", "6 ≠ 5", {"x": (2,), "layer.weight_ih_l0": (1,)}),
    (nn.GRU(5, 4), (of(2, 3, 4, 5),), "rank", "has 4", {"x": (0, 1, 2, 3)}),
    (nn.LSTMCell(5, 4), (of(2, 6),), "width", "6 ≠ 5", None),
    (nn.GRUCell(5, 4), (of(2, 3, 5),), "rank", "has 3", None),
    (nn.TransformerEncoderLayer(8, 2), (of(2, 3, 6),), "width", "6 ≠ 8", None),
    (nn.Unflatten(1, (3, 4)), (of(2, 5),), "numel", "12 ≠ 5", {"x": (1,)}),
    (nn.Linear(3, 4), (of(2, 3).double(),), "dtype", "float64|float32", {}),
    (nn.Linear(3, 4), (ints(2, 3),), "dtype", "int64|float32", {}),
    (nn.Conv2d(3, 8, 3), (torch.zeros(2, 3, 9, 9, dtype=torch.uint8),), "dtype", "uint8", {}),
]


@together(
    ("layer", "inputs", "kind", "numbers", "marks"),
    LAYERS,
    ids=[f"{type(case[0]).__name__}: {case[2]}" for case in LAYERS],
)
def test_layers(
    layer: nn.Module,
    inputs: tuple[Any, ...],
    kind: str,
    numbers: str,
    marks: dict[str, tuple[int, ...]] | None,
) -> None:
    check(inside(layer), inputs, kind, numbers, marks)


@together("kind", [nn.LSTM, nn.GRU, nn.RNN])
@together(
    ("shape", "options", "numbers"),
    [
        ((1, 3, 4), {"batch_first": True}, "(1, 2, 4)|(1, 3, 4)"),
        ((2, 4), {"batch_first": True}, "(1, 2, 4)|(2, 4)"),
        ((1, 2, 4), {"num_layers": 2, "batch_first": True}, "(2, 2, 4)|(1, 2, 4)"),
        ((1, 2, 4), {"bidirectional": True, "batch_first": True}, "(2, 2, 4)|(1, 2, 4)"),
        ((1, 2, 5), {"batch_first": True}, "(1, 2, 4)|(1, 2, 5)"),
    ],
)
def test_hidden_states(
    kind: Any, shape: tuple[int, ...], options: dict[str, Any], numbers: str
) -> None:
    state = of(*shape)
    given = (state, state) if kind is nn.LSTM else state
    model = inside(kind(5, 4, **options), "self.layer(x, h)", "x h")
    check(model, (of(2, 3, 5), given), "hidden", numbers)


def test_a_pair_where_one_state_is_meant_and_the_other_way_round() -> None:
    state = of(1, 3, 4)
    lstm = inside(nn.LSTM(5, 4), "self.layer(x, h)", "x h")
    check(lstm, (of(2, 3, 5), state), "hidden", "pair (h, c)|(1, 3, 4)")
    gru = inside(nn.GRU(5, 4), "self.layer(x, h)", "x h")
    check(gru, (of(2, 3, 5), (state, state)), "type", "one tensor|tuple of 2")


@pytest.mark.parametrize(
    ("call", "inputs", "kind", "numbers", "marks"),
    [
        (
            "self.layer(q, k, k)",
            (of(2, 3, 6), of(2, 3, 8)),
            "width",
            "6 ≠ 8",
            {"q": (2,), "layer.in_proj_weight": (1,)},
        ),
        (
            "self.layer(q, k, k)",
            (of(2, 3, 8), of(4, 3, 8)),
            "batch",
            "2 ≠ 4",
            {"q": (0,), "k": (0,)},
        ),
        (
            "self.layer(q, q, q, attn_mask=k)",
            (of(2, 3, 8), torch.ones(2, 3).bool()),
            "mask",
            "(3, 3)|(2, 3)",
            {"k": (0, 1)},
        ),
        (
            "self.layer(q, q, q, key_padding_mask=k)",
            (of(2, 3, 8), torch.ones(3, 2).bool()),
            "mask",
            "(2, 3)|(3, 2)",
            {"k": (0, 1)},
        ),
        (
            "self.layer(q, q, q)",
            (of(2, 8, 3, 3), of(1)),
            "rank",
            "3 dimensions|has 4",
            {"q": (0, 1, 2, 3)},
        ),
        ("self.layer(q, k, k)", (of(3, 8), of(2, 3, 8)), "rank", "(3, 8)|(2, 3, 8)", None),
        ("self.layer(q) + k", (of(2, 3, 8), of(1)), "arguments", "given 1", None),
    ],
)
def test_multihead_attention(
    call: str,
    inputs: tuple[Any, ...],
    kind: str,
    numbers: str,
    marks: dict[str, tuple[int, ...]] | None,
) -> None:
    model = inside(nn.MultiheadAttention(8, 2, batch_first=True), call, "q k")
    check(model, inputs, kind, numbers, marks)


class TestCalls:
    def test_too_few_inputs_for_the_model(self) -> None:
        model = forward_cell("x y", "return x + y")
        finding = check(model, (of(2),), "arguments", "Cell.forward|2 inputs (x, y)|given 1")
        assert "Missing: y" in finding.reason

    def test_the_inputs_in_one_tuple(self) -> None:
        model = forward_cell("x y", "return x + y")
        finding = check(model, ((of(2), of(2)),), "arguments", "given 1")
        assert "star" in finding.reason

    def test_a_keyword_it_does_not_have(self) -> None:
        found = crash(forward_cell("x", "return x"), of(2), mask=None)
        finding = explain(found)
        assert (finding.kind, "'mask'" in finding.rule) == ("arguments", True)

    def test_a_child_that_is_given_too_many(self) -> None:
        model = inside(forward_cell("v", "return v"), "self.layer(x, x)")
        finding = check(model, (of(2),), "arguments", "layer.forward|1 input (v)|given 2")
        assert "1 too many" in finding.reason

    def test_the_tuple_of_a_recurrent_layer(self) -> None:
        model = forward_cell("x", "h = self.gru(x)\nreturn self.fc(h)")
        model.gru, model.fc = nn.GRU(5, 4), nn.Linear(4, 2)
        finding = check(model, (of(2, 3, 5),), "type", "fc|tuple of 2|(2, 3, 4)")
        assert finding.facts["parts"] == ((2, 3, 4), (1, 3, 4))

    def test_a_forward_without_a_return(self) -> None:
        model = forward_cell("x", "h = self.block(x)\nreturn self.fc(h)")
        model.block, model.fc = forward_cell("v", "w = v + 1"), nn.Linear(4, 2)
        finding = check(model, (of(2, 4),), "type", "None")
        assert "return" in finding.reason

    def test_a_name_that_was_never_set(self) -> None:
        model = forward_cell("x", "return self.head1(x)")
        model.head = nn.Linear(2, 2)
        finding = check(model, (of(2),), "attribute", "Cell|head1")
        assert finding.facts["near"] == "head"

    def test_a_list_of_modules_that_is_called(self) -> None:
        model = inside(nn.ModuleList([nn.Linear(2, 2)]))
        check(model, (of(2),), "attribute", "ModuleList has no forward")


class TestTheRulesThemselves:
    def test_an_unknown_error_speaks_for_itself(self) -> None:
        finding = explain(crash(forward_cell("x", "raise RuntimeError('mine: 3 ≠ 4')"), of(2)))
        assert (finding.kind, "mine: 3 ≠ 4" in finding.rule) == ("other", True)
        assert "exception's own words" in finding.reason

    def test_a_rule_that_stumbles_leaves_the_others(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def stumbles(case: Any) -> Finding | None:
            asked.append(case)
            raise ZeroDivisionError

        asked: list[Any] = []
        monkeypatch.delenv(SWITCH)
        monkeypatch.setattr(rules, "LAST", [stumbles, *rules.LAST])
        finding = explain(crash(forward_cell("a", "return a.undefined"), of(2, 3)))
        assert (finding.kind, len(asked)) == ("attribute", 1)

    def test_one_tensor_on_both_sides_is_two_operands(self) -> None:
        found = crash(forward_cell("a", "return a @ a"), of(2, 3))
        marks = explain(found).marks
        assert [(m.operand, m.dim, m.size, m.wanted) for m in marks] == [(0, 1, 3, 2), (1, 0, 2, 3)]

    def test_the_failure_carries_rule_reason_and_marks_through_a_file(self) -> None:
        found = trace(forward_cell("a b", "return a @ b"), of(2, 3), of(4, 5))
        failure = found.failure
        assert failure is not None
        assert failure.rule == (
            "matmul needs the last size of the first to equal the last but one of the second: "
            "3 ≠ 4."
        )
        assert [operand.marks for operand in failure.operands] == [(1,), (0,)]
        assert Trace.from_json(found.to_json()) == found

    def test_without_a_diagnosis(self) -> None:
        failure = trace(forward_cell("a", "return a @ a"), of(2, 3), diagnose=False).failure
        assert failure is not None
        assert (failure.rule, failure.reason, failure.root, failure.fixes) == ("", "", None, ())

    def test_the_random_state_is_as_after_a_run_that_fails_by_itself(self) -> None:
        model = nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 2))
        torch.default_generator.manual_seed(3)
        trace(model, of(2, 4), diagnose=False)
        plain = torch.get_rng_state()
        torch.default_generator.manual_seed(3)
        trace(model, of(2, 4))
        assert torch.equal(torch.get_rng_state(), plain)

    def test_shapes_alone(self) -> None:
        model = inside(nn.Linear(400, 10))
        failure = trace(model, of(4, 784), device="meta", values=False).failure
        assert failure is not None
        assert "784 ≠ 400" in failure.rule


class TestWhatTheRecorderHandsOver:
    def test_the_deepest_module_and_who_was_running(self) -> None:
        cell = run_cell(
            """
            class Channel(nn.Module):
                def __init__(self, c, r):
                    super().__init__()
                    self.mlp = nn.Sequential(nn.Linear(c // r, c), nn.ReLU())

                def forward(self, x):
                    pooled = x.mean((2, 3))
                    return self.mlp(pooled)

            class Block(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.conv = nn.Conv2d(3, 8, 1)
                    self.channel = Channel(8, 4)

                def forward(self, x):
                    return self.channel(self.conv(x))

            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.layer1 = nn.Sequential(Block())

                def forward(self, x):
                    return self.layer1(x)
            """
        )
        found = crash(cell["Net"](), of(2, 3, 4, 4))
        failure = found.trace.failure
        assert failure is not None
        assert failure.module == "layer1.0.channel.mlp.0"
        assert failure.expression == "self.mlp(pooled)"
        assert failure.function == "Channel.forward"
        assert [each.path for each in found.running] == [
            "",
            "layer1",
            "layer1.0",
            "layer1.0.channel",
            "layer1.0.channel.mlp",
            "layer1.0.channel.mlp.0",
        ]
        assert found.op == "linear"
        assert found.call_args[0].shape == (2, 8)
        assert [frame.module for frame in found.frames] == ["", "layer1.0", "layer1.0.channel"]
        assert found.frames[-1].scope["pooled"].shape == (2, 8)
        names = [operand.note.name for operand in failure.operands]
        assert names == ["pooled", f"{failure.module}.weight", f"{failure.module}.bias"]
        assert [tuple(t.shape) for t in found.operands] == [o.note.shape for o in failure.operands]

    def test_weights_are_named_also_when_they_were_not_reached(self) -> None:
        failure = crash(inside(nn.LSTM(5, 4)), of(2, 3, 6)).trace.failure
        assert failure is not None
        assert [operand.note.name for operand in failure.operands] == [
            "x",
            "layer.weight_ih_l0",
            "layer.weight_hh_l0",
        ]

    @together(
        ("expression", "op"),
        [
            ("a + b", "add"),
            ("a.add_(b)", "add"),
            ("torch.add(a, b)", "add"),
            ("a / b", "div"),
            ("a[b > 0]", "getitem"),
            ("a @ b", "matmul"),
            ("a & b", "and"),
            ("F.conv2d(a, b)", "conv2d"),
        ],
    )
    def test_the_short_name_of_an_operation(self, expression: str, op: str) -> None:
        found = crash(forward_cell("a b", f"return {expression}"), of(2, 3), of(4, 5))
        assert found.op == op

    def test_operands_in_the_order_of_the_text(self) -> None:
        model = forward_cell("b a", "assert a.shape == b.shape, (a.shape, b.shape)")
        for _ in range(3):
            failure = crash(model, of(2), of(3)).trace.failure
            assert failure is not None
            assert [operand.note.name for operand in failure.operands] == ["a", "b"]

    def test_a_call_that_never_got_into_the_forward(self) -> None:
        model = forward_cell("x y", "return x + y")
        failure = crash(model, of(2)).trace.failure
        assert failure is not None
        assert failure.expression == "def forward(self, x, y):"
        assert failure.line == 2

    def test_a_property_and_a_comprehension_and_a_lambda(self) -> None:
        cell = run_cell(
            """
            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.heads = nn.ModuleList([nn.Linear(8, 4), nn.Linear(7, 4)])
                    self.fold = lambda t: t.view(3, -1)
                    self.way = 0

                @property
                def kernel(self):
                    return self.heads[0].weight @ self.heads[0].weight

                def forward(self, x):
                    if self.way == 0:
                        return [head(x) for head in self.heads]
                    return x @ self.kernel if self.way == 1 else self.fold(x)
            """
        )
        model = cell["Net"]()
        seen = []
        for way in range(3):
            model.way = way
            failure = crash(model, of(2, 8)).trace.failure
            assert failure is not None
            seen.append((failure.expression, failure.module))
        assert seen == [
            ("head(x)", "heads.1"),
            ("self.heads[0].weight @ self.heads[0].weight", ""),
            ("t.view(3, -1)", ""),
        ]

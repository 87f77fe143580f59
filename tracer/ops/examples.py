"""One call of each operation that the lessons use, written in one line over small tensors, and what
goes wrong with it: sizes and arguments that the table refuses."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tracer.ops.call import Call
from tracer.ops.refusal import Refusal, Said
from tracer.ops.table import TABLE, bind, report_on


@dataclass(frozen=True)
class Small:
    """A tensor of an example: a letter or nothing for each dimension, the sizes, and the numbers
    that it is filled with, over and over again; without any it counts from 0."""

    name: str
    letters: tuple[str, ...]
    shape: tuple[int, ...]
    numbers: tuple[float, ...] = ()
    dtype: str = "float32"


@dataclass(frozen=True)
class Example:
    """`line` is a call in Python that names its tensors, with a gap for each of its `arguments`,
    which have torch's own names; these are literals."""

    op: str
    line: str
    tensors: tuple[Small, ...]
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def written(self, arguments: Mapping[str, Any] | None = None) -> str:
        """The line with these arguments, its own without any."""
        values = {**self.arguments, **(arguments or {})}
        return self.line.format(**{name: repr(value) for name, value in values.items()})


EXAMPLES: dict[str, Example] = {}
"""By operation, in the order of the table."""

_SMALL = re.compile(r"(?P<sizes>[^:|]*)(:(?P<dtype>\w+)\s*)?(\|(?P<numbers>.*))?", re.DOTALL)
_GAP = re.compile(r"{(\w+)}")


def _example(op: str, line: str, /, **named: str) -> None:
    """`_example("matmul", "torch.matmul(a, b)", a="M=3 K=4", b="K=4 N=5")`: of each tensor its
    dimensions, behind `:` its type and behind `|` its numbers; of each gap its argument."""
    gaps = _GAP.findall(line)
    arguments = {name: ast.literal_eval(named[name]) for name in gaps}
    tensors = tuple(_small(name, text) for name, text in named.items() if name not in gaps)
    assert op in TABLE, f"{op} has no entry"
    assert op not in EXAMPLES, f"{op} has an example already"
    EXAMPLES[op] = Example(op, line, tensors, arguments)


def _small(name: str, text: str) -> Small:
    found = _SMALL.fullmatch(text)
    assert found is not None, text
    halves = [word.rpartition("=") for word in found["sizes"].split()]
    return Small(
        name,
        tuple(letter for letter, _, _ in halves),
        tuple(int(size) for _, _, size in halves),
        tuple(map(float, (found["numbers"] or "").split())),
        (found["dtype"] or "float32").strip(),
    )


_SIGNED = "N=2 C=5 | -2 -1 0 1 2 3"
_MAP = "B=1 C=2 H=4 W=6"

_example("add", "x + y", x="C=2 H=3 W=4", y="C=2 H=3 W=4 | 10")
_example("sub", "x - y", x="N=3 C=4", y="C=4 | 1 2 3 4")
_example("mul", "x * gate", x="C=2 H=3 W=4", gate="C=2 1 1 | 0.5 2")
_example("div", "x / y", x="N=3 C=4", y="N=3 1 | 1 2 4")
_example("pow", "torch.pow(x, {exponent})", x="N=2 C=4 | -1 0 1 2 3", exponent="2")
_example("lt", "x < y", x="N=2 C=4", y="C=4 | 2 3")
_example(
    "where",
    "torch.where(mask, x, y)",
    mask="N=2 C=4 :bool | 1 0 0",
    x="N=2 C=4",
    y="N=2 C=4 | -1",
)
_example("abs", "torch.abs(x)", x=_SIGNED)
_example("relu", "F.relu(x)", x=_SIGNED)
_example("relu6", "F.relu6(x)", x="N=2 C=5 | -2 0 2 4 6 8")
_example("gelu", "F.gelu(x)", x=_SIGNED)
_example("silu", "F.silu(x)", x=_SIGNED)
_example("sigmoid", "torch.sigmoid(x)", x=_SIGNED)
_example("tanh", "torch.tanh(x)", x=_SIGNED)
_example("dropout", "F.dropout(x, p={p})", x="N=2 C=6 | 1", p="0.5")
_example("to", "x.to(torch.int64)", x="N=2 C=4 | 0.4 1.6 -0.5")
_example("detach", "x.detach()", x="N=2 C=4")
_example("contiguous", "x.contiguous()", x="N=2 C=4")

_example("matmul", "torch.matmul(a, b)", a="B=2 M=3 K=4", b="B=2 K=4 N=5")
_example("linear", "F.linear(x, weight, bias)", x="N=2 I=4", weight="O=3 I=4", bias="O=3 | 1")
_example("dist", "torch.dist(x, y)", x="N=2 C=3", y="N=2 C=3 | 1")

_example(
    "conv1d",
    "F.conv1d(x, weight, stride={stride}, padding={padding})",
    x="B=1 C=2 L=7",
    weight="O=2 C=2 k=3 | 1",
    stride="1",
    padding="1",
)
_example(
    "conv2d",
    "F.conv2d(x, weight, stride={stride}, padding={padding})",
    x="B=1 C=2 H=5 W=6",
    weight="O=2 C=2 kh=3 kw=3 | 1",
    stride="1",
    padding="0",
)
_example(
    "conv3d",
    "F.conv3d(x, weight, stride={stride}, padding={padding})",
    x="B=1 C=1 T=3 H=4 W=4",
    weight="O=1 C=1 kt=2 kh=2 kw=2 | 1",
    stride="1",
    padding="0",
)
_example("avg_pool2d", "F.avg_pool2d(x, {kernel_size})", x=_MAP, kernel_size="2")
_example(
    "max_pool2d",
    "F.max_pool2d(x, {kernel_size}, stride={stride}, padding={padding})",
    x=_MAP,
    kernel_size="2",
    stride="2",
    padding="0",
)
_example("max_pool3d", "F.max_pool3d(x, {kernel_size})", x="B=1 C=1 T=2 H=4 W=4", kernel_size="2")
_example(
    "adaptive_avg_pool2d",
    "F.adaptive_avg_pool2d(x, {output_size})",
    x=_MAP,
    output_size="(2, 3)",
)
_example(
    "adaptive_max_pool2d",
    "F.adaptive_max_pool2d(x, {output_size})",
    x=_MAP,
    output_size="(2, 3)",
)

_example("view", "x.view({size})", x="B=2 H=3 W=4", size="(2, 12)")
_example("reshape", "x.reshape({shape})", x="B=2 H=3 W=4", shape="(6, 4)")
_example("permute", "x.permute({dims})", x="B=2 C=3 N=4", dims="(0, 2, 1)")
_example("transpose", "x.transpose({dim0}, {dim1})", x="N=3 C=4", dim0="0", dim1="1")
_example("squeeze", "x.squeeze({dim})", x="N=3 C=4 1", dim="-1")
_example("unsqueeze", "x.unsqueeze({dim})", x="N=3 C=4", dim="1")

_example("sum", "torch.sum(x, dim={dim})", x="N=3 C=4", dim="1")
_example(
    "mean",
    "torch.mean(x, dim={dim}, keepdim={keepdim})",
    x="C=2 H=3 W=4",
    dim="(1, 2)",
    keepdim="True",
)
_example("amax", "torch.amax(x, dim={dim})", x="N=3 C=4 | 3 1 4 1 5 9 2 6", dim="1")
_example("any", "torch.any(x, dim={dim})", x="N=3 C=4 :bool | 0 0 1 0 0", dim="1")

_example("expand", "x.expand({size})", x="N=3 1", size="(3, 4)")
_example("expand_as", "gate.expand_as(x)", gate="C=2 1 1", x="C=2 H=3 W=4")
_example("pad", "F.pad(x, {pad})", x="N=2 C=4 | 1 2 3 4", pad="(1, 2)")
_example(
    "interpolate",
    'F.interpolate(x, size={size}, mode="bilinear", align_corners=True)',
    x="B=1 C=1 H=2 W=3",
    size="(4, 5)",
)

_example("cat", "torch.cat([x, y], dim={dim})", x="N=2 C=3", y="N=2 D=2 | -1", dim="1")
_example("stack", "torch.stack([x, y], dim={dim})", x="N=2 C=3", y="N=2 C=3 | -1", dim="0")
_example(
    "split", "torch.split(x, {split_size}, dim={dim})", x="N=2 C=5", split_size="(2, 3)", dim="1"
)

_example("softmax", "torch.softmax(x, dim={dim})", x="N=2 K=4", dim="1")
_example(
    "batch_norm",
    "F.batch_norm(x, mean, var)",
    x="B=2 C=3 H=2 W=2",
    mean="C=3 | 4 8 12",
    var="C=3 | 4",
)
_example("group_norm", "F.group_norm(x, {num_groups})", x="B=1 C=4 H=2 W=2", num_groups="2")

_example("getitem", "x[:, None, 1:3]", x="N=3 C=5")
_example("diagonal", "torch.diagonal(x)", x="M=3 N=4")
_example(
    "affine_grid",
    "F.affine_grid(theta, {size}, align_corners=False)",
    theta="B=1 2 3 | 1 0 0 0 1 0",
    size="(1, 1, 3, 4)",
)
_example(
    "grid_sample",
    "F.grid_sample(x, grid, align_corners=False)",
    x="B=1 C=1 H=3 W=4",
    grid="B=1 h=2 w=2 2 | -0.5 -0.5 0.5 -0.5",
)


# --- what goes wrong -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Mistake:
    """A change of one thing that the table refuses: the other `shapes` of tensors, or the other
    `arguments`, by name; `code` is that of the broken rule, which `rule` says with its numbers."""

    code: str
    rule: Said
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)


def mistakes(example: Example, call: Call) -> list[Mistake]:
    """One for each rule that a small change of `call` breaks: a size larger by one, a dimension
    less, a number of an argument larger or smaller.

    Args:
        call: the example's, as it was recorded; its operands have the names of the tensors.
    """
    found: dict[str, Mistake] = {}
    plain = replace(call, results=())
    for tried, shapes, arguments in _changes(example, plain):
        bound = bind(tried)
        if bound is None or bound.violation is None:
            continue
        refusal = Refusal(tried, bound.violation, tried.op, written=tried.op)
        code = f"SW-{bound.violation.kind}"
        found.setdefault(code, Mistake(code, report_on(refusal).rule, shapes, arguments))
    return list(found.values())


def _changes(
    example: Example, call: Call
) -> Iterator[tuple[Call, dict[str, tuple[int, ...]], dict[str, Any]]]:
    for number, operand in enumerate(call.operands):
        for shape in _other_shapes(operand.shape):
            operands = list(call.operands)
            operands[number] = replace(operand, shape=shape, strides=None)
            yield replace(call, operands=tuple(operands)), {str(operand.name): shape}, {}
    for name, value in example.arguments.items():
        for other in _other_values(value):
            arguments = {**call.arguments, name: other}
            yield replace(call, arguments=arguments), {}, {name: other}


def _other_shapes(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    for dim in reversed(range(len(shape))):
        yield (*shape[:dim], shape[dim] + 1, *shape[dim + 1 :])
    if shape:
        yield shape[1:]


def _other_values(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple):
        for place in reversed(range(len(value))):
            for other in _other_values(value[place]):
                yield (*value[:place], other, *value[place + 1 :])
        yield value[1:]
    elif isinstance(value, int) and not isinstance(value, bool):
        yield from (value + 1, value + 4, value - 1)

"""Every kind of operation is recorded once, with its name, source, operands and results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.cells import forward_cell, named, shapes
from tests.together import together
from tracer import Step, trace

Shapes = dict[str, tuple[int, ...]]


def operands() -> dict[str, Tensor]:
    """What the statements below use, by name."""
    torch.default_generator.manual_seed(0)
    return {
        "x": torch.randn(2, 3),
        "y": torch.randn(2, 3),
        "w": torch.randn(3, 4),
        "b": torch.randn(4, 2, 3),
        "p": torch.rand(2, 3) + 0.5,
        "image": torch.randn(2, 3, 8, 8),
        "kernel": torch.randn(5, 3, 3, 3),
        "v": torch.randn(4, 3),
        "i": torch.tensor([1, 0, 1]),
        "j": torch.tensor([[0, 1, 2], [2, 1, 0]]),
        "n": torch.tensor([[1, 2, 3], [4, 5, 6]]),
        "m": torch.tensor([[True, False, True], [False, True, True]]),
        "c": torch.randn(2, 3, dtype=torch.complex64),
        "h": torch.randn(2, 3, dtype=torch.bfloat16),
        "s": torch.tensor(2.5),
        "e": torch.zeros(0, 3),
    }


@dataclass(frozen=True)
class Case:
    """One statement that is one step."""

    statement: str
    op: str | tuple[str, ...]
    expression: str
    inputs: tuple[str, ...]
    outputs: tuple[tuple[int, ...], ...]
    targets: tuple[str, ...] = ("z",)
    arguments: tuple[str, ...] | None = None
    dtype: str | None = None
    writes: bool = False

    def __str__(self) -> str:
        return self.statement


def one(
    statement: str,
    op: str | tuple[str, ...],
    inputs: str,
    *outputs: tuple[int, ...],
    **more: Any,
) -> Case:
    """`z = EXPRESSION`, the commonest statement."""
    if "expression" not in more:
        more["expression"] = statement.removeprefix("z = ")
    return Case(statement, op, inputs=tuple(inputs.split()), outputs=outputs, **more)


def check(case: Case, step: Step) -> None:
    given = operands()
    ops = (case.op,) if isinstance(case.op, str) else case.op
    assert step.op in ops
    assert step.expression == case.expression
    assert step.statement == case.statement
    assert step.targets == case.targets
    assert (step.line, step.function, step.module) == (3, "Cell.forward", "")
    assert named(step.inputs) == {name: tuple(given[name].shape) for name in case.inputs}
    assert shapes(step.outputs) == list(case.outputs)
    assert step.writes == case.writes
    assert step.error is None
    assert step.seconds >= 0
    if case.arguments is not None:
        assert step.arguments == case.arguments
    if case.dtype is not None:
        assert [note.dtype for note in step.outputs] == [case.dtype] * len(case.outputs)
    assert step.place.span is not None
    start = 8 + case.statement.index(case.expression)
    assert (step.place.span.line, step.place.span.column) == (3, start)


OPERATORS = [
    one("z = x + y", "Tensor.add", "x y", (2, 3)),
    one("z = x - y", "Tensor.sub", "x y", (2, 3)),
    one("z = x * y", "Tensor.mul", "x y", (2, 3)),
    one("z = x / y", "Tensor.div", "x y", (2, 3)),
    one("z = x // y", "Tensor.__floordiv__", "x y", (2, 3)),
    one("z = x % y", "Tensor.remainder", "x y", (2, 3)),
    one("z = p ** y", "Tensor.__pow__", "p y", (2, 3)),
    one("z = x @ w", "Tensor.matmul", "x w", (2, 4)),
    one("z = -x", "Tensor.neg", "x", (2, 3)),
    one("z = abs(x)", "Tensor.abs", "x", (2, 3)),
    one("z = ~m", "Tensor.__invert__", "m", (2, 3), dtype="bool"),
    one("z = m & True", "Tensor.__and__", "m", (2, 3), dtype="bool"),
    one("z = m | n", "Tensor.__or__", "m n", (2, 3), dtype="int64"),
    one("z = m ^ True", "Tensor.__xor__", "m", (2, 3), dtype="bool"),
    one("z = n << 1", "Tensor.__lshift__", "n", (2, 3), dtype="int64"),
    one("z = n >> 1", "Tensor.__rshift__", "n", (2, 3), dtype="int64"),
    one("z = x < y", "Tensor.lt", "x y", (2, 3), dtype="bool"),
    one("z = x <= 0", "Tensor.le", "x", (2, 3), dtype="bool"),
    one("z = x > y", "Tensor.gt", "x y", (2, 3), dtype="bool"),
    one("z = x >= y", "Tensor.ge", "x y", (2, 3), dtype="bool"),
    one("z = x == y", "Tensor.__eq__", "x y", (2, 3), dtype="bool"),
    one("z = x != y", "Tensor.ne", "x y", (2, 3), dtype="bool"),
    one("z = 1 - x", "Tensor.__rsub__", "x", (2, 3)),
    one("z = 2.0 / p", ("Tensor.__rtruediv__", "Tensor.__rdiv__"), "p", (2, 3)),
    one("z = 2 ** x", "Tensor.__rpow__", "x", (2, 3)),
    one("z = 1 + x", "Tensor.add", "x", (2, 3)),
    one("z = 2 * x", "Tensor.mul", "x", (2, 3)),
    one("z = x * s", "Tensor.mul", "x s", (2, 3)),
    one("z = x + b", "Tensor.add", "x b", (4, 2, 3)),
]

IN_PLACE = [
    Case(f"x {sign}= {right}", op, f"x {sign}= {right}", inputs, ((2, 3),), ("x",), writes=True)
    for sign, op, right, inputs in (
        ("+", "Tensor.add_", "y", ("x", "y")),
        ("-", "Tensor.sub_", "y", ("x", "y")),
        ("*", "Tensor.mul_", "2", ("x",)),
        ("/", "Tensor.div_", "p", ("x", "p")),
        ("//", "Tensor.floor_divide_", "p", ("x", "p")),
        ("%", "Tensor.remainder_", "p", ("x", "p")),
        ("**", "Tensor.__ipow__", "2", ("x",)),
    )
] + [
    Case("m &= True", "Tensor.__iand__", "m &= True", ("m",), ((2, 3),), ("m",), writes=True),
    Case("m |= True", "Tensor.__ior__", "m |= True", ("m",), ((2, 3),), ("m",), writes=True),
    Case("n <<= 1", "Tensor.__ilshift__", "n <<= 1", ("n",), ((2, 3),), ("n",), writes=True),
    one("z = x.add_(y)", "Tensor.add_", "x y", (2, 3), writes=True),
    one("z = x.clamp_(min=0)", "Tensor.clamp_", "x", (2, 3), writes=True, arguments=("min=0",)),
    one("z = x.zero_()", "Tensor.zero_", "x", (2, 3), writes=True),
    one("z = x.copy_(y)", "Tensor.copy_", "x y", (2, 3), writes=True),
    one("z = x.masked_fill_(m, 0.0)", "Tensor.masked_fill_", "x m", (2, 3), writes=True),
    one("z = torch.relu_(x)", ("torch.relu_", "F.relu_"), "x", (2, 3), writes=True),
    one("z = F.relu(x, inplace=True)", "F.relu", "x", (2, 3), writes=True),
    one("z = b.index_fill_(0, i, 0.5)", "Tensor.index_fill_", "b i", (4, 2, 3), writes=True),
    Case("x.mul_(2)", "Tensor.mul_", "x.mul_(2)", ("x",), ((2, 3),), (), writes=True),
    Case("torch.add(x, y, out=p)", "torch.add", "torch.add(x, y, out=p)", ("x", "y", "p"),
         ((2, 3),), (), writes=True),
]  # fmt: skip

INDEXING = [
    one("z = x[0]", "Tensor.__getitem__", "x", (3,), arguments=("[0]",)),
    one("z = x[-1, 1]", "Tensor.__getitem__", "x", (), arguments=("[-1, 1]",)),
    one("z = x[:, 1:]", "Tensor.__getitem__", "x", (2, 2), arguments=("[:, 1:]",)),
    one("z = b[..., None, ::2]", "Tensor.__getitem__", "b", (4, 2, 1, 2)),
    one("z = b[i]", "Tensor.__getitem__", "b i", (3, 2, 3)),
    one("z = x[m]", "Tensor.__getitem__", "x m", (4,)),
    one("z = b[i, :, 0]", "Tensor.__getitem__", "b i", (3, 2)),
    one("z = e[:, 1]", "Tensor.__getitem__", "e", (0,)),
]

WRITING = [
    Case("x[0] = 1.0", "Tensor.__setitem__", "x[0] = 1.0", ("x",), ((2, 3),), ("x",), writes=True),
    Case("x[m] = 0", "Tensor.__setitem__", "x[m] = 0", ("x", "m"), ((2, 3),), ("x",), writes=True),
    Case("x[:, 1] = s", "Tensor.__setitem__", "x[:, 1] = s", ("x", "s"), ((2, 3),), ("x",),
         writes=True),
    Case("b[i, 0] = 0", "Tensor.__setitem__", "b[i, 0] = 0", ("b", "i"), ((4, 2, 3),), ("b",),
         writes=True),
]  # fmt: skip

VIEWS = [
    one("z = x.view(3, 2)", "Tensor.view", "x", (3, 2), arguments=("3", "2")),
    one("z = x.view(-1)", "Tensor.view", "x", (6,)),
    one("z = x.reshape((6, 1))", "Tensor.reshape", "x", (6, 1)),
    one("z = b.permute(2, 0, 1)", "Tensor.permute", "b", (3, 4, 2)),
    one("z = b.transpose(0, -1)", "Tensor.transpose", "b", (3, 2, 4)),
    one("z = x.t()", "Tensor.t", "x", (3, 2)),
    one("z = x.T", "Tensor.T", "x", (3, 2)),
    one("z = b.mT", "Tensor.mT", "b", (4, 3, 2)),
    one("z = c.H", "Tensor.H", "c", (3, 2)),
    one("z = c.real", "Tensor.real", "c", (2, 3), dtype="float32"),
    one("z = c.imag", "Tensor.imag", "c", (2, 3), dtype="float32"),
    one("z = x.data", "Tensor.data", "x", (2, 3)),
    one("z = x.unsqueeze(1)", "Tensor.unsqueeze", "x", (2, 1, 3)),
    one("z = x.expand(5, -1, -1)", "Tensor.expand", "x", (5, 2, 3)),
    one("z = b.flatten(1)", "Tensor.flatten", "b", (4, 6)),
    one("z = torch.flatten(b, start_dim=1)", "torch.flatten", "b", (4, 6),
        arguments=("start_dim=1",)),
    one("z = b.narrow(0, 1, 2)", "Tensor.narrow", "b", (2, 2, 3)),
    one("z = b.diagonal(dim1=0, dim2=1)", "Tensor.diagonal", "b", (3, 2),
        arguments=("dim1=0", "dim2=1")),
    one("z = image.unfold(2, 4, 4)", "Tensor.unfold", "image", (2, 3, 2, 8, 4)),
    one("z = x.view_as(p)", "Tensor.view_as", "x p", (2, 3)),
    one("z = x.detach()", "Tensor.detach", "x", (2, 3)),
    one("z = x.contiguous()", "Tensor.contiguous", "x", (2, 3)),
    one("z = torch.movedim(b, 0, -1)", "torch.movedim", "b", (2, 3, 4)),
    one("z = torch.view_as_real(c)", "torch.view_as_real", "c", (2, 3, 2)),
    one("z = torch.squeeze(s)", "torch.squeeze", "s", ()),
]  # fmt: skip

FUNCTIONS = [
    one("z = torch.matmul(x, w)", "torch.matmul", "x w", (2, 4)),
    one("z = torch.einsum('bij,jk->bik', b, w)", "torch.einsum", "b w", (4, 2, 4),
        arguments=("'bij,jk->bik'",)),
    one("z = torch.cat([x, y])", "torch.cat", "x y", (4, 3)),
    one("z = torch.cat((x, y, p), dim=-1)", "torch.cat", "x y p", (2, 9), arguments=("dim=-1",)),
    one("z = torch.stack([x, y], dim=1)", "torch.stack", "x y", (2, 2, 3), arguments=("dim=1",)),
    one("z = torch.where(m, x, y)", "torch.where", "m x y", (2, 3)),
    one("z = torch.softmax(x, dim=-1)", "torch.softmax", "x", (2, 3), arguments=("dim=-1",)),
    one("z = torch.addmm(s, x, w)", "torch.addmm", "s x w", (2, 4)),
    one("z = torch.polar(p, x)", "torch.polar", "p x", (2, 3), dtype="complex64"),
    one("z = torch.fft.fft(x)", "torch.fft.fft", "x", (2, 3), dtype="complex64"),
    one("z = torch.linalg.norm(x)", "torch.linalg.norm", "x", ()),
    one("z = torch.special.expit(x)", "torch.special.expit", "x", (2, 3)),
    one("z = F.softmax(x, dim=1)", "F.softmax", "x", (2, 3), arguments=("dim=1",)),
    one("z = F.conv2d(image, kernel, padding=1)", "F.conv2d", "image kernel", (2, 5, 8, 8),
        arguments=("padding=1",)),
    one("z = F.max_pool2d(image, 2)", "F.max_pool2d", "image", (2, 3, 4, 4)),
    one("z = F.adaptive_avg_pool2d(image, 1)", "F.adaptive_avg_pool2d", "image", (2, 3, 1, 1)),
    one("z = F.pad(x, (1, 1))", "F.pad", "x", (2, 5)),
    one("z = F.normalize(x, dim=0)", "F.normalize", "x", (2, 3), arguments=("dim=0",)),
    one("z = F.one_hot(i, 4)", "F.one_hot", "i", (3, 4), dtype="int64"),
    one("z = F.interpolate(image, scale_factor=2)", "F.interpolate", "image", (2, 3, 16, 16),
        arguments=("scale_factor=2",)),
    one("z = F.mse_loss(x, y)", "F.mse_loss", "x y", ()),
    one("z = F.linear(x, v)", "F.linear", "x v", (2, 4)),
]  # fmt: skip

METHODS = [
    one("z = x.sum()", "Tensor.sum", "x", ()),
    one("z = b.mean((1, 2), keepdim=True)", "Tensor.mean", "b", (4, 1, 1)),
    one("z = x.softmax(-1)", "Tensor.softmax", "x", (2, 3)),
    one("z = x.matmul(w)", "Tensor.matmul", "x w", (2, 4)),
    one("z = x.masked_fill(m, -1e9)", "Tensor.masked_fill", "x m", (2, 3)),
    one("z = n.float()", "Tensor.float", "n", (2, 3), dtype="float32"),
    one("z = x.to(torch.float64)", "Tensor.to", "x", (2, 3), dtype="float64",
        arguments=("torch.float64",)),
    one("z = x.bfloat16()", "Tensor.bfloat16", "x", (2, 3), dtype="bfloat16"),
    one("z = x.clone()", "Tensor.clone", "x", (2, 3)),
    one("z = x.argmax(-1)", "Tensor.argmax", "x", (2,), dtype="int64"),
    one("z = x.gather(1, j)", "Tensor.gather", "x j", (2, 3)),
    one("z = x.repeat(2, 1)", "Tensor.repeat", "x", (4, 3)),
    one("z = x.norm()", "Tensor.norm", "x", ()),
    one("z = m.any()", "Tensor.any", "m", (), dtype="bool"),
    one("z = x.new_zeros(4)", "Tensor.new_zeros", "x", (4,)),
    one("z = h + h", "Tensor.add", "h", (2, 3), dtype="bfloat16"),
    one("z = c * c", "Tensor.mul", "c", (2, 3), dtype="complex64"),
    one("z = e.sum(0)", "Tensor.sum", "e", (3,)),
    one("z = e + 1", "Tensor.add", "e", (0, 3)),
    one("z = s * 2", "Tensor.mul", "s", ()),
    one("z = n.cumsum(1)", "Tensor.cumsum", "n", (2, 3), dtype="int64"),
]  # fmt: skip

MADE = [
    one("z = torch.zeros(2, 5)", "torch.zeros", "", (2, 5), arguments=("2", "5")),
    one("z = torch.ones(3, dtype=torch.int32)", "torch.ones", "", (3,), dtype="int32"),
    one("z = torch.arange(4)", "torch.arange", "", (4,), dtype="int64", arguments=("4",)),
    one("z = torch.randn(2, 2)", "torch.randn", "", (2, 2)),
    one("z = torch.rand((3,))", "torch.rand", "", (3,)),
    one("z = torch.tensor([1.0, 2.0])", "torch.tensor", "", (2,)),
    one("z = torch.tensor(3)", "torch.tensor", "", (), dtype="int64", arguments=("3",)),
    one("z = torch.full((2,), 7)", "torch.full", "", (2,), dtype="int64"),
    one("z = torch.eye(3)", "torch.eye", "", (3, 3)),
    one("z = torch.linspace(0, 1, 5)", "torch.linspace", "", (5,)),
    one("z = torch.empty(0)", "torch.empty", "", (0,)),
    one("z = torch.zeros_like(x)", "torch.zeros_like", "x", (2, 3)),
    one("z = torch.randint_like(n, 5)", "torch.randint_like", "n", (2, 3)),
    one("z = torch.normal(x, p)", "torch.normal", "x p", (2, 3)),
]

MANY = [
    one("a, d = x.split([1, 2], dim=1)", "Tensor.split", "x", (2, 1), (2, 2),
        targets=("a", "d"), expression="x.split([1, 2], dim=1)"),
    one("a, d = torch.split(x, 1)", "torch.split", "x", (1, 3), (1, 3),
        targets=("a", "d"), expression="torch.split(x, 1)"),
    one("q, k, v = x.chunk(3, dim=-1)", "Tensor.chunk", "x", (2, 1), (2, 1), (2, 1),
        targets=("q", "k", "v"), expression="x.chunk(3, dim=-1)"),
    one("(q, k) = b.unbind(1)", "Tensor.unbind", "b", (4, 3), (4, 3),
        targets=("q", "k"), expression="b.unbind(1)"),
    one("values, where = x.max(1)", "Tensor.max", "x", (2,), (2,),
        targets=("values", "where"), expression="x.max(1)"),
    one("values, _ = torch.max(x, dim=0)", "torch.max", "x", (3,), (3,),
        targets=("values", "_"), expression="torch.max(x, dim=0)"),
    one("first, *rest = b.unbind(0)", "Tensor.unbind", "b", *[(2, 3)] * 4,
        targets=("first", "rest"), expression="b.unbind(0)"),
    one("values, where = x.topk(2)", "Tensor.topk", "x", (2, 2), (2, 2),
        targets=("values", "where"), expression="x.topk(2)"),
    one("values, where = torch.sort(x, dim=1)", "torch.sort", "x", (2, 3), (2, 3),
        targets=("values", "where"), expression="torch.sort(x, dim=1)"),
    one("rows, columns = torch.where(m)", "torch.where", "m", (4,), (4,),
        targets=("rows", "columns"), expression="torch.where(m)"),
    one("z = x.max(1)", "Tensor.max", "x", (2,), (2,)),
    one("z = x.max(1).values", "Tensor.max", "x", (2,), (2,), targets=(),
        expression="x.max(1)"),
    one("var, mean = torch.var_mean(x, 1)", "torch.var_mean", "x", (2,), (2,),
        targets=("var", "mean"), expression="torch.var_mean(x, 1)"),
    one("rows, columns = torch.meshgrid(i, i, indexing='ij')", "torch.meshgrid", "i",
        (3, 3), (3, 3), targets=("rows", "columns"),
        expression="torch.meshgrid(i, i, indexing='ij')"),
    one("u, d, v = torch.linalg.svd(x, full_matrices=False)", "torch.linalg.svd", "x",
        (2, 2), (2,), (2, 3), targets=("u", "d", "v"),
        expression="torch.linalg.svd(x, full_matrices=False)"),
    one("u, d = x", ("Tensor.__iter__", "Tensor.unbind"), "x", (3,), (3,), targets=("u", "d"),
        expression="u, d = x"),
]  # fmt: skip

TABLE = [
    *OPERATORS, *IN_PLACE, *INDEXING, *WRITING, *VIEWS, *FUNCTIONS, *METHODS, *MADE, *MANY,
]  # fmt: skip


@together("case", TABLE, ids=str)
def test_one_statement_is_one_step(case: Case) -> None:
    given = operands()
    found = trace(forward_cell(" ".join(given), case.statement), **given)
    assert found.failure is None
    assert len(found.steps) == 1, [step.expression for step in found.steps]
    check(case, found.steps[0])


@together("case", TABLE, ids=str)
def test_a_result_has_the_name_and_kind_of_what_it_is(case: Case) -> None:
    given = operands()
    (step,) = trace(forward_cell(" ".join(given), case.statement), **given).steps
    assert all(note.kind == "input" and note.born is None for note in step.inputs)
    if case.writes:
        # The same object under its old name, also where a method's result gets another.
        (written,) = step.outputs
        assert written.name == ("p" if "out=" in case.statement else step.inputs[0].name)
        return
    if changes_nothing(step):
        return
    assert all(note.born == 0 for note in step.outputs)
    if len(step.outputs) == 1 and case.targets:
        assert step.outputs[0].name == case.targets[0]
    elif len(case.targets) == len(step.outputs) > 1:
        assert [note.name for note in step.outputs] == list(case.targets)


def changes_nothing(step: Step) -> bool:
    return set(step.outputs) <= set(step.inputs)


def test_a_tensor_used_twice_is_one_operand() -> None:
    (step,) = trace(forward_cell("x", "return x * x"), torch.ones(2)).steps
    assert named(step.inputs) == {"x": (2,)}


def test_names_of_several_outputs_reach_their_uses() -> None:
    model = forward_cell("x", "a, b = x.split(1)\nc = b - a\nreturn c")
    split, minus = trace(model, torch.randn(2, 3)).steps
    assert [note.name for note in minus.inputs] == ["b", "a"]
    assert [note.id for note in minus.inputs] == [note.id for note in reversed(split.outputs)]
    assert {note.born for note in minus.inputs} == {0}
    assert dict(minus.names).keys() == {"a", "b"}


class TestInPlace:
    def test_makes_a_new_note_of_the_same_tensor(self) -> None:
        model = forward_cell("x", "y = x * 1\ny += 1\nz = y * 2\nreturn z")
        made, added, doubled = trace(model, torch.zeros(3)).steps
        assert added.inputs == made.outputs
        assert added.outputs[0].id != made.outputs[0].id
        assert added.outputs[0].name == "y"
        assert added.outputs[0].born == 1
        assert doubled.inputs == added.outputs
        assert [note.stats.mean for note in doubled.inputs if note.stats] == [1.0]
        assert [note.stats.mean for note in made.outputs if note.stats] == [0.0]

    def test_through_a_view_changes_the_base(self) -> None:
        model = forward_cell("x", "base = x * 1\nrow = base[0]\nrow += 5\nreturn base.sum()")
        _, _, _, total = trace(model, torch.zeros(2, 2)).steps
        (base,) = total.inputs
        assert base.stats is not None
        assert (base.name, base.stats.maximum, base.stats.mean) == ("base", 5.0, 2.5)
        assert total.outputs[0].stats is not None
        assert total.outputs[0].stats.maximum == 10.0

    def test_through_the_base_changes_a_view(self) -> None:
        model = forward_cell("x", "base = x * 1\nrow = base[0]\nbase[:] = 5\nreturn row.sum()")
        total = trace(model, torch.zeros(2, 2)).steps[-1]
        assert total.inputs[0].stats is not None
        assert (total.inputs[0].name, total.inputs[0].stats.mean) == ("row", 5.0)

    def test_writing_by_index_shows_the_whole_tensor(self) -> None:
        model = forward_cell("x", "y = x.clone()\ny[0] = 7\nreturn y")
        _, written = trace(model, torch.zeros(2, 2)).steps
        assert written.outputs[0].shape == (2, 2)
        assert written.outputs[0].stats is not None
        assert (written.outputs[0].stats.maximum, written.outputs[0].stats.zeros) == (7.0, 0.5)

    @pytest.mark.parametrize("detached", ["data", "detach()"])
    def test_through_what_is_detached(self, detached: str) -> None:
        """`x.data` has a version counter of its own, and the same memory."""
        model = forward_cell("x", f"y = x * 1\ny.{detached}.add_(3)\nreturn y.sum()")
        total = trace(model, torch.zeros(2)).steps[-1]
        assert total.inputs[0].stats is not None
        assert (total.inputs[0].name, total.inputs[0].stats.mean) == ("y", 3.0)

    def test_setting_the_data(self) -> None:
        model = forward_cell("x", "y = x * 1\ny.data = torch.ones(3, 2)\nreturn y.sum()")
        found = trace(model, torch.zeros(2))
        assert found.failure is None
        assert [(n.name, n.shape) for n in found.steps[-1].inputs] == [("y", (3, 2))]

    def test_resizing(self) -> None:
        model = forward_cell("x", "y = x * 1\ny.unsqueeze_(0)\nreturn y + 1")
        found = trace(model, torch.zeros(2))
        assert [shapes(step.outputs) for step in found.steps] == [[(2,)], [(1, 2)], [(1, 2)]]
        assert found.steps[1].writes

    def test_with_out(self) -> None:
        model = forward_cell("x", "y = torch.empty(2)\ntorch.add(x, 1, out=y)\nreturn y")
        found = trace(model, torch.ones(2))
        assert found.steps[1].writes
        assert found.outputs[0].id == found.steps[1].outputs[0].id
        assert found.outputs[0].stats is not None
        assert found.outputs[0].stats.mean == 2.0

    @pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
    def test_in_every_grad_mode(self, mode: Any) -> None:
        model = forward_cell("x", "y = x * 1\ny.add_(1).mul_(2)\ny -= 1\nreturn y")
        with mode():
            found = trace(model, torch.zeros(2))
        means = [step.outputs[0].stats.mean for step in found.steps if step.outputs[0].stats]
        assert means == [0.0, 1.0, 2.0, 1.0]
        assert [step.writes for step in found.steps] == [False, True, True, True]
        assert len({step.outputs[0].id for step in found.steps}) == 4


class TestArgumentsInContainers:
    def test_every_tensor_in_a_list_is_an_operand(self) -> None:
        body = "parts = [x, y, x * 2]\nreturn torch.cat(parts, dim=0)"
        *_, cat = trace(forward_cell("x y", body), torch.ones(1, 2), torch.zeros(2, 2)).steps
        assert shapes(cat.inputs) == [(1, 2), (2, 2), (1, 2)]
        assert cat.arguments == ("dim=0",)
        assert cat.expression == "torch.cat(parts, dim=0)"

    def test_tensors_inside_nested_inputs(self) -> None:
        body = 'return batch["pair"][0] + batch["pair"][1] + batch["more"][0]["deep"]'
        batch = {
            "pair": (torch.ones(2), torch.ones(2)),
            "more": [{"deep": torch.ones(1)}],
            "label": "text",
        }
        found = trace(forward_cell("batch", body), batch)
        assert shapes(found.inputs) == [(2,), (2,), (1,)]
        assert all(note.kind == "input" for note in found.inputs)
        assert all(note.name.startswith("batch") for note in found.inputs)
        assert len({note.name for note in found.inputs}) == 3
        first, second = found.steps
        assert first.inputs == found.inputs[:2]
        assert second.inputs[-1] == found.inputs[2]


class TestNotOperations:
    @together(
        "body",
        [
            "n = x.shape[0] * x.size(1)",
            "n = x.dim() + x.numel() + len(x) + x.ndim",
            "n = (x.dtype, x.device, x.requires_grad, x.is_contiguous())",
            "n = isinstance(x, torch.Tensor)",
            "n = x.dtype.is_floating_point",
            "n = f'{x.shape}'",
        ],
    )
    def test_questions_make_no_step(self, body: str) -> None:
        assert trace(forward_cell("x", body + "\nreturn x"), torch.ones(2, 3)).steps == ()

    @pytest.mark.parametrize(
        "body", ["n = x.sum().item()", "n = float(x.sum())", "if x.sum() > 1e9: pass"]
    )
    def test_reading_a_number_makes_no_tensor(self, body: str) -> None:
        found = trace(forward_cell("x", body + "\nreturn x"), torch.ones(2, 3))
        assert found.failure is None
        made = [step for step in found.steps if step.outputs]
        assert made[0].op == "Tensor.sum"
        assert all(shapes(step.outputs) == [()] for step in made)


DTYPES = [
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
    torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128,
]  # fmt: skip


@together("dtype", DTYPES, ids=str)
@together("shape", [(), (0,), (1,), (3, 4), (2, 0, 3), (2, 3, 4, 5)], ids=str)
def test_every_dtype_and_rank(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    torch.default_generator.manual_seed(0)
    x = (torch.randn(shape) * 3).to(dtype)
    found = trace(forward_cell("x", "return x.clone()"), x)
    (note,) = found.outputs
    assert (note.shape, note.dtype, note.device) == (shape, str(dtype).split(".")[1], "cpu")
    exact = (x.abs() if dtype.is_complex else x).double().flatten()
    assert note.stats is not None
    assert note.stats.count == x.numel()
    if x.numel():
        expected = [exact.min(), exact.max(), exact.mean(), exact.std(correction=0)]
        figures = [note.stats.minimum, note.stats.maximum, note.stats.mean, note.stats.std]
        assert figures == pytest.approx([value.item() for value in expected], rel=1e-5, abs=1e-6)
        assert note.stats.zeros == pytest.approx((exact == 0).double().mean().item())
    else:
        assert (note.stats.minimum, note.stats.mean, note.heatmap) == (None, None, None)
    assert type(found).from_json(found.to_json()) == found


def test_one_step_each_under_many_operations() -> None:
    """No step is lost or doubled in a long run."""
    model = forward_cell("x", "for _ in range(300):\n    x = x * 1.001\nreturn x")
    found = trace(model, torch.ones(4))
    assert len(found.steps) == 300
    assert {step.line for step in found.steps} == {4}
    assert [step.inputs[0].id for step in found.steps[1:]] == [
        step.outputs[0].id for step in found.steps[:-1]
    ]
    assert found.outputs == found.steps[-1].outputs


def test_a_tensor_method_on_a_subclass_of_tensor() -> None:
    class Marked(Tensor):
        pass

    x = torch.ones(2).as_subclass(Marked)
    found = trace(forward_cell("x", "return (x + 1).sum()"), x)
    assert [step.expression for step in found.steps] == ["x + 1", "(x + 1).sum()"]

"""A forward that raises yields the trace up to there, and where, with what, in which module."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tests.cells import forward_cell, run_cell, shapes
from tests.together import together
from tracer import Failure, Trace, trace


def fails(model: nn.Module, *args: Any, **kwargs: Any) -> tuple[Trace, Failure]:
    """The trace of a run that must fail, checked against what the plain run raises."""
    with pytest.raises(Exception) as raised:  # noqa: PT011 - any of the model's own errors
        model(*args, **kwargs)
    found = trace(model, *args, mend=False, **kwargs)
    assert found.failure is not None
    assert found.failure.type == type(raised.value).__name__
    assert found.failure.message == str(raised.value).strip()
    assert found.outputs == ()
    assert [step.error for step in found.steps[:-1]] == [None] * len(found.steps[:-1])
    if found.failure.step is not None:
        assert found.failure.step == found.steps[-1]
        assert found.failure.step.error is not None
        assert found.failure.type in found.failure.step.error
        assert found.failure.place == found.failure.step.place
    assert Trace.from_json(found.to_json()) == found
    return found, found.failure


def line_of(function: Callable[..., Any], text: str) -> int:
    lines, first = inspect.getsourcelines(function)
    (at,) = [number for number, line in enumerate(lines, first) if text in line]
    return at


class Head(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.lin = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean(1)
        return self.lin(pooled)


class Body(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.head = Head(width)

    def forward(self, x: Tensor) -> Tensor:
        doubled = x * 2
        return self.head(doubled)


class Model(nn.Module):
    def __init__(self, width: int = 5) -> None:
        super().__init__()
        self.body = Body(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + 1


@together(
    ("body", "expression", "operands"),
    [
        ("a = x * 2\nb = a @ y\nreturn b", "a @ y", {"a": ("x * 2", 3), "y": ("y", None)}),
        ("return torch.matmul(x, y.T)", "torch.matmul(x, y.T)", None),
        ("a = x + 1\nreturn a.view(5, 5)", "a.view(5, 5)", {"a": ("x + 1", 3)}),
        ("return torch.cat([x, y])", "torch.cat([x, y])", {"x": ("x", None), "y": ("y", None)}),
        ("return x + y", "x + y", {"x": ("x", None), "y": ("y", None)}),
        ("z = x.clone()\nz += y", "z += y", {"z": ("x.clone()", 3), "y": ("y", None)}),
        ("z = x.clone()\nz[0] = y", "z[0] = y", {"z": ("x.clone()", 3), "y": ("y", None)}),
        ("return x[9]", "x[9]", {"x": ("x", None)}),
        ("return x.sum(7)", "x.sum(7)", {"x": ("x", None)}),
        ("return F.conv2d(x, y)", "F.conv2d(x, y)", {"x": ("x", None), "y": ("y", None)}),
        ("return torch.einsum('ij,jk->ik', x, y)", "torch.einsum('ij,jk->ik', x, y)", None),
        ("return F.softmax(x, dim=5)", "F.softmax(x, dim=5)", {"x": ("x", None)}),
        ("return F.cross_entropy(x, y)", "F.cross_entropy(x, y)", None),
        ("return torch.zeros(-1)", "torch.zeros(-1)", {}),
        ("return torch.stack([x, x[0]])", "torch.stack([x, x[0]])", None),
        ("return [row @ y for row in x]", "row @ y", None),
        ("return (lambda v: v.view(7))(x)", "v.view(7)", None),
        ("def help(v):\n    return v.view(7)\nreturn help(x)", "v.view(7)", None),
        ("return x.view(7) if x.dim() else x", "x.view(7)", None),
        ("y = (\n    x.float()\n    .view(7)\n)", "x.float()\n            .view(7)", None),
    ],
)
def test_the_failing_expression(
    body: str, expression: str, operands: dict[str, tuple[str, int | None]] | None
) -> None:
    model = forward_cell("x y", body)
    found, failure = fails(model, torch.randn(3, 4), torch.randn(2, 5))
    assert failure.expression == expression
    assert failure.step is not None
    assert (failure.module, failure.step.module) == ("", "")
    assert failure.line == 3 + body[: body.index(expression.split("\n")[0])].count("\n")
    assert failure.file == found.sources[0].file
    assert shapes(failure.step.outputs) == []
    if operands is not None:
        assert {
            operand.note.name: (operand.expression, operand.line) for operand in failure.operands
        } == operands
    assert [operand.note for operand in failure.operands] == list(failure.step.inputs)
    for operand in failure.operands:
        if operand.note.born is not None:
            assert operand.line == found.steps[operand.note.born].line
            assert operand.expression == found.steps[operand.note.born].expression


def test_three_modules_deep() -> None:
    found, failure = fails(Model(), torch.randn(2, 3, 4))
    assert (failure.type, failure.module) == ("RuntimeError", "body.head.lin")
    assert failure.step is not None
    assert (failure.step.op, failure.step.outputs) == ("nn.Linear", ())
    assert failure.expression == "self.lin(pooled)"
    assert failure.line == line_of(Head.forward, "self.lin(pooled)")
    assert failure.file == __file__
    assert [step.expression for step in found.steps] == ["x * 2", "x.mean(1)", "self.lin(pooled)"]
    assert [(call.module, call.start, call.stop) for call in found.calls] == [
        ("", 0, 3),
        ("body", 0, 3),
        ("body.head", 1, 3),
    ]
    operands = {operand.note.name: operand for operand in failure.operands}
    assert operands["pooled"].note.shape == (2, 4)
    assert operands["pooled"].expression == "x.mean(1)"
    assert operands["pooled"].line == line_of(Head.forward, "x.mean(1)")
    assert operands["pooled"].file == __file__
    assert operands["body.head.lin.weight"].note.shape == (2, 5)
    assert operands["body.head.lin.weight"].line is None


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_in_a_child_of_sequentials(depth: int) -> None:
    model: nn.Module = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(5, 2))
    for _ in range(depth):
        model = nn.Sequential(nn.Identity(), model)
    found, failure = fails(model, torch.randn(3, 4))
    assert failure.module == "1." * depth + "2"
    assert failure.step is not None
    assert failure.step.op == "nn.Linear"
    assert (3, 6) in [operand.note.shape for operand in failure.operands]
    assert [step.error is None for step in found.steps] == [True] * (2 + depth) + [False]


def test_conv_channels() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 8, 3)
            self.second = nn.Conv2d(4, 8, 3)

        def forward(self, image: Tensor) -> Tensor:
            features = self.first(image)
            return self.second(features)

    _, failure = fails(Net(), torch.randn(2, 3, 9, 9))
    assert failure.module == "second"
    assert failure.step is not None
    assert failure.step.arguments[:2] == ("4", "8")
    operands = {operand.note.name: operand for operand in failure.operands}
    assert operands["features"].note.shape == (2, 8, 7, 7)
    assert operands["features"].expression == "self.first(image)"
    assert operands["second.weight"].note.shape == (8, 4, 3, 3)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_what_torch_checks_in_python(kind: Any) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = kind(5, 4)

        def forward(self, x: Tensor) -> Any:
            y = x[None]
            return self.rnn(y)

    found, failure = fails(Net(), torch.randn(2, 3, 4, 5))
    assert failure.module == "rnn"
    assert failure.expression == "self.rnn(y)"
    assert failure.line == line_of(Net.forward, "self.rnn(y)")
    (y,) = [operand for operand in failure.operands if operand.note.name == "y"]
    assert (y.note.shape, y.expression) == ((1, 2, 3, 4, 5), "x[None]")
    assert found.steps[0].expression == "x[None]"


def test_attention_of_the_wrong_width() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2)

        def forward(self, x: Tensor) -> Any:
            return self.attention(x, x, x)

    _, failure = fails(Net(), torch.randn(3, 2, 6))
    assert failure.type == "AssertionError"
    assert failure.module == "attention"
    assert failure.expression == "self.attention(x, x, x)"
    assert (3, 2, 6) in [operand.note.shape for operand in failure.operands]


def test_inside_an_opened_function() -> None:
    """The failing inner step is kept, and the failure is where the author can mend it."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: Tensor, memory: Tensor) -> Any:
            return self.attention(x, memory, memory)

    _, failure = fails(Net(), torch.randn(3, 4, 8), torch.randn(2, 4, 8))
    assert failure.module == "attention"
    assert failure.expression == "self.attention(x, memory, memory)"
    assert failure.line == line_of(Net.forward, "self.attention(x, memory, memory)")
    assert {(3, 4, 8), (2, 4, 8)} <= {operand.note.shape for operand in failure.operands}


def test_an_encoder_layer_of_the_wrong_width() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.TransformerEncoderLayer(8, 2, batch_first=True))
    _, failure = fails(model, torch.randn(2, 3, 4))
    assert failure.module.startswith("1")
    assert (2, 3, 6) in [operand.note.shape for operand in failure.operands]


@together(
    ("body", "kind", "expression"),
    [
        ("raise ValueError('mine')", "ValueError", "raise ValueError('mine')"),
        ("y = x + 1\nassert y.shape[0] == 9, 'bad'", "AssertionError", None),
        ("return {}['missing']", "KeyError", "{}['missing']"),
        ("a, b, c, d = x", "ValueError", "a, b, c, d = x"),
        ("return x.nothing", "AttributeError", "x.nothing"),
        ("return undefined + x", "NameError", "undefined"),
        ("return x + 'text'", "TypeError", "x + 'text'"),
        ("return 1 / 0", "ZeroDivisionError", "1 / 0"),
        ("a, b = x.shape[0], x.shape[7]", "IndexError", "x.shape[7]"),
        ("return x.view('rows')", "TypeError", "x.view('rows')"),
        ("y = x + 1\nb, c, h, w = y.shape", "ValueError", None),
    ],
)
def test_errors_of_python(body: str, kind: str, expression: str | None) -> None:
    _, failure = fails(forward_cell("x", body), torch.randn(2, 3))
    assert failure.type == kind
    assert failure.line == 3 + body.count("\n")
    if expression is not None:
        assert failure.expression == expression


def test_the_operands_of_pythons_own_errors() -> None:
    _, failure = fails(forward_cell("x", "y = x + 1\nb, c, h, w = y.shape"), torch.randn(2, 3))
    assert failure.step is None
    assert [(o.note.name, o.expression, o.line) for o in failure.operands] == [("y", "x + 1", 3)]


def test_an_error_in_a_helper_names_the_helper() -> None:
    cell = run_cell(
        """
        def pair(a, b):
            return torch.stack([a, b])

        class Net(nn.Module):
            def forward(self, x):
                wide = x.T
                return pair(x, wide)
        """
    )
    _, failure = fails(cell["Net"](), torch.randn(2, 3))
    assert (failure.function, failure.line, failure.expression) == (
        "pair",
        2,
        "torch.stack([a, b])",
    )
    assert {operand.expression: operand.line for operand in failure.operands} == {
        "x": None,
        "x.T": 6,
    }


def test_code_without_text() -> None:
    cell = run_cell(
        "class Net(nn.Module):\n    def forward(self, x):\n        return x.view(7)",
        remember=False,
    )
    _, failure = fails(cell["Net"](), torch.randn(2, 3))
    assert (failure.line, failure.expression) == (3, "")
    assert [operand.note.shape for operand in failure.operands] == [(2, 3)]


@pytest.mark.parametrize("reentrant", [True, False])
def test_in_checkpointed_code(reentrant: bool) -> None:
    model = forward_cell(
        "x",
        """
        def block(v):
            return v.view(7)
        return checkpoint(block, x, use_reentrant=reentrant)
        """,
        checkpoint=checkpoint,
        reentrant=reentrant,
    )
    _, failure = fails(model, torch.randn(2, 3, requires_grad=True))
    assert (failure.expression, failure.line) == ("v.view(7)", 4)


class TestTheCaller:
    def test_wrong_number_of_inputs(self) -> None:
        model = forward_cell("x y", "return x + y")
        found, failure = fails(model, torch.ones(2))
        assert failure.type == "TypeError"
        assert found.steps == ()
        assert failure.step is None
        assert failure.expression == "def forward(self, x, y):"

    def test_reraise_gives_the_very_exception(self) -> None:
        class MineError(Exception):
            pass

        error = MineError("mine")
        model = forward_cell("x", "y = x + 1\nraise error", error=error)
        with pytest.raises(MineError) as raised:
            trace(model, torch.ones(2), reraise=True)
        assert raised.value is error

    def test_reraise_adds_the_explanation_as_a_note(self) -> None:
        with pytest.raises(RuntimeError) as raised:
            trace(Model(), torch.randn(2, 3, 4), reraise=True)
        note = "\n".join(raised.value.__notes__)
        for word in ("self.lin(pooled)", "body.head.lin", "(2, 4)", "x.mean(1)"):
            assert word in note

    def test_reraise_is_quiet_when_nothing_fails(self) -> None:
        assert trace(Model(4), torch.randn(2, 3, 4), reraise=True).failure is None

    def test_reraise_leaves_the_module_as_it_was(self) -> None:
        model = Model()
        with pytest.raises(RuntimeError):
            trace(model, torch.randn(2, 3, 4), reraise=True)
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
    def test_what_is_no_error_passes_through(self, kind: type[BaseException]) -> None:
        model = forward_cell("x", "y = x + 1\nraise kind()", kind=kind)
        with pytest.raises(kind):
            trace(model, torch.ones(2))
        assert not model._forward_hooks
        assert not torch.overrides._len_torch_function_stack()

    def test_a_watch_that_cancels(self) -> None:
        from tracer import Cancelled

        def watch(steps: int) -> None:
            if steps >= 3:
                raise Cancelled

        model = forward_cell("x", "for _ in range(50): x = x + 1\nreturn x")
        with pytest.raises(Cancelled):
            trace(model, torch.ones(2), watch=watch)
        assert not model._forward_hooks
        assert len(trace(model, torch.ones(2)).steps) == 50


class TestCaught:
    def test_an_error_that_the_model_catches_is_no_failure(self) -> None:
        body = """
        try:
            y = x.view(7)
        except RuntimeError:
            y = x.flatten()
        return y + 1
        """
        found = trace(forward_cell("x", body), torch.randn(2, 3), mend=False)
        assert found.failure is None
        assert shapes(found.outputs) == [(6,)]
        good = [step.expression for step in found.steps if step.error is None]
        assert good == ["x.flatten()", "y + 1"]
        assert [s.expression for s in found.steps if s.error is not None] in ([], ["x.view(7)"])

    def test_an_error_caught_around_a_module(self) -> None:
        class Careful(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.risky = Model()
                self.safe = nn.Linear(4, 2)

            def forward(self, x: Tensor) -> Tensor:
                try:
                    return self.risky(x)
                except RuntimeError:
                    y = self.safe(x)
                    return y

        found = trace(Careful(), torch.randn(2, 3, 4), mend=False)
        assert found.failure is None
        assert (found.steps[-1].module, found.steps[-1].error) == ("safe", None)
        assert found.steps[-1].call == 0
        assert found.calls[0].stop == len(found.steps)
        assert found.outputs == found.steps[-1].outputs

    def test_an_error_after_a_caught_one(self) -> None:
        body = """
        try:
            x.view(7)
        except RuntimeError:
            pass
        z = x * 2
        return z.view(8)
        """
        found = trace(forward_cell("x", body), torch.randn(2, 3), mend=False)
        assert found.failure is not None
        assert found.failure.expression == "z.view(8)"
        assert found.failure.step == found.steps[-1]

    def test_an_error_raised_from_another(self) -> None:
        body = """
        try:
            x.view(7)
        except RuntimeError as error:
            raise ValueError("cannot be shown as 7") from error
        """
        found = trace(forward_cell("x", body), torch.randn(2, 3), mend=False)
        assert found.failure is not None
        assert (found.failure.type, found.failure.message) == ("ValueError", "cannot be shown as 7")
        assert found.failure.line == 6


def test_the_message_of_an_odd_exception() -> None:
    class OddError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text either")

    model = forward_cell("x", "raise OddError()", OddError=OddError)
    found = trace(model, torch.ones(1), mend=False)
    assert found.failure is not None
    assert found.failure.type == "OddError"


def test_text_with_surrogates_survives_json() -> None:
    model = forward_cell("x", "raise ValueError('\\ud800 <script>')")
    found = trace(model, torch.ones(1), mend=False)
    assert found.failure is not None
    assert "<script>" in found.failure.message
    assert Trace.from_json(found.to_json().encode("utf-8")).failure is not None


def test_conv_with_bad_groups_on_meta() -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            weight = torch.ones(4, 3, 1, 1)
            return F.conv2d(x, weight)

    found = trace(Net(), torch.ones(1, 5, 4, 4), device="meta", mend=False)
    assert found.failure is not None
    assert found.failure.expression == "F.conv2d(x, weight)"
    assert [operand.note.shape for operand in found.failure.operands] == [
        (1, 5, 4, 4),
        (4, 3, 1, 1),
    ]

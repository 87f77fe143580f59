"""Edited source is executed on copies: what ran, with which batches, and that nothing of the user's
changed."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.cells import run_cell
from tracer.diagnosis.budget import Budget, OutOfBudget, TooCostly
from tracer.diagnosis.verify import Bench, CannotRunError, Outcome, _Elementwise
from tracer.document import Edit, Span, with_edits
from tracer.source.built import constructor
from tracer.source.edits import between
from tracer.source.text import text_of


def edited(model: nn.Module | Callable[..., Any], old: str, new: str) -> Edit:
    """The edit that replaces a text which occurs once in the file of a model's class."""
    function: Any = inspect.unwrap(type(model).forward if isinstance(model, nn.Module) else model)
    file = function.__code__.co_filename
    text = text_of(file)
    assert text is not None
    assert text.text.count(old) == 1, old
    at = text.text.index(old)

    def place(offset: int) -> tuple[int, int]:
        before = text.text[:offset]
        return before.count("\n") + 1, offset - (before.rfind("\n") + 1)

    (line, column), (end_line, end_column) = place(at), place(at + len(old))
    return Edit(file, Span(line, column, end_line, end_column), new)


def tried(model: nn.Module, inputs: tuple[Any, ...], *pairs: str, **options: Any) -> Outcome:
    edits = tuple(edited(model, *pair) for pair in zip(pairs[::2], pairs[1::2], strict=True))
    change = options.pop("change", None)
    return Bench(model, inputs, {}, **options).run(edits, change)


FORMS = {
    "forward": """
        class Net(nn.Module):
            def forward(self, x):
                return x.view(7, -1)
    """,
    "helper": """
        def helper(x):
            return x.view(7, -1)

        class Net(nn.Module):
            def forward(self, x):
                return helper(x)
    """,
    "a helper of a helper, by a default": """
        def inner(x):
            return x.view(7, -1)

        def outer(x, how=None):
            return [inner(each) for each in [x]][0]

        class Net(nn.Module):
            def forward(self, x):
                return outer(x)
    """,
    "a lambda in an attribute": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.shape = lambda x: x.view(7, -1)

            def forward(self, x):
                return self.shape(x)
    """,
    "a partial in a list": """
        import functools

        def cut(x, times):
            return x.view(7, -1) * times

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.parts = [functools.partial(cut, times=2)]

            def forward(self, x):
                return self.parts[0](x)
    """,
    "a bound method in an attribute": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.how = self.inner

            def inner(self, x):
                return x.view(7, -1)

            def forward(self, x):
                return self.how(x)
    """,
    "a property and a static method": """
        class Net(nn.Module):
            @staticmethod
            def inner(x):
                return x.view(7, -1)

            @property
            def how(self):
                return lambda x: self.inner(x)

            def forward(self, x):
                return self.how(x)
    """,
    "a decorated forward": """
        class Net(nn.Module):
            @torch.no_grad()
            def forward(self, x):
                return x.view(7, -1)
    """,
    "a nested function and comprehension": """
        class Net(nn.Module):
            def forward(self, x):
                def inner(y):
                    return [z.view(7, -1) for z in (y,)]
                return inner(x)[0]
    """,
    "a parent's forward": """
        class Parent(nn.Module):
            def forward(self, x):
                return x.view(7, -1)

        class Net(Parent):
            def forward(self, x):
                return super().forward(x) + 1
    """,
    "a child module, old style super": """
        class Child(nn.Module):
            def __init__(self):
                super(Child, self).__init__()

            def forward(self, x):
                return x.view(7, -1)

        class Net(nn.Module):
            def __init__(self):
                super(Net, self).__init__()
                self.layers = nn.ModuleList([Child()])

            def forward(self, x):
                return self.layers[0](x)
    """,
    "a function of autograd": """
        class Cut(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x.view(7, -1)

        class Net(nn.Module):
            def forward(self, x):
                return Cut.apply(x)
    """,
    "a class made in a function": """
        def make(size):
            class Inner(nn.Module):
                def forward(self, x):
                    return x.view(7, -1) * size
            return Inner()

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = make(3)

            def forward(self, x):
                return self.inner(x)
    """,
}


@pytest.mark.parametrize("form", FORMS)
def test_an_edit_wherever_the_function_lives(form: str) -> None:
    model = run_cell(FORMS[form])["Net"]()
    x = torch.randn(4, 3)
    found = tried(model, (x,), "x.view(7, -1)" if "z.view" not in FORMS[form] else "z.view(7, -1)",
                  "x.view(-1, 3)" if "z.view" not in FORMS[form] else "z.view(-1, 3)")  # fmt: skip
    assert found.error is None
    assert found.shapes == ((4, 3),)
    assert found.holds
    assert (found.scales, found.mixes) == (True, False)
    with pytest.raises(RuntimeError, match="shape"):
        model(x)


def test_a_helper_of_another_file(tmp_path: Path) -> None:
    names = ("verify_helpers", "verify_net")
    texts = (
        "def cut(x):\n    return x.view(7, -1)\n",
        """
        import torch.nn as nn
        import verify_helpers
        from verify_helpers import cut

        class Net(nn.Module):
            def forward(self, x):
                return cut(x) + verify_helpers.cut(x)
        """,
    )
    for name, text in zip(names, texts, strict=True):
        path = tmp_path / f"{name}.py"
        path.write_text(textwrap.dedent(text))
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    try:
        helpers, net = (sys.modules[name] for name in names)
        bench = Bench(net.Net(), (torch.randn(4, 3),), {}, files=frozenset([helpers.__file__]))
        found = bench.run((edited(helpers.cut, "x.view(7, -1)", "x.view(-1, 3)"),))
        assert found.error is None
        assert found.holds
    finally:
        for name in names:
            del sys.modules[name]


NOISY = """
    calls = []

    class Net(nn.Module):
        def __init__(self, width=5):
            super().__init__()
            self.fc = nn.Linear(width, 4)
            self.bn = nn.BatchNorm1d(4)
            self.seen = []
            self.register_buffer("count", torch.zeros(()))

        def forward(self, x):
            print("running")
            x += 1
            self.count += 1
            self.seen.append(x.shape)
            self.last = x
            x = F.dropout(self.bn(self.fc(x)), 0.5)
            with torch.no_grad():
                self.fc.weight.mul_(2)
            return x.view(7, -1)
"""


def test_nothing_of_the_users_changes(capsys: pytest.CaptureFixture[str]) -> None:
    cell = run_cell(NOISY)
    model = cell["Net"]()
    handle = model.fc.register_forward_hook(lambda *_: None)
    x = torch.randn(4, 5)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    given, random = x.clone(), torch.get_rng_state()
    functions = {name: value for name, value in vars(type(model)).items() if callable(value)}
    codes = {name: value.__code__ for name, value in functions.items()}
    names = dict(cell)
    attributes = dict(vars(model))

    bench = Bench(model, (x,), {}, build=cell["Net"])
    edit = edited(model, "x.view(7, -1)", "x.view(4, -1)")
    assert bench.run((edit,)).ran
    wider = constructor(model, "fc")
    assert wider is not None
    for made in (wider.edit("out_features", "6"), wider.edit("bias", "False")):
        bench.run((edit, made), lambda copy: None)

    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    assert torch.equal(x, given)
    assert torch.equal(torch.get_rng_state(), random)
    assert {name: value.__code__ for name, value in functions.items()} == codes
    assert type(model) is cell["Net"]
    assert dict(cell) == names
    assert vars(model).keys() == attributes.keys()
    assert model.seen == []
    assert model.training
    assert list(model.fc._forward_hooks.values()) != []
    assert capsys.readouterr().out == ""
    handle.remove()


CONSTRUCTOR = """
    class Block(nn.Module):
        def __init__(self, width, out=6):
            super().__init__()
            self.fc = nn.Linear(width, out)

        def forward(self, x):
            return self.fc(x)

    class Net(nn.Module):
        def __init__(self, width=9):
            super().__init__()
            self.block = Block(width)
            self.act = nn.Sequential(nn.ReLU(), nn.Linear(6, 2))

        def forward(self, x):
            return self.act(self.block(x))
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("width=9", "width=5"),
        ("Block(width)", "Block(5)"),
        ("nn.Linear(width, out)", "nn.Linear(5, out)"),
    ],
)
def test_a_constructor_is_executed_anew(old: str, new: str) -> None:
    cell = run_cell(CONSTRUCTOR)
    model = cell["Net"]()
    x = torch.randn(4, 5)
    found = tried(model, (x,), old, new, build=cell["Net"], change=lambda copy: None)
    assert found.error is None
    assert found.holds
    assert found.model is not None
    assert found.model.get_submodule("block.fc").in_features == 5
    # What fits keeps the user's numbers.
    last = found.model.get_submodule("act.1")
    assert torch.equal(last.weight, model.act[1].weight)  # type: ignore[arg-type]
    assert last.weight is not model.act[1].weight


def test_a_constructor_that_raises_cannot_be_run() -> None:
    cell = run_cell(CONSTRUCTOR)
    with pytest.raises(CannotRunError, match="constructor"):
        tried(cell["Net"](), (torch.randn(4, 5),), "width=9", "width=-1", build=cell["Net"],
              change=lambda copy: None)  # fmt: skip


def test_without_a_build_the_changed_layer_stands_in() -> None:
    model = run_cell("""
        class Net(nn.Module):
            def __init__(self, widths):
                super().__init__()
                self.fc = nn.Linear(max(widths), 2)

            def forward(self, x):
                return self.fc(x)
    """)["Net"]({3, 9})

    def change(copy: nn.Module) -> None:
        copy.fc = nn.Linear(5, 2)

    found = tried(model, (torch.randn(4, 5),), "max(widths)", "5", change=change)
    assert found.holds
    assert not found.executed
    assert model.fc.in_features == 9


def test_without_a_build_the_parts_that_show_their_arguments_are_executed_anew() -> None:
    cell = run_cell("""
        class Block(nn.Module):
            def __init__(self, inner, width, out=6):
                super().__init__()
                self.inner = inner
                self.fc = nn.Linear(width, out)

            def forward(self, x):
                return self.fc(self.inner(x))

        class Net(nn.Module):
            def __init__(self, how):
                super().__init__()
                self.block = Block(nn.BatchNorm1d(5), 9)

            def forward(self, x):
                return self.block(x)
    """)
    model = cell["Net"](object())

    def change(copy: nn.Module) -> None:
        raise AssertionError("nothing needs to stand in")

    for new, width in (("nn.Linear(5, out)", 6), ("nn.Linear(5, 7)", 7)):
        found = tried(model, (torch.randn(4, 5),), "nn.Linear(width, out)", new, change=change)
        assert found.holds
        assert found.executed
        assert found.shapes == ((4, width),)
    assert model.block.inner.num_batches_tracked == 0


@pytest.mark.parametrize(
    ("new", "second", "scales", "mixes"),
    [
        ("x.flatten(1)", None, True, False),
        ("x.view(-1, 6)", None, True, False),
        ("x.view(4, 6)", RuntimeError, None, None),
        ("x.flatten(1).softmax(0)", None, True, True),
        ("x.flatten(1).cumsum(0)", None, True, True),
        ("x.permute(1, 2, 0).reshape(x.size(0), 6)", None, True, True),
        ("x.flatten(1) - x.mean()", None, True, True),
        ("x.flatten(1)[:3]", None, False, None),
        ("x.sum()", None, True, None),
        ("x.flatten(0, 1)", None, True, False),
        ("x.transpose(0, 1)", None, True, False),
        ("x.flatten(1).sum(1)", None, True, False),
    ],
)
def test_batches(
    new: str, second: type[Exception] | None, scales: bool | None, mixes: bool | None
) -> None:
    model = run_cell("""
        class Net(nn.Module):
            def forward(self, x):
                return x.view(5, 5)
    """)["Net"]()
    found = tried(model, (torch.randn(4, 2, 3),), "x.view(5, 5)", new)
    assert found.error is None
    assert (type(found.second) if found.second is not None else None) is second
    assert (found.scales, found.mixes) == (scales, mixes)
    assert found.holds == (second is None)


def test_several_inputs_and_a_state_follow_the_batch() -> None:
    model = run_cell("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.rnn = nn.GRU(3, 5, batch_first=True)

            def forward(self, tokens, pair, state):
                x, lengths = pair
                y, state = self.rnn(x, state)
                return y[torch.arange(len(lengths)), lengths] + tokens.view(9, 1), state
    """)["Net"]()
    inputs = (
        torch.randint(0, 9, (4,)),
        (torch.randn(4, 6, 3), torch.tensor([1, 5, 2, 3])),
        torch.zeros(1, 4, 5),
    )
    found = tried(model, inputs, "tokens.view(9, 1)", "tokens.view(-1, 1)")
    assert found.error is None
    assert found.holds
    assert (found.scales, found.mixes) == (True, False)


def test_batchnorm_in_training_does_not_count_as_mixing() -> None:
    model = run_cell("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.bn = nn.BatchNorm1d(6)

            def forward(self, x):
                return self.bn(x.view(5, 6))
    """)["Net"]()
    found = tried(model, (torch.randn(4, 6),), "x.view(5, 6)", "x")
    assert found.holds
    assert found.mixes is False
    assert model.training


def test_the_budget_ends_an_endless_loop() -> None:
    model = run_cell("""
        class Net(nn.Module):
            def forward(self, x):
                return x.view(5, 5)
    """)["Net"]()
    bench = Bench(model, (torch.randn(4, 6),), {}, budget=Budget(50_000))
    endless = edited(model, "return x", "while True: x = x + 1\n        return x")
    with pytest.raises(TooCostly):
        bench.run((endless,))
    while bench.budget.left > 0:
        with contextlib.suppress(OutOfBudget):
            bench.run((endless,))
    with pytest.raises(OutOfBudget):
        bench.run(())


def test_an_exit_is_an_error_of_the_run() -> None:
    model = run_cell("""
        import sys

        class Net(nn.Module):
            def forward(self, x):
                return x.view(5, 5)
    """)["Net"]()
    found = tried(model, (torch.randn(4, 6),), "x.view(5, 5)", "sys.exit(3)")
    assert found.error is not None
    assert "sys.exit(3)" in str(found.error)


@pytest.mark.parametrize("new", ["x.view(5,", "return x", "yield"])
def test_what_does_not_parse_cannot_be_run(new: str) -> None:
    model = run_cell("""
        class Net(nn.Module):
            def forward(self, x):
                return x.view(5, 5)
    """)["Net"]()
    if new == "yield":
        assert tried(model, (torch.randn(4, 6),), "return x.view(5, 5)", "x = (yield)").ran
        return
    with pytest.raises(CannotRunError):
        tried(model, (torch.randn(4, 6),), "x.view(5, 5)", new)


def test_shapes_alone_where_values_cost_too_much() -> None:
    model = run_cell("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(6, 3)

            def forward(self, x):
                return self.fc(x.view(5, 5))
    """)["Net"]()
    limits = {"values": False}
    found = tried(model, (torch.randn(4, 6),), "x.view(5, 5)", "x", **limits)
    assert found.holds
    assert (found.computed, found.scales, found.mixes) == (False, True, None)
    assert not tried(model, (torch.randn(4, 6),), "x.view(5, 5)", "x.view(4, 6)", **limits).holds


ELEMENTWISE: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: x + y,
    "broadcast": lambda x, y: x[:, :1] * y[:1],
    "integer division": lambda x, y: (x.long() / 2, x.long() // 2, x.long() * 1.5),
    "comparison": lambda x, y: (x > y, x == 0, ~(x > 0)),
    "promotion": lambda x, y: (x.half() + y, x.double() * y, x.bool() & y.bool()),
    "turned": lambda x, y: (x.T.relu(), x.T + y.T, x.T.exp().contiguous(), x.T.clone()),
    "format": lambda x, y: x.view(1, 3, 2, 2).contiguous(memory_format=torch.channels_last) + 1,
    "in place": lambda x, y: x.clone().add_(y).mul_(2).clamp_(0, 1),
    "random": lambda x, y: x.clone().normal_().uniform_(0, 1),
    "where": lambda x, y: torch.where(x > 0, x, 0.0),
    "numbers": lambda x, y: (x**2, 2 / (x + 3), x.masked_fill(y > 0, -1e9)),
    "cast": lambda x, y: (x.to(torch.int32), x.type_as(y.long())),
    "batch norm": lambda x, y: F.batch_norm(x, y[0].abs(), y[1].abs(), training=True),
    "batch norm, evaluated": lambda x, y: F.batch_norm(x, y[0], y[1].abs(), x[0], x[1]),
    "batch norm of another size": lambda x, y: F.batch_norm(x, y[0, :3], y[1, :3]),
    "layer norm": lambda x, y: F.layer_norm(x.view(2, 2, 3), (2, 3), y.view(2, 2, 3)[0]),
    "layer norm of another size": lambda x, y: F.layer_norm(x, (3,)),
    "linear": lambda x, y: F.linear(x, y, x[:, 0]),
    "linear of another size": lambda x, y: F.linear(x, y[:, :3], x[:, 0]),
    "mean": lambda x, y: (x.mean(1), x.mean((0, 1), keepdim=True), x.mean(), x.mean(-1, True)),
    "mean of another axis": lambda x, y: x.mean(2),
    "wrong sizes": lambda x, y: x + y[:, :3],
    "in place, grown": lambda x, y: x[:, :1].add_(y),
    "in place, another type": lambda x, y: x.long().add_(y),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_operations_on_shapes_are_those_of_torch(name: str) -> None:
    x, y = torch.randn(3, 4), torch.randn(3, 4)

    def told(mode: Any, a: torch.Tensor, b: torch.Tensor) -> Any:
        try:
            with mode:
                found = ELEMENTWISE[name](a, b)
        except (RuntimeError, IndexError):
            return "raises"
        found = found if isinstance(found, tuple) else (found,)
        return [(each.shape, each.dtype, each.stride()) for each in found]

    assert told(_Elementwise(), x.to("meta"), y.to("meta")) == told(nullcontext(), x, y)


def test_shapes_are_run_without_the_compiler() -> None:
    """Importing it takes longer than all trials together."""
    program = """
import sys, torch
from torch import nn
from tracer.diagnosis.verify import Bench
net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(), nn.Flatten(),
                    nn.Linear(16, 8), nn.LayerNorm(8), nn.GELU(), nn.Softmax(-1))
bench = Bench(net, (torch.randn(2, 3, 4, 4),), {}, values=False)
assert bench.run(()).holds
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


# --- edits -------------------------------------------------------------------------------------


def test_edits_are_made_from_the_end_and_must_not_overlap() -> None:
    text = "a = b\nc = d\n"
    edits = (
        Edit("f", Span(1, 4, 1, 5), "(b)"),
        Edit("f", Span(2, 4, 2, 5), "e\n# more"),
        Edit("f", Span(1, 0, 1, 0), "# first\n"),
    )
    new = with_edits(text, edits)
    assert new == "# first\na = (b)\nc = e\n# more\n"
    assert with_edits(text, between("f", text, new)) == new
    with pytest.raises(ValueError, match="same text"):
        with_edits(text, (Edit("f", Span(1, 0, 1, 5), "x"), Edit("f", Span(1, 4, 2, 1), "y")))
    with pytest.raises(ValueError, match="column"):
        with_edits(text, (Edit("f", Span(9, 0, 9, 1), "x"),))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", "x\n"),
        ("x\n", ""),
        ("a\nb\nc\n", "a\nc\n"),
        ("a\nb\n", "a\nnew\nb\n"),
        ("a", "a\nb"),
        ("one\ntwo", "ONE\nthree\ntwo"),
        ("é = 1\nü = 2\n", "é = 11\nü = 22\n"),
    ],
)
def test_the_difference_of_two_texts_as_edits(old: str, new: str) -> None:
    assert with_edits(old, between("f", old, new)) == new


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("x", "x.T"),
        ("x + y", "(x + y).T"),
        ("(x + y)", "(x + y).T"),
        ("-x", "(-x).T"),
        ("x @ y", "(x @ y).T"),
        ("f(x)", "f(x).T"),
        ("f(x).g", "f(x).g.T"),
        ("x[0]", "x[0].T"),
        ("x if y else f", "(x if y else f).T"),
        ("f(x + y)", "f(x + y).T"),
        ("lambda: x", "(lambda: x).T"),
        ("2", "(2).T"),
    ],
)
def test_what_is_written_behind_an_expression_keeps_its_meaning(
    expression: str, wanted: str
) -> None:
    cell = run_cell(f"def f(x, y=0):\n    return {expression}\n")
    text = text_of(cell["f"].__code__.co_filename)
    assert text is not None
    value = text.tree.body[0].body[0].value  # type: ignore[attr-defined]
    made = with_edits(text.text, (text.after(value, ".T"),))
    assert made.splitlines()[1].strip() in (f"return {wanted}", f"return ({expression}).T")


@pytest.mark.parametrize(
    ("build", "paths"),
    [
        ("self.a = nn.Linear(1, 2)", {"a": "nn.Linear(1, 2)"}),
        ("self.a = nn.Sequential(nn.ReLU(), nn.Linear(1, 2))", {"a.1": "nn.Linear(1, 2)"}),
        ("self.a = nn.Sequential(*[nn.ReLU(), nn.Linear(1, 2)])", {"a.1": "nn.Linear(1, 2)"}),
        (
            "self.a = nn.ModuleList([nn.Linear(n, 2) for n in (1, 2)])",
            {"a.0": "nn.Linear(n, 2)", "a.1": "nn.Linear(n, 2)"},
        ),
        (
            "self.a = nn.ModuleList([nn.Linear(1, 2)])\nself.a.append(nn.Linear(3, 4))",
            {"a.0": "nn.Linear(1, 2)", "a.1": "nn.Linear(3, 4)"},
        ),
        (
            "m = [nn.Linear(1, 2), nn.ReLU()]\nm += [nn.Linear(3, 4)]\nm.append(nn.Linear(5, 6))\n"
            "self.a = nn.Sequential(*m)",
            {"a.0": "nn.Linear(1, 2)", "a.2": "nn.Linear(3, 4)", "a.3": "nn.Linear(5, 6)"},
        ),
        (
            "from collections import OrderedDict\n"
            "self.a = nn.Sequential(OrderedDict([('x', nn.ReLU()), ('y', nn.Linear(1, 2))]))",
            {"a.y": "nn.Linear(1, 2)"},
        ),
        ("self.a = nn.ModuleDict({'p': nn.Linear(1, 2)})", {"a.p": "nn.Linear(1, 2)"}),
        ("self.add_module('a', nn.Linear(1, 2))", {"a": "nn.Linear(1, 2)"}),
        ("def make(n):\n    return nn.Sequential(nn.ReLU(), nn.Linear(n, 2))\nself.a = self.h(3)",
         {"a.1": "nn.Linear(n, 4)"}),
        ("self.a, self.b = nn.Linear(1, 2), nn.Linear(3, 4)",
         {"a": "nn.Linear(1, 2)", "b": "nn.Linear(3, 4)"}),
        ("self.a = nn.utils.parametrizations.weight_norm(nn.Linear(1, 2))", {}),
    ],
)  # fmt: skip
def test_the_call_that_made_a_layer(build: str, paths: dict[str, str]) -> None:
    body = textwrap.indent(build, " " * 8)
    cell = run_cell(
        "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n" + body
        + "\n\n    def h(self, n):\n        return nn.Sequential(nn.ReLU(), nn.Linear(n, 4))\n"
    )  # fmt: skip
    model = cell["Net"]()
    for path, wanted in paths.items():
        found = constructor(model, path)
        assert found is not None, path
        assert found.text.of(found.call) == wanted
        assert found.owner == ""


def test_an_argument_is_replaced_or_added() -> None:
    cell = run_cell("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.a = nn.Conv2d(3, 8, kernel_size=3)
                self.b = nn.LSTM(
                    4, 5,
                )
    """)
    model = cell["Net"]()
    for path, name, value, wanted in (
        ("a", "in_channels", "1", "nn.Conv2d(1, 8, kernel_size=3)"),
        ("a", "kernel_size", "5", "nn.Conv2d(3, 8, kernel_size=5)"),
        ("a", "padding", "1", "nn.Conv2d(3, 8, kernel_size=3, padding=1)"),
        ("b", "hidden_size", "6", "nn.LSTM(\n            4, 6,\n        )"),
        ("b", "batch_first", "True", "nn.LSTM(\n            4, 5, batch_first=True,\n        )"),
    ):
        built = constructor(model, path)
        assert built is not None
        assert wanted in with_edits(built.text.text, (built.edit(name, value),))

"""Where an operation was written and in which module it ran, however the code is put together."""

from __future__ import annotations

import functools
import gc
import inspect
import itertools
import linecache
import weakref
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tests.cells import forward_cell, named, run_cell, shapes
from tests.models import BY_KEY, MODELS
from tests.together import together
from tracer import Call, Step, Trace, trace


def spelled(found: Trace) -> list[str]:
    return [step.expression for step in found.steps]


def told(step: Step) -> tuple[str, str, str]:
    return step.module, step.op, step.expression


def source_lines(function: Callable[..., Any]) -> dict[str, int]:
    """Stripped line → its number in the file, for the lines of a function that occur once."""
    lines, first = inspect.getsourcelines(function)
    stripped = [line.strip() for line in lines]
    return {line: first + i for i, line in enumerate(stripped) if stripped.count(line) == 1}


def check_spans(found: Trace) -> None:
    """Line, span, expression and statement agree with the file that they point to."""
    for step in found.steps:
        lines = linecache.getlines(step.file)
        for span, text in (
            (step.place.span, step.expression),
            (step.place.statement_span, step.statement),
        ):
            assert span is not None
            parts = lines[span.line - 1 : span.end_line]
            parts[-1] = parts[-1][: span.end_column]
            parts[0] = parts[0][span.column :]
            assert "".join(parts) == text
        assert step.place.span is not None
        assert step.line == step.place.span.line
        assert step.expression in step.statement
        assert step.place.source is not None
        source = found.sources[step.place.source]
        assert source.file == step.file
        text = source.text.splitlines()
        assert source.first <= step.line < source.first + len(text)
        assert lines[step.line - 1].rstrip("\n") == text[step.line - source.first]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.key)
def test_every_place_in_the_larger_models(model: Any) -> None:
    args, kwargs = model.arguments()
    found = trace(model.make(), *args, **kwargs)
    assert found.failure is None
    assert len(found.steps) >= 3
    assert {Path(step.file).name for step in found.steps} == {"models.py"}
    check_spans(found)


# --- the forms of Python --------------------------------------------------------------------


def scale(x: Tensor, by: float = 2.0) -> Tensor:
    scaled = x * by
    return scaled


class Forms(nn.Module):
    def helper(self, x: Tensor) -> Tensor:
        halved = scale(x) / 4
        return halved

    def forward(self, x: Tensor, flag: bool = True) -> Tensor:
        half = self.helper(x)
        rows = [row * 2 for row in half]
        table = {name: part + 1 for name, part in zip("ab", rows, strict=True)}
        total = sum(part.sum() for part in table.values())
        twice = (lambda value: value - total)(half)
        chosen = twice.relu() if flag else twice.sigmoid()
        spread = torch.cat(
            [
                chosen,
                -chosen,  # the other side
            ],
            dim=1,
        )
        chained = (
            spread.view(2, -1)
            .permute(1, 0)
            .contiguous()
        )  # fmt: skip
        if (peak := chained.max()) > -1e9:
            chained = chained / (peak + 1)
        return functools.reduce(torch.add, [chained, chained])


def test_python_forms() -> None:
    found = trace(Forms(), torch.ones(2, 3))
    check_spans(found)
    at = source_lines(Forms.forward)
    inside = source_lines(Forms.helper)
    helper = source_lines(scale)
    lines = [(step.expression, step.line, step.targets) for step in found.steps]
    assert lines[0] == ("x * by", helper["scaled = x * by"], ("scaled",))
    assert lines[1] == ("scale(x) / 4", inside["halved = scale(x) / 4"], ("halved",))
    comprehension = at["rows = [row * 2 for row in half]"]
    assert [line for line in lines if line[0] == "row * 2"] == [("row * 2", comprehension, ())] * 2
    assert spelled(found).count("part + 1") == 2
    assert spelled(found).count("part.sum()") == 2
    by_text = {step.expression: step for step in found.steps}
    assert by_text["value - total"].function.endswith("<lambda>")
    assert by_text["twice.relu()"].targets == ("chosen",)
    assert "twice.sigmoid()" not in by_text
    cat = by_text[
        "torch.cat(\n            [\n                chosen,\n                -chosen,"
        "  # the other side\n            ],\n            dim=1,\n        )"
    ]
    assert cat.line == at["spread = torch.cat("]
    assert cat.targets == ("spread",)
    assert cat.inputs[0].name == "chosen"
    assert by_text["-chosen"].line == at["-chosen,  # the other side"]
    last = by_text["spread.view(2, -1)\n            .permute(1, 0)\n            .contiguous()"]
    assert last.targets == ("chained",)
    assert last.line == at["spread.view(2, -1)"]
    assert by_text["spread.view(2, -1)"].targets == ()
    assert by_text["chained.max()"].targets == ("peak",)
    assert by_text["chained.max()"].outputs[0].name == "peak"
    add = found.steps[-1]
    assert (add.op, add.expression) == (
        "torch.add",
        "functools.reduce(torch.add, [chained, chained])",
    )
    assert add.outputs == found.outputs


def test_three_steps_on_one_line() -> None:
    model = forward_cell("x", "y = x.view(2, 6).permute(1, 0).mean(0)\nreturn y")
    view, permute, mean = trace(model, torch.randn(3, 4)).steps
    assert [step.expression for step in (view, permute, mean)] == [
        "x.view(2, 6)",
        "x.view(2, 6).permute(1, 0)",
        "x.view(2, 6).permute(1, 0).mean(0)",
    ]
    assert [step.targets for step in (view, permute, mean)] == [(), (), ("y",)]
    assert {step.statement for step in (view, permute, mean)} == {
        "y = x.view(2, 6).permute(1, 0).mean(0)"
    }
    assert [step.place.span.column for step in (view, permute, mean) if step.place.span] == [12] * 3


@together(
    ("body", "targets"),
    [
        ("y = z = x + 1", [("y", "z")]),
        ("y, z = x + 1, x - 1", [("y",), ("z",)]),
        ("y: torch.Tensor = x + 1", [("y",)]),
        ("self.kept = x + 1", [("self.kept",)]),
        ("both = [x + 1, x - 1]", [(), ()]),
        ("y = (x + 1,)", [()]),
        ("(a, b), c = x.unbind(0), x + 1", [("a", "b"), ("c",)]),
        ("y = x + 1 if x.dim() else x", [("y",)]),
        ("for row in x.unbind(0): pass", [("row",)]),
        ("return x + 1", [()]),
        ("x + 1", [()]),
        ("del x", []),
        ("with torch.no_grad(): y = x + 1", [("y",)]),
        ("assert (x + 1).shape == x.shape", [()]),
        ("table = {}; table['k'] = x + 1", [None]),
    ],
)
def test_targets_of_every_statement(body: str, targets: list[tuple[str, ...] | None]) -> None:
    found = trace(forward_cell("x", body), torch.randn(2, 3))
    assert found.failure is None
    assert len(found.steps) == len(targets)
    for step, names in zip(found.steps, targets, strict=True):
        assert names is None or step.targets == names
        assert step.expression in step.statement
        assert step.line == 3


def test_unicode_before_the_expression() -> None:
    """Python counts columns in bytes, a reader in characters."""
    model = forward_cell("x", 'größe = "→ ü 漢字"; 漢 = x * 2; y = 漢 + len(größe)\nreturn y  # 🎈')
    found = trace(model, torch.ones(2))
    assert [(s.expression, s.targets) for s in found.steps] == [
        ("x * 2", ("漢",)),
        ("漢 + len(größe)", ("y",)),
    ]
    check_spans(found)
    assert found.steps[0].outputs[0].name == "漢"
    assert named(found.steps[1].inputs) == {"漢": (2,)}


def test_tabs_and_form_feeds() -> None:
    cell = run_cell(
        "class Tabbed(nn.Module):\n\tdef forward(self, x):\n\t\tif x.dim():\n"
        "\t\t\ty\t=\tx\t+\t1\n\t\treturn\ty\n"
    )
    found = trace(cell["Tabbed"](), torch.ones(2))
    assert spelled(found) == ["x\t+\t1"]
    assert (found.steps[0].line, found.steps[0].targets) == (4, ("y",))
    check_spans(found)


def test_windows_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "dos.py"
    file.write_bytes(
        b"from torch import nn\r\n\r\nclass Dos(nn.Module):\r\n    def forward(self, x):\r\n"
        b"        # doubled\r\n        y = (x +\r\n             x)\r\n        return y\r\n"
    )
    space: dict[str, Any] = {"__name__": "dos"}
    exec(compile(file.read_bytes(), str(file), "exec"), space)
    (step,) = trace(space["Dos"](), torch.ones(2)).steps
    assert step.expression.split() == ["x", "+", "x"]
    assert (step.line, step.note) == (6, "doubled")


def test_code_without_text_still_traces() -> None:
    cell = run_cell(
        """
        class Silent(nn.Module):
            def __init__(self):
                super().__init__()
                self.lin = nn.Linear(3, 2)

            def forward(self, x):
                y = self.lin(x)
                return y.relu() + 1
        """,
        remember=False,
    )
    found = trace(cell["Silent"](), torch.randn(4, 3))
    assert [step.op.split(".")[0] for step in found.steps] == ["nn", "Tensor", "Tensor"]
    assert [step.line for step in found.steps] == [7, 8, 8]
    assert spelled(found) == ["", "", ""]
    assert shapes(found.steps[0].outputs) == [(4, 2)]
    assert {"lin.weight", "lin.bias"} <= {note.name for note in found.steps[0].inputs}
    assert Trace.from_json(found.to_json()) == found


def test_text_that_is_no_longer_the_code(tmp_path: Path) -> None:
    """A file edited after the import shows no wrong line."""
    file = tmp_path / "edited.py"
    old = (
        "import torch\nclass M(torch.nn.Module):\n    def forward(self, x):\n        return x + 1\n"
    )
    file.write_text(old)
    space: dict[str, Any] = {"__name__": "edited"}
    exec(compile(old, str(file), "exec"), space)
    file.write_text("# a line\n# and another\n" + old.replace("x + 1", "x.view(1, -1) * 100"))
    (step,) = trace(space["M"](), torch.ones(2)).steps
    assert step.op == trace(forward_cell("x", "return x + 1"), torch.ones(2)).steps[0].op
    assert "view" not in step.expression
    assert "view" not in step.statement


def test_a_cell_run_again_with_other_text() -> None:
    """Two versions of a class of the same name each show their own text."""
    first = forward_cell("x", "return x + 1")
    second = forward_cell("x", "return x.sum() - 2")
    assert spelled(trace(first, torch.ones(2))) == ["x + 1"]
    assert spelled(trace(second, torch.ones(2))) == ["x.sum()", "x.sum() - 2"]


def logged(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Tensor:
        result = function(*args, **kwargs)
        return result.clone()

    return wrapper


def test_a_decorated_forward() -> None:
    class Wrapped(nn.Module):
        @logged
        @torch.no_grad()
        def forward(self, x: Tensor) -> Tensor:
            doubled = x * 2
            return doubled

    found = trace(Wrapped(), torch.ones(2))
    assert spelled(found) == ["x * 2", "result.clone()"]
    assert found.steps[0].line == source_lines(Wrapped.forward)["doubled = x * 2"]
    assert found.inputs[0].name == "x"
    check_spans(found)


def test_a_module_made_of_a_lambda() -> None:
    class Lambda(nn.Module):
        def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
            super().__init__()
            self.function = function

        def forward(self, x: Tensor) -> Tensor:
            return self.function(x)

    model = nn.Sequential(nn.Linear(3, 3), Lambda(lambda x: x.square().mean(-1)))
    found = trace(model, torch.ones(2, 3))
    assert [told(step)[:2] for step in found.steps] == [
        ("0", "nn.Linear"),
        ("1", "Tensor.square"),
        ("1", "Tensor.mean"),
    ]
    assert spelled(found)[1:] == ["x.square()", "x.square().mean(-1)"]
    check_spans(Trace(**{**vars(found), "steps": found.steps[1:]}))


def test_a_forward_replaced_on_the_instance() -> None:
    model = nn.Identity()
    model.forward = lambda x: x + 3  # type: ignore[method-assign]
    assert spelled(trace(model, torch.ones(2))) == ["x + 3"]


def test_generators_and_closures() -> None:
    model = forward_cell(
        "x",
        """
        def parts():
            for row in x:
                yield row * 2
        weight = 3
        def weighted(row):
            return row * weight
        return torch.stack([weighted(row) for row in parts()])
        """,
    )
    found = trace(model, torch.ones(2, 3))
    assert spelled(found)[1:] == [
        "row * 2", "row * weight", "row * 2", "row * weight",
        "torch.stack([weighted(row) for row in parts()])",
    ]  # fmt: skip
    assert found.steps[1].line == 5
    assert named(found.steps[2].inputs) == {"row": (3,)}


def test_recursion() -> None:
    model = forward_cell(
        "x",
        """
        def halve(x):
            return x if x.shape[0] == 1 else halve(x[::2] * 1)
        return halve(x)
        """,
    )
    found = trace(model, torch.ones(8))
    assert spelled(found) == ["x[::2]", "x[::2] * 1"] * 3
    assert shapes(found.outputs) == [(1,)]


# --- modules --------------------------------------------------------------------------------


class Inner(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1)
        self.register_buffer("shift", torch.ones(width, 1, 1))
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(x)
        return y * self.gain + self.shift


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(Inner(4), nn.BatchNorm2d(4), nn.Sequential(nn.ReLU()))
        self.heads = nn.ModuleDict({"left": nn.Conv2d(4, 2, 1), "right": nn.Conv2d(4, 1, 1)})
        self.layers = nn.ModuleList([nn.Conv2d(2, 2, 1), nn.Identity()])

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.stem(image)
        out = {name: head(features) for name, head in self.heads.items()}
        for layer in self.layers:
            out["left"] = layer(out["left"])
        return out


class TestModules:
    def test_paths_and_order(self) -> None:
        found = trace(Outer().eval(), torch.randn(2, 3, 5, 5))
        assert [(step.module, step.op) for step in found.steps] == [
            ("stem.0.conv1", "nn.Conv2d"),
            ("stem.0", found.steps[1].op),
            ("stem.0", found.steps[2].op),
            ("stem.1", "nn.BatchNorm2d"),
            ("stem.2.0", "nn.ReLU"),
            ("heads.left", "nn.Conv2d"),
            ("heads.right", "nn.Conv2d"),
            ("layers.0", "nn.Conv2d"),
            ("layers.1", "nn.Identity"),
        ]
        assert spelled(found)[:4] == [
            "self.conv1(x)",
            "y * self.gain",
            "y * self.gain + self.shift",
            "self.stem(image)",
        ]
        assert [note.name for note in found.outputs] == ["out['left']", "out['right']"] or shapes(
            found.outputs
        ) == [(2, 2, 5, 5), (2, 1, 5, 5)]

    def test_parameters_and_buffers_are_operands(self) -> None:
        found = trace(Outer().eval(), torch.randn(2, 3, 5, 5))
        conv, times, plus, norm, *_ = found.steps
        assert named(conv.inputs) == {
            "image": (2, 3, 5, 5),
            "stem.0.conv1.weight": (4, 3, 3, 3),
            "stem.0.conv1.bias": (4,),
        } or named(conv.inputs) == {
            "x": (2, 3, 5, 5),
            "stem.0.conv1.weight": (4, 3, 3, 3),
            "stem.0.conv1.bias": (4,),
        }
        assert [note.kind for note in conv.inputs] == ["input", "parameter", "parameter"]
        assert named(times.inputs) == {"y": (2, 4, 5, 5), "stem.0.gain": (1,)}
        assert plus.inputs[1].name == "stem.0.shift"
        assert plus.inputs[1].kind == "buffer"
        kinds = {note.name: note.kind for note in norm.inputs[1:]}
        assert kinds["stem.1.weight"] == "parameter"
        assert kinds["stem.1.running_mean"] == "buffer"

    def test_settings_are_arguments(self) -> None:
        conv = trace(Outer(), torch.randn(2, 3, 5, 5)).steps[0]
        assert conv.arguments == ("3", "4", "kernel_size=(3, 3)", "stride=(1, 1)", "padding=(1, 1)")

    def test_the_tree_of_calls(self) -> None:
        model = Outer().eval()
        found = trace(model, torch.randn(2, 3, 5, 5))
        root, stem, inner, deep = found.calls
        assert [call.module for call in found.calls] == ["", "stem", "stem.0", "stem.2"]
        assert [call.type for call in found.calls] == ["Outer", "Sequential", "Inner", "Sequential"]
        assert [call.parent for call in found.calls] == [None, 0, 1, 1]
        assert [(c.start, c.stop) for c in found.calls] == [(0, 9), (0, 5), (0, 3), (4, 5)]
        assert (stem.expression, stem.targets) == ("self.stem(image)", ("features",))
        assert stem.outputs[0].name == "features"
        assert root.parameters == sum(p.numel() for p in model.parameters())
        assert inner.parameters == 3 * 4 * 9 + 4 + 1
        assert root.inputs == found.inputs
        assert root.outputs == found.outputs
        assert [step.call for step in found.steps] == [2, 2, 2, 1, 3, 0, 0, 0, 0]
        assert deep.outputs == found.steps[4].outputs

    def test_a_module_called_twice_is_two_calls(self) -> None:
        class Twice(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.inner = Inner(3)

            def forward(self, x: Tensor) -> Tensor:
                first = self.inner(x)
                return self.inner(first)

        found = trace(Twice(), torch.randn(1, 3, 4, 4))
        assert [(call.module, call.start, call.stop) for call in found.calls] == [
            ("", 0, 6),
            ("inner", 0, 3),
            ("inner", 3, 6),
        ]
        assert [call.expression for call in found.calls[1:]] == [
            "self.inner(x)",
            "self.inner(first)",
        ]
        assert [step.call for step in found.steps] == [1, 1, 1, 2, 2, 2]
        assert found.calls[2].inputs == found.calls[1].outputs
        weights = [step.inputs[1] for step in found.steps if step.op == "nn.Conv2d"]
        assert weights[0].id == weights[1].id

    def test_one_module_under_two_names(self) -> None:
        class Shared(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.encode = nn.Linear(3, 3)
                self.decode = self.encode

            def forward(self, x: Tensor) -> Tensor:
                return self.decode(self.encode(x))

        found = trace(Shared(), torch.randn(2, 3))
        assert [step.op for step in found.steps] == ["nn.Linear", "nn.Linear"]
        assert found.steps[0].module in ("encode", "decode")
        assert found.calls[0].parameters == 12

    def test_a_part_shared_by_two_modules(self) -> None:
        """It has the path of the one that calls it."""
        part = Inner(3)
        model = nn.ModuleDict({"left": nn.Sequential(part), "right": nn.Sequential(part)})
        model.forward = lambda x: model["right"](model["left"](x))  # type: ignore[method-assign]
        found = trace(model, torch.randn(1, 3, 4, 4))
        assert [call.module for call in found.calls] == [
            "", "left", "left.0", "right", "right.0",
        ]  # fmt: skip
        assert [step.module for step in found.steps[:4]] == [
            "left.0.conv1", "left.0", "left.0", "right.0.conv1",
        ]  # fmt: skip

    def test_a_parameter_of_another_module(self) -> None:
        class Tied(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embed = nn.Embedding(7, 4)

            def forward(self, words: Tensor) -> Tensor:
                return F.linear(self.embed(words), self.embed.weight)

        embed, linear = trace(Tied(), torch.tensor([1, 2])).steps
        assert embed.inputs[1].id == linear.inputs[1].id
        assert linear.inputs[1].name == "embed.weight"
        assert shapes(linear.outputs) == [(2, 7)]

    def test_a_torch_module_as_the_root(self) -> None:
        found = trace(nn.Linear(3, 2), torch.randn(4, 3))
        assert len(found.steps) >= 1
        assert shapes(found.steps[-1].outputs) == [(4, 2)]
        assert {"weight", "bias"} <= {note.name for note in found.steps[-1].inputs}
        assert shapes(found.outputs) == [(4, 2)]

    def test_a_sequential_as_the_root(self) -> None:
        found = trace(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), torch.randn(5, 3))
        assert [(step.module, step.op) for step in found.steps] == [
            ("0", "nn.Linear"),
            ("1", "nn.ReLU"),
            ("2", "nn.Linear"),
        ]
        assert [call.type for call in found.calls] == ["Sequential"]

    def test_a_model_that_does_nothing(self) -> None:
        found = trace(forward_cell("x", "return x"), torch.ones(2))
        assert found.steps == ()
        assert found.outputs == found.inputs
        assert Trace.from_json(found.to_json()) == found

    def test_no_input_at_all(self) -> None:
        found = trace(forward_cell("", "return torch.ones(2) + 1"))
        assert found.inputs == ()
        assert spelled(found) == ["torch.ones(2)", "torch.ones(2) + 1"]


def calls_by_hooks(model: nn.Module, args: Any, kwargs: Any) -> list[tuple[str, str, Any, Any]]:
    """(path, class, input shapes, output shapes) of each call of a module not torch's own."""
    found: list[list[Any]] = []
    paths = {module: path for path, module in reversed([*model.named_modules()])}
    open_calls: list[list[Any]] = []

    def flat(value: Any) -> list[tuple[int, ...]]:
        leaves = torch.utils._pytree.tree_leaves(value)
        return [tuple(item.shape) for item in leaves if isinstance(item, Tensor)]

    def enter(module: nn.Module, inputs: Any, named_inputs: Any) -> None:
        found.append([paths[module], type(module).__name__, flat((inputs, named_inputs)), None])
        open_calls.append(found[-1])

    def leave(module: nn.Module, inputs: Any, result: Any) -> None:
        open_calls.pop()[3] = flat(result)

    handles = []
    for module in model.modules():
        if not type(module).__module__.startswith("torch.nn") or isinstance(module, nn.Sequential):
            handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
            handles.append(module.register_forward_hook(leave))
    try:
        model(*args, **kwargs)
    finally:
        for handle in handles:
            handle.remove()
    return [tuple(call) for call in found]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.key)
def test_the_calls_are_those_that_hooks_see(model: Any) -> None:
    args, kwargs = model.arguments()
    module = model.make()
    expected = calls_by_hooks(module, args, kwargs)
    found = trace(module, *args, **kwargs)
    assert [
        (call.module, call.type, shapes(call.inputs), shapes(call.outputs)) for call in found.calls
    ] == expected
    check_tree(found.calls, found)


def check_tree(calls: tuple[Call, ...], found: Trace) -> None:
    """Each call lies within its parent, and each step in the innermost call around it."""
    for call in calls[1:]:
        assert call.parent is not None
        parent = calls[call.parent]
        assert parent.start <= call.start <= call.stop <= parent.stop
    for step in found.steps:
        around = [call.index for call in calls if call.start <= step.index < call.stop]
        assert step.call == max(around, key=lambda index: (calls[index].start, index))


# --- torch's own compound modules -----------------------------------------------------------


class TestRecurrent:
    @pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
    def test_one_step_with_its_states(self, kind: Any) -> None:
        class Tagger(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.rnn = kind(5, 4, num_layers=2, bidirectional=True, batch_first=True)

            def forward(self, x: Tensor) -> Tensor:
                out, _ = self.rnn(x)
                return out

        (step,) = trace(Tagger(), torch.randn(3, 7, 5)).steps
        assert (step.op, step.module, step.targets) == (
            f"nn.{kind.__name__}",
            "rnn",
            ("out", "_"),
        )
        assert shapes(step.outputs) == [(3, 7, 8)] + [(4, 3, 4)] * (2 if kind is nn.LSTM else 1)
        assert step.outputs[0].name == "out"
        names = {note.name: note.shape for note in step.inputs}
        assert names["x"] == (3, 7, 5)
        assert len([name for name in names if name.startswith("rnn.")]) == 16
        assert "batch_first=True" in step.arguments

    def test_cells_in_a_loop(self) -> None:
        cell = run_cell(
            """
            class Loop(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.cell = nn.LSTMCell(3, 2)

                def forward(self, x):
                    h = c = torch.zeros(x.shape[1], 2)
                    for step in x:
                        h, c = self.cell(step, (h, c))
                    return h
            """
        )
        found = trace(cell["Loop"](), torch.randn(4, 5, 3))
        cells = [step for step in found.steps if step.op == "nn.LSTMCell"]
        assert len(cells) == 4
        assert all(step.targets == ("h", "c") for step in cells)
        assert all(shapes(step.outputs) == [(5, 2), (5, 2)] for step in cells)
        for before, after in itertools.pairwise(cells):
            assert set(before.outputs) <= set(after.inputs)
        assert found.steps[0].targets == ("h", "c")

    def test_packed_sequences(self) -> None:
        model = BY_KEY["tagger"]
        args, kwargs = model.arguments()
        found = trace(model.make(), *args, **kwargs)
        (gru,) = [step for step in found.steps if step.op == "nn.GRU"]
        assert gru.expression == "self.gru(packed)"
        assert (14, 8) in shapes(gru.inputs)
        assert (14, 16) in shapes(gru.outputs)
        assert any("pack_padded_sequence(" in text for text in spelled(found))


def leaves(steps: tuple[Step, ...]) -> Iterator[Step]:
    for step in steps:
        if step.children:
            yield from leaves(step.children)
        else:
            yield step


def check_nesting(step: Step) -> None:
    assert [child.index for child in step.children] == [*range(len(step.children))]
    for child in step.children:
        assert child.call == step.call
        check_nesting(child)


class TestOpened:
    def test_multihead_attention(self) -> None:
        class Attend(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

            def forward(self, x: Tensor) -> Tensor:
                y, _ = self.attention(x, x, x)
                return y

        found = trace(Attend(), torch.randn(3, 5, 8))
        (step,) = found.steps
        assert (step.op, step.module, step.targets) == (
            "nn.MultiheadAttention",
            "attention",
            ("y", "_"),
        )
        assert shapes(step.outputs) == [(3, 5, 8), (3, 5, 5)]
        assert {
            "attention.in_proj_weight", "attention.in_proj_bias",
            "attention.out_proj.weight", "attention.out_proj.bias",
        } <= {note.name for note in step.inputs}  # fmt: skip
        check_nesting(step)
        ops = [child.op for child in leaves(step.children)]
        assert "F.softmax" in ops or "torch.softmax" in ops
        assert len(ops) >= 10
        # Queries, keys and values by head, then the scores: (B · heads, T, T).
        inner = [shape for child in leaves(step.children) for shape in shapes(child.outputs)]
        assert (6, 5, 4) in inner
        assert (6, 5, 5) in inner
        assert all(child.expression for child in leaves(step.children))

    def test_transformer_encoder_layer(self) -> None:
        model = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)).eval()
        found = trace(model, torch.randn(2, 5, 8))
        (step,) = found.steps
        assert (step.op, step.module) == ("nn.TransformerEncoderLayer", "0")
        check_nesting(step)
        inner = [*leaves(step.children)]
        modules = {child.module for child in inner}
        assert {"0.norm1", "0.norm2", "0.linear1", "0.linear2"} <= modules
        assert any(child.op == "F.scaled_dot_product_attention" for child in inner)
        assert (2, 5, 16) in [shape for child in inner for shape in shapes(child.outputs)]
        assert inner[-1].outputs == step.outputs
        assert len(step.inputs) == 13

    def test_children_connect(self) -> None:
        """Each operand of an inner step comes in from outside or from a step before it."""
        model = BY_KEY["transformer"]
        args, kwargs = model.arguments()
        found = trace(model.make(), *args, **kwargs)
        for step in found.steps:
            known = {note.id for note in step.inputs}
            for child in leaves(step.children):
                loose = [
                    n for n in child.inputs if n.id not in known and n.kind not in ("constant",)
                ]
                assert not loose, (child.expression, loose)
                known |= {note.id for note in child.outputs}
            if step.children:
                assert {note.id for note in step.outputs} <= known

    def test_a_layer_of_one_operation_is_not_opened(self) -> None:
        found = trace(nn.Sequential(nn.Linear(3, 3), nn.ReLU()), torch.ones(1, 3))
        assert [step.children for step in found.steps] == [(), ()]


# --- ways of running ------------------------------------------------------------------------


class Checkpointed(nn.Module):
    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.reentrant = reentrant
        self.lin = nn.Linear(4, 4)
        self.drop = nn.Dropout(0.5)

    def block(self, x: Tensor) -> Tensor:
        y = self.lin(x)
        return self.drop(y).relu()

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.block, x, use_reentrant=self.reentrant) + x


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed_code(reentrant: bool) -> None:
    model = Checkpointed(reentrant)
    found = trace(model, torch.randn(2, 4, requires_grad=True))
    assert found.failure is None
    inside = [told(step) for step in found.steps if "checkpoint(" not in step.expression]
    assert inside == [
        ("lin", "nn.Linear", "self.lin(x)"),
        ("drop", "nn.Dropout", "self.drop(y)"),
        ("", "Tensor.relu", "self.drop(y).relu()"),
    ]
    assert found.steps[-1].expression.startswith("checkpoint(self.block")
    assert found.steps[-1].outputs == found.outputs
    relu = next(step for step in found.steps if step.op == "Tensor.relu")
    assert relu.outputs[0].shape == (2, 4)


class Pair(NamedTuple):
    mean: Tensor
    spread: Tensor


@dataclass
class Result:
    logits: Tensor
    hidden: tuple[Tensor, ...]
    label: str = "none"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return {'a': x + 1, 'b': [x.sum()]}", [(2, 3), ()]),
        ("return Pair(x.mean(0), x.std(0))", [(3,), (3,)]),
        ("return Result(logits=x * 2, hidden=(x, x[0]))", [(2, 3), (2, 3), (3,)]),
        ("return [x, (x, {'deep': x.T})]", [(2, 3), (2, 3), (3, 2)]),
        ("return x.max(1)", [(2,), (2,)]),
        ("return None", []),
        ("return 3.5", []),
        ("return {'x': x, 'text': 'no tensor', 'none': None}", [(2, 3)]),
    ],
)
def test_outputs_of_any_shape(body: str, expected: list[tuple[int, ...]]) -> None:
    model = forward_cell("x", body, Pair=Pair, Result=Result)
    found = trace(model, torch.randn(2, 3))
    assert found.failure is None
    assert shapes(found.outputs) == expected
    assert shapes(found.calls[0].outputs) in (expected, list(dict.fromkeys(expected))) or len(
        {note.id for note in found.outputs}
    ) < len(found.outputs)
    assert Trace.from_json(found.to_json()) == found


class Moody(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.drop(self.norm(x))
        return y * 2 if self.training else y


def test_train_and_eval() -> None:
    x = torch.randn(50, 3) + 5
    training = trace(Moody().train(), x)
    quiet = trace(Moody().eval(), x)
    assert (training.training, quiet.training) == (True, False)
    assert spelled(training) == ["self.norm(x)", "self.drop(self.norm(x))", "y * 2"]
    assert spelled(quiet) == ["self.norm(x)", "self.drop(self.norm(x))"]
    dropped, kept = training.steps[1].outputs[0].stats, quiet.steps[1].outputs[0].stats
    assert dropped is not None
    assert kept is not None
    assert 0.2 < dropped.zeros < 0.8
    assert kept.zeros == 0
    normed = training.steps[0].outputs[0].stats
    assert normed is not None
    assert normed.mean == pytest.approx(0, abs=1e-5)
    assert quiet.steps[0].outputs[0].stats != normed


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("key", ["resnet_cbam", "swin", "rotary", "experts", "seq2seq"])
def test_the_grad_mode_changes_nothing_in_the_trace(mode: Any, key: str) -> None:
    model = BY_KEY[key]
    args, kwargs = model.arguments()
    plain = trace(model.make(), *args, **kwargs)
    with mode():
        found = trace(model.make(), *args, **kwargs)
    assert [told(step) for step in found.steps] == [told(step) for step in plain.steps]
    assert [shapes(step.outputs) for step in found.steps] == [
        shapes(step.outputs) for step in plain.steps
    ]
    # Without grad torch takes other kernels for a GRU, which round differently.
    for one, other in zip(found.outputs, plain.outputs, strict=True):
        assert one.stats is not None
        assert other.stats is not None
        assert one.stats.mean == pytest.approx(other.stats.mean, rel=1e-4, abs=1e-6)
        assert one.stats.std == pytest.approx(other.stats.std, rel=1e-4, abs=1e-6)


def test_grad_modes_inside_the_forward() -> None:
    body = """
    with torch.no_grad():
        a = x * 2
    with torch.inference_mode():
        b = x * 3
        b += 1
    with torch.autocast("cpu", dtype=torch.bfloat16):
        c = x @ x.T
    return a, c
    """
    found = trace(forward_cell("x", body), torch.ones(2, 2, requires_grad=True))
    assert found.failure is None
    assert [e for e in spelled(found) if e] == ["x * 2", "x * 3", "b += 1", "x.T", "x @ x.T"]
    assert found.outputs[1].dtype == "bfloat16"


# --- notes ----------------------------------------------------------------------------------


class TestNotes:
    def test_the_comment_above_the_statement(self) -> None:
        body = """
        # Summed over rows: {x.shape} becomes {y.shape},
        # with $\\{x\\}_{i}$ untouched and {unknown} left.
        y = x.sum(0)

        # not of the next, for there is a gap

        z = y * 2  # behind
        # one of two
        a, b = z.split(2)
        return a
        """
        found = trace(forward_cell("x", body), torch.ones(3, 4))
        assert [step.note for step in found.steps] == [
            "Summed over rows: (3, 4) becomes (4,),\n"
            "with $\\{x\\}_{i}$ untouched and {unknown} left.",
            "",
            "one of two",
        ]

    def test_filled_from_each_pass_of_a_loop(self) -> None:
        body = """
        for width in (4, 2):
            # From {x.shape[1]} columns to {width}.
            x = x[:, :width]
        return x
        """
        found = trace(forward_cell("x", body), torch.ones(3, 8))
        assert [step.note for step in found.steps] == [
            "From 8 columns to 4.",
            "From 4 columns to 2.",
        ]

    def test_filled_with_plain_values_and_attributes(self) -> None:
        cell = run_cell(
            """
            class Sized(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.heads = 2
                    self.lin = nn.Linear(4, 6)

                def forward(self, x):
                    b, c = x.shape
                    # {b} rows, {self.heads} heads, weight {self.lin.weight.shape}, {x.shape[-1]}
                    y = self.lin(x).view(b, self.heads, -1)
                    return y
            """
        )
        found = trace(cell["Sized"](), torch.ones(3, 4))
        assert [step.note for step in found.steps] == ["3 rows, 2 heads, weight (6, 4), 4"] * 2

    def test_a_note_runs_no_code(self) -> None:
        touched: list[str] = []

        class Trap(nn.Module):
            @property
            def dangerous(self) -> str:
                touched.append("property")
                return "ran"

            def forward(self, x: Tensor) -> Tensor:
                # {self.dangerous} {x.__class__} {x.sum()} {__import__('os').name} {x.shape.__len__}
                return x + 1

        (step,) = trace(Trap(), torch.ones(2)).steps
        assert touched == []
        assert "{self.dangerous}" in step.note
        assert "{x.sum()}" in step.note

    def test_above_several_lines_and_decorators(self) -> None:
        body = """
        if x.dim() == 2:
            # inside a branch
            y = torch.cat(
                # not a note
                [x, x],
            )
        return y
        """
        (step,) = trace(forward_cell("x", body), torch.ones(2, 2)).steps
        assert step.note == "inside a branch"


# --- pictures -------------------------------------------------------------------------------


def picture(x: Tensor) -> Any:
    (note,) = trace(forward_cell("x", "return x.clone()"), x).outputs
    assert note.heatmap is not None
    return note.heatmap


def cells(heatmap: Any) -> Tensor:
    flat = torch.frombuffer(bytearray(heatmap.cells), dtype=torch.float32)
    return flat.view(heatmap.rows, heatmap.columns)


class TestHeatmap:
    def test_a_matrix_cell_by_cell(self) -> None:
        x = torch.randn(5, 7)
        found = picture(x)
        assert (found.rows, found.columns, found.row_axis, found.column_axis) == (5, 7, 0, 1)
        assert torch.equal(cells(found), x)
        assert (found.low, found.high) == (x.min().item(), x.max().item())
        assert found.signed

    def test_the_last_two_axes(self) -> None:
        x = torch.randn(2, 3, 4, 5)
        found = picture(x)
        assert (found.row_axis, found.column_axis) == (2, 3)
        assert torch.allclose(cells(found), x[0].mean(0), atol=1e-6)
        for word in ("rows: dim 2", "columns: dim 3", "dim 0: index 0 of 2", "dim 1: mean over 3"):
            assert word in found.text

    def test_axes_of_length_one_are_passed_over(self) -> None:
        x = torch.randn(1, 6, 1, 4, 1)
        found = picture(x)
        assert (found.row_axis, found.column_axis) == (1, 3)
        assert torch.equal(cells(found), x[0, :, 0, :, 0])

    @together("shape", [(), (1,), (1, 1, 1), (9,), (1, 9, 1)], ids=str)
    def test_few_axes(self, shape: tuple[int, ...]) -> None:
        x = torch.randn(shape)
        found = picture(x)
        assert found.rows == 1
        assert torch.equal(cells(found).flatten(), x.flatten())
        assert found.row_axis is None

    def test_large_axes_are_averaged_over_windows(self) -> None:
        x = torch.arange(256.0)[:, None] + torch.zeros(1, 640)
        found = picture(x)
        assert found.rows <= 64
        assert found.columns <= 64
        window = 256 // found.rows
        expected = x.view(found.rows, window, -1).mean((1, 2))
        assert torch.allclose(cells(found)[:, 0], expected)
        assert "256" in found.text
        assert "640" in found.text

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
    def test_bad_values_are_kept_and_do_not_move_the_scale(self, bad: float) -> None:
        x = torch.linspace(-1, 2, 12).view(3, 4)
        x[1, 2] = bad
        found = picture(x)
        seen = cells(found)[1, 2].item()
        assert seen == bad or (seen != seen and bad != bad)
        assert (found.low, found.high) == (-1.0, 2.0)
        big = torch.zeros(500, 500)
        big[321, 123] = bad
        assert not cells(picture(big)).isfinite().all()

    def test_nothing_but_bad_values(self) -> None:
        found = picture(torch.full((2, 2), float("nan")))
        assert (found.low, found.high, found.signed) == (None, None, False)
        assert cells(found).isnan().all()

    @together(
        ("values", "signed"),
        [([0.0, 1.0], False), ([-1.0, 1.0], True), ([-2.0, -1.0], False), ([-1.0, 0.0], False)],
    )
    def test_signed(self, values: list[float], signed: bool) -> None:
        assert picture(torch.tensor([values])).signed is signed

    def test_views_and_strides(self) -> None:
        base = torch.arange(24.0).view(4, 6)
        found = trace(forward_cell("x", "return x.T, x[:, ::2], x.expand(2, 4, 6)"), base)
        transposed, strided, expanded = (cells(note.heatmap) for note in found.outputs)
        assert torch.equal(transposed, base.T)
        assert torch.equal(strided, base[:, ::2])
        assert torch.equal(expanded, base)

    def test_values_that_float32_cannot_hold(self) -> None:
        x = torch.tensor([[1e300, -1e300], [1.0, 0.0]], dtype=torch.float64)
        (note,) = trace(forward_cell("x", "return x.clone()"), x).outputs
        assert note.stats is not None
        assert (note.stats.maximum, note.stats.inf) == (1e300, 0)
        assert note.heatmap is not None
        assert cells(note.heatmap).isfinite().all()

    def test_the_mean_of_large_values(self) -> None:
        (note,) = trace(forward_cell("x", "return x.clone()"), torch.full((200, 200), 3e38)).outputs
        assert note.stats is not None
        assert note.stats.mean == pytest.approx(3e38)
        assert note.heatmap is not None
        assert cells(note.heatmap).isfinite().all()


@pytest.mark.parametrize("offset", [0.0, 1e4, -1e6])
def test_the_spread_of_values_far_from_zero(offset: float) -> None:
    torch.default_generator.manual_seed(0)
    x = torch.randn(200, 300, dtype=torch.float64).add(offset).float()
    (note,) = trace(forward_cell("x", "return x.clone()"), x).outputs
    assert note.stats is not None
    assert note.stats.std == pytest.approx(x.double().std(correction=0).item(), rel=1e-3)
    assert note.stats.mean == pytest.approx(x.double().mean().item(), rel=1e-6, abs=1e-3)


# --- shapes alone ---------------------------------------------------------------------------


class TestShapesAlone:
    @pytest.mark.parametrize("model", MODELS, ids=lambda model: model.key)
    def test_without_values(self, model: Any) -> None:
        args, kwargs = model.arguments()
        full = trace(model.make(), *args, **kwargs)
        bare = trace(model.make(), *args, values=False, **kwargs)
        assert (full.values, bare.values) == (True, False)
        assert all(n.stats is None and n.heatmap is None for n in bare.tensors().values())
        assert [(told(s), shapes(s.inputs), shapes(s.outputs), s.note) for s in bare.steps] == [
            (told(s), shapes(s.inputs), shapes(s.outputs), s.note) for s in full.steps
        ]

    @pytest.mark.parametrize("key", ["resnet_cbam", "unet", "vit", "rotary", "transformer"])
    def test_on_meta(self, key: str) -> None:
        model = BY_KEY[key]
        args, kwargs = model.arguments()
        module = model.make()
        before = {name: value.clone() for name, value in module.state_dict().items()}
        full = trace(module, *args, **kwargs)
        found = trace(module, *args, device="meta", **kwargs)
        assert found.failure is None
        assert [(told(s), shapes(s.outputs)) for s in found.steps] == [
            (told(s), shapes(s.outputs)) for s in full.steps
        ]
        assert {note.device for note in found.tensors().values()} == {"meta"}
        assert {value.device.type for value in module.state_dict().values()} == {"cpu"}
        assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())
        assert {a.device.type for a in args if isinstance(a, Tensor)} == {"cpu"}

    def test_a_size_that_no_machine_holds(self) -> None:
        model = forward_cell("x", "return x.flatten(1).T @ x.flatten(1)")
        found = trace(model, torch.empty(1, 1000, 1000, 1000, device="meta"), device="meta")
        assert found.failure is None
        assert shapes(found.outputs) == [(10**9, 10**9)]

    def test_attributes_and_closures_of_the_copy(self) -> None:
        class Holder(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.table = torch.arange(6.0)
                self.lin = nn.Linear(6, 2)

            def forward(self, x: Tensor) -> Tensor:
                self.last = x
                return self.lin(x + self.table)

        module = Holder()
        found = trace(module, torch.ones(3, 6), device="meta")
        assert found.failure is None
        assert module.table.device.type == "cpu"
        assert not hasattr(module, "last")


def test_the_name_of_a_trace() -> None:
    model = forward_cell("x", "return x")
    assert trace(model, torch.ones(1)).name == "Cell"
    assert trace(model, torch.ones(1), name="mine").name == "mine"


@together(
    "model",
    [None, 3, torch.ones(2), nn.Linear],
    ids=lambda model: type(model).__name__,
)
def test_what_is_no_module_is_refused(model: Any) -> None:
    with pytest.raises(TypeError, match=r"Module"):
        trace(model, torch.ones(2))


def test_a_trace_that_is_dropped_is_gone_at_once() -> None:
    """Its pictures do not wait in a circle for the collector."""
    gc.disable()
    try:
        found = trace(nn.Sequential(nn.Linear(3, 4), nn.ReLU()), torch.zeros(2, 3))
        note = weakref.ref(found.outputs[0])
        del found
        assert note() is None
    finally:
        gc.enable()


def test_what_is_recorded_has_every_field_of_its_kind() -> None:
    def parts(steps: tuple[Step, ...]) -> Iterator[Any]:
        for step in steps:
            yield from (step, *step.inputs, *step.outputs, *parts(step.children))

    found = trace(nn.TransformerEncoderLayer(8, 2, batch_first=True).eval(), torch.ones(1, 3, 8))
    everything = [*parts(found.steps), *found.calls, *found.inputs, *found.outputs]
    assert any(step.children for step in found.steps)
    for each in everything:
        assert list(vars(each)) == [field.name for field in fields(each)]
        assert each == replace(each)
        with pytest.raises(FrozenInstanceError):
            each.name = "another"

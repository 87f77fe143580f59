"""Edited source is executed wherever it stands, and nothing of the user's changes."""

from __future__ import annotations

import functools
import importlib.util
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from tests.cells import run_cell
from tests.together import together
from tests.tracer.diagnosis.repair.editing import bench_of, edited, program
from tracer.diagnosis.repair.bench import Bench, CannotRunError, Program, Run
from tracer.source.built import constructor

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


@together("form", FORMS)
def test_an_edit_wherever_the_function_lives(form: str) -> None:
    model = run_cell(FORMS[form])["Net"]()
    x = torch.randn(4, 3)
    name = "z" if "z.view" in FORMS[form] else "x"
    bench = bench_of(model, (x,))
    made = program(model, f"{name}.view(7, -1)", f"{name}.view(-1, 3)")
    for run in (bench.shapes(made), bench.values(made), bench.shapes(made)):
        assert run.error is None
        assert run.shapes == ((4, 3),)
        assert bench.shapes(Program()).error is not None  # and it is as it was
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
        made = Program.of([edited(helpers.cut, "x.view(7, -1)", "x.view(-1, 3)")])
        assert bench.shapes(made).ran
        assert bench.values(made).ran
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

    bench = bench_of(model, (x,), build=cell["Net"])
    edit = edited(model, "x.view(7, -1)", "x.view(4, -1)")
    wider = constructor(model, "fc")
    assert wider is not None
    for made in ((), (wider.edit("out_features", "6"),), (wider.edit("bias", "False"),)):
        for run in (bench.shapes, bench.values):
            run(Program.of([edit, *made], constructs=bool(made)))

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


def test_one_run_leaves_nothing_to_the_next() -> None:
    model = run_cell(NOISY)["Net"]()
    bench = bench_of(model, (torch.randn(4, 5),))
    made = program(model, "x.view(7, -1)", "x * len(self.seen) * self.count")
    with bench.open(made, True) as live:
        first, second = (live.call(bench.given).result for _ in range(2))
    assert torch.equal(first, second)


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


def ran(model: nn.Module, inputs: tuple[Any, ...], *pairs: str, **fields: Any) -> list[Run]:
    """On shapes and with values."""
    bench = bench_of(model, inputs, fields.pop("build", None))
    made = program(model, *pairs, constructs=True, **fields)
    return [bench.shapes(made), bench.values(made)]


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
    bench = bench_of(model, (torch.randn(4, 5),), cell["Net"])
    made = program(model, old, new, constructs=True)
    run = bench.shapes(made)
    assert (run.error, run.executed, run.kept) == (None, True, False)
    with bench.open(made, True) as live:
        assert live.model.get_submodule("block.fc").in_features == 5
        # What fits has the user's numbers, in the user's memory.
        last = live.model.get_submodule("act.1")
        assert last.weight.data_ptr() == model.act[1].weight.data_ptr()  # type: ignore[union-attr, operator]
        assert last.weight is not model.act[1].weight


def test_a_class_that_is_an_arguments_default_is_edited_too() -> None:
    cell = run_cell("""
        class Front(nn.Module):
            def __init__(self, bands):
                super().__init__()
                self.fc = nn.Linear(self.width(bands), 2)

            def width(self, bands):
                return bands // 2

            def forward(self, x):
                return self.fc(x)

        class Net(nn.Module):
            def __init__(self, front=Front, *, back=Front):
                super().__init__()
                self.front, self.back = front(12), back(4)

            def forward(self, x):
                return self.back(self.front(x))
    """)
    model = cell["Net"]()
    for run in ran(model, (torch.randn(4, 7),), "// 2", "// 2 + bands // 12", build=cell["Net"]):
        assert (run.error, run.executed) == (None, True)


def test_a_constructor_that_raises_cannot_be_run() -> None:
    cell = run_cell(CONSTRUCTOR)
    with pytest.raises(CannotRunError, match="constructor"):
        ran(cell["Net"](), (torch.randn(4, 5),), "width=9", "width=-1", build=cell["Net"])


def test_a_constructor_that_asks_for_values_is_run_with_them() -> None:
    model = run_cell("""
        class Net(nn.Module):
            def __init__(self, depth=3):
                super().__init__()
                rates = [each.item() for each in torch.linspace(0, 0.5, depth)]
                self.layers = nn.Sequential(*[nn.Dropout(rate) for rate in rates])
                self.fc = nn.Linear(9, 2)

            def forward(self, x):
                return self.fc(self.layers(x))
    """)["Net"]()
    for run in ran(model, (torch.randn(4, 5),), "(9, 2)", "(5, 2)", build=type(model)):
        assert run.ran


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

    for run in ran(model, (torch.randn(4, 5),), "max(widths)", "5", change=change):
        assert run.ran
        assert not run.executed
    assert model.fc.in_features == 9
    with pytest.raises(CannotRunError, match="nobody knows"):
        ran(model, (torch.randn(4, 5),), "max(widths)", "5")


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
        inputs = (torch.randn(4, 5),)
        for run in ran(model, inputs, "nn.Linear(width, out)", new, change=change):
            assert run.executed
            assert run.shapes == ((4, width),)
    assert model.block.inner.num_batches_tracked == 0


# --- what a file works out when it is loaded -----------------------------------------------------

CONFIGS = """
    from dataclasses import dataclass, field
    import torch
    import torch.nn as nn

    @dataclass
    class Config:
        width: int = 9
        extra: list = field(default_factory=list)

    class Plain:
        size = 9

    CFG = Config()
    HIDDEN = 9
    WIDE = HIDDEN * 2
    TABLE = dict(width=9)
    TABLE["out"] = 3

    class Net(nn.Module):
        dim = 9

        def __init__(self, cfg=CFG, again=HIDDEN):
            super().__init__()
            self.config = nn.Linear(cfg.width, 4)
            self.constant = nn.Linear(WIDE, 4)
            self.table = nn.Linear(TABLE["width"], TABLE["out"])
            self.attribute = nn.Linear(self.dim, 4)
            self.plain = nn.Linear(Plain.size, 4)
            self.default = nn.Linear(again, 4)

        def forward(self, x, which):
            return getattr(self, which)(x)
"""


@pytest.fixture
def configs(tmp_path: Path) -> Any:
    path = tmp_path / "configs_of_a_net.py"
    path.write_text(textwrap.dedent(CONFIGS))
    spec = importlib.util.spec_from_file_location("configs_of_a_net", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["configs_of_a_net"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["configs_of_a_net"]


@pytest.mark.parametrize(
    ("which", "old", "new", "size"),
    [
        ("config", "width: int = 9", "width: int = 5", 5),
        ("config", "CFG = Config()", "CFG = Config(width=5)", 5),
        ("constant", "HIDDEN = 9", "HIDDEN = 5", 10),
        ("constant", "HIDDEN * 2", "HIDDEN + 1", 10),
        ("table", "dict(width=9)", "dict(width=5)", 5),
        ("table", "dict(width=9)", "dict(width=5, depth=2)", 5),
        ("attribute", "    dim = 9", "    dim = 5", 5),
        ("plain", "    size = 9", "    size = 5", 5),
        ("default", "HIDDEN = 9", "HIDDEN = 5", 5),
        ("default", "again=HIDDEN", "again=5", 5),
    ],
)
def test_constants_configs_and_class_attributes_can_be_edited(
    configs: ModuleType, which: str, old: str, new: str, size: int
) -> None:
    model = configs.Net()
    for build in (configs.Net, functools.partial(configs.Net, configs.CFG)):
        for run in ran(model, (torch.randn(4, size), which), old, new, build=build):
            assert run.error is None
    assert (configs.CFG.width, configs.HIDDEN, configs.Net.dim) == (9, 9, 9)
    assert configs.TABLE == {"width": 9, "out": 3}


def test_an_import_may_be_added(configs: ModuleType) -> None:
    model = configs.Net()
    old = "return getattr(self, which)(x)"
    edits = "import torch\n", "import math\nimport torch\n", old, "return x * math.pi"
    bench = bench_of(model, (torch.randn(4, 5), "config"))
    assert bench.values(program(model, *edits)).ran
    assert not hasattr(configs, "math")


def test_an_edit_may_use_other_names_of_the_function_around() -> None:
    model = run_cell("""
        class Parent(nn.Module):
            def forward(self, x):
                return x.relu()

        class Net(Parent):
            def forward(self, x):
                return super().forward(x).view(7, -1)
    """)["Net"]()
    bench = bench_of(model, (torch.randn(4, 3),))
    for new in ("x.tanh()", "super().forward(x).view(-1, 3)"):
        made = program(model, "super().forward(x).view(7, -1)", new)
        assert bench.shapes(made).ran
        assert bench.values(made).ran


def test_an_object_of_a_plain_class_has_the_edited_methods() -> None:
    model = run_cell("""
        class Cut:
            def __call__(self, x):
                return x.view(7, -1)

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.steps = {"cut": Cut()}

            def forward(self, x):
                return self.steps["cut"](x)
    """)["Net"]()
    bench = bench_of(model, (torch.randn(4, 3),))
    assert bench.shapes(program(model, "x.view(7, -1)", "x.view(-1, 3)")).ran


@pytest.mark.parametrize("new", ["x.view(7,", "return x", "yield"])
def test_what_does_not_parse_cannot_be_run(new: str) -> None:
    model = run_cell(FORMS["forward"])["Net"]()
    bench = bench_of(model, (torch.randn(4, 6),))
    if new == "yield":
        assert bench.shapes(program(model, "return x.view(7, -1)", "x = (yield)")).ran
        return
    with pytest.raises(CannotRunError):
        bench.shapes(program(model, "x.view(7, -1)", new))


def test_a_config_holds_what_it_held_where_an_edit_leaves_out_its_copy() -> None:
    source = """
        CONFIG = {"kind": "Net", "head": {"kind": "Head", "width": 5}}

        class Net(nn.Module):
            def __init__(self, head):
                super().__init__()
                head = dict(head)
                head.pop("kind")
                self.fc = nn.Linear(6, head.pop("width"))

            def forward(self, x):
                return self.fc(x) + x

        def build():
            return Net(CONFIG["head"])
    """
    cell = run_cell(source)
    model = cell["build"]()
    bench = bench_of(model, (torch.randn(2, 6),), build=cell["build"])
    for _ in range(2):
        run = bench.shapes(program(model, "dict(head)", "head", constructs=True))
        assert "must match" in str(run.error)
        assert cell["CONFIG"] == {"kind": "Net", "head": {"kind": "Head", "width": 5}}

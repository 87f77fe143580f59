"""How modules were constructed is noted while they are made, and changes nothing."""

from __future__ import annotations

import copy
import dataclasses
import gc
import io
import itertools
import pickle
import types
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import tracer
from tracer.record.construction import Constructions, _notes, paused, recording_construction
from tracer.record.crash import GONE
from tracer.record.isolation import unobserved
from tracer.record.run import record
from tracer.source.built import constructor


@dataclasses.dataclass
class Config:
    width: int = 24
    scales: tuple[int, ...] = (1, 2, 3)


class Block(nn.Module):
    def __init__(self, cin: int, cout: int = 8, *, bias: bool = True) -> None:
        super().__init__()
        self.fc = nn.Linear(cin, cout, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


def pairs(*widths: int) -> tuple[nn.ModuleList, nn.ModuleList]:
    convs, norms = nn.ModuleList(), nn.ModuleList()
    for a, b in itertools.pairwise(widths):
        convs.append(nn.Conv1d(a, b, 1))
        norms.append(nn.BatchNorm1d(b))
    return convs, norms


class Helped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convs, self.norms = pairs(3, 5, 7)


class Net(nn.Module):
    def __init__(self, cfg: Config, head: nn.Module | None = None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(cfg.width) for _ in cfg.scales])
        self.out = layer(cfg.width // 2)
        self.attend = nn.MultiheadAttention(cfg.width, 2)
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.blocks[0](x))


def layer(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, 4), nn.ReLU())


def build() -> Net:
    cfg = Config()
    return Net(cfg, head=nn.Identity())


def test_arguments_and_the_frames_that_led_there() -> None:
    with recording_construction():
        net = build()
    made = Constructions(net)
    root = made[""]
    assert root.cls is Net
    assert root.args == ()
    assert root.kwargs == {"cfg": Config(), "head": net.head}
    assert root.exact
    assert root.place is not None
    assert root.place.expression == "Net(cfg, head=nn.Identity())"
    assert root.frames[-1].scope["cfg"].width == 24
    fc = made["blocks.1.fc"]
    assert fc.kwargs == {"in_features": 24, "out_features": 8}  # bias=True is the default
    assert [frame.place.expression for frame in fc.frames[-3:]] == [
        "Net(cfg, head=nn.Identity())",
        "Block(cfg.width)",
        "nn.Linear(cin, cout, bias=bias)",
    ]
    assert [frame.module for frame in fc.frames[-3:]] == [None, "", "blocks.1"]
    helped = made["out.0"]
    assert [frame.place.expression for frame in helped.frames[-2:]] == [
        "layer(cfg.width // 2)",
        "nn.Linear(width, 4)",
    ]
    assert helped.frames[-1].scope == {"width": 12}
    assert helped.frames[-1].globals is globals()


def test_what_torch_builds_inside_stands_where_the_author_called() -> None:
    with recording_construction():
        net = build()
    inner = Constructions(net)["attend.out_proj"]
    assert not inner.direct
    assert inner.place is not None
    assert inner.place.expression == "nn.MultiheadAttention(cfg.width, 2)"
    assert Constructions(net)["attend"].direct


def test_the_module_is_built_again_by_the_recorded_call() -> None:
    with recording_construction():
        net = build()
    again = Constructions(net)[""].call()
    assert repr(again) == repr(net)


def test_arguments_that_the_constructor_changes_are_those_of_the_call() -> None:
    class Late(nn.Module):
        def __init__(self, width: int, depth: int = 1, **options: Any) -> None:
            width = width * 2
            self_depth = options.pop("extra", 0) + depth
            super().__init__()
            self.width, self.depth = width, self_depth

    width = 5
    with recording_construction():
        model = Late(width, extra=3)
        given = {"extra": 4}
        spread = Late(width, **given)
    made = Constructions(model)[""]
    assert made.kwargs == {"width": 5, "extra": 3}
    assert made.exact
    other = Constructions(spread)[""]
    assert not other.exact
    assert set(other.uncertain) == {"width", "options"}


def test_what_a_helper_makes_is_found_where_it_was_called() -> None:
    """Layers that no text of the constructor shows, which is all that is read of an unwatched
    one."""
    with recording_construction():
        model = Helped()
    for path, call in (("convs.1", "nn.Conv1d(a, b, 1)"), ("norms.0", "nn.BatchNorm1d(b)")):
        built = constructor(model, path)
        assert built is not None
        assert built.text.of(built.call) == call
        assert built.owner == ""
        assert [built.text.of(each) for each in built.via] == ["pairs(3, 5, 7)"]
    assert constructor(Helped(), "convs.1") is None


def test_nothing_is_kept_alive() -> None:
    names: dict[str, Any] = {"nn": nn, "torch": torch, "record": recording_construction}
    exec(
        "class Part(nn.Module):\n"
        "    def __init__(self, parent, x, table):\n"
        "        super().__init__()\n"
        "        self.up = [parent]\n"
        "class Whole(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.x = torch.ones(3)\n"
        "        parts = []\n"
        "        for _ in range(3):\n"
        "            parts.append(Part(self, self.x, {'parts': parts}))\n"
        "        self.parts = nn.ModuleList(parts)\n"
        "with record():\n"
        "    whole = Whole()\n",
        names,
    )
    gc.collect()
    before = len(_notes)
    whole = weakref.ref(names["whole"])
    tensor = weakref.ref(names["whole"].x)
    del names
    gc.collect()
    assert whole() is None
    assert tensor() is None
    assert len(_notes) == before - 5


def test_an_agent_that_keeps_its_model_dies_with_it() -> None:
    class Agent:
        def __init__(self) -> None:
            self.rate = 0.1
            self.model = Block(4)

    with recording_construction():
        agent = Agent()
    gone = weakref.ref(agent.model)
    del agent
    gc.collect()
    assert gone() is None


def test_a_config_that_died_is_still_read() -> None:
    with recording_construction():
        net = build()
    gc.collect()
    cfg = Constructions(net)["out.0"].frames[-2].scope["cfg"]
    assert (cfg.width, cfg.scales) == (24, (1, 2, 3))


def test_an_argument_that_is_gone_is_said_to_be() -> None:
    with recording_construction():
        stack = nn.ModuleList(nn.ReLU() for _ in range(2))
    made = Constructions(stack)[""]
    assert made.kwargs == {"modules": GONE}
    assert not made.exact


def test_constructors_that_raise_raise_the_same() -> None:
    class Early(nn.Module):
        def __init__(self) -> None:
            self.fc = nn.Linear(2, 2)

    class Bad(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            raise ValueError("no")

    with recording_construction():
        with pytest.raises(AttributeError, match="before Module"):
            Early()
        with pytest.raises(ValueError, match="no"):
            Bad()
        with pytest.raises(TypeError, match="missing 1 required positional argument"):
            nn.Linear(3)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="takes 1 positional argument"):
            nn.Module(1)


def test_copies_pickles_lazy_slots_and_dataclasses_are_as_ever() -> None:
    class Slotted(nn.Module):
        __slots__ = ("width",)

        def __new__(cls, width: int) -> Slotted:
            return super().__new__(cls)

        def __init__(self, width: int) -> None:
            super().__init__()
            self.width = width

    @dataclasses.dataclass(eq=False)
    class Data(nn.Module):
        width: int = 3

        def __post_init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(self.width, 2)

    with recording_construction():
        slotted, data, lazy, net = Slotted(7), Data(5), nn.LazyLinear(4), build()
        copied, shallow = copy.deepcopy(net), copy.copy(net)
        loaded = pickle.loads(pickle.dumps(net))
        lazy(torch.ones(2, 3))
        meta = torch.nn.Linear(3, 3, device="meta")
    assert (slotted.width, data.fc.in_features, lazy.weight.shape) == (7, 5, (4, 3))
    assert repr(copied) == repr(loaded) == repr(shallow) == repr(net)
    assert meta.weight.is_meta
    assert Constructions(data)[""].kwargs == {"width": 5}
    assert Constructions(slotted)[""].kwargs == {"width": 7}
    assert Constructions(lazy)[""].cls is nn.LazyLinear
    assert "" not in Constructions(copied)
    assert not [name for name in vars(net) if name not in vars(build())]
    buffer = io.BytesIO()
    torch.save(net.state_dict(), buffer)


def test_exported_models_are_the_same() -> None:
    with recording_construction():
        model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
        program = torch.export.export(model, (torch.ones(2, 3),))
    x = torch.randn(2, 3)
    assert torch.equal(program.module()(x), model(x))


def test_nothing_is_noted_outside_and_torch_is_as_before() -> None:
    plain = nn.Module.__init__
    with recording_construction():
        with recording_construction():
            pass
        inside = nn.ReLU()
    outside = nn.ReLU()
    assert nn.Module.__init__ is plain
    assert "" in Constructions(inside)
    assert "" not in Constructions(outside)


def test_what_is_built_to_try_something_is_not_noted() -> None:
    with recording_construction():
        with paused():
            tried = nn.ReLU()
            with recording_construction():
                twin = nn.ReLU()
            again = nn.ReLU()
        after = nn.ReLU()
    noted = ["" in Constructions(each) for each in (tried, twin, again, after)]
    assert noted == [False, True, False, True]


def test_a_failed_run_has_them_also_of_a_model_that_build_makes() -> None:
    def wrong() -> Net:
        net = build()
        net.register_buffer("table", torch.arange(3.0))
        return net

    x = torch.ones(2, 24)
    with recording_construction():
        recorded = wrong()
    state = torch.get_rng_state()
    for model, again in ((recorded, None), (wrong(), wrong)):
        state = torch.get_rng_state()
        crash = record(model, (x,), {}, build=again).crash
        assert crash is not None
        made = crash.constructions["out.0"]
        assert made.kwargs == {"in_features": 12, "out_features": 4}
        assert torch.equal(torch.get_rng_state(), state)
    unknown = record(build(), (x,), {}).crash
    assert unknown is not None
    assert len(unknown.constructions) == 0


def test_the_doors_record() -> None:
    @tracer.explain()
    def run() -> nn.Module:
        return build()

    assert "" in Constructions(run())


def test_configs_of_other_kinds() -> None:
    class Easy(dict[str, Any]):
        __getattr__ = dict.__getitem__

    class Plain:
        width = 3

        def __init__(self) -> None:
            self.depth = 2

    class Holder(nn.Module):
        def __init__(self, cfg: Any) -> None:
            super().__init__()

    def made(cfg: Any) -> Any:
        width = cfg["width"] if isinstance(cfg, dict) else cfg.width
        assert width == 3
        return Holder(cfg)

    with recording_construction():
        models = [made(Easy(width=3)), made(Plain()), made(types.SimpleNamespace(width=3))]
    gc.collect()
    for model in models:
        construction = Constructions(model)[""]
        assert construction.exact
        assert construction.frames[-1].scope["cfg"].width == 3


def test_a_large_model_is_not_made_a_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def counts() -> nn.Module:
        net = build()
        made.append(next(net.parameters()).device.type)
        if made[-1] == "meta":
            raise NotImplementedError
        return net

    model = counts()
    assert "" in Constructions(model, counts)
    assert made == ["cpu", "meta", "cpu"]
    monkeypatch.setattr("tracer.record.construction._MOST_ELEMENTS", 10)
    assert "" not in Constructions(model, counts)
    assert made == ["cpu", "meta", "cpu", "meta"]


def test_a_model_is_built_again_without_values_also_where_torch_is_not_observed() -> None:
    devices: list[str] = []

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(2, 3)
            devices.append(self.fc.weight.device.type)

    with unobserved():
        assert Constructions(Net(), Net)["fc"].cls is nn.Linear
    assert devices == ["cpu", "meta"]


class _Plain:
    def __init__(self) -> None:
        self.size = 4


def test_sets_of_objects_are_kept() -> None:
    several = {_Plain(), _Plain()}
    with tracer.recording_construction():
        model = nn.Sequential(nn.Linear(2, len(several)))
    failure = tracer.trace(model, torch.randn(3, 5)).failure
    assert failure is not None
    assert failure.expression

"""What models take, give and do beside tensors and plain functions: objects, threads, scripted
functions, NumPy, classes within functions, modules in a zip, nested tensors."""

from __future__ import annotations

import collections
import dataclasses
import threading
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.together import together
from tracer import Trace, trace

# --- objects -------------------------------------------------------------------------------------


class Pair:
    def __init__(self, a: Tensor, b: Tensor) -> None:
        self.a, self.b, self._hidden, self.number = a, b, a, 3


class Slots:
    __slots__ = ("a", "b", "unset")

    def __init__(self, a: Tensor, b: Tensor) -> None:
        self.a, self.b = a, b


@dataclasses.dataclass
class Data:
    a: Tensor
    b: Tensor


class Locked(Pair):
    """One that cannot be copied."""

    def __init__(self, a: Tensor, b: Tensor) -> None:
        super().__init__(a, b)
        self.lock = threading.Lock()


class Store:
    """A batch of graphs has its tensors behind its keys, as this one."""

    def __init__(self, a: Tensor, b: Tensor) -> None:
        self._store = {"a": a, "b": b}

    def keys(self) -> list[str]:
        return list(self._store)

    def __getitem__(self, key: str) -> Any:
        return self._store[key]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._store[name]


class Holder:
    """An object within an object."""

    def __init__(self, a: Tensor, b: Tensor) -> None:
        self.items = [Pair(a, b)]

    @property
    def a(self) -> Tensor:
        return self.items[0].a

    @property
    def b(self) -> Tensor:
        return self.items[0].b


class Uses(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, o: Any) -> Any:
        return type(o)(self.fc(o.a), o.b * 2)


OBJECTS: dict[Any, tuple[str, str]] = {
    Pair: (".a", ".b"),
    Slots: (".a", ".b"),
    Data: (".a", ".b"),
    Store: ("['a']", "['b']"),
    Holder: (".items[0].a", ".items[0].b"),
}


@together("kind", OBJECTS, ids=lambda kind: kind.__name__)
def test_tensors_in_objects_are_inputs_and_outputs(kind: Any) -> None:
    a, b = OBJECTS[kind]
    model, given = Uses(), kind(torch.randn(2, 4), torch.randn(3))
    for options in ({}, {"device": "meta"}, {"dims": {f"o{a}": "B 4", f"o{b}": "N"}}):
        found = trace(model, given, **options)
        assert found.failure is None, options
        assert [note.name for note in found.inputs] == [f"o{a}", f"o{b}"]
        assert [note.name for note in found.outputs] == [f"output{a}", f"output{b}"]
        assert [note.shape for note in found.outputs] == [(2, 3), (3,)]
        assert not found.remarks
    assert [[dim.text for dim in note.dims] for note in found.outputs] == [["B", "3"], ["N"]]
    assert given.a.device.type == "cpu"


def test_an_object_that_cannot_be_copied_is_listed() -> None:
    found = trace(Uses(), Locked(torch.randn(2, 4), torch.randn(3)))
    assert [note.name for note in found.inputs] == ["o.a", "o.b"]


class Judges(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> torch.distributions.Categorical:
        return torch.distributions.Categorical(logits=self.fc(x))


class Caches(nn.Module):
    def forward(self, x: Tensor, past: collections.UserDict[str, Tensor]) -> Any:
        past["x"] = torch.cat([past["x"], x])
        return past


def test_a_distribution_and_a_cache() -> None:
    found = trace(Judges(), torch.randn(2, 4))
    assert [(note.name, note.shape) for note in found.outputs] == [("output.logits", (2, 3))]
    found = trace(Caches(), torch.ones(1, 2), collections.UserDict(x=torch.ones(3, 2)))
    assert [note.name for note in found.inputs] == ["x", "past['x']"]
    assert [note.shape for note in found.outputs] == [(4, 2)]


def test_one_tensor_in_two_places_stays_one() -> None:
    x = torch.randn(2, 4)
    found = trace(Uses(), Pair(x, x), device="meta")
    assert len({note.id for note in found.inputs}) == 1


# --- what is made where nothing is seen ----------------------------------------------------------


@torch.jit.script
def scripted(x: Tensor) -> Tensor:
    return x.relu()


def in_a_thread(x: Tensor) -> Tensor:
    made: list[Tensor] = []
    thread = threading.Thread(target=lambda: made.append(x.relu()))
    thread.start()
    thread.join()
    return made[0] * 2


def in_a_pool(x: Tensor) -> Tensor:
    with ThreadPoolExecutor(1) as pool:
        return sum(pool.map(torch.relu, [x, x])) + x


def from_numpy(x: Tensor) -> Tensor:
    scale = torch.from_numpy(np.ones(4, dtype=np.float32))
    return x * scale


def constructed(x: Tensor) -> Tensor:
    return x + torch.Tensor([1.0, 2.0, 3.0, 4.0])


def of_a_script(x: Tensor) -> Tensor:
    return scripted(x) + 1


def nothing_but_a_script(x: Tensor) -> Tensor:
    return scripted(x)


def through_an_array(x: Tensor) -> Tensor:
    for part in np.split(x.numpy(), 2):
        x = x + torch.from_numpy(part)
    return x


UNSEEN = (
    in_a_thread, in_a_pool, from_numpy, constructed, of_a_script, nothing_but_a_script,
    through_an_array,
)  # fmt: skip


@together("function", UNSEEN, ids=lambda function: function.__name__)
def test_what_was_made_unseen_is_a_remark(function: Callable[[Tensor], Tensor]) -> None:
    found = trace(function, torch.ones(2, 4))
    (remark,) = map(str, found.remarks)
    assert "a tensor that no step of this run made" in remark
    if function is not nothing_but_a_script:
        assert "(test_unusual.py:" in remark


CONSTANT, MANY = torch.ones(4), [torch.ones(4), torch.ones(4)]


class Keeps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.plain = torch.ones(4)
        self.several = {"a": [torch.ones(4)]}

    def forward(self, x: Tensor, more: Tensor | None = None) -> Tensor:
        for each in (*self.several["a"], *MANY):
            x = x + each
        made = torch.tensor([1.0, 2.0, 3.0, 4.0]) + torch.arange(4)
        return x * self.plain * CONSTANT + made.data


class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad * 2


def enclosed() -> Callable[[Tensor], Tensor]:
    around = torch.ones(4)
    return lambda x: torch.utils.checkpoint.checkpoint(
        lambda y: Double.apply(y) + around, x, use_reentrant=False
    )


@together("model", [Keeps(), enclosed(), nn.LSTM(4, 3), nn.Linear(4, 3)])
def test_what_was_there_before_is_none(model: Any) -> None:
    assert not trace(model, torch.ones(2, 4)).remarks


# --- where the code is ---------------------------------------------------------------------------


def factory(width: int) -> nn.Module:
    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(width, 3)

        def forward(self, x: Tensor) -> Tensor:
            def helper(y: Tensor) -> Tensor:
                return y.relu()

            return helper(self.fc(x))

    return Inner()


class Maker:
    def make(self) -> nn.Module:
        return factory(4)

    def other(self) -> nn.Module:
        class Outer(nn.Module):
            class Within(nn.Module):
                def forward(self, x: Tensor) -> Tensor:
                    return x * 2

            def forward(self, x: Tensor) -> Tensor:
                return self.Within()(x) + 1

        return Outer()


def plain_factory() -> Callable[[Tensor], Tensor]:
    def run(x: Tensor) -> Tensor:
        return x + 1

    return run


@together(
    ("model", "functions"),
    [
        (factory(4), ["Inner.forward"]),
        (Maker().make(), ["Inner.forward"]),
        (Maker().other(), ["Outer.Within.forward", "Outer.forward"]),
        (plain_factory(), ["plain_factory"]),
    ],
)
def test_a_class_within_a_function_shows_its_own_lines(model: Any, functions: list[str]) -> None:
    found = trace(model, torch.ones(2, 4))
    own = [source for source in found.sources if source.file == __file__]
    assert [source.function for source in own] == functions
    for step in found:
        assert step.place.source is not None
        source = found.sources[step.place.source]
        lines = source.text.splitlines()
        assert step.expression in lines[step.line - source.first]
        if functions != ["plain_factory"]:
            assert lines[0].strip().startswith("def forward")


ZIPPED = """import torch
from torch import nn
from .parts import scale

class Zipped(nn.Module):
    def forward(self, x):
        return scale(x).relu()
"""


def test_a_module_in_a_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as packed:
        packed.writestr("packed_net/__init__.py", "")
        packed.writestr("packed_net/net.py", ZIPPED)
        packed.writestr("packed_net/parts.py", "def scale(x):\n    return x * 2\n")
    monkeypatch.syspath_prepend(str(tmp_path / "packed.zip"))
    from packed_net.net import Zipped  # type: ignore[import-not-found]

    found = trace(Zipped(), torch.ones(3))
    assert [step.expression for step in found] == ["x * 2", "scale(x).relu()"]
    assert [source.function for source in found.sources] == ["scale", "Zipped.forward"]


# --- nested tensors ------------------------------------------------------------------------------


def nested(layout: torch.layout) -> Tensor:
    parts = [torch.randn(2, 4), torch.randn(3, 4)]
    return torch.nested.nested_tensor(parts, layout=layout)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_nested_tensors(layout: torch.layout) -> None:
    model, x = nn.Sequential(nn.Linear(4, 3), nn.ReLU()), nested(layout)

    def counted(found: Trace) -> list[tuple[int, ...]]:
        return [note.shape for note in (*found.inputs, *found.outputs)]

    for options in ({}, {"values": False}, {"dims": {"input": "B"}}):
        found = trace(model, x, **options)
        assert len(found) == 2
        assert counted(found) == [(2,), (2,)]
        assert "A nested tensor has no one shape" in str(found.remarks[0])
    assert "input is a nested tensor, which has no one shape" in str(found.remarks[1])
    assert "(2,)" in str(found)
    if layout == torch.jagged:
        assert counted(trace(model, x, device="meta")) == [(2,), (2,)]
    else:
        with pytest.raises(ValueError, match=r"build it with layout=torch\.jagged"):
            trace(model, x, device="meta")

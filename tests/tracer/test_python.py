"""A trace in Python: what it says of itself, its parts by name, its tables, and two compared."""

from __future__ import annotations

import builtins
import math
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import tracer
from tracer import Trace, trace
from tracer.document import Formula


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)).relu() + x


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.blocks = nn.Sequential(Block(), Block())
        self.fc = nn.Linear(4, 7)
        self.tied = nn.Linear(4, 7)
        self.tied.weight = self.fc.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.blocks(self.stem(x))).mean((2, 3))
        return self.fc(x) + self.tied(x)


@pytest.fixture(scope="module")
def t() -> Trace:
    return trace(Net(), torch.randn(2, 3, 8, 8))


def test_each_part_says_what_it_is_in_one_line(t: Trace) -> None:
    assert repr(t) == "Trace Net: 21 steps, (2, 3, 8, 8) → (2, 7)"
    assert repr(t.inputs) == "(TensorNote x (2, 3, 8, 8) float32,)"
    step = repr(t.steps[0])
    assert step.startswith("Step 0 nn.Conv2d in stem, test_python.py:")
    assert step.endswith(": (2, 3, 8, 8) → (2, 4, 6, 6)")
    assert repr(t.calls[1]) == ("Call blocks Sequential: steps 1 to 8, (2, 4, 6, 6) → (2, 4, 6, 6)")
    failed = trace(Net(), torch.randn(2, 4, 8, 8))
    assert repr(failed).startswith("Trace Net: 1 step, (2, 4, 8, 8) → failed, RuntimeError: Given")
    assert repr(failed.failure).startswith("Failure at test_python.py:")
    assert failed.failure is not None
    assert failed.failure.operands[0].shape == (2, 4, 8, 8)
    for each in (
        *t.steps,
        *t.calls,
        *t.sources,
        *failed.steps,
        failed.failure,
        t.inputs[0].heatmap,
    ):
        assert len(repr(each)) < 300
    assert str(t).startswith("Net\ninput       x (2, 3, 8, 8) float32\n")


def test_a_trace_is_a_sequence_of_its_steps(t: Trace) -> None:
    assert list(t) == list(t.steps)
    assert len(t) == 21
    assert t[-1] is t.steps[-1]
    assert t[2:4] == t.steps[2:4]
    assert bool(trace(nn.Identity(), torch.zeros(1)))
    assert pickle.loads(pickle.dumps(t)) == t


def test_modules_by_their_names(t: Trace) -> None:
    assert t["blocks.1"] is t.calls[3]
    assert t["blocks.1:2"] is t.calls[6]
    assert t["blocks.0.conv"] is t.steps[1]
    assert t["blocks.0.conv:2"] is t.steps[9]
    assert t[""] is t.calls[0]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("blocks.0.cnv", "No module 'blocks.0.cnv' ran; near it are 'blocks.0.conv',"),
        ("norm", "No module 'norm' ran; near it are 'blocks.0.norm', 'blocks.1.norm'."),
        ("zzz", "No module 'zzz' ran."),
        ("blocks.1:3", "'blocks.1' ran 2 times: 3 is none of them."),
    ],
)
def test_a_name_that_is_none_brings_those_that_are_near(t: Trace, name: str, words: str) -> None:
    with pytest.raises(KeyError) as raised:
        t[name]
    assert raised.value.args[0].startswith(words)


def test_steps_by_operation_and_module(t: Trace) -> None:
    assert [s.module for s in t.filter(op="Conv2d")] == [
        "stem", *(f"blocks.{n}.conv" for n in (0, 1, 0, 1)),
    ]  # fmt: skip
    assert t.filter(op="nn.*Norm*", module="blocks.*") == tuple(t[i] for i in (2, 6, 10, 14))
    assert {s.module for s in t.filter(module="blocks.0")} == {
        "blocks.0", "blocks.0.conv", "blocks.0.norm",
    }  # fmt: skip
    assert t.filter(module="block") == ()


def test_the_summary_counts_as_torch_does(t: Trace) -> None:
    model = Net()
    summary = t.summary()
    with FlopCounterMode(display=False) as counter:
        model(torch.randn(2, 3, 8, 8))
    assert summary.flops == counter.get_total_flops()
    # The shared weight once in all, and once in each layer that has it.
    assert summary.parameters == sum(p.numel() for p in model.parameters())
    parts = {part.path: part for part in summary.parts}
    for path, part in parts.items():
        own = model.get_submodule(path).parameters()
        assert part.parameters == sum(p.numel() for p in own), path
    assert (parts["blocks.1.conv"].calls, parts["blocks.1.conv"].depth) == (2, 3)
    assert parts["blocks"].flops == parts["blocks.0"].flops + parts["blocks.1"].flops
    assert [p.path for p in t.summary(depth=1).parts] == ["", "stem", "blocks", "fc", "tied"]
    text = str(summary)
    assert "    1: Block ×2 " in text
    assert "Parameters that modules share are counted once in the total." in text


class Views(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x.double().transpose(0, 1)  # new, and a view of it
        y.mul_(2)
        z = y.flatten(0) > 0  # a view, and a comparison
        return z.any()


def test_memory_is_what_is_new() -> None:
    found = [row["bytes"] for row in trace(Views(), torch.randn(3, 5)).records()]
    assert found == [3 * 5 * 8, 0, 0, 0, 3 * 5, 1]


def test_shared_parameters_inside_an_opened_layer() -> None:
    model = nn.MultiheadAttention(8, 2, batch_first=True)
    x = torch.randn(2, 5, 8)
    summary = trace(model, x, x, x).summary()
    assert summary.parameters == sum(p.numel() for p in model.parameters())
    assert summary.flops > 0


def test_records_are_plain(t: Trace) -> None:
    rows = t.records()
    assert [row["step"] for row in rows] == list(range(21))
    assert rows[0]["output_shapes"] == ((2, 4, 6, 6),)
    assert rows[0]["flops"] == 2 * math.prod((2, 4, 6, 6)) * 27
    frame = t.to_dataframe()
    assert list(frame.columns) == [key for key in rows[0] if key != "step"]
    assert frame.loc[0, "op"] == "nn.Conv2d"


def test_without_pandas_one_sentence(t: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name == "pandas":
            raise ImportError(name)
        return taken(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"to_dataframe needs pandas: pip install pandas"):
        t.to_dataframe()


def test_texts(t: Trace) -> None:
    assert t.text(width=80) != t.text(width=120)
    assert t.markdown().startswith("## Net\n")
    drawn = t.mermaid()
    assert drawn.startswith("flowchart TD\n")
    assert '(["x<br/>(2, 3, 8, 8)"])' in drawn
    assert drawn.count("-->") >= len(t)
    assert len(t.mermaid(1).splitlines()) < len(drawn.splitlines())
    with pytest.raises(IndexError):
        t.mermaid(99)


def test_two_runs_compared(t: Trace) -> None:
    assert tracer.compare(t, t).same
    wider = tracer.compare(t, trace(Net(), torch.randn(2, 3, 9, 8)))
    assert [pair.outputs for pair in wider.differences] == [((2,),)] * 17
    assert "≠ stem, line " in str(wider)
    cut = trace(Net().blocks, torch.randn(2, 4, 6, 6))
    apart = tracer.compare(t, cut)
    assert sum(pair.one is None or pair.other is None for pair in apart.pairs) == 13
    with pytest.raises(TypeError, match="compare takes two traces, and was given a int"):
        tracer.compare(t, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "sizes", "found"),
    [("⌊H/2⌋·⌊W/2⌋", {"H": 5, "W": 7}, 6), ("C²/4", {"C": 3}, 2.25), ("12", {}, 12)],
)
def test_a_formula_at_sizes(text: str, sizes: dict[str, int], found: float) -> None:
    assert Formula(text, "").at(**sizes) == found


def test_a_formula_without_a_size() -> None:
    with pytest.raises(ValueError, match="H/2 is no formula of sizes"):
        Formula("H/2", "").at(W=3)


def test_symbolic_needs_no_import_of_its_own() -> None:
    assert tracer.symbolic.trace_symbolic is not None

"""Settings that a constructor takes are made of what it reads of them."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn

from tests.together import together
from tracer import arguments, fitting, settings


def called(made: Any, texts: Mapping[str, str]) -> nn.Module:
    names = {"SimpleNamespace": SimpleNamespace, **vars(sys.modules[made.__module__])}
    module = made(**{name: eval(text, names) for name, text in texts.items()})
    assert isinstance(module, nn.Module)
    return module.eval()


class Part(nn.Module):
    def __init__(self, c) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        assert c.n_embd % c.n_head == 0
        self.proj = nn.Linear(c.n_embd, c.n_embd, bias=c.bias)
        self.drop = nn.Dropout(c.dropout)
        self.c = c

    def forward(self, x: Tensor) -> Any:
        return self.drop(self.proj(x)).unflatten(-1, (self.c.n_head, -1)) * self.c.gain


class Handed(nn.Module):
    """Nothing is read of it here: parts read it, and one of them in its forward alone."""

    def __init__(self, cfg) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.parts = nn.ModuleList([Part(cfg) for _ in range(cfg.n_layer)])

    def forward(self, x: Tensor) -> Any:
        return self.parts[0](x)


class Tables(nn.Module):
    """Tables within a table, one of them handed on as keywords, and words that are compared."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        stem = config["stem"]
        self.stem = nn.Linear(stem["width"], stem["hidden"])
        self.body = nn.Bilinear(**config["body"])
        self.act = nn.GELU() if config["activation"] == "gelu" else nn.ReLU()
        self.last = {"tanh": nn.Tanh(), "relu": nn.ReLU()}[config["last"]]
        self.scale = config.get("scale", 2)

    def forward(self, x: Tensor) -> Any:
        return self.last(self.act(self.stem(x)))


class Parsed(nn.Module):
    """Of a command line: a switch, several widths, and a layer by its name."""

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__()
        widths = args.widths
        self.layers = nn.ModuleList(nn.Linear(a, a) for a in [args.width, *list(widths[1:])])
        self.act = getattr(nn, args.act)()
        self.rnn = nn.LSTM(args.width, 4 if args.narrow else 8)
        if args.pooling not in ("mean", "max"):
            raise ValueError(args.pooling)

    def forward(self, x: Tensor) -> Any:
        return self.rnn(self.act(self.layers[0](x)))


@dataclass
class ModelArgs:
    dim: int = 100_000_000
    n_layers: int = 40
    norm_eps: float = 1e-5


class Declared(nn.Module):
    """Nothing says what it takes, and a class of the file has all that it reads."""

    def __init__(self, params) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.fc = nn.Linear(params.dim, params.n_layers)
        self.norm = nn.LayerNorm(params.n_layers, params.norm_eps)

    def forward(self, x: Tensor) -> Any:
        return self.norm(self.fc(x))


BASE = {"inner": 24, "outer": 5}


class Ready(nn.Module):
    """A table of the file has all that it reads."""

    def __init__(self, hp) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.fc = nn.Linear(hp["inner"], hp["outer"])

    def forward(self, x: Tensor) -> Any:
        return self.fc(x)


class Wrapping(nn.Module):
    """It reads a size of what it wraps, which is no settings."""

    def __init__(self, backbone) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.backbone, self.fc = backbone, nn.Linear(backbone.out_features, 3)

    def forward(self, x: Tensor) -> Any:
        return self.fc(self.backbone(x))


@together(
    ("made", "expected"),
    [
        (
            Handed,
            {
                "cfg": "SimpleNamespace(n_layer=2, n_embd=64, n_head=4, bias=True, dropout=0.5, "
                "gain=64)"
            },
        ),
        (
            Tables,
            {
                "config": "{'stem': {'width': 64, 'hidden': 64}, 'body': {'in1_features': 64, "
                "'in2_features': 64, 'out_features': 64}, 'activation': 'gelu', 'last': 'tanh'}"
            },
        ),
        (
            Parsed,
            {
                "args": "SimpleNamespace(widths=[64] * 4, width=64, act='ReLU', narrow=False, "
                "pooling='mean')"
            },
        ),
        (Declared, {"params": "ModelArgs(dim=64, n_layers=2)"}),
        (Ready, {"hp": "BASE"}),
    ],
)
def test_settings_are_made_of_what_is_read_of_them(made: Any, expected: dict[str, str]) -> None:
    build = functools.partial(called, made)
    small = arguments.is_large(made, {}, build)
    assert small is (made is Declared)
    model, texts = arguments.built(made, {}, build, small)
    assert texts == expected
    found = fitting.fitted(model)
    assert found is not None
    assert found.runs


def test_what_is_called_is_no_settings() -> None:
    (parameter,) = arguments.parameters(Wrapping)
    assert settings.start(Wrapping, parameter) is None


def test_a_part_of_settings_shares_its_letter_with_an_input() -> None:
    build = functools.partial(called, Tables)
    model, texts = arguments.built(Tables, {}, build)
    found = fitting.fitted(model)
    assert found is not None
    assert "'width': C," in fitting.shared(build, texts, {}, found)["config"]


def test_single_values_of_settings_are_changed_as_arguments_are() -> None:
    texts = {"cfg": "SimpleNamespace(a={'b': 1}, c=2)", "n": "3"}
    assert settings.slots(texts) == {("cfg", "a", "b"): "1", ("cfg", "c"): "2", ("n",): "3"}
    changed = settings.put(texts, ("cfg", "a", "b"), "[4] * 2")
    assert changed == texts | {"cfg": "SimpleNamespace(a={'b': [4] * 2}, c=2)"}
    made = eval(changed["cfg"], {"SimpleNamespace": SimpleNamespace})
    assert (made.a, made.c) == ({"b": [4, 4]}, 2)

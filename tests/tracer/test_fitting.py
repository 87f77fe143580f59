"""What a module can be called with is found by running its shapes."""

from __future__ import annotations

import dataclasses
import enum
import functools
import sys
from collections.abc import Mapping
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from tests.together import together
from tracer import arguments, configurations, fitting, inputs


def built(made: Any, given: dict[str, str] | None = None, small: bool = False) -> nn.Module:
    for texts in arguments.guessed(made, given or {}, small):
        names = dict(vars(sys.modules[made.__module__]))
        try:
            module = made(**{name: eval(text, names) for name, text in texts.items()})
        except Exception:  # noqa: BLE001 - the next is tried, as a worker does
            continue
        assert isinstance(module, nn.Module)
        return module.eval()
    raise AssertionError("no arguments are found")


def shapes(model: nn.Module, given: tuple[str, ...] = (), **sizes: int) -> dict[str, Any]:
    """The shapes of the inputs that are found, which the model takes indeed."""
    found = fitting.fitted(model, given, sizes)
    assert found is not None
    assert found.runs, found
    args, kwargs = inputs.make(found.texts, found.sizes | sizes)
    model(*args, **kwargs)
    return {name: shape_of(value) for name, value in kwargs.items()}


def shape_of(value: Any) -> Any:
    return tuple(value.shape) if isinstance(value, Tensor) else [shape_of(each) for each in value]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (nn.Linear, {"input": (2, 10, 64)}),
        (nn.Conv1d, {"input": (2, 64, 10)}),
        (nn.Conv2d, {"input": (2, 64, 32, 48)}),
        (nn.ConvTranspose3d, {"input": (2, 64, 4, 32, 48)}),
        (nn.BatchNorm2d, {"input": (2, 64, 32, 48)}),
        (nn.LSTM, {"input": (10, 2, 16)}),
        (nn.GRUCell, {"input": (2, 16)}),
        (nn.Bilinear, {"input1": (2, 10, 64), "input2": (2, 10, 64)}),
        (nn.Embedding, {"input": (2, 10)}),
        (nn.MultiheadAttention, dict.fromkeys(("query", "key", "value"), (10, 2, 64))),
        (nn.TransformerEncoder, {"src": (10, 2, 64)}),
    ],
)
def test_layers_of_torch(made: Any, expected: dict[str, Any]) -> None:
    assert shapes(built(made)) == expected


class Mixed(nn.Module):
    """Tokens beside a picture: each input has a width of its own."""

    def __init__(self, dim: int, context_dim: int = 24) -> None:
        super().__init__()
        self.q = nn.Linear(dim, 32)
        self.kv = nn.Linear(context_dim, 32)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        scores = self.q(x) @ self.kv(context).transpose(1, 2)
        return scores.softmax(-1)


def test_each_input_has_the_width_that_it_is_asked_for() -> None:
    assert shapes(built(Mixed)) == {"x": (2, 10, 64), "context": (2, 10, 24)}
    assert shapes(built(Mixed, {"dim": "40"})) == {"x": (2, 10, 40), "context": (2, 10, 24)}


class Gathering(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 4)
        self.both = nn.Bilinear(8, 5, 4)


class Keyed(Gathering):
    def forward(self, **given: Tensor) -> Tensor:
        return self.inner(given["x"]) + given.pop("y") * given.get("scale", 1)


class Placed(Gathering):
    def forward(self, *given: Tensor) -> Tensor:
        x, y = given
        return self.inner(x) + y


class PassedOn(Gathering):
    def forward(self, *given: Any, **named: Any) -> Tensor:
        return self.both(*given, **named)


class Unnamed(Gathering):
    def forward(self, *given: Tensor) -> Tensor:
        return self.both(*given)


def test_what_a_forward_gathers_is_found_by_what_it_reads_of_it() -> None:
    assert shapes(Keyed()) == {"x": (2, 10, 8), "y": (2, 10, 4)}
    assert shapes(PassedOn()) == {"input1": (2, 10, 8), "input2": (2, 10, 5)}
    for made, last in ((Placed, 4), (Unnamed, 5)):
        found = fitting.fitted(made())
        assert found is not None
        assert found.runs, found
        args, kwargs = inputs.make(found.texts, found.sizes)
        assert ([shape_of(each) for each in args], kwargs) == ([(2, 10, 8), (2, 10, last)], {})


def test_what_is_given_stays() -> None:
    found = fitting.fitted(built(Mixed), ("x=B,T,64",), {"B": 3, "T": 5})
    assert found is not None
    assert found.texts[0] == "x=B,T,64"
    assert shapes(built(Mixed), ("x=B,T,64",), B=3, T=5)["context"] == (3, 10, 24)
    assert fitting.fitted(nn.Linear(4, 4), ("2,4",)) is None


def test_a_given_size_that_does_not_fit_is_not_changed() -> None:
    found = fitting.fitted(built(Mixed), ("x=B,T,63",), {"B": 3, "T": 5})
    assert found is not None
    assert not found.runs
    assert "x=B,T,63" in found.texts


class Patches(nn.Module):
    """A picture of one size, in a check of its own."""

    def __init__(self, in_chans: int = 3, embed_dim: int = 16) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_chans, embed_dim, 8, 8)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-2:] != (64, 64):
            raise ValueError(f"This is for 64 × 64, not {tuple(x.shape[-2:])}.")
        return self.proj(x).flatten(2).transpose(1, 2)


def test_a_size_that_only_the_module_itself_knows() -> None:
    assert shapes(built(Patches)) == {"x": (2, 3, 64, 64)}


class Depthwise(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.ones(channels, 1, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv2d(x, self.kernel, padding=1, groups=x.shape[-3])


def test_one_sample_without_a_batch_is_not_taken_for_a_batch() -> None:
    assert shapes(built(Depthwise)) == {"x": (2, 64, 32, 48)}


class Rotated(nn.Module):
    """A pair that has a default and is needed all the same."""

    def forward(
        self,
        hidden_states: Tensor,
        mask: Tensor | None = None,
        turn: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        heads = hidden_states.unflatten(-1, (4, -1)).transpose(1, 2)
        cos, sin = turn  # type: ignore[misc]
        return heads * cos.unsqueeze(1) + heads * sin.unsqueeze(1)


def test_what_has_a_default_is_given_when_it_is_needed() -> None:
    found = shapes(Rotated())
    assert found["hidden_states"] == (2, 10, 8)
    assert found["turn"] == [(2, 10, 2), (2, 10, 2)]
    assert "mask" not in found


class Language(nn.Module):
    def __init__(self, vocab_size: int, dim: int) -> None:
        super().__init__()
        self.table = nn.Embedding(vocab_size, dim)
        self.head = nn.Linear(dim, vocab_size)

    def forward(self, input_ids: Tensor | None = None, embeds: Tensor | None = None) -> Tensor:
        if (input_ids is None) == (embeds is None):
            raise ValueError("You must specify exactly one of input_ids or embeds")
        return self.head(self.table(input_ids) if embeds is None else embeds)


def test_numbers_of_words_stay_below_the_rows_of_their_table() -> None:
    found = fitting.fitted(built(Language))
    assert found is not None
    assert found.texts == ("input_ids=B,N:int64<100",)


@dataclasses.dataclass
class BlockConfig:
    hidden_size: int = 4096
    num_heads: int = 32


class Block(nn.Module):
    def __init__(self, config: BlockConfig, layer_idx: int) -> None:
        super().__init__()
        self.layer_idx = layer_idx
        self.first = nn.Linear(config.hidden_size, config.hidden_size // config.num_heads)

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x)


class Untold(Block):
    def __init__(self, config) -> None:  # type: ignore[no-untyped-def]
        super().__init__(config, 0)


def test_a_configuration_is_made_by_its_class() -> None:
    (first, *_) = arguments.guessed(Block)
    assert first == {"config": "BlockConfig()", "layer_idx": "0"}
    (first, *_) = arguments.guessed(Block, small=True)
    assert first["config"] == "BlockConfig(hidden_size=64, num_heads=4)"
    (first, *_) = arguments.guessed(Untold)
    assert first == {"config": "BlockConfig()"}
    assert shapes(built(Block, small=True)) == {"x": (2, 10, 64)}


class Secret(nn.Module):
    def __init__(self, key: bytes) -> None:
        super().__init__()


def test_nothing_is_made_up_for_what_is_not_known() -> None:
    assert list(arguments.guessed(Secret)) == []
    assert list(arguments.guessed(Secret, {"key": "b'1'"})) == [{"key": "b'1'"}]


class Lost(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("never")


def test_the_search_ends_and_gives_what_came_furthest(monkeypatch: pytest.MonkeyPatch) -> None:
    found = fitting.fitted(Lost())
    assert found is not None
    assert not found.runs
    search = fitting.fitted(Rotated())
    monkeypatch.setattr(fitting, "MOST_RUNS", 2)
    short = fitting.fitted(Rotated())
    assert search is not None
    assert short is not None
    assert (search.runs, short.runs) == (True, False)


class Apart(nn.Module):
    """Takes apart more than any form that is tried first has; the row of letters is a long one."""

    def forward(self, x: Tensor) -> Any:
        _, _, _, _ = x.shape
        raise RuntimeError("never")


def test_a_search_is_held_by_the_work_that_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fitting.fitted(Apart())
    assert whole is not None
    assert not whole.runs
    monkeypatch.setattr(fitting, "MOST_WORK", whole.work // 2)
    half = fitting.fitted(Apart())
    assert half is not None
    assert whole.work // 2 <= half.work < whole.work


def test_what_a_class_takes_is_told_as_a_text_tells_it() -> None:
    form = arguments.form_of(Block, Block(BlockConfig(), 0).forward)
    assert [(each.name, each.annotation, each.default) for each in form.constructor] == [
        ("config", "BlockConfig", None),
        ("layer_idx", "int", None),
    ]
    assert [each.name for each in form.forward] == ["x"]


class Acting(nn.Module):
    def __init__(self, width: int, act_layer: type[nn.Module], sides: str | bytes) -> None:
        super().__init__()
        self.body = nn.Linear(width, width)
        self.act = act_layer()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.body(x))
        return y


class Usually(nn.Module):
    def __init__(self, act_layer: type[nn.Module] = nn.GELU, sides: str = "both") -> None:
        super().__init__()


def test_what_cannot_be_guessed_is_what_it_is_by_default_elsewhere_in_the_file() -> None:
    assert next(arguments.guessed(Acting)) == {
        "width": "64",
        "act_layer": "nn.GELU",
        "sides": "'both'",
    }
    assert isinstance(built(Acting).act, nn.GELU)


class Endless(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.ones(1).expand(3 * 10**9)


class Flat(nn.Module):
    """Its weights lie in one long row, which is no width of an input."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, 64 * 64 * 16))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv2d(x, self.weight[0].view(64, 64, 4, 4))


@pytest.mark.parametrize("made", [Endless, Flat])
def test_a_size_that_nobody_means_is_not_asked_for(made: type[nn.Module]) -> None:
    found = fitting.fitted(made())
    assert found is not None
    assert found.runs == (made is Flat)
    assert max(found.sizes.values()) < 1000


class Narrowing(nn.Module):
    """Two widths that only go together in one ratio."""

    def __init__(self, inplanes: int, planes: int, kernel: int) -> None:
        super().__init__()
        self.body = nn.Conv2d(inplanes, planes * 4, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def otherwise(made: Any) -> tuple[dict[str, str], fitting.Fitted]:
    """The arguments with which the forward runs, and its inputs."""
    build = functools.partial(called, made)
    model, texts = arguments.built(made, {}, build)
    found = fitting.fitted(model)
    assert found is not None
    assert not found.runs
    for other in arguments.others(made, texts, {}, found.odds):
        again = fitting.fitted(build(other), most=fitting.FEW_RUNS)
        if again is not None and again.runs:
            return other, again
    raise AssertionError("nothing runs")


def called(made: Any, texts: Mapping[str, str]) -> nn.Module:
    names = dict(vars(sys.modules[made.__module__]))
    module = made(**{name: eval(text, names) for name, text in texts.items()})
    assert isinstance(module, nn.Module)
    return module.eval()


class Odd(Narrowing):
    def __init__(self, inplanes: int, planes: int) -> None:
        super().__init__(inplanes, planes, 3)


class Even(nn.Module):
    def __init__(self, width: int, kernel_size: int) -> None:
        super().__init__()
        self.body = nn.Conv2d(width, width, kernel_size, padding=kernel_size // 2)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def test_arguments_are_corrected_by_the_sizes_that_a_forward_finds_at_odds() -> None:
    texts, found = otherwise(Odd)
    assert texts in ({"inplanes": "256", "planes": "64"}, {"inplanes": "64", "planes": "16"})
    assert found.runs
    texts, _ = otherwise(Even)
    assert texts["kernel_size"] == "3"


@dataclasses.dataclass
class FoldConfig:
    heads: int = 4


class Configured(nn.Module):
    """Its configuration has a default, and the forward asks for it."""

    def __init__(self, width: int, config: FoldConfig | None = None) -> None:
        super().__init__()
        self.fc, self.config = nn.Linear(width, width), config

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x).unflatten(-1, (self.config.heads, -1))  # type: ignore[union-attr]


def test_a_configuration_that_has_a_default_is_given_where_the_forward_asks_for_it() -> None:
    texts, found = otherwise(Configured)
    assert texts == {"width": "64", "config": "FoldConfig()"}
    assert found.runs


class Stages(nn.Module):
    """Lists where nothing says so."""

    def __init__(self, depths, widths) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        count = len(depths)
        self.layers = nn.ModuleList(nn.Linear(widths[0], widths[0]) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def test_an_argument_is_changed_for_as_long_as_the_constructor_comes_further() -> None:
    model, texts = arguments.built(Stages, {}, functools.partial(called, Stages))
    assert texts == {"depths": "[2] * 4", "widths": "[64] * 4"}
    assert shapes(model) == {"x": (2, 10, 64)}
    with pytest.raises(TypeError, match="no len"):
        arguments.built(Stages, {"depths": "2"}, functools.partial(called, Stages))


class Huge(nn.Module):
    def __init__(self, width: int = 4096, num_layers: int = 48) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(num_layers))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[0](x)


def test_a_model_whose_usual_size_is_too_much_has_fewer_layers() -> None:
    build = functools.partial(called, Huge)
    model, texts = arguments.built(Huge, {}, build, small=True)
    assert texts == {"num_layers": "2"}
    assert sum(each.numel() for each in model.parameters()) < arguments.LARGEST_MODEL


class Told(nn.Module):
    """Knows one length, and says it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv1d(64, 64, 3)

    def forward(self, mel: Tensor, more: dict[str, Tensor]) -> Tensor:
        if mel.shape[-1] != 300:
            raise ValueError(f"Expects a length of 300, but found {mel.shape[-1]}.")
        more = more.copy() if more is not None else {}
        return self.body(mel)


def test_a_size_that_a_check_names_and_an_input_that_is_no_tensor() -> None:
    found = fitting.fitted(Told())
    assert found is not None
    assert found.runs
    assert found.sizes["L"] == 300
    assert "more:=None" in found.texts


def test_an_argument_has_the_letter_of_the_size_that_it_goes_with() -> None:
    build = functools.partial(called, Mixed)
    model, texts = arguments.built(Mixed, {}, build)
    found = fitting.fitted(model)
    assert found is not None
    assert fitting.shared(build, texts, {}, found) == {"dim": "C"}
    # What is given stays, and what happens to be as large is something else.
    assert fitting.shared(build, texts, texts, found) == texts
    build = functools.partial(called, nn.Linear)
    model, texts = arguments.built(nn.Linear, {}, build)
    found = fitting.fitted(model)
    assert found is not None
    assert fitting.shared(build, texts, {}, found) == {"in_features": "C", "out_features": "64"}


# --- what the failing statement asks for --------------------------------------------------------


class Grid(nn.Module):
    """Tokens of a picture, whose sides are given."""

    def __init__(self, resolution: int = 8) -> None:
        super().__init__()
        self.resolution = resolution

    def forward(self, x: Tensor) -> Any:
        batch, _, width = x.shape
        return x.view(batch, self.resolution, self.resolution, width)


class Asserting(nn.Module):
    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        _, count, _ = x.shape
        assert count == 1 + size[0] * size[1]
        return x[:, 1:].mean(1)


class Windows(nn.Module):
    """Knows nothing of its own size but that it must be cut evenly, behind two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 2, 2)

    def forward(self, x: Tensor) -> Any:
        x = self.stem(x)
        if x.size(-1) % 7 != 0 or x.size(2) != 21:
            raise ValueError("The windows do not fit.")
        return x


class Pyramid(nn.Module):
    """Two maps, where nothing says so."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(12, 4), nn.Linear(12, 4)

    def forward(self, features: Any) -> Any:
        fine, coarse, _ = features
        return self.first(fine) + self.second(coarse)


class Switched(nn.Module):
    def forward(self, x: Any, double: Any, times: Any) -> Any:
        if double:
            x = x * 2
        for _ in range(times):
            x = x + 1
        return x


class Guided(nn.Module):
    """Three that have a default and are needed all the same."""

    def __init__(self) -> None:
        super().__init__()
        self.time = nn.Linear(1, 8)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        timestep: int | float | torch.LongTensor = None,  # type: ignore[assignment]
        context: Tensor | Any = None,
        style: Tensor | Any = None,
    ) -> Any:
        x = x + self.time(timestep.to(x.dtype)[:, None])[:, None]
        x = x + context.mean(1, keepdim=True)
        return x * style.sigmoid()


class Valued(nn.Module):
    """Its words alone are no words: what a layer wants of them is seen with values."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(24, 3)

    def forward(self, cls_token: Tensor) -> Any:
        return self.fc(cls_token)


class Quartered(nn.Module):
    """What is joined has four times the last size of the one input, which nothing else fixes."""

    def __init__(self, dim: int = 20) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)

    def forward(self, x: Tensor) -> Any:
        _, high, _, _ = x.shape
        assert high % 2 == 0
        return self.norm(torch.cat([x, x, x, x], -1))


class Stack(nn.Module):
    """As the stacks of T5 are: all has a default, nothing an annotation, and it is one of two."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 8)
        self.is_decoder = False

    def forward(self, input_ids=None, mask=None, embeds=None, use_cache=None):  # type: ignore[no-untyped-def]
        use_cache = True if use_cache is None else use_cache
        if use_cache is True:
            layer = self.table
            if not self.is_decoder:
                raise ValueError(f"`use_cache` is for decoders, and this has {layer}.")
        if input_ids is not None and embeds is not None:
            raise ValueError("You cannot specify both.")
        elif input_ids is None and embeds is None:
            raise ValueError("You must specify one of input_ids or embeds.")
        return self.table(input_ids) if embeds is None else embeds


class Clip(nn.Module):
    """The first of two is taken apart into five."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.words = nn.Conv2d(4, 8, 3), nn.Linear(6, 8)

    def forward(self, frames: Tensor, words: Tensor) -> Any:
        batch, count, channels, high, wide = frames.shape
        maps = self.stem(frames.reshape(batch * count, channels, high, wide))
        return maps.mean((2, 3)).view(batch, count, -1) + self.words(words).mean(1, keepdim=True)


@together(
    ("made", "texts"),
    [
        (Quartered, ("x=B,C,H,W",)),
        (Stack, ("input_ids=B,N:int64<50", "use_cache:=False")),
        (Clip, ("frames=B,C,T,H,W", "words=B,C,H,W")),
        (Grid, ("x=B,N,C",)),
        (Asserting, ("x=B,N,C", "size:=(32, 32)")),
        (Windows, ("x=B,C,H,W",)),
        (Pyramid, ("features=(B,N,C; B,N,C; B,N,C)",)),
        (Switched, ("x=B,N,C", "double:=False", "times:=2")),
        (Guided, ("x=B,N,C", "timestep=B", "context=B,N,C", "style=B,N,C")),
        (Valued, ("cls_token=B,N",)),
    ],
)
def test_a_forward_says_by_its_failing_statement_what_it_wants(
    made: type[nn.Module], texts: tuple[str, ...]
) -> None:
    found = fitting.fitted(made())
    assert found is not None
    assert found.runs, found
    assert found.texts == texts
    args, kwargs = inputs.make(found.texts, found.sizes)
    made()(*args, **kwargs)


# --- what a constructor asks for ----------------------------------------------------------------


class Moded(nn.Module):
    def __init__(self, dim: int, mode: str, side: Any) -> None:
        super().__init__()
        if mode == "sum":
            self.out = nn.Linear(dim, 1)
        elif mode in ("mean", "max"):
            self.out = nn.Linear(dim, 2)
        else:
            raise ValueError(f"There is no {mode}.")
        assert side in ("left", "right")

    def forward(self, x: Tensor) -> Any:
        return self.out(x)


class Side(enum.Enum):
    LEFT = "l"
    RIGHT = "r"


class Made(nn.Module):
    """Layers and kinds of layers, and one of a few words."""

    def __init__(
        self,
        main: nn.Module,
        norm_layer: type[nn.Module],
        side: Side,
        order: Literal["first", "last"],
        conv: Any = None,
    ) -> None:
        super().__init__()
        self.main, self.norm = main, norm_layer(3)
        self.conv = conv(3, 3, 1)
        assert isinstance(side, Side)
        assert order == "first"

    def forward(self, x: Tensor) -> Any:
        return self.conv(self.norm(self.main(x)))


cfg_of = {"small": {"width": 16, "depth": 1}, "large": {"width": 32, "depth": 2}}


class Tabled(nn.Module):
    """As those of timm are that take a table, of which the file has several."""

    def __init__(self, cfg: dict[str, int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(3, cfg["width"]) for _ in range(cfg["depth"]))

    def forward(self, x: Tensor) -> Any:
        return [layer(x) for layer in self.layers]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (Tabled, {"cfg": "cfg_of['small']"}),
        (Moded, {"dim": "64", "mode": "'sum'", "side": "'left'"}),
        (
            Made,
            {
                "main": "nn.Identity()",
                "norm_layer": "nn.BatchNorm2d",
                "side": "Side.LEFT",
                "order": "'first'",
                "conv": "nn.Conv2d",
            },
        ),
    ],
)
def test_words_layers_and_kinds_of_layers(made: Any, expected: dict[str, str]) -> None:
    model, texts = arguments.built(made, {}, functools.partial(called, made))
    assert texts == expected
    found = fitting.fitted(model)
    assert found is not None
    assert found.runs


@dataclasses.dataclass
class VisionConfig:
    hidden_size: int = 4096
    image_size: int = 336
    num_hidden_layers: int = 24


@dataclasses.dataclass
class TextConfig:
    hidden_size: int = 4096
    vocab_size: int = 32_000
    pad_token_id: int = 31_999


@dataclasses.dataclass
class WholeConfig:
    vision_config: VisionConfig = dataclasses.field(default_factory=VisionConfig)
    text_config: TextConfig = dataclasses.field(default_factory=TextConfig)


class Seeing(nn.Module):
    config_class = WholeConfig

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.table = nn.Embedding(config.vocab_size, config.hidden_size, config.pad_token_id)

    def forward(self, input_ids: Tensor) -> Any:
        return self.table(input_ids)


def test_the_part_of_a_configuration_that_a_class_is_made_from_is_found_and_small() -> None:
    model, texts = arguments.built(Seeing, {}, functools.partial(called, Seeing), small=True)
    assert texts == {
        "config": "WholeConfig(vision_config=VisionConfig(hidden_size=64, image_size=32, "
        "num_hidden_layers=2), text_config=TextConfig(hidden_size=64, vocab_size=100, "
        "pad_token_id=1)).text_config"
    }
    assert shapes(model) == {"input_ids": (2, 10)}


def test_of_two_configurations_the_derived_one_is_meant() -> None:
    class BaseConfig:
        pass

    class OwnConfig(BaseConfig):
        pass

    class Own:
        config_class = OwnConfig

    found = configurations.candidates(Own, BaseConfig)
    assert found.index(OwnConfig) < found.index(BaseConfig)


class PairConfig:
    """
    What is made from two others.

    >>> first = VisionConfig()
    >>> second = TextConfig()
    >>> config = PairConfig(vision_config=first, text_config=second)
    """

    def __init__(self, vision_config: Any = None, text_config: Any = None) -> None:
        if vision_config is None or text_config is None:
            raise ValueError("It consists of two.")
        self.vision_config, self.text_config = vision_config, text_config


class Pair(nn.Module):
    config_class = PairConfig

    def __init__(self, config: PairConfig | None = None, table: nn.Module | None = None) -> None:
        super().__init__()
        if config is None and table is None:
            raise ValueError("Either a configuration or a table is to be given.")
        assert config is not None
        sizes = config.text_config
        self.table = nn.Embedding(sizes.vocab_size, sizes.hidden_size)

    def forward(self, input_ids: Tensor) -> Any:
        return self.table(input_ids)


def test_a_configuration_of_two_others_is_made_as_its_example_makes_it() -> None:
    model, texts = arguments.built(Pair, {}, functools.partial(called, Pair), small=True)
    assert texts == {
        "config": "PairConfig(vision_config=VisionConfig(hidden_size=64, image_size=32, "
        "num_hidden_layers=2), text_config=TextConfig(hidden_size=64, vocab_size=100, "
        "pad_token_id=1))"
    }
    assert shapes(model) == {"input_ids": (2, 10)}


@dataclasses.dataclass
class WordedConfig:
    hidden_act: str = "relu"


class Worded(nn.Module):
    config_class = WordedConfig

    def __init__(self, width: int, hidden_act: str) -> None:
        super().__init__()
        self.linear, self.act = nn.Linear(width, width), getattr(torch, hidden_act)

    def forward(self, x: Tensor) -> Any:
        return self.act(self.linear(x))


class Inheriting(Worded):
    def __init__(self, width, hidden_act="relu"):  # type: ignore[no-untyped-def]
        super().__init__(width, hidden_act)


def test_a_word_is_that_of_the_configuration() -> None:
    assert next(arguments.guessed(Worded))["hidden_act"] == "'relu'"


def test_what_has_no_annotation_has_that_of_the_class_from_which_it_is_inherited() -> None:
    width, act = arguments.parameters(Inheriting)
    assert (width.annotation, act.annotation) == (int, str)


class Narrow(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Any:
        return self.proj(x)


class Several(nn.Module):
    def __init__(self, gates: list[Narrow]) -> None:
        super().__init__()
        self.gates = nn.ModuleList(gates)

    def forward(self, x: Tensor) -> Any:
        return [gate(x) for gate in self.gates]


def test_a_list_of_modules_holds_some() -> None:
    model, texts = arguments.built(Several, {}, functools.partial(called, Several))
    assert texts == {"gates": "[Narrow(width=64), Narrow(width=64)]"}
    assert shapes(model)["x"][-1] == 64


class Cubed(nn.Module):
    """As some of diffusers and of timm are: a number by default where several are meant, and a
    list of numbers by default None."""

    def __init__(
        self,
        width: int,
        stride: int | tuple[int, int, int] = 1,
        rates: list[float] | None = None,
        dilations: list[int] | None = None,
        drop: float = 0.0,
    ) -> None:
        super().__init__()
        self.last = nn.Dropout(drop[0])  # type: ignore[index]
        if dilations is not None and len(dilations) != 2:
            raise ValueError("Two dilations are wanted.")
        self.drop = nn.Dropout(rates[0])  # type: ignore[index]
        self.conv = nn.Conv3d(width, width * stride[2], 1)  # type: ignore[index]

    def forward(self, x: Tensor) -> Any:
        return self.drop(self.conv(x))


class HandedOn(Cubed):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


@pytest.mark.parametrize("made", [Cubed, HandedOn])
def test_several_are_given_where_the_annotation_says_so(made: Any) -> None:
    model, texts = arguments.built(made, {}, functools.partial(called, made), small=True)
    assert texts == {
        "width": "64",
        "drop": "[0.0] * 4",
        "rates": "[0.5] * 4",
        "stride": "(2, 2, 2)",
    }
    assert shapes(model)["x"][1] == 64
    seen = list(arguments._several("dilations", list[int], 64))
    assert seen == ["[1] * 4", "[1] * 2", "[1] * 3"]


def test_a_size_is_several_numbers() -> None:
    model, texts = arguments.built(
        nn.Unflatten, {"dim": "1"}, functools.partial(called, nn.Unflatten)
    )
    assert texts["unflattened_size"] == "(16, 16)"
    assert shapes(model)["input"][1] == 256


def wrapped(function: Any) -> Any:
    @functools.wraps(function)
    def keep(self: Any, *args: Any, **kwargs: Any) -> None:
        function(self, *args, **kwargs)

    return keep


ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU}


class Kept(nn.Module):
    """As those of diffusers are: a decorator keeps what the constructor was called with, and sizes
    are None that are needed."""

    @wrapped
    def __init__(
        self,
        unlike: str | nn.Module,
        activation: str,
        width: int | None = None,
        patch_size: int | None = None,
    ) -> None:
        super().__init__()
        self.unlike, self.act = unlike, ACTIVATIONS[activation]()
        self.proj = nn.Conv2d(3, width * patch_size, 1)  # type: ignore[operator]

    def forward(self, x: Tensor) -> Any:
        return self.unlike(self.act(self.proj(x)))  # type: ignore[operator]


class KeptBelow(Kept):
    pass


@pytest.mark.parametrize("made", [Kept, KeptBelow])
def test_a_constructor_that_is_wrapped_is_read_and_given_what_it_reads_in_vain(made: Any) -> None:
    model, texts = arguments.built(made, {}, functools.partial(called, made), small=True)
    assert texts == {
        "unlike": "nn.Identity()",
        "activation": "'relu'",
        "width": "64",
        "patch_size": "4",
    }
    assert shapes(model)["x"][1] == 3


@dataclasses.dataclass
class PeriodicConfig:
    hidden_size: int = 512
    num_hidden_layers: int = 6


class Periodic(nn.Module):
    def __init__(self, config: PeriodicConfig) -> None:
        super().__init__()
        self.proj = nn.Linear(config.hidden_size, 3)
        self.kinds = ["scan" if each % 4 else "attend" for each in range(config.num_hidden_layers)]

    def forward(self, x: Tensor) -> Any:
        if self.kinds.count("attend") < 2:
            raise ValueError("There is nothing to attend with.")
        return self.proj(x)


def test_a_configuration_has_all_of_its_layers_where_fewer_do_not_run() -> None:
    small, *_ = arguments.guessed(Periodic, small=True)
    assert small == {"config": "PeriodicConfig(hidden_size=64, num_hidden_layers=2)"}
    (texts, *_) = arguments.others(Periodic, small, {})
    assert texts == {"config": "PeriodicConfig(hidden_size=64)"}
    assert shapes(called(Periodic, texts)) == {"x": (2, 10, 64)}


@pytest.mark.parametrize("made", [nn.BCELoss, nn.GaussianNLLLoss])
def test_real_numbers_from_0_to_1_where_others_are_refused(made: Any) -> None:
    found = fitting.fitted(made())
    assert found is not None
    assert found.runs
    assert found.texts[0] == "input=B,N,C:<1"


class Frames(nn.Module):
    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        batch = len(x) // num_frames
        return x.reshape(batch, num_frames, -1, x.shape[1])


def test_a_number_by_which_a_batch_is_divided_leaves_something_of_it() -> None:
    found = fitting.fitted(Frames())
    assert found is not None
    assert found.runs
    assert found.texts == ("x=B,N,C", "num_frames:=1")

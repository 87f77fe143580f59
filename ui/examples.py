"""Modules to begin with: twelve of torch that run, and twelve broken models, one cause each, as it
is met in real code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tracer.worker import Job
from ui.language import say

_FILES = Path(__file__).parents[1] / "examples"
"""The broken models, each a file that can be run and opened by itself."""


@dataclass(frozen=True)
class Example:
    """A module and how to run it. `tells` says what there is to see, and of a broken one does not
    give the answer away."""

    key: str
    title: str
    tells: str
    job: Job


def working() -> tuple[Example, ...]:
    """Classes of torch.nn, in the reader's language, simple ones first."""
    tells = {
        "Linear": say("Only the last size changes; all before it are handed on."),
        "Conv2d": say("A window of 4 × 4 without padding: each side loses 3."),
        "ConvTranspose2d": say("The way back: a map that grows."),
        "AdaptiveAvgPool2d": say(
            "Whatever comes in, the map that comes out has the size asked for."
        ),
        "LayerNorm": say("Normalised over the last size alone."),
        "GroupNorm": say("Channels in groups, normalised with all that lies behind them."),
        "Embedding": say("Numbers of words become vectors: one more dimension."),
        "EmbeddingBag": say("The vectors of a bag of words, reduced to one."),
        "LSTM": say("A sequence, and the two states that are left at its end."),
        "MultiheadAttention": say(
            "Queries, keys and values: two results, and the batch stands second."
        ),
        "TransformerEncoderLayer": say(
            "Attention and a feed-forward network, each with a way around."
        ),
        "TransformerDecoderLayer": say(
            "Two attentions: of the sequence to itself, and to the memory."
        ),
    }
    arguments = {
        "Conv2d": {"kernel_size": "4"},
        "AdaptiveAvgPool2d": {"output_size": "(5, 7)"},
    }
    return tuple(
        Example(name, f"nn.{name}", told, Job("", f"torch.nn.{name}", arguments.get(name, {})))
        for name, told in tells.items()
    )


def examples() -> tuple[Example, ...]:
    """Broken models in the reader's language, simple causes first."""
    texts = {
        "flatten": (
            say("A larger photo"),
            say("A classifier written for 32 × 32 images is given 48 × 48 ones."),
        ),
        "scores": (
            say("Scores of attention"),
            say("Queries meet keys, and one of the two lies the wrong way round."),
        ),
        "shortcut": (
            say("A residual that shrinks"),
            say("The block halves its map; what is added to it does not."),
        ),
        "columns": (
            say("Frames from a game"),
            say("Height, width, channels: the order in which the environment gives them."),
        ),
        "skip": (
            say("U-Net on an odd size"),
            say("Halved and doubled again, 45 is not 45 any more."),
        ),
        "norm": (
            say("Three modules deep"),
            say("A normalisation inside a `Sequential` inside a block inside a network."),
        ),
        "heads": (
            say("Heads put together again"),
            say("The sizes are right and `view` refuses all the same."),
        ),
        "squeeze": (
            say("A batch of one"),
            say("It works in training, and fails on the first single request."),
        ),
        "hidden": (
            say("A decoder's first state"),
            say("What the encoder hands on has a dimension too few."),
        ),
        "loss": (
            say("A loss over a sequence"),
            say("One class for each token, and the classes stand in the last place."),
        ),
        "embedding": (
            say("Tokens that are floats"),
            say("No size is wrong here: the type is."),
        ),
        "silent": (
            say("It runs, and learns nothing"),
            say("No error at all: the loss compares every prediction with every target."),
        ),
    }
    return tuple(Example(key, *texts[key], _job(key)) for key in _TAKE)


_TAKE: dict[str, tuple[str, tuple[str, ...], dict[str, int]]] = {
    "flatten": ("CifarNet", ("B,3,48,48",), {"B": 8}),
    "scores": ("SingleHead", ("B,T,48",), {"B": 2, "T": 10}),
    "shortcut": ("TinyResNet", ("B,3,H,W",), {"B": 2, "H": 32, "W": 32}),
    "columns": ("Encoder", ("B,84,84,3:uint8<256",), {"B": 4}),
    "skip": ("SmallUNet", ("B,1,45,60",), {"B": 2}),
    "norm": ("Backbone", ("B,3,H,W",), {"B": 2, "H": 24, "W": 24}),
    "heads": ("MultiHead", ("B,T,64",), {"B": 2, "T": 9}),
    "squeeze": ("Tagger", ("1,40,T",), {"T": 100}),
    "hidden": ("Captioner", ("B,64", "B,T:int64<100"), {"B": 4, "T": 7}),
    "loss": ("LanguageModel", ("B,T:int64<50", "B,T:int64<50"), {"B": 4, "T": 12}),
    "embedding": ("Sentiment", ("B,T:float32",), {"B": 3, "T": 20}),
    "silent": ("Price", ("B,12", "B"), {"B": 16}),
}
"""The class of each broken model, and its inputs."""


def _job(key: str) -> Job:
    name, inputs, sizes = _TAKE[key]
    source = (_FILES / f"{key}.py").read_text(encoding="utf-8")
    return Job(source, name, inputs=inputs, sizes=sizes)

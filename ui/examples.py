"""Models to begin with: twelve that run, one idea each, and twelve broken ones, one cause each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tracer.worker import Job
from ui.language import say

_FILES = Path(__file__).parents[1] / "examples"
"""The models, each a file that can be run and opened by itself."""


@dataclass(frozen=True)
class Example:
    """A module and how to run it. `tells` says what there is to see, and of a broken one does not
    give the answer away."""

    key: str
    title: str
    tells: str
    job: Job


def working() -> tuple[Example, ...]:
    """Models that run, in the reader's language, simple ones first."""
    texts = {
        "gate": (
            say("Channels that are weighed"),
            say("Two numbers of a map are averaged away, and come back as 1 to be multiplied."),
        ),
        "separable": (
            say("A convolution in two halves"),
            say("First each channel by itself, then each place by itself."),
        ),
        "patches": (
            say("A picture becomes words"),
            say("A stride as large as the window cuts it up; one more token is put before."),
        ),
        "positions": (
            say("Where a word stands"),
            say("A column times a row is a table, and a table without a batch fits any batch."),
        ),
        "sorter": (
            say("The last states of two directions"),
            say("What an LSTM leaves has the directions first; the batch has to come before them."),
        ),
        "attention": (
            say("Attention, written out"),
            say("The width is cut into heads, which move before the words and back again."),
        ),
        "groups": (
            say("Queries that share their keys"),
            say("Fewer heads for keys and values, each of them used by several queries."),
        ),
        "pyramid": (
            say("A coarse map meets a fine one"),
            say("The sizes are odd, and it fits: one map is asked how large the other is."),
        ),
        "upsample": (
            say("Channels become pixels"),
            say("Nine times the channels, then each nine of them are a square of 3 × 3."),
        ),
        "mixture": (
            say("Four experts, all asked"),
            say("Two products in Einstein's notation: which letter goes, and which one stays."),
        ),
        "pairs": (
            say("Every picture with every text"),
            say("The batch meets itself: a square of scores whose diagonal is right."),
        ),
        "codebook": (
            say("The nearest of a hundred"),
            say("All places of all maps in one long list, looked up, and laid out again."),
        ),
    }
    return tuple(
        Example(f"working-{key}", *texts[key], _job(f"working/{key}", *_WORKING[key]))
        for key in texts
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
    return tuple(Example(key, *texts[key], _job(key, *_TAKE[key])) for key in _TAKE)


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


_WORKING: dict[str, tuple[str, tuple[str, ...], dict[str, int]]] = {
    "gate": ("Gate", ("B,32,H,W",), {"B": 2, "H": 14, "W": 20}),
    "separable": ("Separable", ("B,32,H,W",), {"B": 2, "H": 24, "W": 36}),
    "patches": ("Patches", ("B,3,H,W",), {"B": 2, "H": 32, "W": 48}),
    "positions": ("Positions", ("B,T,32",), {"B": 2, "T": 10}),
    "sorter": ("Sorter", ("B,T:int64<1000",), {"B": 2, "T": 12}),
    "attention": ("SelfAttention", ("B,T,64",), {"B": 2, "T": 10}),
    "groups": ("GroupedAttention", ("B,T,64",), {"B": 2, "T": 10}),
    "pyramid": ("Pyramid", ("B,3,H,W",), {"B": 2, "H": 45, "W": 60}),
    "upsample": ("Upsample", ("B,3,H,W",), {"B": 2, "H": 16, "W": 24}),
    "mixture": ("Mixture", ("B,T,32",), {"B": 2, "T": 10}),
    "pairs": ("Pairs", ("B,40", "B,24"), {"B": 6}),
    "codebook": ("Codebook", ("B,16,H,W",), {"B": 2, "H": 6, "W": 9}),
}
"""The same of the models that run."""


def _job(key: str, name: str, inputs: tuple[str, ...], sizes: dict[str, int]) -> Job:
    source = (_FILES / f"{key}.py").read_text(encoding="utf-8")
    return Job(source, name, inputs=inputs, sizes=sizes)

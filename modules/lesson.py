"""What a lesson declares: its module, sizes, inputs, presets, paper, and the post's claims."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor, nn

from tracer import Trace, trace

Settings = Mapping[str, Any]
"""One flat mapping of all that a reader can set: the sizes and the options, by name."""

Verdict = Literal["agrees", "slip", "depends"]


@dataclass(frozen=True)
class Paper:
    title: str
    authors: str
    venue: str
    year: int
    link: str


@dataclass(frozen=True)
class Size:
    """A size that a reader can set, with the range in which the lesson is defined."""

    name: str
    meaning: str
    default: int
    low: int
    high: int


@dataclass(frozen=True)
class Option:
    """A constructor argument that is not a size. `choices` are its legal values."""

    name: str
    meaning: str
    default: Any
    choices: tuple[Any, ...]


@dataclass(frozen=True)
class Preset:
    """Named settings. `values` false means that only shapes are computed, `note` says why.
    `breaks` names the exception type if the module cannot take these settings."""

    name: str
    settings: Settings
    note: str
    values: bool = True
    breaks: str | None = None


@dataclass(frozen=True)
class Claim:
    """One line of a post that names a shape or a rule, and how it is checked against a run.

    `holds` answers for the run of `preset` whether the quoted words are true as written, `found`
    what the run shows.  `verdict` is `agrees` when it holds, `slip` when it does not (`why` gives
    what is right and the reason), `depends` when it holds only under what `why` names.
    """

    post: str
    quote: str
    says: str
    preset: str
    holds: Callable[[Trace], bool]
    found: Callable[[Trace], str]
    verdict: Verdict
    why: str = ""


@dataclass(frozen=True)
class CheckedClaim:
    claim: Claim
    holds: bool
    found: str


InputKind = Literal["picture", "noise", "ramp"]
"""`picture` is drawn by code and lifted to channels, `ramp` holds each element's flat index."""


@dataclass(frozen=True)
class Lesson:
    """One module to walk through.

    `build(settings)` makes the module; `inputs(settings, kind, seed)` its arguments (positional,
    keyword).  `dims` names the input's dimensions, as `{"x": "B C H W"}`.  `map` is the name of
    the tensor that stands for the lesson in the gallery.
    """

    key: str
    title: str
    family: str
    teaches: str
    about: str
    post: str
    paper: Paper
    source: str
    sizes: tuple[Size, ...]
    options: tuple[Option, ...]
    presets: tuple[Preset, ...]
    kinds: tuple[InputKind, ...]
    dims: Mapping[str, str]
    map: str
    build: Callable[[Settings], nn.Module]
    inputs: Callable[[Settings, InputKind, int], tuple[tuple[Any, ...], dict[str, Any]]]
    claims: tuple[Claim, ...] = field(default=())

    def settings(self, preset: str | None = None) -> dict[str, Any]:
        """The defaults, overlaid with the preset's settings.

        Raises:
            KeyError: the lesson has no preset of that name.
        """
        chosen = {item.name: item.default for item in (*self.sizes, *self.options)}
        if preset is not None:
            chosen.update(self.preset(preset).settings)
        return chosen

    def preset(self, name: str) -> Preset:
        for preset in self.presets:
            if preset.name == name:
                return preset
        raise KeyError(f"{self.key} has no preset {name!r}")

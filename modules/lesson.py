"""What a lesson declares (module, sizes, inputs, presets, paper, the post's claims), and how it
is run and checked.

What only declares needs no torch: it is loaded where something is built or run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from modules.story import Plot, with_story
from tracer import Step, TensorNote, Trace
from tracer.document import Lead
from tracer.sentences import Said, ToldError, as_written, said

if TYPE_CHECKING:
    from torch import nn

    from tracer.formulas.proof import Solution

    Own = Callable[
        [nn.Module, tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]
    ]

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
    """A constructor argument that is not a size. `choices` are its legal values; `in_words` where
    their texts are told to the reader, and are no values of the code's."""

    name: str
    meaning: str
    default: Any
    choices: tuple[Any, ...]
    in_words: bool = False


@dataclass(frozen=True)
class Preset:
    """Named settings. `values` false means that only shapes are computed, `note` says why.
    `breaks` names the exception type if the module cannot take these settings; `training` is the
    mode in which it is run."""

    name: str
    settings: Settings
    note: str
    values: bool = True
    breaks: str | None = None
    training: bool = False


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
    found: Callable[[Trace], str | Said]
    verdict: Verdict
    why: str = ""


@dataclass(frozen=True)
class CheckedClaim:
    claim: Claim
    holds: bool
    found: str | Said


InputKind = Literal["picture", "noise", "ramp", "shape"]
"""`picture` is drawn by code and lifted to channels, `ramp` holds each element's flat index.
`shape` is no choice for a reader: meta tensors, for runs that compute shapes alone."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a lesson says of itself: all of it but code, as plain data.

    `dims` names the input's dimensions, as `{"x": "B C H W"}`.  `map` is the name of the tensor
    that stands for the lesson in the gallery.
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

    def settings(self, preset: str | None = None) -> dict[str, Any]:
        """The defaults, overlaid with the preset's settings.

        Raises:
            LookupError: the lesson has no preset of that name.
        """
        chosen: dict[str, Any] = {size.name: size.default for size in self.sizes}
        chosen.update((option.name, option.default) for option in self.options)
        if preset is not None:
            chosen.update(self.preset(preset).settings)
        return chosen

    def preset(self, name: str) -> Preset:
        for preset in self.presets:
            if preset.name == name:
                return preset
        known = ", ".join(repr(preset.name) for preset in self.presets)
        raise LookupError(f"The lesson {self.key} has no preset {name!r}: use one of {known}.")


@dataclass(frozen=True, kw_only=True)
class Lesson(Description):
    """One module to walk through.

    `build(settings)` makes the module; `inputs(settings, kind, seed)` its arguments (positional,
    keyword).
    """

    build: Callable[[Settings], nn.Module]
    inputs: Callable[[Settings, InputKind, int], tuple[tuple[Any, ...], dict[str, Any]]]
    plot: Plot
    claims: tuple[Claim, ...] = field(default=())

    def problems(self, settings: Settings) -> Said | None:
        """One sentence that says why no module can be built with these settings, or None.

        Settings that can be built and stop in the forward are no problem: they are worth seeing.
        """
        sizes = {size.name: size for size in self.sizes}
        options = {option.name: option for option in self.options}
        for name in settings:
            if name not in sizes and name not in options:
                known = ", ".join([*sizes, *options])
                return said(
                    "The lesson {lesson} has no setting {name}: use {known}.",
                    lesson=self.key,
                    name=repr(name),
                    known=known,
                )
        for size in self.sizes:
            value = settings.get(size.name)
            if type(value) is not int or not size.low <= value <= size.high:
                return said(
                    "{name} ({meaning}) is {value}: use a whole number from {low} to {high}.",
                    name=size.name,
                    meaning=Said(size.meaning),
                    value=repr(value),
                    low=size.low,
                    high=size.high,
                )
        for option in self.options:
            value = settings.get(option.name)
            if not any(_same(value, choice) for choice in option.choices):
                choices = ", ".join(str(choice) for choice in option.choices)
                return said(
                    "{name} ({meaning}) is {value}: use one of {choices}.",
                    name=option.name,
                    meaning=Said(option.meaning),
                    value=repr(value),
                    choices=choices,
                )
        import torch

        # What does not go together is known to the module's constructor, and to nobody else.
        try:
            with torch.device("meta"):
                self.build(settings)
        except ValueError as error:
            return as_written(str(error))
        return None


def _same(value: Any, choice: Any) -> bool:
    """Equal, and not only because True == 1."""
    return bool(value == choice) and isinstance(value, bool) == isinstance(choice, bool)


# --- building and running -------------------------------------------------------------------

_building = threading.Lock()


def with_fixed_weights(make: Callable[[], nn.Module]) -> nn.Module:
    """`make()`, its random weights the same every time, torch's random state as before.

    The state belongs to the whole process: a lock keeps two builds from drawing in turns.
    """
    import torch

    with _building:
        state = torch.get_rng_state()
        torch.default_generator.manual_seed(0)
        try:
            return make()
        finally:
            torch.set_rng_state(state)


def prepare(
    lesson: Lesson,
    settings: Settings,
    kind: InputKind = "picture",
    seed: int = 0,
    *,
    values: bool = True,
    training: bool = False,
    own: Own | None = None,
) -> tuple[nn.Module, tuple[Any, ...], dict[str, Any]]:
    """The module and its arguments; without `values` both are on the meta device, with them `own`
    puts something else in their place.

    Raises:
        ToldError: the settings have a problem (`Lesson.problems`).
    """
    import torch

    problem = lesson.problems(settings)
    if problem is not None:
        raise ToldError(problem)
    if values:
        model = lesson.build(settings)
        args, kwargs = lesson.inputs(settings, kind, seed)
        if own is not None:
            args, kwargs = own(model, args, kwargs)
    else:
        with torch.device("meta"):
            model = lesson.build(settings)
        args, kwargs = lesson.inputs(settings, "shape", seed)
    return model.train(training), args, kwargs


def run(
    lesson: Lesson,
    settings: Settings,
    kind: InputKind = "picture",
    seed: int = 0,
    *,
    values: bool = True,
    training: bool = False,
    diagnose: bool = True,
    mend: bool = True,
    watch: Callable[[int], None] | None = None,
    own: Own | None = None,
) -> Trace:
    """One traced forward of the lesson, with its story.

    Args:
        settings: a value for each size and option, as `Lesson.settings` gives them.
        kind, seed: which input, and which of its variants.
        values: False computes the shapes alone, of any size, in milliseconds.
        training: the module's mode.
        diagnose, mend, watch: see `tracer.trace`.
        own: what a reader brings along (`prepare`).

    Raises:
        ToldError: the settings have a problem (`Lesson.problems`).
    """
    how: dict[str, Any] = {"values": values, "training": training, "own": own}
    how |= {"diagnose": diagnose, "mend": mend, "watch": watch}
    found = _run(lesson, settings, kind, seed, **how)
    found = replace(found, letters=tuple(lesson.dims.items()))
    return with_story(lesson, found, _slip(lesson), _leads(lesson))


def _run(
    lesson: Lesson,
    settings: Settings,
    kind: InputKind = "picture",
    seed: int = 0,
    *,
    values: bool,
    training: bool,
    diagnose: bool = True,
    mend: bool = True,
    watch: Callable[[int], None] | None = None,
    own: Own | None = None,
) -> Trace:
    import torch

    from tracer import trace

    how: dict[str, Any] = {"values": values, "training": training, "own": own}
    model, args, kwargs = prepare(lesson, settings, kind, seed, **how)
    # Without a graph for gradients each tensor is freed as soon as it is no longer needed.
    with torch.no_grad():
        return trace(
            model,
            *args,
            values=values,
            name=lesson.title,
            device=None if values else "meta",
            diagnose=diagnose,
            mend=mend,
            watch=watch,
            **kwargs,
        )


# --- formulas -------------------------------------------------------------------------------


def symbol_choices(lesson: Description, settings: Settings) -> dict[str, Sequence[int]]:
    """The settings that formulas are written in, with their values: the sizes, and the options
    that are numbers."""
    choices: dict[str, Sequence[int]] = {
        size.name: range(size.low, size.high + 1) for size in lesson.sizes
    }
    for option in lesson.options:
        if type(settings[option.name]) is int:
            numbers = [choice for choice in option.choices if type(choice) is int]
            choices[option.name] = sorted(numbers)
    return choices


_solutions: dict[tuple[Any, ...], list[Solution]] = {}
_solving: dict[tuple[Any, ...], threading.Lock] = {}


def _key(lesson: Description, settings: Settings, training: bool) -> tuple[Any, ...]:
    """Everything but the sizes: formulas are the same for all of them."""
    symbols = symbol_choices(lesson, settings)
    rest = tuple((name, value) for name, value in settings.items() if name not in symbols)
    return lesson.key, tuple(symbols), rest, training


def known_solution(
    lesson: Description, settings: Settings, training: bool = False
) -> Solution | None:
    """The formulas and constraints for these options, if they have been found already."""
    found = _solutions.get(_key(lesson, settings, training))
    return found[0] if found else None


def with_formulas(
    lesson: Lesson,
    trace: Trace,
    settings: Settings,
    training: bool = False,
    solve: Callable[[Lesson, Settings, bool], Solution] | None = None,
) -> Trace:
    """The trace of a run at these settings, with formulas, constraints and costs.

    They are found at the first call for these options, which takes about a second, and kept;
    `solve` finds them elsewhere, as `solution` does here.

    Raises:
        OSError: `solve` could not look for them.
    """
    # sympy takes its time to load, and a first page does not need it.
    from tracer.formulas.proof import attached
    from tracer.formulas.run import measure

    sizes = {name: settings[name] for name in symbol_choices(lesson, settings)}
    key = _key(lesson, settings, training)
    known = _solutions.setdefault(key, [])

    def count() -> tuple[int, ...]:
        def inputs(at: Settings) -> Any:
            return lesson.inputs(at, "shape", 0)

        return measure(lesson.build, inputs, settings, training=training).flops

    with _solving.setdefault(key, threading.Lock()):
        for each in known:
            found = attached(trace, each, sizes, count)
            if found is not None:
                return found
        # First at the defaults: what a formula is called must not depend on who came before.
        for at in (settings,) if known else (_at_defaults(lesson, settings), settings):
            try:
                known.append((solve or solution)(lesson, at, training))
            except OSError:
                raise
            except Exception:  # noqa: BLE001 - at these sizes it does not run: try others
                continue
            found = attached(trace, known[-1], sizes, count)
            if found is not None:
                return found
    return trace


def _at_defaults(lesson: Description, settings: Settings) -> Settings:
    """The settings with all that formulas are written in at its default, where that is a number."""
    known = lesson.settings()
    symbols = symbol_choices(lesson, settings)
    return {**settings, **{name: known[name] for name in symbols if type(known[name]) is int}}


def solution(lesson: Lesson, settings: Settings, training: bool) -> Solution:
    """The formulas at these settings, and at all others at which the same steps are taken.

    Raises:
        Exception: the lesson does not run there.
    """
    from tracer.formulas.proof import solve

    choices = symbol_choices(lesson, settings)
    named = [name for text in lesson.dims.values() for name in text.split()]
    return solve(
        lambda sizes: lesson.build({**settings, **sizes}),
        lambda sizes: lesson.inputs({**settings, **sizes}, "shape", 0),
        {name: settings[name] for name in choices},
        ranges=choices,
        order=named,
        training=training,
    )


# --- claims ---------------------------------------------------------------------------------


def check_claims(lesson: Lesson) -> tuple[CheckedClaim, ...]:
    """Every claim against a run of its preset; shapes alone are computed."""
    traces = {
        name: _shapes(lesson, name) for name in dict.fromkeys(c.preset for c in lesson.claims)
    }
    return tuple(
        CheckedClaim(claim, claim.holds(traces[claim.preset]), claim.found(traces[claim.preset]))
        for claim in lesson.claims
    )


def _shapes(lesson: Lesson, preset: str) -> Trace:
    """What claims are held against: where a run fails, and not how that is mended."""
    training = lesson.preset(preset).training
    settings = lesson.settings(preset)
    return _run(lesson, settings, values=False, training=training, diagnose=False)


_slips: dict[str, Claim | None] = {}


def _slip(lesson: Lesson) -> Claim | None:
    """The first claim of the post that a run shows to be wrong, looked for once."""
    if lesson.key not in _slips:
        wrong = (claim for claim in lesson.claims if claim.verdict == "slip")
        _slips[lesson.key] = next(
            (claim for claim in wrong if not claim.holds(_shapes(lesson, claim.preset))), None
        )
    return _slips[lesson.key]


def _leads(lesson: Lesson) -> tuple[Lead, ...]:
    # Only the package knows all lessons, and each of them imports this file.
    from modules import lesson as find

    found = [find(key) for key in lesson.plot.leads]
    return tuple(Lead(each.key, each.title, each.teaches) for each in found)


def tensor(trace: Trace, name: str) -> TensorNote:
    """The last tensor of this name that the run made or was given.

    Raises:
        LookupError: it has none.
    """
    made = [note for step in trace.steps for note in step.outputs]
    for note in reversed([*trace.inputs, *made]):
        if note.name == name:
            return note
    raise LookupError(f"The run of {trace.name} has no tensor {name!r}.")


def maker(trace: Trace, note: TensorNote) -> Step:
    """The step that made the tensor.

    Raises:
        LookupError: no step did.
    """
    if note.born is None:
        raise LookupError(f"{note.name} was not made by a step of {trace.name}.")
    return trace.steps[note.born]


def shown(shape: tuple[int, ...]) -> str:
    """A shape as posts write it: (2,256)."""
    return f"({','.join(str(size) for size in shape)})"


def shape_claim(
    quote: str,
    name: str,
    shape: tuple[int, ...],
    *,
    post: str,
    preset: str,
    verdict: Verdict = "agrees",
    why: str = "",
    output: int | None = None,
) -> Claim:
    """The claim that the tensor called `name` in the module has the shape; with `output`, that it
    is also the result at that position (counted from 0)."""

    def holds(trace: Trace) -> bool:
        note = tensor(trace, name)
        in_place = output is None or trace.outputs[output].id == note.id
        return note.shape == shape and in_place

    def found(trace: Trace) -> str | Said:
        note = tensor(trace, name)
        text = f"{name} {shown(note.shape)}"
        if output is None:
            return text
        places = [i + 1 for i, other in enumerate(trace.outputs) if other.id == note.id]
        if not places:
            return said("{tensor}, not returned", tensor=text)
        return said("{tensor}, result {number}", tensor=text, number=places[0])

    says = f"{name} is {shown(shape)}"
    if output is not None:
        says += f" and result {output + 1}"
    return Claim(post, quote, says, preset, holds, found, verdict, why)

"""Numbers that are written down: in an attribute, a default, the call that built a module."""

from __future__ import annotations

import re

from torch import nn

from tracer.diagnosis.roots import constructors
from tracer.diagnosis.roots.blame import (
    swallow,
    swallowed,
)
from tracer.diagnosis.roots.lineage import birth
from tracer.diagnosis.roots.places import (
    Search,
    code,
    maker,
    size,
)
from tracer.document import Root
from tracer.ops.bound import MIXED
from tracer.ops.flow import strides
from tracer.sentences import Filling, said


def of_number(s: Search) -> Root | None:
    """A size that the failing expression takes from an attribute: where that was set."""
    for mark in s.made:
        hop = swallowed(s, birth(s.trace, s.note(mark), mark.dim))
        if hop is not None:
            return swallow(s, hop)
    owner, path = _owner(s)
    names = _whole_names(s, owner) if owner is not None else []
    if s.finding.kind == "numel" and (layer := _from_these(s, names)) is not None:
        return layer
    facts = s.finding.facts
    numbers = {facts.get("parts"), facts.get("each"), *facts.get("shape", ())}
    for name in names:
        assert owner is not None
        if vars(owner).get(name, None) in numbers or s.crash.frames[-1].scope.get(name) in numbers:
            found = _setting(s, owner, path, name)
            if found is not None:
                return found
    for mark in s.made:
        last = birth(s.trace, s.note(mark), mark.dim).last
        if last is not None and last.changed and not strides(last.bound):
            because = said(
                "{before} become {size} here.",
                before=tuple(size(*source) for source in last.sources),
                size=size(s.note(mark), mark.dim),
            )
            return s.step(last.step, because)
    given = s.note(s.made[0]) if s.made else None
    if given is not None and given.kind == "input" and s.finding.kind == "numel":
        return s.given(given)
    return None


def _from_these(s: Search, names: list[str]) -> Root | None:
    """The layer that made the size, when it was built from numbers that this line uses too: what
    differs is how they are put together."""
    for mark in s.made:
        last = birth(s.trace, s.note(mark), mark.dim).last
        weight = last.sources[0][0] if last is not None and last.how == MIXED else None
        if last is None or weight is None or not last.step.op.startswith("nn."):
            continue
        because = said(
            "{maker} gives {size} here.", maker=maker(last.step), size=size(s.note(mark), mark.dim)
        )
        made = s.parameter(weight, because=because)
        if made is not None and set(re.findall(r"\w+", made.place.expression)) & set(names):
            return made
    return None


def _owner(s: Search) -> tuple[nn.Module | None, str]:
    """The user's module whose code failed: also of a lambda or helper that it called."""
    for running in reversed(s.crash.running):
        if not type(running.layer).__module__.startswith("torch.nn"):
            return running.layer, running.path
    return None, ""


def _whole_names(s: Search, owner: nn.Module) -> list[str]:
    """What the failing expression takes from `self`, or from the constructor: through a name of
    the same spelling, or one that a lambda keeps from there."""
    frame = s.crash.frames[-1] if s.crash.frames else None
    if frame is None:
        return []
    names = re.findall(r"\bself\.(\w+)\b", frame.place.statement)
    names += re.findall(r"\b[A-Za-z_]\w*\b", frame.place.expression)
    if s.finding.kind == "heads":
        parts = s.finding.facts.get("parts")
        names += [key for key, value in vars(owner).items() if value == parts]

    def whole(name: str) -> bool:
        held = vars(owner).get(name)
        kept = frame.scope.get(name) if name in frame.code.co_freevars else None
        return any(type(value) is int for value in (held, kept))

    return [name for name in dict.fromkeys(names) if whole(name)]


def _setting(s: Search, owner: nn.Module, path: str, name: str) -> Root | None:
    """Where a number that a module keeps was chosen: the call that built the module, the default
    of its constructor, or the assignment."""
    place = constructors.attribute(owner, name)
    values: dict[str, Filling] = {
        "name": name,
        "value": vars(owner).get(name, s.crash.frames[-1].scope.get(name)),
    }
    argument = place.expression if place is not None else name
    above = constructors.constructor_call(s.crash.model, path) if path else None
    if above is not None and argument in above.arguments:
        because = said(
            "{name} is {value} by `{code}`.", code=code(above.place.expression), **values
        )
        return Root("constructor", above.place, above.path, None, because)
    default = constructors.default(owner, argument)
    if default is not None:
        because = said("{name} is {value} by default: `{code}`.", code=default.expression, **values)
        return Root("constructor", default, path, None, because)
    if place is None:
        return None
    because = said("self.{name} is set to {value} here.", **values)
    return Root("constructor", place, path, None, because)

"""Edits at the entry of a function, and answers that change the inputs and not the model."""

from __future__ import annotations

import ast
import inspect
import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from tracer.diagnosis.repair.draft import Draft, InputChange
from tracer.diagnosis.repair.names import entries
from tracer.diagnosis.repair.places import Spot
from tracer.diagnosis.repair.tensors import (
    asks_for_flags,
    axes,
    casts,
    function_prefix,
    reductions,
    turns,
)
from tracer.diagnosis.repair.world import World
from tracer.document import Edit, Span
from tracer.sentences import Said, said

MULTIPLES = (2, 4, 8, 16, 32)


def entry_edits(world: World, spot: Spot) -> Iterator[Draft]:
    """A tensor that a running function is given, changed before all else."""
    for name, tensor, start, indent in entries(world, spot):
        shape = tuple(tensor.shape)
        ways: list[tuple[str, Said, str]] = [*turns(shape), *casts(tensor, asks_for_flags(world))]
        ways += [way for way in axes(shape) if way[0] != "add_axes"]
        ways += [way for way in reductions(shape) if way[0] in ("mean", "select")]
        for i, j in itertools.combinations(range(len(shape)), 2):
            if (i, j) != (0, len(shape) - 1) and len(shape) > 2:
                end = "" if j == len(shape) - 1 else f", {j}"
                ways.append(("flatten", said("Write dimensions as one"), f".flatten({i}{end})"))
        for kind, what, suffix in ways:
            new = f"{name} = {name}{suffix}"
            edit = Edit(spot.text.file, start, f"{new}\n{indent}")
            own = suffix == ".unsqueeze(0)" and world.lacks_batch(spot.text, spot.node, name)
            yield Draft(f"entry_{kind}", what, (edit,), spot, "", new, batches=not own)


def padded_and_cropped(world: World, spot: Spot) -> Iterator[Draft]:
    """Pictures padded to a multiple at the entry of the model's forward, and the result cropped."""
    text = spot.text
    function = text.function(spot.node)
    if not isinstance(function, ast.FunctionDef) or function.name != "forward":
        return
    alias = function_prefix(world, spot)
    returns = [n for n in ast.walk(function) if isinstance(n, ast.Return) and n.value is not None]
    if alias is None or len(returns) != 1 or returns[0].value is None:
        return
    for name, tensor, start, indent in entries(world, spot):
        if not 3 <= tensor.dim() <= 5 or not tensor.dtype.is_floating_point:
            continue
        rank = tensor.dim()
        spatial = list(range(2, rank))
        for multiple in _multiples(world, spot):
            pads = ", ".join(f"0, -{name}.shape[{axis}] % {multiple}" for axis in spatial[::-1])
            sizes = f"size = {name}.shape[2:]"
            padded = f"{name} = {alias}.pad({name}, ({pads}))"
            crop = ", ".join(f":size[{n}]" for n in range(len(spatial)))
            edits = (
                Edit(text.file, start, f"{sizes}\n{indent}{padded}\n{indent}"),
                text.after(returns[0].value, f"[..., {crop}]"),
            )
            what = said("Pad to a multiple of {number} and crop the result", number=str(multiple))
            group = f"{name} {function.lineno} pad_crop"
            new = f"{padded} … [..., {crop}]"
            yield Draft("pad_crop", what, edits, spot, "", new, group=group)
            what, group = said("Pad to a multiple"), f"{name} {function.lineno} pad"
            yield Draft("pad_entry", what, edits[:1], spot, "", padded, group=group)


def _multiples(world: World, spot: Spot) -> list[str]:
    from tracer.diagnosis.repair.numbers import at_hand

    names = [
        name
        for name, value in at_hand(world, spot.text, spot.node).items()
        if name.startswith("self.") and 2 <= value <= 64 and "." not in name[5:]
    ]
    return [*names[:4], *map(str, MULTIPLES)]


def input_changes(world: World, spot: Spot) -> Iterator[Draft]:
    """The call of the model with other inputs."""
    crash = world.crash
    try:
        bound = inspect.signature(crash.model.forward).bind(*crash.args, **crash.kwargs)
    except (TypeError, ValueError):
        return
    for name, value in bound.arguments.items():
        if not isinstance(value, Tensor):
            continue
        for kind, what, text in _ways(name, value, asks_for_flags(world)):
            yield Draft(
                f"input_{kind}",
                what,
                (),
                spot,
                name,
                text,
                inputs=((name, text),),
                change=_change(world, name, text),
                group=f"{name} {kind}" if kind in ("pad", "crop") else "",
                batches=not (text.endswith(".unsqueeze(0)") and len(world.given) == 1),
                constructs=False,
            )


def _ways(name: str, tensor: Tensor, flags: bool) -> Iterator[tuple[str, Said, str]]:
    shape = tuple(tensor.shape)
    rank = len(shape)
    for kind, what, suffix in (*turns(shape), *axes(shape), *casts(tensor, flags)):
        if kind != "add_axes":
            yield kind, what, name + suffix
    if rank >= 3 and shape[1] == 1:
        ones = ", ".join(["1"] * (rank - 2))
        yield "channels", said("Repeat the one channel"), f"{name}.repeat(1, 3, {ones})"
    if rank >= 3 and shape[1] > 3:
        yield "channels", said("Leave further channels out"), f"{name}[:, :3]"
    if rank == 4:
        for multiple in (2, 4, 8, 16, 32):
            if shape[2] % multiple or shape[3] % multiple:
                down = [max(s // multiple, 1) * multiple for s in shape[2:]]
                up = [-(-s // multiple) * multiple for s in shape[2:]]
                pads = f"(0, {up[1] - shape[3]}, 0, {up[0] - shape[2]})"
                yield (
                    "pad",
                    said("Pad the input to a multiple of {number}", number=multiple),
                    f"torch.nn.functional.pad({name}, {pads})",
                )
                yield (
                    "crop",
                    said("Crop the input to a multiple of {number}", number=multiple),
                    f"{name}[..., :{down[0]}, :{down[1]}]",
                )
    if not tensor.dtype.is_floating_point:
        yield "shift", said("Count from zero"), f"{name} - 1"


def _change(world: World, name: str, text: str) -> InputChange:
    signature = inspect.signature(world.crash.model.forward)

    def change(
        args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        bound = signature.bind(*args, **kwargs)
        bound.arguments[name] = eval(text, {"torch": torch, name: bound.arguments[name]})
        return bound.args, bound.kwargs

    return change


__all__ = ["Span", "entry_edits", "input_changes", "padded_and_cropped"]

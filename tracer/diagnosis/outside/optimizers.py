"""An optimizer whose state is of other parameters than those that it has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from tracer.diagnosis.outside.raised import Answer, Raised, Shown, raised_rule
from tracer.sentences import Count, ShapeOf, said


@raised_rule
def loaded(raised: Raised) -> Answer | None:
    names = raised.inside("torch/optim/", "load_state_dict")
    if names is None or not isinstance(names.get("self"), torch.optim.Optimizer):
        return None
    optimizer, saved = names["self"], names.get("state_dict")
    if not isinstance(saved, Mapping) or "param_groups" not in saved:
        keys = ", ".join(map(repr, saved)) if isinstance(saved, Mapping) else type(saved).__name__
        return Answer(
            "optimizer",
            said("What is loaded is no optimizer's state: it has {keys}.", keys=keys),
            (said("An optimizer's `state_dict()` has 'state' and 'param_groups'."),),
        )
    own = [len(group["params"]) for group in optimizer.param_groups]
    was = [len(group["params"]) for group in saved["param_groups"]]
    if own == was:
        return None
    kind = type(optimizer).__name__
    if len(own) != len(was):
        rule = said(
            "The saved state is of {saved}, this {kind} has {own}.",
            saved=Count(len(was), "group"),
            kind=kind,
            own=Count(len(own), "group"),
        )
    else:
        group = next(i for i, (a, b) in enumerate(zip(own, was, strict=True)) if a != b)
        rule = said(
            "The saved state is of {saved} in group {group}, this {kind} has {own} there.",
            saved=Count(was[group], "parameter"),
            group=group,
            kind=kind,
            own=Count(own[group], "parameter"),
        )
    same = sum(own) == sum(was)
    return Answer(
        "optimizer",
        rule,
        (
            said(
                "A state is matched with parameters by their order alone: groups of {was} "
                "parameters were saved, groups of {own} are here.",
                was=tuple(map(str, was)),
                own=tuple(map(str, own)),
            ),
        ),
        check=said("Group the parameters as they were grouped when the state was saved.")
        if same
        else said(
            "The model has other parameters than when the state was saved, or some are frozen "
            "that were not: make the optimizer of the same ones, or begin without its state."
        ),
    )


@raised_rule
def stepped(raised: Raised) -> Answer | None:
    names = raised.inside("torch/optim/", "step")
    optimizer = names.get("self") if names is not None else None
    if not isinstance(optimizer, torch.optim.Optimizer):
        return None
    odd = list(_odd(optimizer))
    if not odd:
        return None
    number, parameter, key, kept = odd[0]
    name = raised.name_of(parameter) or f"parameter {number}"
    kind = type(optimizer).__name__
    if key == "grad":
        rule = said(
            "{name} {own} has a gradient of {kept}.",
            name=name,
            own=ShapeOf(tuple(parameter.shape), 0),
            kept=ShapeOf(tuple(kept.shape), 1),
        )
    else:
        rule = said(
            "{kind} keeps {key} for {name} as {kept}, and the parameter is {own} now.",
            kind=kind,
            key=key,
            name=name,
            kept=ShapeOf(tuple(kept.shape), 1),
            own=ShapeOf(tuple(parameter.shape), 0),
        )
    marks = tuple(
        dim for dim, (a, b) in enumerate(zip(parameter.shape, kept.shape, strict=False)) if a != b
    ) or tuple(range(parameter.dim()))
    others = len({each[0] for each in odd}) - 1
    because = [
        said(
            "The state is from before: it was loaded from a model with another size there, or the "
            "parameter's data was replaced after the first step."
        )
    ]
    if others:
        because.append(said("The same holds for {others} more.", others=Count(others, "parameter")))
    return Answer(
        "optimizer",
        rule,
        tuple(because),
        check=said(
            "Make the optimizer after the model has its final layers, and load no state for those "
            "that changed: `optimizer.state.pop(parameter)` lets one begin anew."
        ),
        shown=(
            Shown(name, parameter, marks),
            Shown(key, kept, tuple(dim for dim in marks if dim < kept.dim())),
        ),
        facts={"key": key},
    )


def _odd(optimizer: Any) -> Iterator[tuple[int, Tensor, str, Tensor]]:
    """Parameters for which something is kept that has another shape."""
    number = -1
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            number += 1
            if parameter.grad is not None and parameter.grad.shape != parameter.shape:
                yield number, parameter, "grad", parameter.grad
            for key, kept in optimizer.state.get(parameter, {}).items():
                factored = not isinstance(kept, Tensor) or kept.dim() != parameter.dim()
                if not factored and kept.shape != parameter.shape:
                    yield number, parameter, str(key), kept

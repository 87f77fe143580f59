"""Tensors that are sent between processes: all must agree on shape and dtype."""

from __future__ import annotations

import re

from torch import Tensor

from tracer.diagnosis.outside.raised import Answer, Raised, Shown, raised_rule
from tracer.sentences import Said, ShapeOf, said

_HOME = "torch/distributed/distributed_c10d.py"


@raised_rule
def unequal(raised: Raised) -> Answer | None:
    names = raised.inside(_HOME)
    if names is None:
        return None
    function = next(
        f.f_code.co_name
        for f, _ in raised.frames
        if f.f_code.co_filename.endswith(_HOME) and f.f_code.co_name != "wrapper"
    )
    outer = raised.inside(_HOME, function) or names
    shown = _tensors(raised, outer)
    size = re.search(r"invalid tensor size at index (\d+)", raised.words)
    length = re.search(r"expected length (\d+), got (\d+)", raised.words)
    if length is not None:
        return Answer(
            "processes",
            said(
                "{function} needs one tensor for each of the {wanted} processes: its list has "
                "{found}.",
                function=function,
                wanted=length[1],
                found=length[2],
            ),
            (said("`[torch.empty_like(x) for _ in range(dist.get_world_size())]` makes it."),),
            shown=shown,
        )
    if "different dtypes" in raised.words:
        return Answer(
            "processes",
            said("{function} needs tensors of one dtype.", function=function),
            tuple(
                said("{name} is {dtype}.", name=each.name, dtype=_dtype(each.tensor))
                for each in shown[:4]
            ),
            check=said("Convert them before they are sent: `.to(x.dtype)`."),
            shown=shown,
        )
    if size is None and not re.search(r"size|shape|Shape", raised.words):
        return None
    return Answer(
        "processes",
        said("{function} needs tensors of the shapes that it exchanges.", function=function),
        (
            *(
                said("{name} is {shape}.", name=each.name, shape=ShapeOf(tuple(each.tensor.shape)))
                for each in shown[:4]
            ),
            _why(function),
        ),
        check=said(
            "Pad to the longest first (gather the sizes with `all_gather`, then pad and cut), send "
            "with `all_gather_object`, or give every process equally many samples (`drop_last`, "
            "`DistributedSampler`)."
        ),
        shown=shown,
    )


def _why(function: str) -> Said:
    if function in ("all_gather_into_tensor", "reduce_scatter_tensor", "all_gather_single"):
        return said(
            "The large tensor holds one part for each process, joined along dimension 0: its first "
            "size is that of the small one times the number of processes."
        )
    if "all_to_all" in function:
        return said("As many elements go out as come in.")
    return said(
        "Every process sends one tensor, and all of them have one shape: where the last batches "
        "are of different sizes they do not."
    )


def _tensors(raised: Raised, names: object) -> tuple[Shown, ...]:
    found: list[tuple[str, Tensor]] = []
    for name, value in dict(names).items():  # type: ignore[call-overload]
        if isinstance(value, Tensor):
            found.append((raised.name_of(value) or name, value))
        elif isinstance(value, list):
            found += [(f"{name}[{i}]", e) for i, e in enumerate(value) if isinstance(e, Tensor)]
    seen: set[int] = set()
    shown = []
    for name, tensor in found:
        if id(tensor) not in seen:
            seen.add(id(tensor))
            shown.append(Shown(name, tensor))
    shapes = {each.tensor.shape for each in shown}
    if len(shapes) > 1:
        return tuple(Shown(e.name, e.tensor, tuple(range(e.tensor.dim()))) for e in shown)
    return tuple(shown)


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")

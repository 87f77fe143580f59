"""A batch that cannot be made: which samples differ, where in them, in which dimension."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, SequentialSampler

from tracer.diagnosis.outside.raised import Answer, Raised, Shown, raised_rule
from tracer.ops.names import shape_text
from tracer.sentences import Said, said

_COLLATE = "torch/utils/data/_utils/collate.py"
_SHOWN = 4


@dataclass(frozen=True)
class Difference:
    """What the samples of a batch have at `path` (`[0]`, `['image']`): in words, one for each."""

    path: str
    found: tuple[str, ...]
    values: tuple[Any, ...]

    @property
    def usual(self) -> str:
        return Counter(self.found).most_common(1)[0][0]

    @property
    def odd(self) -> list[int]:
        return [number for number, each in enumerate(self.found) if each != self.usual]


def differences(samples: list[Any], path: str = "") -> Iterator[Difference]:
    """Where samples cannot be stacked, the first place first."""
    kinds = tuple("None" if each is None else type(each).__name__ for each in samples)
    first = samples[0]
    if len(set(kinds)) > 1:
        numbers = all(isinstance(each, int | float) for each in samples)
        if not numbers:
            yield Difference(path, kinds, tuple(samples))
        return
    if hasattr(first, "shape") and not isinstance(first, str):
        shapes = tuple(shape_text(tuple(each.shape)) for each in samples)
        if len(set(shapes)) > 1:
            yield Difference(path, shapes, tuple(samples))
    elif isinstance(first, Mapping):
        keys = tuple("keys " + ", ".join(map(repr, each)) for each in samples)
        if len({frozenset(each) for each in samples}) > 1:
            yield Difference(path, keys, tuple(samples))
            return
        for key in first:
            yield from differences([each[key] for each in samples], f"{path}[{key!r}]")
    elif isinstance(first, tuple | list):
        lengths = tuple(f"a {kinds[0]} of {len(each)}" for each in samples)
        if len(set(lengths)) > 1:
            yield Difference(path, lengths, tuple(samples))
            return
        for number in range(len(first)):
            yield from differences([each[number] for each in samples], f"{path}[{number}]")
    elif first is None:
        yield Difference(path, kinds, tuple(samples))


@raised_rule
def collated(raised: Raised) -> Answer | None:
    batch = None
    for frame, _ in raised.frames:
        if _COLLATE in frame.f_code.co_filename and isinstance(frame.f_locals.get("batch"), list):
            batch = frame.f_locals["batch"]
            break
    if not batch:
        return None
    found = next(differences(batch), None)
    if found is None:
        return None
    fetch = raised.inside("torch/utils/data/_utils/fetch.py", "fetch") or {}
    indices = fetch.get("possibly_batched_index")
    numbers = list(indices) if isinstance(indices, list | tuple) else list(range(len(batch)))
    name = "dataset" if isinstance(indices, list | tuple) else "batch"
    return _answer(found, numbers, name)


def _answer(found: Difference, numbers: list[Any], name: str) -> Answer:
    where: Said | str = said(" at {path}", path=found.path) if found.path else ""
    if not found.odd:  # None in all of them
        return Answer(
            "collate",
            said("Samples of {kind} cannot be made a batch{where}.", kind=found.usual, where=where),
            (
                said(
                    "default_collate takes tensors, NumPy arrays, numbers, texts, and tuples, "
                    "lists and dicts of these."
                ),
            ),
            check=_remedy(found),
        )
    odd = tuple(f"{name}[{numbers[each]}]" for each in found.odd[:_SHOWN])
    more = len(found.odd) - _SHOWN
    by_size: dict[str, list[str]] = {}
    for each in found.odd:
        by_size.setdefault(found.found[each], []).append(f"{name}[{numbers[each]}]")
    usual = next(i for i, each in enumerate(found.found) if each == found.usual)
    rule = said(
        "A batch needs samples of one size{where}: {odd} differ from the other {others}."
        if len(found.odd) > 1
        else "A batch needs samples of one size{where}: {odd} differs from the other {others}.",
        where=where,
        odd=(*odd, f"{more} more") if more > 0 else odd,
        others=len(numbers) - len(found.odd),
    )
    because = [
        said("{names} has {size}.", names=names[0], size=size)
        if len(names) == 1
        else said("{names} have {size}.", names=tuple(names[:_SHOWN]), size=size)
        for size, names in list(by_size.items())[:_SHOWN]
    ]
    because.append(
        said(
            "The others, as {name}, have {size}.",
            name=f"{name}[{numbers[usual]}]",
            size=found.usual,
        )
    )
    dims = _dims(found)
    if dims:
        because.append(said("They differ in dimension {dims}.", dims=tuple(map(str, dims))))
    return Answer(
        "collate",
        rule,
        tuple(because),
        check=_remedy(found),
        shown=tuple(
            Shown(f"{name}[{numbers[each]}]{found.path}", torch.as_tensor(found.values[each]), dims)
            for each in (usual, found.odd[0])
            if isinstance(found.values[each], Tensor) or hasattr(found.values[each], "__array__")
        ),
        facts={
            "samples": tuple(numbers[each] for each in found.odd),
            "path": found.path,
            "dims": dims,
        },
    )


def _dims(found: Difference) -> tuple[int, ...]:
    shapes = [tuple(each.shape) for each in found.values if hasattr(each, "shape")]
    if len(shapes) != len(found.values) or len({len(shape) for shape in shapes}) != 1:
        return ()
    return tuple(dim for dim in range(len(shapes[0])) if len({shape[dim] for shape in shapes}) > 1)


def _remedy(found: Difference) -> Said:
    dims = _dims(found)
    values = found.values
    if any(each is None for each in values):
        return said(
            "`__getitem__` gave None there: leave it out of the sample, or give a value; a "
            "`collate_fn` may drop such samples."
        )
    rank = (
        values[0].dim() if isinstance(values[0], Tensor) else len(getattr(values[0], "shape", ()))
    )
    if rank >= 3 and dims and all(dim >= rank - 2 for dim in dims):
        return said(
            "Bring all pictures to one size in the dataset (resize, crop or pad), or give the "
            "loader a `collate_fn` that pads them."
        )
    if rank >= 3 and dims == (0,):
        return said(
            "They have other numbers of channels: open all pictures alike, as with "
            "`.convert('RGB')`."
        )
    if dims == (0,) or (not dims and isinstance(values[0], list)):
        return said(
            "For sequences of several lengths give the loader a `collate_fn` that pads them: "
            "`torch.nn.utils.rnn.pad_sequence(items, batch_first=True)`, and keep the lengths."
        )
    if len(dims) == 1:
        return said(
            "Give the loader a `collate_fn` that pads dimension {dim} to the longest, and keep the "
            "lengths.",
            dim=dims[0],
        )
    return said("Give all samples one form in the dataset, or the loader a `collate_fn`.")


# --- in a worker process --------------------------------------------------------------------------


@raised_rule
def collated_in_a_worker(raised: Raised) -> Answer | None:
    """Only the message comes back: two entries of the batch."""
    if "in DataLoader worker process" not in raised.words or _COLLATE not in raised.words:
        return None
    number = _numbers(raised)
    match = re.search(
        r"got \[([\d, ]*)\] at entry (\d+) and \[([\d, ]*)\] at entry (\d+)", raised.words
    )
    if match is None:
        last = raised.words.strip().splitlines()[-1]
        return Answer(
            "collate",
            said("A worker process could not make a batch: {words}", words=last),
            (said("Its samples are gone with it; `num_workers=0` shows them."),),
            check=said("Give all samples one form in the dataset, or the loader a `collate_fn`."),
        )
    first, second = (
        tuple(int(size) for size in text.split(",") if size.strip()) for text in match.group(1, 3)
    )
    entries = (int(match[2]), int(match[4]))
    names = [f"dataset[{number[e]}]" if number else f"entry {e} of the batch" for e in entries]
    found = Difference("", tuple(map(shape_text, (first, second))), (_Sized(first), _Sized(second)))
    dims = _dims(found)
    because = [
        said("{names} has {size}.", names=name, size=size)
        for name, size in zip(names, found.found, strict=True)
    ]
    if dims:
        because.append(said("They differ in dimension {dims}.", dims=tuple(map(str, dims))))
    if not number:
        because.append(
            said("The order was shuffled in the loader: `num_workers=0` names the samples.")
        )
    return Answer(
        "collate",
        said("A batch needs samples of one size: {names} differ.", names=tuple(names)),
        tuple(because),
        check=_remedy(found),
        shown=tuple(
            Shown(name, torch.empty(size, device="meta"), dims)
            for name, size in zip(names, (first, second), strict=True)
        ),
        facts={"samples": tuple(number[e] for e in entries) if number else (), "dims": dims},
    )


class _Sized:
    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape


def _numbers(raised: Raised) -> list[int]:
    """The dataset's indices of the failed batch, where the loader goes through it in order."""
    names = raised.inside("torch/utils/data/dataloader.py", "_next_data")
    iterator: Any = names.get("self") if names is not None else None
    sampler = getattr(iterator, "_index_sampler", None)
    batch = getattr(iterator, "_rcvd_idx", 0) - 1
    if not isinstance(sampler, BatchSampler) or batch < 0:
        return []
    if not isinstance(sampler.sampler, SequentialSampler):
        return []
    size = sampler.batch_size
    return list(range(batch * size, batch * size + size))

"""What is recorded while a module runs, until it is frozen into a document."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Iterator, Mapping
from types import CodeType, FrameType
from typing import Any

from torch import Tensor, nn

from tracer import document
from tracer.record.calls import CallText, Whole
from tracer.source.sites import Site

NOTHING: dict[str, Noted] = {}


class Draft:
    """A step, or a call of a user's module (`module_call`), while it is being recorded.  What few
    drafts have is a value of the class until then."""

    targets: tuple[str, ...] = ()
    writes: bool = False
    seconds: float = 0.0
    raised: BaseException | None = None
    # Of calls only:
    parent: int | None = None
    type: str = ""
    settings: str = ""
    start: int = 0
    stop: int = 0
    # While it is open:
    at: tuple[CodeType, int] | None = None  # an operation's instruction
    whole: Whole | None = None  # what it is known to be, so that nobody looks inside
    within: list[Draft] | None = None  # the one operation that it was, as it passed through torch
    own: Mapping[str, Noted] = NOTHING  # a layer's own tensors, where nobody looked inside
    began: float = 0.0
    indirect: bool = False  # run by torch's own Python code on behalf of what is written
    of: nn.Module | None = None
    given: tuple[tuple[Any, ...], dict[str, Any]] | None = None
    caller: FrameType | None = None  # the frame that wrote it
    pending: BaseException | None = None

    def __init__(
        self,
        op: str,
        module: str,
        site: Site,
        frame: int,
        call: int,
        names: dict[str, Noted],
        fill: dict[str, str],
        inputs: list[Noted],
        text: CallText,
        first_note: int,
    ) -> None:
        self.op = op
        self.module = module
        self.site = site
        self.frame = frame
        self.call = call
        self.names = names
        self.fill = fill
        self.inputs = inputs
        self.text = text
        self.bound = text.bound
        self.first_note = first_note  # the first that is made after it began
        self.outputs: list[Noted] = []
        self.children: list[Draft] = []


@dataclasses.dataclass(slots=True, eq=False)
class Written:
    """What tells of an operation that may write which operands it wrote: their versions before,
    and those that it writes without raising these."""

    versions: tuple[int, ...]
    silent: tuple[Any, ...]


class Noted:
    """A TensorNote whose name may still come: the first assignment gives it.  It speaks of one
    tensor at one moment, which its version (an inference tensor has none) and its last write tell
    (see `TensorNotes`)."""

    stats: document.Stats | None = None
    heatmap: document.Heatmap | None = None
    corner: document.Corner | None = None
    frozen: document.TensorNote | None = None  # what it is in the document

    def __init__(
        self,
        of: weakref.ref[Tensor],
        version: int | None,
        moment: int,
        id: int,
        name: str,
        shape: tuple[int, ...],
        dtype: str,
        device: str,
        kind: str,
        born: int | None,
        site: Site | None,
    ) -> None:
        self.of = of
        self.version = version
        self.moment = moment
        self.id = id
        self.name = name
        self.shape = shape
        self.dtype = dtype
        self.device = device
        self.kind = kind
        self.born = born
        self.site = site
        self.inner = not name  # named by code inside torch: the author's name replaces it


NO_FILL: dict[str, str] = {}
"""Of a step whose note asks for nothing."""


def unique(notes: list[Noted]) -> list[Noted]:
    return notes if len(notes) < 2 else list({noted.id: noted for noted in notes}.values())


def leaves(draft: Draft) -> Iterator[Draft]:
    for child in draft.children:
        yield child
        yield from leaves(child)


def share_fill(drafts: list[Draft]) -> None:
    """The steps of one pass over a statement share what its note could be filled with: only the
    last of a chain knows what the statement assigned."""
    if not any(draft.fill for draft in drafts):
        return
    shared: dict[str, str] = {}
    statement: Any = None
    seen: set[Any] = set()
    for draft in drafts:
        place = draft.site.place
        key = (draft.frame, draft.call, place.file, place.statement_span)
        if key != statement or place.span in seen:
            shared, statement, seen = {}, key, set()
        seen.add(place.span)
        shared.update(draft.fill)
        draft.fill = shared

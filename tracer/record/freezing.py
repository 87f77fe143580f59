"""From what was recorded to the document."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import nn

from tracer import document
from tracer.record.drafts import Draft, Noted, share_fill
from tracer.record.failing import failure_of
from tracer.record.functions import error_text
from tracer.record.mode import Recorder
from tracer.record.tensors import count_parameters
from tracer.source.notes import filled


def frozen(recorder: Recorder, name: str) -> document.Trace:
    """The trace of what was recorded."""
    freezing = _Freezing(recorder)
    steps = freezing.steps(recorder.steps)
    # A module that cannot be called at all (wrong number of inputs) still has its root call.
    calls = recorder.calls or [recorder.begin_module(recorder.model, (), {})]
    failure = None
    if recorder.error is not None:
        failure = failure_of(recorder, steps, _notes)
    return document.Trace(
        name=name,
        steps=steps,
        calls=tuple([freezing.call(index, draft) for index, draft in enumerate(calls)]),
        inputs=_notes(recorder.inputs),
        outputs=_notes(recorder.outputs),
        failure=failure,
        sources=tuple(recorder.reader.sources),
        remarks=tuple(recorder.remarks),
        values=recorder.values,
        training=recorder.model.training,
        parameters=freezing.parameters_of(recorder.model),
        seconds=recorder.seconds,
        torch=torch.__version__,
    )


_Data = TypeVar("_Data", document.Step, document.Call, document.TensorNote)


def _made(kind: type[_Data], fields: dict[str, Any]) -> _Data:
    """`kind(**fields)`, every field given.  What a frozen dataclass writes for itself sets each
    field through `object.__setattr__`: most of what freezing a trace would cost."""
    made = object.__new__(kind)
    object.__setattr__(made, "__dict__", fields)
    return made


def _note(item: Noted) -> document.TensorNote:
    """What a note is frozen to, once."""
    if item.frozen is None:
        item.frozen = _made(
            document.TensorNote,
            {
                "id": item.id,
                "name": item.name,
                "shape": item.shape,
                "dtype": item.dtype,
                "device": item.device,
                "kind": item.kind,
                "stats": item.stats,
                "heatmap": item.heatmap,
                "born": item.born,
                "dims": (),
                "corner": item.corner,
            },
        )
    return item.frozen


def _notes(items: list[Noted]) -> tuple[document.TensorNote, ...]:
    return tuple([item.frozen or _note(item) for item in items])


class _Freezing:
    """The notes that steps, calls, inputs or outputs have are frozen first: a name may stand for a
    tensor at a moment that no step saw."""

    def __init__(self, recorder: Recorder) -> None:
        found = [*recorder.inputs, *recorder.outputs]
        pending = [*recorder.steps, *recorder.calls]
        for draft in pending:  # which grows by the steps within
            if draft.children:
                pending += draft.children
            found += draft.inputs
            found += draft.outputs
        for noted in found:
            if noted.frozen is None:
                _note(noted)
        self.parameters: dict[int, int] = {}  # how many each module has

    def steps(self, drafts: list[Draft]) -> tuple[document.Step, ...]:
        if not drafts:
            return ()
        share_fill(drafts)
        return tuple([self.step(index, draft) for index, draft in enumerate(drafts)])

    def step(self, index: int, draft: Draft) -> document.Step:
        site = draft.site
        return _made(
            document.Step,
            {
                "index": index,
                "op": draft.op,
                "module": draft.module,
                "place": site.place,
                "targets": draft.targets,
                "note": filled(site.note, draft.fill) if site.note else "",
                "inputs": _notes(draft.inputs),
                "outputs": _notes(draft.outputs),
                "arguments": draft.text.arguments,
                "names": tuple(
                    [(n, each.id) for n, each in draft.names.items() if each.frozen is not None]
                )
                if draft.names
                else (),
                "children": self.steps(draft.children) if draft.children else (),
                "call": draft.call,
                "writes": draft.writes,
                "seconds": draft.seconds,
                "error": error_text(draft.raised) if draft.raised is not None else None,
                "bound": draft.bound,
            },
        )

    def parameters_of(self, module: nn.Module) -> int:
        count = self.parameters.get(id(module))
        if count is None:
            count = self.parameters[id(module)] = count_parameters(module)
        return count

    def call(self, index: int, draft: Draft) -> document.Call:
        return _made(
            document.Call,
            {
                "index": index,
                "parent": draft.parent,
                "module": draft.module,
                "type": draft.type,
                "settings": draft.settings,
                "place": draft.site.place,
                "targets": draft.targets,
                "note": filled(draft.site.note, draft.fill),
                "inputs": _notes(draft.inputs),
                "outputs": _notes(draft.outputs),
                "start": draft.start,
                "stop": draft.stop,
                "parameters": self.parameters_of(draft.of) if draft.of is not None else 0,
                "seconds": draft.seconds,
            },
        )

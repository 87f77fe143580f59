"""From what was recorded to the document."""

from __future__ import annotations

import itertools

import torch

from tracer import document
from tracer.record.drafts import Draft, Noted, leaves, share_fill
from tracer.record.failing import failure_of
from tracer.record.functions import error_text
from tracer.record.mode import Recorder
from tracer.record.tensors import (
    count_parameters,
)
from tracer.source.notes import filled


def frozen(recorder: Recorder, name: str) -> document.Trace:
    """The trace of what was recorded."""
    frozen: dict[int, document.TensorNote] = {}

    drafts = [draft for each in recorder.steps for draft in (each, *leaves(each))]
    noted = itertools.chain.from_iterable(
        (*draft.inputs, *draft.outputs) for draft in (*drafts, *recorder.calls)
    )
    seen = {each.id for each in (*noted, *recorder.inputs, *recorder.outputs)}

    def notes(items: list[Noted]) -> tuple[document.TensorNote, ...]:
        for item in items:
            if item.id not in frozen:
                frozen[item.id] = item.frozen()
        return tuple(frozen[item.id] for item in items)

    def step(index: int, draft: Draft) -> document.Step:
        return document.Step(
            index=index,
            op=draft.op,
            module=draft.module,
            place=draft.site.place,
            targets=draft.targets,
            note=filled(draft.site.note, draft.fill),
            inputs=notes(draft.inputs),
            outputs=notes(draft.outputs),
            arguments=draft.arguments,
            bound=draft.bound,
            # A name may stand for a tensor at a moment that no step saw.
            names=tuple((text, n.id) for text, n in draft.names.items() if n.id in seen),
            children=freeze(draft.children),
            call=draft.call,
            writes=draft.writes,
            seconds=draft.seconds,
            error=error_text(draft.raised) if draft.raised is not None else None,
        )

    def freeze(drafts: list[Draft]) -> tuple[document.Step, ...]:
        share_fill(drafts)
        return tuple(step(index, draft) for index, draft in enumerate(drafts))

    def call(index: int, draft: Draft) -> document.Call:
        return document.Call(
            index=index,
            parent=draft.parent,
            module=draft.module,
            type=draft.type,
            settings=draft.settings,
            place=draft.site.place,
            targets=draft.targets,
            note=filled(draft.site.note, draft.fill),
            inputs=notes(draft.inputs),
            outputs=notes(draft.outputs),
            start=draft.start,
            stop=draft.stop,
            parameters=draft.parameters,
            seconds=draft.seconds,
        )

    steps = freeze(recorder.steps)
    # A module that cannot be called at all (wrong number of inputs) still has its root call.
    calls = recorder.calls or [recorder.begin_module(recorder.model, (), {})]
    failure = failure_of(recorder, steps, notes) if recorder.error is not None else None
    return document.Trace(
        name=name,
        steps=steps,
        calls=tuple(call(index, draft) for index, draft in enumerate(calls)),
        inputs=notes(recorder.inputs),
        outputs=notes(recorder.outputs),
        failure=failure,
        sources=tuple(recorder.reader.sources),
        remarks=tuple(recorder.remarks),
        values=recorder.values,
        training=recorder.model.training,
        parameters=count_parameters(recorder.model),
        seconds=recorder.seconds,
        torch=torch.__version__,
    )

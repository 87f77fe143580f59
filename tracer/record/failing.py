"""What a failed run hands on: the failing expression, its operands, the live objects."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from tracer import document
from tracer.record.construction import Constructions
from tracer.record.crash import Crash, Frame, Running
from tracer.record.drafts import Noted, unique
from tracer.record.frames import (
    OWNERS,
    TORCH,
    Whose,
    nowhere,
)
from tracer.record.functions import (
    message,
    short_name,
)
from tracer.record.mode import Recorder
from tracer.record.names import FrameScope, resolve
from tracer.record.tensors import (
    flatten,
    tensors_in,
)
from tracer.source.sites import Site
from tracer.source.text import code_of, first_line


def failure_of(
    recorder: Recorder,
    steps: tuple[document.Step, ...],
    notes: Callable[[list[Noted]], tuple[document.TensorNote, ...]],
) -> document.Failure:
    error = recorder.error
    assert error is not None
    module = (
        recorder.failed[1] if recorder.failed is not None and recorder.failed[0] is error else ""
    )
    last = recorder.steps[-1] if recorder.steps else None
    found = None
    if last is not None and last.raised is error:
        site, operands, found = last.site, last.inputs, steps[-1]
    else:
        site, operands = _raised_at(recorder, error.__traceback__)
    spoken = _spoken(recorder, site, error.__traceback__)
    return document.Failure(
        type=type(error).__name__,
        message=message(error),
        step=found,
        place=site.place,
        module=module,
        operands=tuple(
            _operand(noted, note, spoken.get(noted.id, ""))
            for noted, note in zip(operands, notes(operands), strict=True)
        ),
    )


def _spoken(recorder: Recorder, site: Site, traceback: TracebackType | None) -> dict[int, str]:
    """What the failing expression calls tensors that no step made: `recorder.hidden[0]`."""
    frame = None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == site.place.file:
            frame = traceback.tb_frame
        traceback = traceback.tb_next
    spoken: dict[int, str] = {}
    if frame is None:
        return spoken
    for chain in site.used:
        resolved = resolve(chain, FrameScope(frame))
        for path, tensor in flatten(resolved[1]) if resolved is not None else ():
            known = recorder.known(tensor)
            if known is not None and resolved is not None:
                spoken.setdefault(known.id, resolved[0] + path)
    return spoken


def _operand(noted: Noted, note: document.TensorNote, spoken: str) -> document.Operand:
    if noted.site is None:
        return document.Operand(note, noted.name or spoken, "", None)
    place = noted.site.place
    return document.Operand(note, place.expression, place.file, place.line)


def _raised_at(recorder: Recorder, traceback: TracebackType | None) -> tuple[Site, list[Noted]]:
    """The innermost place outside torch that the exception passed, and the tensors its
    expression names; torch's own place when it passed no other."""
    own: TracebackType | None = None
    torchs: TracebackType | None = None
    while traceback is not None:
        owner = OWNERS[traceback.tb_frame.f_code.co_filename]
        if owner is Whose.TORCH:
            torchs = traceback
        elif owner is Whose.AUTHOR:
            own = traceback
        traceback = traceback.tb_next
    found = own or torchs
    if found is None:
        return _forward_site(recorder), []
    site = recorder.reader.site(found.tb_frame.f_code, found.tb_lasti)
    scope = FrameScope(found.tb_frame)
    operands: list[Noted] = []
    for chain in site.used:
        resolved = resolve(chain, scope)
        if resolved is not None:
            operands += [recorder.note(tensor, resolved[0]) for tensor in tensors_in(resolved[1])]
    return site, unique(operands)


def _forward_site(recorder: Recorder) -> Site:
    """The first line of the model's forward, for a call that never got into it."""
    code = code_of(inspect.unwrap(type(recorder.model).forward))
    if code is None or code.co_filename.startswith(TORCH):
        return nowhere(recorder.model)
    place = first_line(code)
    if place is None:
        return nowhere(recorder.model)
    return Site(place, (), False, False, "", (), ())


def crash_of(
    recorder: Recorder,
    trace: document.Trace,
    error: BaseException,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    build: Callable[[], nn.Module] | None,
    constructions: Constructions,
) -> Crash:
    """What a diagnosis needs of a failed run, beside the trace: its live objects."""
    assert trace.failure is not None
    function, call_args = None, ()
    call_kwargs: dict[str, Any] = {}
    if recorder.refused is not None and recorder.refused[0] is error:
        _, function, call_args, call_kwargs = recorder.refused
    running = (
        recorder.running[1] if recorder.running is not None and recorder.running[0] is error else []
    )
    alive = {noted.id: noted.of() for noted in recorder.notes.values()}
    return Crash(
        model=recorder.model,
        args=args,
        kwargs=kwargs,
        error=error,
        trace=trace,
        op=short_name(function),
        function=function,
        call_args=call_args,
        call_kwargs=call_kwargs,
        running=tuple(
            Running(draft.module, draft.of, *draft.given)
            for draft in reversed(running)
            if draft.of is not None and draft.given is not None
        ),
        operands=tuple(
            _live(alive.get(operand.note.id), operand.note) for operand in trace.failure.operands
        ),
        frames=tuple(_frames(recorder, error.__traceback__)),
        build=build,
        constructions=constructions,
    )


def _frames(recorder: Recorder, traceback: TracebackType | None) -> Iterator[Frame]:
    while traceback is not None:
        frame = traceback.tb_frame
        if OWNERS[frame.f_code.co_filename] is Whose.AUTHOR:
            scope = dict(frame.f_locals)
            path = recorder.paths.get(id(scope.get("self")))
            site = recorder.reader.site(frame.f_code, traceback.tb_lasti)
            module = path[0] if path else None
            yield Frame(frame.f_code, site.place, scope, module, frame.f_globals)
        traceback = traceback.tb_next


def _live(tensor: Tensor | None, note: document.TensorNote) -> Tensor:
    """The tensor of a note, or one of its shape when it is gone."""
    if tensor is not None:
        return tensor
    return torch.empty(note.shape, dtype=getattr(torch, note.dtype, None), device="meta")

"""What is seen while a module runs: forward hooks give the tree of module calls, a
`TorchFunctionMode` the operations as they were written."""

from __future__ import annotations

import contextlib
import operator
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from types import FrameType, FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from tracer import document
from tracer.record.calls import MOST_OF_CALL, UNTOLD, CallText, Whole, call_text, layer_text
from tracer.record.drafts import NO_FILL, Draft, Noted, Written, leaves, unique
from tracer.record.frames import (
    HAND_OVER,
    HERE,
    OVERRIDES,
    OWNERS,
    TORCH,
    Whose,
    nowhere,
)
from tracer.record.functions import (
    FACTS,
    SETTINGS,
    Opened,
    short_text,
    written_silently,
)
from tracer.record.isolation import (
    State,
    storage,
    version,
)
from tracer.record.names import FrameScope, resolve, tensors_read, walk
from tracer.record.notes import TensorNotes
from tracer.record.shaped import form_of, forms_of, made
from tracer.record.tensors import (
    ONE_TENSOR,
    flatten,
    flatten_arguments,
    modules_in,
    named_by,
    operands_of,
    paths_of,
    settings_of,
    tensors_in,
)
from tracer.record.uncompiled import spare_compiler
from tracer.sentences import said
from tracer.source.sites import Site, SourceReader

_HOOKS = operator.itemgetter(
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
)
_OWNED = frozenset(["parameter", "buffer"])
_AUTHOR, _PLUMBING = Whose.AUTHOR, Whose.PLUMBING
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


MOST_UNSEEN = 4
"""Places that are told at which a tensor is read that was made unseen."""


def _kinds(given: list[Noted]) -> tuple[Any, ...]:
    """What of its operands may decide which way a call takes through torch's Python code."""
    return tuple([(each.shape, each.dtype, each.device) for each in given])


def _own_names(layer: nn.Module) -> dict[int, str]:
    own = (*layer._parameters.items(), *layer._buffers.items())
    return {id(tensor): name for name, tensor in own if tensor is not None}


def _only_watched(layer: nn.Module) -> bool:
    """Whether nothing runs in the call of a layer but its own forward: no hooks than ours."""
    return not (
        layer._modules
        or len(layer._forward_hooks) > 1
        or len(layer._forward_pre_hooks) > 1
        or layer._backward_hooks
        or layer._backward_pre_hooks
        or _has_any_global_hook()  # type: ignore[no-untyped-call]
    )


def _overwritten(draft: Draft) -> bool:
    """Whether the call returned a tensor that it was given, and that is another now."""
    if all(noted in draft.inputs for noted in draft.outputs):
        return False
    given = {id(noted.of()) for noted in draft.inputs}
    return any(n not in draft.inputs and id(n.of()) in given for n in draft.outputs)


def _take_out(open_drafts: list[Draft], draft: Draft) -> None:
    if open_drafts[-1] is draft:
        open_drafts.pop()
    else:
        open_drafts.remove(draft)


def _written(func: Any, args: tuple[Any, ...], operands: list[Tensor]) -> Written:
    return Written(tuple(map(version, operands)), written_silently(func, args))


class Recorder(TensorNotes, TorchFunctionMode):
    """Builds the drafts of one run.  Belongs to the thread that made it."""

    def __init__(
        self,
        model: nn.Module,
        values: bool,
        watch: Callable[[int], None] | None,
        capture: int | None,
        state: State | None,
    ) -> None:
        TensorNotes.__init__(self, model, values, capture)
        TorchFunctionMode.__init__(self)
        self.model = model
        self.watch = watch
        self.state = state
        self.thread = threading.get_ident()
        self.reader = SourceReader()
        self.steps: list[Draft] = []
        self.calls: list[Draft] = []
        self.stack: list[Draft] = []  # calls and steps that are running, outermost first
        self.open_steps: list[Draft] = []  # the steps among them
        self.inputs: list[Noted] = []
        self.outputs: list[Noted] = []
        self.error: Exception | None = None
        self.failed: tuple[BaseException, str] | None = None
        self.refused: tuple[BaseException, Any, tuple[Any, ...], dict[str, Any]] | None = None
        self.running: tuple[BaseException, list[Draft]] | None = None
        self.seconds = 0.0
        self.unseen: set[tuple[str, int]] = set()  # places that read what was made unseen
        self._opened = Opened()
        self._passed: set[Whole] = set()  # whose sources are listed
        self._closed: Draft | None = None  # a layer that is known to be one operation
        self._boundary: FrameType | None = None
        self._on_meta = False  # nothing is computed

    # --- running ---

    @contextlib.contextmanager
    def hooks(self, everywhere: bool = False) -> Iterator[None]:
        """Hooks of all modules, under one key in torch's own tables of hooks; `everywhere` also of
        those that are built on the way."""
        key = RemovableHandle(OrderedDict()).id
        enter, leave = self._enter, self._leave
        tables: list[dict[int, Any]] = []

        def hook(module: nn.Module) -> None:
            if isinstance(module, torch.jit.ScriptModule):
                remark = said("A scripted module runs outside Python: it shows no steps.")
                self.remarks[remark] = None
                return
            before, with_kwargs, after, after_with_kwargs, always = own = _HOOKS(vars(module))
            tables.extend(own)
            before[key] = enter
            if len(before) > 1:
                before.move_to_end(key, last=False)
            after[key] = leave
            with_kwargs[key] = after_with_kwargs[key] = always[key] = True

        def meet(module: nn.Module, args: Any) -> None:
            """A module that is no part of the model: its own hook comes too late for this call."""
            if id(module) not in self.modules and threading.get_ident() == self.thread:
                self.own(module, type(module).__name__)
                for each in modules_in(module):
                    hook(each)
                enter(module, args, {})

        for module in self.modules.values():
            hook(module)
        met = register_module_forward_pre_hook(meet) if everywhere else None
        try:
            yield
        finally:
            if met is not None:
                met.remove()
            for table in tables:
                table.pop(key, None)

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        spare_compiler()
        self._boundary = sys._getframe()
        for name, tensor in flatten_arguments(self.model, args, kwargs):
            self.inputs.append(self.note(tensor, name, "input"))
        self._on_meta = any(noted.device == "meta" for noted in self.inputs)
        began = time.perf_counter()
        try:
            with self:
                result = self.model(*args, **kwargs)
            self.outputs = [self._named_note(*pair) for pair in flatten(result, objects=True)]
        except Exception as error:  # noqa: BLE001 - the model's own error is the trace's subject
            self.error = error
        finally:
            self.seconds = time.perf_counter() - began
            self._boundary = None
        if self.error is not None:
            self._close_open(self.error)

    def _named_note(self, path: str, tensor: Tensor) -> Noted:
        noted = self.note(tensor)
        if not noted.name:
            noted.name = f"output{path}"
        if noted.kind == "constant" and not self._there_before(tensor):
            remark = said(
                "{name} is a tensor that no step of this run made: it comes from another thread, a "
                "scripted function, NumPy, `torch.Tensor(...)` or from outside.",
                name=noted.name,
            )
            self.remarks[remark] = None
        return noted

    def _close_open(self, error: BaseException) -> None:
        while self.stack:
            self._close(self.stack[-1], error)

    # --- calls of modules ---

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        if threading.get_ident() != self.thread or self._boundary is None:
            return
        with torch._C.DisableTorchFunction():
            draft = self.begin_module(module, args, kwargs)
        draft.pending = sys.exc_info()[1]
        draft.given = (args, kwargs)
        self._open(draft)
        if draft.whole is not None:
            self._closed = draft
        draft.began = time.perf_counter()

    def begin_module(self, module: nn.Module, args: Any, kwargs: Any) -> Draft:
        kind = type(module)
        library = kind.__module__.startswith("torch.nn")
        is_step = bool(self.calls) and library and not issubclass(kind, _CONTAINERS)
        frame = self._frame(bool(self.open_steps), 3)[0] if self.calls else None
        site = self._site(frame)
        if is_step:
            text, operands = layer_text(module, args, kwargs, self.number)
        else:
            text, operands = UNTOLD, operands_of(args, kwargs)
        inputs = [self.note(tensor) for tensor in operands]
        draft = Draft(
            f"nn.{kind.__name__}" if library else kind.__name__,
            self._path(module),
            site,
            id(frame),
            self.stack[-1].call if self.stack else 0,
            self._named_in(site, frame),
            self._fill(site, frame) if site.asks else NO_FILL,
            inputs,
            text,
            self.next_note,
        )
        draft.of, draft.caller = module, frame
        if is_step:
            self.tick()
            self._siblings().append(draft)
            if text.whole and not self.open_steps and _only_watched(module):
                draft.whole = self._known_whole(draft)
        else:
            draft.type = kind.__name__
            draft.parent = draft.call if self.calls else None
            draft.settings = short_text(settings_of(module))
            draft.start = len(self.steps)
            draft.call = len(self.calls)
            self.calls.append(draft)
        return draft

    def _leave(self, module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        if threading.get_ident() != self.thread or self._boundary is None:
            return
        for draft in reversed(self.stack):
            if draft.of is module:
                break
        else:
            return
        error = sys.exc_info()[1]
        if error is draft.pending:
            error = None
        with torch._C.DisableTorchFunction():
            while self.stack[-1] is not draft:
                self._close(self.stack[-1], error)
            if error is None:
                if draft.whole is not None:
                    self._pass_over(draft, draft.whole)
                    operands, index = operands_of(args, kwargs), self.current_step()
                    noted = [self.result_of(draft, t, operands, index) for t in tensors_in(result)]
                else:
                    noted = [self._note_output(draft, tensor) for tensor in tensors_in(result)]
                draft.outputs = unique(noted)
                draft.writes = not draft.type and _overwritten(draft)
                self._assign(draft, result, draft.caller)
                self._made_by(draft)
            self._closed = None
            self._close(draft, error)
            if draft.within is not None and error is None and _only_watched(module):
                self._learn(draft)

    def _note_output(self, draft: Draft, tensor: Tensor) -> Noted:
        """An output that no recorded operation made, such as a custom C++ function's."""
        known = self.known(tensor)
        if known is not None:
            return known
        if draft.type and draft.start == len(self.steps):
            return self.make(tensor, "", "constant", None, draft.site)
        return self.make(tensor, "", "made", self.current_step(), draft.site)

    def _made_by(self, draft: Draft) -> None:
        """What was made inside a step was made, for the author, where the step is written."""
        if not draft.type:
            for noted in draft.outputs:
                if noted.born == self.current_step() and noted.kind == "made":
                    noted.site = draft.site
                    if noted.inner and not self.inside_step(but=draft):
                        noted.name = ""

    def _open(self, draft: Draft) -> None:
        self.stack.append(draft)
        if not draft.type:
            self.open_steps.append(draft)

    def _close(self, draft: Draft, error: BaseException | None) -> None:
        _take_out(self.stack, draft)
        if not draft.type:
            _take_out(self.open_steps, draft)
        draft.seconds = time.perf_counter() - draft.began
        draft.caller = None
        if error is not None and (self.failed is None or self.failed[0] is not error):
            self.failed = (error, draft.module)
        if error is None:
            draft.given = None
        elif draft.of is not None:
            if self.running is None or self.running[0] is not error:
                self.running = (error, [])
            self.running[1].append(draft)
        if draft.type:
            draft.stop = len(self.steps)
            return
        draft.raised = error
        given = draft.inputs
        if draft.whole is not None and error is None:
            self._take_whole(draft, draft.whole, given)
            return
        draft.inputs = unique([*given, *self._own(draft, error)])
        if draft.of is not None or len(draft.inputs) < len(given):
            draft.bound = self._rebound(draft, given)
        # A module that is one operation says nothing more when opened.
        within = []
        while len(draft.children) == 1:
            child = draft.children[0]
            within += [child, *(child.within or ())]
            draft.children = child.children
        if within and not draft.children:
            draft.within = within

    def _take_whole(self, draft: Draft, whole: Whole, given: list[Noted]) -> None:
        """The inputs and arguments of a layer in which nobody looked inside."""
        draft.inputs = unique([*given, *draft.own.values()])
        names = tuple(draft.own)
        bound = whole.bounds.get(names)
        if bound is None:
            bound = whole.bounds[names] = self._rebound(draft, given)
        draft.bound = bound

    def _own(self, draft: Draft, error: BaseException | None) -> list[Noted]:
        """The layer's own tensors that a step which ends has used, in the model's order."""
        own = [n for leaf in leaves(draft) for n in leaf.inputs if n.kind in _OWNED]
        if error is not None and draft.of is not None and not own:
            # It refused before it used its weights.
            weights = {
                id(parameter): parameter
                for path, module in paths_of(draft.of)
                for name, parameter in module._parameters.items()
                if "weight" in f"{path}.{name}" and parameter is not None
            }
            own = [self.note(weight) for weight in tensors_in([*weights.values()])[:2]]
            own = [noted for noted in own if noted.name in self.order]
        if len(own) > 1:
            own.sort(key=lambda noted: self.order[noted.name])
        return own

    def _rebound(self, draft: Draft, given: list[Noted]) -> document.Bound:
        """The arguments of a step whose operands `given` have become `draft.inputs`, a layer's own
        weights among them."""
        named = {noted.name: noted.id for noted in draft.inputs if noted.name in self.order}
        if not named and len(given) == len(draft.inputs):
            return draft.text.bound
        positions = {noted.id: position for position, noted in enumerate(draft.inputs)}
        own: dict[str, int] = {}
        if named and draft.of is not None:
            for name, tensor in (*draft.of._parameters.items(), *draft.of._buffers.items()):
                path, _ = self.owned.get(id(tensor), ("", ""))
                if path in named:
                    own[name] = positions[named[path]]
        return draft.text.moved(tuple([positions[noted.id] for noted in given]), own)

    # --- calls that are one operation ---

    def _known_whole(self, draft: Draft) -> Whole | None:
        """What the call that begins is known to be.  Nothing is known of what happens inside
        torch's own steps, whose tensors have torch's names."""
        whole = draft.text.whole.get(_kinds(draft.inputs))
        if whole is not None:
            for _ in whole.places:
                self.tick()
        return whole

    def _learn(self, draft: Draft) -> None:
        """Keep of a call that it was one operation which only read, and took note of nothing but
        the layer's own tensors and what it returned: next time nobody needs to look inside."""
        within, known = draft.within or [], draft.text.whole
        last = within[-1]
        if not last.text.only_reads or self.open_steps or len(known) >= MOST_OF_CALL:
            return
        own = sorted(
            {n.id: n for each in within for n in each.inputs if n.kind in _OWNED}.items()
            if draft.of is not None
            else ()
        )
        names = _own_names(draft.of) if draft.of is not None else {}
        new = [noted.id for noted in draft.outputs if noted.id >= draft.first_note]
        if (
            new != [noted.id for noted in last.outputs if noted.id >= draft.first_note]
            or len(own) + len(new) != self.next_note - draft.first_note
            or not all(number >= draft.first_note and id(n.of()) in names for number, n in own)
        ):
            return
        given = [noted for noted in draft.inputs if id(noted.of()) not in names]
        known[_kinds(given)] = Whole(
            tuple([names[id(noted.of())] for _, noted in own]),
            tuple([each.at for each in within if each.at is not None]),
        )

    def _pass_over(self, draft: Draft, whole: Whole) -> None:
        """What is noted of a call when nobody looked inside, in the same order."""
        if whole not in self._passed:
            self._passed.add(whole)
            for code, instruction in whole.places:
                self.reader.site(code, instruction)
        if draft.of is not None and whole.own:
            parameters, buffers = draft.of._parameters, draft.of._buffers
            own: dict[str, Noted] = {}
            for name in whole.own:
                tensor = buffers[name] if name in buffers else parameters.get(name)
                if tensor is not None:
                    own[name] = self.note(tensor)
            if len(own) > 1:
                order = self.order
                own = dict(sorted(own.items(), key=lambda pair: order[pair[1].name]))
            draft.own = own

    # --- operations ---

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in FACTS or func in SETTINGS or self._boundary is None:
            return func(*args, **kwargs)
        if self._closed is not None:
            try:
                if not self._on_meta:
                    return func(*args, **kwargs)
                with torch._C.DisableTorchFunction():
                    text, operands = call_text(func, args, kwargs, self.number)
                return self._given(text, operands, func, args, kwargs)
            except Exception:  # noqa: BLE001 - it is raised again, and then from where one looks
                self._closed.whole, self._closed = None, None
        frame, indirect = self._frame(bool(self.open_steps))
        if frame is None:
            return func(*args, **kwargs)
        with torch._C.DisableTorchFunction():
            draft, operands, twin = self.begin_operation(func, args, kwargs, frame)
            written = None if draft.text.only_reads else _written(func, args, operands)
        draft.indirect = indirect
        draft.began = time.perf_counter()
        try:
            result = self._run(draft, twin, operands, func, args, kwargs)
        except BaseException as error:
            draft.seconds = time.perf_counter() - draft.began
            while draft in self.stack:
                self._close(self.stack[-1], error)
            draft.raised = error
            if self.failed is None or self.failed[0] is not error:
                self.failed = (error, draft.module)
            if self.refused is None or self.refused[0] is not error:
                self.refused = (error, func, args, kwargs)
            raise
        draft.seconds = time.perf_counter() - draft.began
        with torch._C.DisableTorchFunction():
            opened = twin is not None and draft.whole is None
            if opened:
                self._close(draft, None)
            changed = self._changed(draft, operands, written) if written is not None else []
            self._end(draft, operands, changed, result, frame, opened)
        return result

    def _run(
        self,
        draft: Draft,
        twin: Any,
        operands: list[Tensor],
        func: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        if twin is None:
            if draft.text.only_reads and self._on_meta:
                return self._given(draft.text, operands, func, args, kwargs)
            return func(*args, **kwargs)
        if draft.whole is not None:
            try:
                if self._on_meta:
                    return self._given(draft.text, operands, func, args, kwargs)
                return func(*args, **kwargs)
            except Exception:  # noqa: BLE001 - as above
                draft.whole = None
        self._open(draft)
        with self:
            return twin(*args, **kwargs)

    def _given(
        self,
        text: CallText,
        operands: list[Tensor],
        func: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """What a call that only reads gives on the device `meta`, worked out once."""
        with torch._C.DisableTorchFunction():
            forms = forms_of(operands)
            known = text.shaped.get(forms) if forms is not None else None
            if known is not None:
                return made(known)
        result = func(*args, **kwargs)
        if forms is not None and len(text.shaped) < MOST_OF_CALL:
            with torch._C.DisableTorchFunction():
                form = form_of(result, operands)
                if form is not None:
                    text.shaped[forms] = form
        return result

    def begin_operation(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], frame: FrameType
    ) -> tuple[Draft, list[Tensor], Any]:
        """The draft of an operation, its operands, and its opened copy if it has one."""
        text, operands = call_text(func, args, kwargs, self.number)
        if text.in_place and operands and self.state is not None:
            self.state.about_to_write(operands[0])
        code, instruction = frame.f_code, frame.f_lasti
        site = self.reader.site(code, instruction)
        around = self.stack[-1] if self.stack else None
        names = self._named_in(site, frame)
        first_note = self.next_note
        draft = Draft(
            text.op,
            around.module if around is not None else "",
            site,
            id(frame),
            around.call if around is not None else 0,
            names,
            self._fill(site, frame) if site.asks else NO_FILL,
            [self.known(each) or self._constant(each, "", site, frame) for each in operands],
            text,
            first_note,
        )
        draft.at = code, instruction
        self._siblings().append(draft)
        self.tick()
        twin = self._opened.twin(func) if type(func) is FunctionType else None
        # A tensor that is new with the call may get its name inside.
        if twin is not None and text.whole and not self.open_steps and first_note == self.next_note:
            draft.whole = self._known_whole(draft)
        return draft, operands, twin

    def _end(
        self,
        draft: Draft,
        operands: list[Tensor],
        changed: list[Tensor],
        result: Any,
        frame: FrameType,
        opened: bool,
    ) -> None:
        index = len(self.steps) - 1  # the author's step that is running
        for tensor in changed:
            self.written[storage(tensor)] = (index, draft.site, next(self.writes))
        outputs = tensors_in(result)
        if not outputs and changed:
            # Writing through `x[...] = v` returns nothing: the tensor written to is the result.
            result = changed[0]
            outputs = [result]
        if not outputs:
            self._siblings().remove(draft)
            return
        if changed:
            draft.writes = any(out is tensor for out in outputs for tensor in changed)
        if draft.whole is not None:
            self._pass_over(draft, draft.whole)
        draft.outputs = unique([self.result_of(draft, out, operands, index) for out in outputs])
        self._assign(draft, result, frame)
        if opened or self.open_steps:
            self._made_by(draft)
        if draft.within is not None:
            self._learn(draft)

    def _changed(self, draft: Draft, operands: list[Tensor], written: Written) -> list[Tensor]:
        """The operands that the operation wrote to."""
        in_place = draft.text.in_place
        now = tuple(map(version, operands))
        changed = []
        if in_place or now != written.versions:
            changed = [
                tensor
                for tensor, before, after in zip(operands, written.versions, now, strict=True)
                if after != before or (in_place and tensor is operands[0] and tensor.is_inference())
            ]
        if written.silent:
            changed += [tensor for tensor in written.silent if isinstance(tensor, Tensor)]
        return changed

    def result_of(
        self, draft: Draft, tensor: Tensor, operands: list[Tensor], index: int | None
    ) -> Noted:
        for operand in operands:
            if tensor is operand:
                # Written in place, or returned as it was (dropout in eval, contiguous of such).
                return self.note(tensor)
        known = self.known(tensor)
        if known is not None:
            return known
        figures = None
        if self.values:
            shared = (self.same_elements(tensor, operand) for operand in operands)
            figures = next((found for found in shared if found is not None), None)
        return self.make(tensor, "", "made", index, draft.site, figures)

    # --- where ---

    def _path(self, module: nn.Module) -> str:
        paths = self.paths.get(id(module), [""])
        if len(paths) == 1:
            return paths[0]
        within = self.stack[-1].module if self.stack else ""
        return next((p for p in paths if not within or p.startswith(within + ".")), paths[0])

    def _siblings(self) -> list[Draft]:
        """Where a new step belongs: inside the open step, or at the author's level."""
        return self.open_steps[-1].children if self.open_steps else self.steps

    def inside_step(self, but: Draft | None = None) -> bool:
        opened = self.open_steps
        return len(opened) > 1 or (len(opened) == 1 and opened[0] is not but)

    def _opened_at(self) -> int:
        """The first note made inside the author's step that is open: torch's own names are not
        given to what was there before."""
        return self.open_steps[0].first_note if self.open_steps else 0

    def current_step(self) -> int | None:
        """The author's step that is running: the last one begun."""
        return len(self.steps) - 1 if self.steps else None

    def tick(self) -> None:
        if self.watch is not None:
            self.watch(len(self.steps))

    def _frame(self, inner: bool, ours: int = 2) -> tuple[FrameType | None, bool]:
        """The frame that wrote what is running: the first outside torch, and for steps inside
        torch the first that does more than pass on.  And whether code of torch stands between.
        The first frames, so many of them, are `ours`."""
        frame: FrameType | None = sys._getframe(ours)
        torchs: FrameType | None = None
        boundary, owners = self._boundary, OWNERS
        while frame is not None and frame is not boundary:
            code = frame.f_code
            owner = owners[code.co_filename]
            if owner is _PLUMBING:
                if code is HAND_OVER and frame.f_back is not None:
                    # The frame behind is the function itself, handing its own call to the mode.
                    frame = frame.f_back
            elif owner is _AUTHOR:
                if code.co_name not in OVERRIDES:
                    return frame, torchs is not None
            elif torchs is None:
                if inner:
                    return frame, False
                torchs = frame
            frame = frame.f_back
        return torchs, False

    def _site(self, frame: FrameType | None) -> Site:
        if frame is None:
            return nowhere(self.model)
        return self.reader.site(frame.f_code, frame.f_lasti)

    def _named_in(self, site: Site, frame: FrameType | None) -> dict[str, Noted]:
        found: dict[str, Noted] = {}
        if frame is None or not site.reads:
            return found
        for text, tensor in tensors_read(site, frame):
            noted = found[text] = self.known(tensor) or self._constant(tensor, text, site, frame)
            if not noted.name and noted.id >= self._opened_at():
                noted.name, noted.inner = text, self.inside_step()
        return found

    def _constant(self, tensor: Tensor, name: str, site: Site, frame: FrameType) -> Noted:
        """The note of a tensor that was not met before.  One that neither the module has nor the
        code around was made in the run, where nothing is seen of it."""
        new = id(tensor) not in self.notes and id(tensor) not in self.owned
        new = new and not isinstance(tensor, nn.Parameter)  # of a module that is being built
        if new and not self.open_steps and len(self.unseen) < MOST_UNSEEN and site.place.line:
            where = site.place.file, site.place.line
            if where not in self.unseen and not self._there_before(tensor, frame):
                self.unseen.add(where)
                remark = said(
                    "`{code}` ({file}:{line}) reads a tensor that no step of this run made: it "
                    "comes from another thread, a scripted function, NumPy, `torch.Tensor(...)` or "
                    "from outside.",
                    code=" ".join((site.place.expression or site.place.statement).split()),
                    file=site.place.file.rsplit("/", 1)[-1],
                    line=site.place.line,
                )
                self.remarks[remark] = None
        return self._anew(tensor, name, "constant")

    def _there_before(self, tensor: Tensor, frame: FrameType | None = None) -> bool:
        """Whether a module has it among its attributes, or the code that reads it around itself."""
        places = [*map(vars, self.modules.values())]
        if frame is not None:
            around = {name: frame.f_locals.get(name) for name in frame.f_code.co_freevars}
            places += [frame.f_globals, around]
        return any(each is tensor for held in places for _, each in flatten([*held.values()]))

    def _assign(self, draft: Draft, result: Any, frame: FrameType | None) -> None:
        """Give the outputs the names that the statement assigns them to; a helper's returned value
        takes the name that its caller gives it."""
        site = draft.site
        if draft.indirect or not (site.patterns or site.returned):
            return
        for around in self.stack:
            if around.site is site and around.frame == draft.frame and around is not draft:
                return  # written as one expression with the call around it, which takes the names
        draft.targets = site.targets
        inner = self.inside_step(but=draft)
        while site.returned and frame is not None and frame.f_back is not None:
            frame = frame.f_back
            file = frame.f_code.co_filename
            if frame is self._boundary or file.startswith((TORCH, HERE)):
                break
            site = self._site(frame)
        for name, noted in self._names_given(site, result, draft):
            if not noted.name or (noted.inner and not inner):
                noted.name, noted.inner = name, inner
        if site.asks and draft.targets and site is draft.site:
            named = {
                name: tensor
                for pattern in site.patterns
                for name, tensor in named_by(pattern, result)
            }
            # A name that the statement both reads and assigns stands for what it reads: the note
            # is above it.
            read = {chain[0] for chain in site.names}
            for key, (chain, item) in site.asks.items():
                if chain[0] in named and chain[0] not in read:
                    value = walk(named[chain[0]], chain[1:], item)
                    if value is not None:
                        draft.fill[key] = value

    def _names_given(self, site: Site, result: Any, draft: Draft) -> Iterator[tuple[str, Noted]]:
        """The names that a statement assigns the result of a step to."""
        alone = type(result) in ONE_TENSOR
        values = tensors_in(result) if site.each else [result]
        for pattern in site.patterns:
            if alone and type(pattern) is str:
                yield pattern.removeprefix("*"), draft.outputs[0]
                continue
            for each in values:
                for name, tensor in named_by(pattern, each):
                    noted = self.known(tensor)
                    if noted is not None:
                        yield name, noted

    def _fill(self, site: Site, frame: FrameType | None) -> dict[str, str]:
        values: dict[str, str] = {}
        if frame is not None:
            scope = FrameScope(frame)
            for key, (chain, item) in site.asks.items():
                end = len(chain) - 1 if chain[-1] == "shape" and len(chain) > 1 else len(chain)
                resolved = resolve(chain[:end], scope)
                value = walk(resolved[1], chain[end:], item) if resolved is not None else None
                if value is not None:
                    values[key] = value
        return values

"""What one asks of Shapewalk: a run recorded, its sizes with formulas, its failure explained.

The parts below know nothing of each other; they are put together here.  Those that a call does not
need are not loaded.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tracer.document import Trace
from tracer.record.callables import as_module
from tracer.record.crash import Crash, Mend
from tracer.record.isolation import is_lazy, moved, with_sizes
from tracer.record.run import record
from tracer.record.tensors import modules_in, signature_of
from tracer.source.edits import with_edited_lines


def trace(model: Callable[..., Any], /, *args: Any, **keywords: Any) -> Trace:
    """Run `model(*args, **keywords)` once and record it.

    `keywords` may also be the options below.  A name that the model's forward itself has goes to
    the model; the options are then given beside the arguments as a whole, which leaves no doubt:
    `trace(model, args=(x,), kwargs={"values": v}, values=False)`.

    Args:
        model: any module, which is left as it was (see `restore`); or anything else that can be
            called: a function, a method such as `model.encode`, a `functools.partial`.
        *args: the inputs: tensors in any nesting of tuple, list and dict, and anything else.
        **keywords: inputs as well, and the options.

    Keyword Args:
        values: keep statistics and a heatmap of every tensor; False records shapes alone.
        name: the trace's name, the class name if None.
        restore: put buffers (BatchNorm's running statistics), parameters and attributes that the
            forward changed back to what they were.
        device: run a copy of the module and of the inputs there; `"meta"` gives the shapes of any
            size without computing or storing values.
        reraise: raise the forward's own exception, with the explanation added as a note,
            instead of returning a trace with `failure` set.
        watch: called with the number of steps so far before each step; it may raise `Cancelled`.
        build: makes the model anew, so that fixes in `__init__` can be tried on a fresh one.
        diagnose: say of a failure which rule is broken, where the wrong size was born and what
            mends it, and of a run that succeeds which steps are suspicious; False keeps to what
            happened.
        mend: False says of a failure all but what mends it, which takes the longest.
        dims: names the sizes of the inputs, as `{"x": "B C H W"}`: every shape then has a formula
            in these names, and the trace says what is demanded of them.

    Raises:
        TypeError: `model` cannot be called, or there is no such option.
        ValueError: `dims` does not fit the inputs.
        Exception: the forward's own, with `reraise=True`.
    """
    given = keywords.get("args"), keywords.get("kwargs")
    own = _parameters(model)
    whole = isinstance(given[0], tuple | list) or isinstance(given[1], Mapping)
    if whole and not args and not {"args", "kwargs"} & own:
        args, kwargs = tuple(keywords.pop("args", ())), dict(keywords.pop("kwargs", {}))
        options = keywords
        for name in sorted(options.keys() - OPTIONS):
            raise TypeError(
                f"trace has no option {name!r}: where args= and kwargs= are given, all arguments "
                "of the model stand in these."
            )
    else:
        options = {name: keywords[name] for name in keywords.keys() & (OPTIONS - own)}
        kwargs = {name: value for name, value in keywords.items() if name not in options}
    return traced(model, args, kwargs, **options)


def _parameters(model: Callable[..., Any]) -> set[str]:
    """The names that the model's forward itself has for its parameters."""
    called = model.forward if isinstance(model, nn.Module) else model
    try:
        parameters = signature_of(called).parameters.values()
    except (TypeError, ValueError):
        return set()
    stars = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {each.name for each in parameters if each.kind not in stars}


def traced(
    model: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    values: bool = True,
    name: str | None = None,
    restore: bool = True,
    device: str | torch.device | None = None,
    reraise: bool = False,
    watch: Callable[[int], None] | None = None,
    build: Callable[[], nn.Module] | None = None,
    diagnose: bool = True,
    mend: Mend = True,
    dims: Mapping[str, str] | None = None,
) -> Trace:
    """`trace`, with the model's arguments apart from the options."""
    model, called, args, kwargs = as_module(model, args, kwargs)
    if is_lazy(model):
        if device is not None:
            model, args, kwargs = moved(model, args, kwargs, torch.device(device))
        model = with_sizes(model, args, kwargs)
    recording = record(
        model,
        args,
        kwargs,
        values=values,
        name=name or called,
        restore=restore,
        device=device,
        watch=watch,
        build=build,
    )
    found, error = recording.trace, recording.error
    if dims is not None:
        from tracer.formulas.proof import named

        found = dataclasses.replace(found, letters=tuple(dims.items()))
        found = named(found, model, args, kwargs, dims, watch=watch)
    if diagnose and recording.crash is not None:
        found = diagnosed(dataclasses.replace(recording.crash, trace=found), mend)
    elif diagnose and error is None:
        found = _warned(found, model, args, kwargs)
    if reraise and error is not None:
        if found.failure is not None:
            from tracer.views.text import failure_text

            error.add_note(failure_text(found.failure, sources=found.sources))
        raise error
    return found


OPTIONS = frozenset(inspect.signature(traced).parameters) - {"model", "args", "kwargs"}
"""What `trace` takes besides the model's arguments."""


def diagnosed(crash: Crash, mend: Mend = True) -> Trace:
    """The trace of a crash with its failure explained, and what mends it if `mend` is true."""
    from tracer import diagnosis

    failure = diagnosis.diagnose(crash, mend)
    return with_edited_lines(dataclasses.replace(crash.trace, failure=failure))


def _warned(found: Trace, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Trace:
    from tracer.diagnosis import suspicions

    def again(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Trace:
        meta = torch.device("meta")
        copied, args, kwargs = moved(model, args, kwargs, meta)
        for module in modules_in(copied):
            # The author's hooks have seen the run; this one is ours.
            module._forward_hooks.clear()
            module._forward_pre_hooks.clear()
        return record(copied, args, kwargs, restore=False, device=meta).trace

    warnings = suspicions.warnings(found, model, args, kwargs, again)
    return dataclasses.replace(found, warnings=warnings) if warnings else found


def compute(note_id: int, model: Callable[..., Any], *args: Any, **kwargs: Any) -> Tensor:
    """The tensor that `trace(model, *args, **kwargs)` noted under `note_id`, made by running again.

    Returns a detached copy, as it was when it was noted.

    Raises:
        LookupError: the run has no such tensor.
    """
    module, _, args, kwargs = as_module(model, args, kwargs)
    module = with_sizes(module, args, kwargs) if is_lazy(module) else module
    captured = record(module, args, kwargs, capture=note_id).captured
    if captured is None:
        raise LookupError(f"This run has no tensor with the id {note_id}.")
    return captured

"""What went wrong, told when it goes wrong: nothing is recorded until a module raises.

The failing call is then run once more under the tracer, with the objects that the traceback still
holds, and the explanation becomes a note of the very exception that was raised.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from tracer import api
from tracer.api import diagnosed
from tracer.document import Failure, Trace
from tracer.language import translator
from tracer.record.construction import recording_construction
from tracer.record.crash import Mend
from tracer.record.eager import eager
from tracer.record.isolation import is_tried
from tracer.record.run import Cancelled, record
from tracer.record.scripts import Script, build_of, copied, frames_of, scripts
from tracer.source.built import of_user
from tracer.source.edits import with_edited_lines
from tracer.source.text import code_of
from tracer.views.text import failure_text

HEADING = "Shapewalk explains:"
MOST_STEPS = 200_000
"""Operations after which running the failing call again is given up: it may loop without end where
what it consumes is gone."""

_HERE = str(Path(__file__).parent) + "/"
_CALLS: frozenset[CodeType] = frozenset(
    code
    for function in (nn.Module._wrapped_call_impl, nn.Module._call_impl)
    if (code := code_of(function)) is not None
)
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_ACROSS_PROCESSES = ("torch.distributed", "torch.nn.parallel.distributed")
_EXPLAINED: ContextVar[bool] = ContextVar("explained", default=False)
_NOT_AGAIN = (MemoryError, torch.OutOfMemoryError)


def explain(language: str = "en", mend: bool = True) -> Explaining:
    """Explain what raises inside.

        with tracer.explain():
            loss = criterion(model(x), y)
            loss.backward()

    Until it fails nothing is slower but the construction of modules, whose arguments are noted, by
    some microseconds each.  Then the exception is the same one, with the explanation as
    its note (`__notes__`, which Python prints below the message): the outermost module call that
    raised is run once more on copies of its inputs, under the tracer; modules and the random state
    are left as they were.  Also a decorator: `@tracer.explain()`.

    `language` is that of the note (`tracer.language.LANGUAGES`).  With `mend=False` the note says
    all but what mends the failure, which takes the longest.

    The object that `as` gives holds the `trace` of that run afterwards, None when there was none.
    """
    return Explaining(language, mend)


class Explaining(contextlib.ContextDecorator):
    """The context of `explain`."""

    def __init__(self, language: str = "en", mend: bool = True) -> None:
        self.language = language
        self.mend = mend
        self.trace: Trace | None = None
        self._recording = contextlib.ExitStack()

    def __enter__(self) -> Explaining:
        self._recording.enter_context(recording_construction())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._recording.close()
        if error is not None and not told(error):
            self.trace = explained(error, self.mend)
            text = note(self.trace, self.language)
            if text:
                error.add_note(text)


def told(error: BaseException) -> bool:
    """Whether the exception carries an explanation already."""
    return any(str(each).startswith(HEADING) for each in getattr(error, "__notes__", ()))


def note(found: Trace | None, language: str = "en") -> str:
    """The explanation as a note; empty when there is none."""
    if found is None or found.failure is None:
        return ""
    text = failure_text(found.failure, sources=found.sources, translate=translator(language))
    return f"{HEADING}\n{text}"


def explained(error: BaseException, mend: Mend = True) -> Trace | None:
    """The trace of the call that raised `error`, run again; None when no call of a module or
    operation of torch raised it, or when it cannot be run again.  Never raises.  That the second
    run was given up becomes the error's note."""
    if not isinstance(error, Exception) or isinstance(error, _NOT_AGAIN):
        return None
    if is_tried() or _EXPLAINED.get():
        return None  # it was raised while another error is being explained
    fallback: Trace | None = None
    ran = False
    token = _EXPLAINED.set(True)
    try:
        for again in _attempts(error, mend):
            ran = True
            # What the code prints and warns of was seen the first time.
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                found = again()
            if found is not None and found.failure is not None:
                if _is_known(found.failure):
                    return found
                fallback = fallback or found
        return _read(error, fallback, ran)
    except Cancelled:
        given_up = f"Running the failing call again was given up after {MOST_STEPS:,} operations."
        error.add_note(f"{HEADING}\n{given_up}")
    except Exception:  # noqa: BLE001 - an explanation must never take the place of the error
        pass
    finally:
        _EXPLAINED.reset(token)
    return fallback


def _is_known(failure: Failure) -> bool:
    """Whether more is said of it than the exception's own words."""
    return failure.violation is not None and failure.violation.kind != "other"


def _read(error: Exception, fallback: Trace | None, ran: bool) -> Trace | None:
    """What can be read from the frames that the exception passed, without running anything."""
    from tracer.diagnosis import outside

    raised = outside.Raised.of(error)
    found = outside.answer(raised)
    if found is None and fallback is not None:
        return fallback
    found = found or outside.unknown(raised, ran)
    return with_edited_lines(outside.told(raised, found)) if found is not None else None


def traced(
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    values: bool = True,
    name: str | None = None,
    build: Callable[[], nn.Module] | None = None,
    most: int | None = None,
    dims: Mapping[str, str] | None = None,
    mend: Mend = True,
) -> Trace:
    """As `tracer.api.traced`, for no more than `most` steps.

    Raises:
        Cancelled: it took more than `most` steps.
    """
    watch = _most(most) if most is not None else None
    return api.traced(
        model,
        args,
        kwargs,
        values=values,
        name=name,
        build=build,
        watch=watch,
        dims=dims,
        mend=mend,
    )


def _most(most: int) -> Callable[[int], None]:
    def watch(steps: int) -> None:
        if steps > most:
            raise Cancelled

    return watch


# --- what is run again --------------------------------------------------------------------------


def _attempts(error: Exception, mend: Mend) -> Iterator[Callable[[], Trace | None]]:
    """Ways to run the failing call again, the one that tells most first."""
    frames = [
        each for each in frames_of(error.__traceback__) if not _file(each[0]).startswith(_HERE)
    ]
    position = next((i for i, (f, _) in enumerate(frames) if f.f_code in _CALLS), None)
    if position is None:
        if isinstance(error, AssertionError) and frames and of_user(_file(frames[-1][0])):
            return
        for script in scripts(frames):
            yield functools.partial(_script_again, script, error, mend)
        return
    called = frames[position][0].f_locals
    outer = called["self"]
    module = eager(outer)
    args, kwargs = tuple(called["args"]), dict(called["kwargs"])
    if type(module).__module__.startswith(_ACROSS_PROCESSES):
        return  # its other processes would not answer a second time
    if isinstance(error, AssertionError) and type(outer).__module__.startswith("torch.fx"):
        return  # a guard of an exported program, which is read from its frames
    for script in scripts(frames[:position]):
        # Alone it would tell nothing of the line that calls it, nor of what went before.
        if _is_torchs(module) or len(list(script.module.children())) > 1:
            yield functools.partial(_script_again, script, error, mend)
    yield functools.partial(_call_again, module, args, kwargs, error, mend)


def _file(frame: FrameType) -> str:
    return frame.f_code.co_filename


def _is_torchs(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.nn") and not isinstance(module, _CONTAINERS)


def _call_again(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], error: Exception, mend: Mend
) -> Trace | None:
    args, kwargs = tree_map_only(Tensor, copied, (args, kwargs))
    found = traced(module, args, kwargs, values=False, most=MOST_STEPS, mend=mend)
    compiled = found.failure is not None and found.failure.type != type(error).__name__
    return found if not compiled or _is_same(found.failure, error) else None


def _is_same(failure: Failure | None, error: Exception) -> bool:
    """Whether the second run failed as the first did.  A compiler has an error of its own, which
    names what the Python under it raises."""
    if failure is None:
        return False
    if type(error).__module__.startswith("torch._dynamo"):
        return True
    return failure.type == type(error).__name__


def _script_again(script: Script, error: Exception, mend: Mend) -> Trace | None:
    """The failing lines of a script once more; None where they do not fail in the same way."""
    found = record(script.module, script.args, {}, name=script.name, watch=_most(MOST_STEPS))
    failure = found.trace.failure
    if failure is None or found.crash is None or not _is_same(failure, error):
        return None
    if not failure.operands:
        return None  # without a tensor there is nothing to tell beyond the exception's own words
    told = diagnosed(dataclasses.replace(found.crash, build=build_of(script.module)), mend)
    if failure.step is None and told.failure is not None and not _is_known(told.failure):
        return None  # the script's own refusal, or what it expects of values
    return told

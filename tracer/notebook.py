"""In a notebook, after `%load_ext tracer`: `%%shapes` runs a cell and shows it with its shapes and
the player; below the traceback of a cell that failed in a module or an operation stands why.

IPython is what calls this; it is not imported here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import html
from types import TracebackType
from typing import Any

from torch import nn

from tracer.document import Trace, with_notes
from tracer.explaining import explained, note, told
from tracer.record.construction import recording_construction
from tracer.record.isolation import random_states
from tracer.record.run import record
from tracer.views.html import notebook
from tracer.views.text import program

MOST_BYTES = 1_000_000
"""What one cell shows at most; pictures are left out where it would be more, then the player."""

_recording = contextlib.ExitStack()


def load_ipython_extension(shell: Any) -> None:
    """What `%load_ext tracer` calls."""
    magic = _Magic(shell)
    _recording.enter_context(recording_construction())
    shell.register_magic_function(magic.shapes, magic_kind="cell", magic_name="shapes")
    shell.set_custom_exc((Exception,), magic.explain)


def unload_ipython_extension(shell: Any) -> None:
    """What `%unload_ext tracer` calls."""
    _recording.close()
    shell.magics_manager.magics["cell"].pop("shapes", None)
    shell.set_custom_exc((), None)


class _Magic:
    """`%%shapes`, and what is said of an error.  `recording` is true while a cell is recorded, in
    which nothing else is to run; `told` is the error that the reader has seen with its reason."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.recording = False
        self.told: BaseException | None = None

    def explain(
        self,
        shell: Any,
        kind: type[BaseException],
        error: BaseException,
        traceback: TracebackType | None,
        tb_offset: int | None = None,
    ) -> None:
        """The traceback as it is, and below it why, where that is known."""
        if error is self.told:
            return
        shell.showtraceback((kind, error, traceback), tb_offset=tb_offset)
        if not self.recording:
            self.why(error)

    def why(self, error: BaseException) -> None:
        text = "" if told(error) else note(explained(error))
        if text:
            self.shell.display_pub.publish({"text/plain": text})

    def shapes(self, line: str, text: str) -> None:
        """Run the cell as it would run, and show it with the shapes of the run.

        Raises:
            Exception: the cell's own.
        """
        text = f"# %%shapes\n{text}"  # the lines are those of the cell
        cell = _Cell(self.shell, text)
        self.recording = True
        try:
            found = record(cell, (), {}, values=True, name="cell", restore=False, everywhere=True)
        finally:
            self.recording = False
        for put, state in cell.after:
            put(state)
        if cell.error is not None:
            self.why(cell.error)
        if found.trace.steps:
            outermost = {c.module: c.parameters for c in found.trace.calls if c.parent == 0}
            trace = dataclasses.replace(found.trace, parameters=sum(outermost.values()))
            shown = program(trace, text) or str(trace)
            page = {"text/plain": shown, "text/html": _page(trace, shown)}
            self.shell.display_pub.publish(page)
        if cell.error is not None:
            self.told = cell.error
            raise cell.error


class _Cell(nn.Module):
    """A cell as a module; the modules of the notebook are its parts, by their names there."""

    def __init__(self, shell: Any, text: str) -> None:
        super().__init__()
        self.after: list[tuple[Any, Any]] = []
        self.error: BaseException | None = None
        self.shell, self.text = shell, text
        for name, value in list(shell.user_ns.items()):
            if isinstance(value, nn.Module) and not name.startswith("_"):
                self._modules.setdefault(name, value)

    def forward(self) -> None:
        result = self.shell.run_cell(self.text)
        self.error = result.error_in_exec or result.error_before_exec
        self.after = [*random_states()]  # the cell has drawn what it has


def _page(trace: Trace, shown: str) -> str:
    head = f"<pre>{html.escape(shown)}</pre>"
    for each in (trace, _without(trace, "corner"), _without(trace, "corner", "heatmap")):
        page = head + notebook(each)
        if len(page) <= MOST_BYTES:
            return page
    return head


def _without(trace: Trace, *fields: str) -> Trace:
    """The trace whose tensors have less of themselves."""
    none: dict[str, Any] = dict.fromkeys(fields)
    notes = trace.tensors().values()
    return with_notes(trace, {each.id: dataclasses.replace(each, **none) for each in notes})

"""`shapewalk lsp`: shapes, failures and fixes in an editor, over the Language Server Protocol.

When a file is saved, the models that the project names (`tracer.check`) run apart; then the shapes
stand behind the lines that assign them, what fails is marked with its root and operands, fixes that
were run are offered, and a tensor's numbers show where one points.  Lines that were changed since
keep silent.  https://microsoft.github.io/language-server-protocol
"""

from __future__ import annotations

import asyncio
import difflib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer
from pygls.uris import from_fs_path, to_fs_path

import tracer
from shapewalk.apart import run
from tracer.__main__ import parsed
from tracer.check import ProjectError, project
from tracer.document import Fix, Place, Span, Step, Trace
from tracer.ops.names import shape_text
from tracer.views.answer import Finding, findings, sizes, source
from tracer.views.beside import beside

SOURCE = "shapewalk"
_LEVELS = {"error": lsp.DiagnosticSeverity.Error, "warning": lsp.DiagnosticSeverity.Warning}


@dataclass(frozen=True)
class Ran:
    """One entry of the project: its run, None where it could not begin, and why."""

    entry: str
    trace: Trace | None
    problem: str


@dataclass
class Seen:
    """What the last runs said: the text of each file as it was read then, and the runs."""

    runs: list[Ran] = field(default_factory=list)
    texts: dict[str, list[str]] = field(default_factory=dict)
    marked: set[str] = field(default_factory=set)


class Shapes(LanguageServer):
    """The server.  One run at a time; who saves while one is going on is answered by the next."""

    def __init__(self) -> None:
        super().__init__("shapewalk", tracer.__version__)
        self.seen = Seen()
        self.asked = 0
        self.turn = asyncio.Lock()

    async def look(self, path: Path) -> None:
        """Run the project of a file, unless another save came meanwhile, and tell the editor."""
        self.asked += 1
        mine = self.asked
        async with self.turn:
            if mine != self.asked:
                return
            try:
                found = project(path.parent)
            except ProjectError as error:
                self.window_log_message(lsp.LogMessageParams(lsp.MessageType.Info, str(error)))
                return
            os.chdir(found.folder)
            runs = await asyncio.to_thread(lambda: [ran(entry) for entry in found.entries])
        texts = {file: lines_of(file) for each in runs for file in files_of(each.trace)}
        before, self.seen = self.seen, Seen(runs, texts)
        self.tell(before.marked)

    def tell(self, before: set[str]) -> None:
        """Publish what was found, file by file; files without findings are cleared."""
        told: dict[str, list[lsp.Diagnostic]] = {}
        for each in self.seen.runs:
            for finding in findings(each.trace) if each.trace is not None else ():
                if finding.place.file:
                    diagnostic = self.diagnostic(finding, each.trace)
                    known = told.setdefault(uri_of(finding.place.file), [])
                    if diagnostic not in known:  # two entries may meet at one line
                        known.append(diagnostic)
            if each.problem:
                text = f"{each.entry}: {each.problem}"
                self.window_log_message(lsp.LogMessageParams(lsp.MessageType.Warning, text))
        self.seen.marked = set(told)
        for uri in before | set(told):
            self.text_document_publish_diagnostics(
                lsp.PublishDiagnosticsParams(uri, told.get(uri, []))
            )
        capabilities = self.client_capabilities.workspace
        hints = capabilities.inlay_hint if capabilities is not None else None
        if hints is not None and hints.refresh_support:
            self.workspace_inlay_hint_refresh(None)

    # --- what is asked ------------------------------------------------------------------------

    def hints(self, uri: str, within: lsp.Range) -> list[lsp.InlayHint]:
        now = self.workspace.get_text_document(uri).lines
        file = self.known_as(uri)
        places = self.here(file, uri)
        found = []
        for line, text in hints(self.seen.runs, file).items():
            at = places.get(line)
            if at is None or not within.start.line <= at - 1 <= within.end.line:
                continue
            end = len(now[at - 1].rstrip())
            where = self.span(Span(at, end, at, end), now).start
            found.append(lsp.InlayHint(where, text, lsp.InlayHintKind.Type, padding_left=True))
        return found

    def hover(self, uri: str, position: lsp.Position) -> lsp.Hover | None:
        now = self.workspace.get_text_document(uri).lines
        file = self.known_as(uri)
        asked = self.workspace.position_codec.position_from_client_units(now, position)
        was = {at: line for line, at in self.here(file, uri).items()}.get(asked.line + 1)
        step = innermost(self.seen.runs, file, was, asked.character) if was is not None else None
        if step is None:
            return None
        return lsp.Hover(lsp.MarkupContent(lsp.MarkupKind.Markdown, described(step)))

    def fixes(self, uri: str, within: lsp.Range) -> list[lsp.CodeAction]:
        """The fixes of what fails there, while no file that they touch was changed since."""
        found: list[lsp.CodeAction] = []
        for place, fix in offered(self.seen.runs):
            here = self.range(place)
            apart = within.end.line < here.start.line or here.end.line < within.start.line
            touched = {edit.file for edit in fix.edits} | {place.file}
            if apart or uri_of(place.file) != uri or not all(map(self.unchanged, touched)):
                continue
            changes: dict[str, list[lsp.TextEdit]] = {}
            for edit in fix.edits:
                change = lsp.TextEdit(
                    self.span(edit.span, self.seen.texts[edit.file]), edit.replacement
                )
                changes.setdefault(uri_of(edit.file), []).append(change)
            title = " ".join(text for text in fix.told() if text)
            found.append(
                lsp.CodeAction(
                    title,
                    kind=lsp.CodeActionKind.QuickFix,
                    is_preferred=not found,
                    edit=lsp.WorkspaceEdit(changes),
                )
            )
        return found

    def known_as(self, uri: str) -> str:
        """The name under which the runs know a file; empty if they do not."""
        return next((file for file in self.seen.texts if uri_of(file) == uri), "")

    def unchanged(self, file: str) -> bool:
        """Whether a file is as it was when it was run, in the editor too."""
        kept = self.seen.texts.get(file)
        return (
            kept is not None and list(self.workspace.get_text_document(uri_of(file)).lines) == kept
        )

    # --- what was run, as the protocol has it ---------------------------------------------------

    def diagnostic(self, finding: Finding, trace: Trace | None) -> lsp.Diagnostic:
        related = []
        failure = trace.failure if trace is not None else None
        if finding.level == "error" and failure is not None:
            for link in failure.chain[:-1]:
                if link.place.file:
                    related.append(self.related(link.place, link.told()))
            for operand in failure.operands:
                if operand.file and operand.line:
                    shape = f"{operand.expression} {shape_text(operand.note.shape)}"
                    related.append(self.related(line_place(operand.file, operand.line), shape))
        return lsp.Diagnostic(
            range=self.range(finding.place),
            message="\n".join(text for text in (finding.message, finding.reason) if text),
            severity=_LEVELS[finding.level],
            code=finding.code,
            source=SOURCE,
            related_information=related or None,
        )

    def related(self, place: Place, message: str) -> lsp.DiagnosticRelatedInformation:
        where = lsp.Location(uri_of(place.file), self.range(place))
        return lsp.DiagnosticRelatedInformation(where, message)

    def range(self, place: Place) -> lsp.Range:
        lines = self.seen.texts.get(place.file) or []
        if place.span is not None:
            return self.span(place.span, lines)
        line = lines[place.line - 1] if 0 < place.line <= len(lines) else ""
        indent = len(line) - len(line.lstrip())
        return self.span(Span(place.line, indent, place.line, len(line.rstrip())), lines)

    def span(self, span: Span, lines: Sequence[str]) -> lsp.Range:
        """Columns as the client counts them."""
        start = lsp.Position(span.line - 1, span.column)
        end = lsp.Position(span.end_line - 1, span.end_column)
        codec = self.workspace.position_codec
        return codec.range_to_client_units(list(lines), lsp.Range(start, end))

    def here(self, file: str, uri: str) -> dict[int, int]:
        """Where the lines that were run are in the text as it is now, by their numbers from 1;
        those that were changed are nowhere."""
        now = self.workspace.get_text_document(uri).lines
        matcher = difflib.SequenceMatcher(None, self.seen.texts.get(file, []), now, autojunk=False)
        return {
            block.a + step + 1: block.b + step + 1
            for block in matcher.get_matching_blocks()
            for step in range(block.size)
        }


# --- runs ---------------------------------------------------------------------------------------


def ran(entry: str) -> Ran:
    """An entry, run apart, with formulas where its inputs are written with letters."""
    try:
        options = parsed(entry)
    except ProjectError as error:
        return Ran(entry, None, str(error))
    arguments = dict(each.partition("=")[::2] for each in options.arg)
    letters = dict(each.partition("=")[::2] for each in options.size)
    trace, problem = run(
        options.target,
        options.input,
        arguments,
        {name: int(size) for name, size in letters.items() if size.isdecimal()},
        options.train,
        formulas=bool(letters) or options.symbols,
        values=not options.shapes_only,
    )
    return Ran(entry, trace, problem)


def files_of(trace: Trace | None) -> set[str]:
    """The files that a run went through and that can be edited here."""
    if trace is None:
        return set()
    found = {step.place.file for step in trace.steps}
    if trace.failure is not None:
        found |= {trace.failure.place.file, *(link.place.file for link in trace.failure.chain)}
        found |= {operand.file for operand in trace.failure.operands}
        found |= {edit.file for fix in trace.failure.fixes for edit in fix.edits}
    return {file for file in found if file and Path(file).is_file()}


def lines_of(file: str) -> list[str]:
    try:
        return source(file).splitlines(keepends=True)
    except (OSError, ValueError):
        return []


def uri_of(file: str) -> str:
    return from_fs_path(str(Path(file).resolve())) or ""


def line_place(file: str, line: int) -> Place:
    return Place(file, line, "", None, None, "", "", None)


# --- hints and hovers ---------------------------------------------------------------------------


def hints(runs: Iterable[Ran], file: str) -> dict[int, str]:
    """What stands behind the lines of a file, by the line on which a statement ends: the shapes
    that it made; `…` where another round or another entry made others."""
    found: dict[int, list[str]] = {}
    for each in runs:
        told = beside(each.trace, file, sizes) if each.trace is not None else {}
        for line, texts in told.items():
            found.setdefault(line, []).extend(texts)
    return {line: texts[0] + " …" * (len(set(texts)) > 1) for line, texts in found.items()}


def innermost(runs: Iterable[Ran], file: str, line: int, column: int) -> Step | None:
    """The step of the smallest expression around a place; columns count from 0."""
    best: tuple[int, int, Step] | None = None
    for each in runs:
        for step in each.trace.steps if each.trace is not None else ():
            span = step.place.span
            if step.place.file != file or span is None:
                continue
            if (span.line, span.column) <= (line, column) <= (span.end_line, span.end_column):
                size = (span.end_line - span.line, span.end_column - span.column)
                if best is None or size < best[:2]:
                    best = (*size, step)
    return best[2] if best is not None else None


def described(step: Step) -> str:
    """A step as Markdown: its operands and results with shapes, formulas, kinds and statistics."""
    rows = [f"```python\n{step.expression}\n```"]
    for head, notes in (("from", step.inputs), ("gives", step.outputs)):
        for note in notes:
            formula = f" = `{sizes(note)}`" if note.dims else ""
            name = f"`{note.name}` " if note.name else ""
            rows.append(f"{head} {name}`{shape_text(note.shape)}`{formula} {note.dtype}")
            stats = note.stats
            if head == "gives" and stats is not None and stats.mean is not None:
                rows.append(
                    f"minimum {stats.minimum:.4g}, mean {stats.mean:.4g}, "
                    f"maximum {stats.maximum:.4g}"
                )
    return "\n\n".join(rows)


def offered(runs: Iterable[Ran]) -> Iterator[tuple[Place, Fix]]:
    """Where a run failed, and the edits that were run and held, best first."""
    for each in runs:
        failure = each.trace.failure if each.trace is not None else None
        if failure is not None:
            yield from ((failure.place, fix) for fix in failure.fixes if fix.verified and fix.edits)


# --- the protocol -------------------------------------------------------------------------------


def server() -> Shapes:
    """The server with its handlers."""
    made = Shapes()

    @made.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    async def opened(ls: Shapes, params: lsp.DidOpenTextDocumentParams) -> None:
        path = to_fs_path(params.text_document.uri)
        if path is not None and not ls.known_as(params.text_document.uri):
            await ls.look(Path(path))

    @made.feature(lsp.TEXT_DOCUMENT_DID_SAVE)
    async def saved(ls: Shapes, params: lsp.DidSaveTextDocumentParams) -> None:
        path = to_fs_path(params.text_document.uri)
        if path is not None:
            await ls.look(Path(path))

    @made.feature(lsp.TEXT_DOCUMENT_INLAY_HINT)
    def inlay(ls: Shapes, params: lsp.InlayHintParams) -> list[lsp.InlayHint]:
        return ls.hints(params.text_document.uri, params.range)

    @made.feature(lsp.TEXT_DOCUMENT_HOVER)
    def hover(ls: Shapes, params: lsp.HoverParams) -> lsp.Hover | None:
        return ls.hover(params.text_document.uri, params.position)

    kinds = lsp.CodeActionOptions(code_action_kinds=[lsp.CodeActionKind.QuickFix])

    @made.feature(lsp.TEXT_DOCUMENT_CODE_ACTION, kinds)
    def actions(ls: Shapes, params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
        return ls.fixes(params.text_document.uri, params.range)

    return made

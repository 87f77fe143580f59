"""`shapewalk lsp` as an editor meets it: a client of the protocol starts it, over its own pipes."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types as lsp
from pygls.lsp.client import LanguageClient

ROOT = Path(__file__).parents[1]
LONGEST = 300.0

NET = """\
from torch import nn

from layers import Head


class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.head = Head(width)

    def forward(self, x):
        y = self.conv(x)
        "🐎"; pooled = y.mean((2, 3))
        return self.head(pooled)
"""

LAYERS = """\
from torch import nn


class Head(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc = nn.Linear(width, 10)

    def forward(self, x):
        return self.fc(x)
"""

PROJECT = """\
[tool.shapewalk]
entries = ["net.py:Net --input B,3,H,W --size B=2 --size H=9 --size W=9"]
"""


class Editor:
    """A client that keeps what it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.client = LanguageClient("editor", "1")
        self.found: dict[str, list[lsp.Diagnostic]] = {}
        self.log: list[str] = []
        self.told: asyncio.Queue[None] = asyncio.Queue()
        self.version = 1

        @self.client.feature(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def published(params: lsp.PublishDiagnosticsParams) -> None:
            self.found[params.uri] = list(params.diagnostics)

        @self.client.feature(lsp.WINDOW_LOG_MESSAGE)
        def logged(params: lsp.LogMessageParams) -> None:
            self.log.append(params.message)

        @self.client.feature(lsp.WORKSPACE_INLAY_HINT_REFRESH)
        def refreshed(_: Any) -> None:
            self.told.put_nowait(None)

    async def start(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "shapewalk", "lsp"]
        await self.client.start_io(*command, cwd=self.folder, env=environment)
        hints = lsp.InlayHintWorkspaceClientCapabilities(refresh_support=True)
        await self.client.initialize_async(
            lsp.InitializeParams(
                capabilities=lsp.ClientCapabilities(
                    workspace=lsp.WorkspaceClientCapabilities(inlay_hint=hints)
                ),
                root_uri=self.folder.as_uri(),
            )
        )
        self.client.initialized(lsp.InitializedParams())

    def uri(self, name: str) -> str:
        return (self.folder / name).as_uri()

    def open(self, name: str) -> None:
        text = (self.folder / name).read_text(encoding="utf-8")
        item = lsp.TextDocumentItem(self.uri(name), "python", self.version, text)
        self.client.text_document_did_open(lsp.DidOpenTextDocumentParams(item))

    def change(self, name: str, before: str, after: str) -> None:
        file = self.folder / name
        text = file.read_text(encoding="utf-8")
        assert before in text
        self.version += 1
        document = lsp.VersionedTextDocumentIdentifier(self.version, self.uri(name))
        whole = lsp.TextDocumentContentChangeWholeDocument(text.replace(before, after))
        self.client.text_document_did_change(lsp.DidChangeTextDocumentParams(document, [whole]))

    def save(self, name: str, text: str) -> None:
        self.version += 1
        (self.folder / name).write_text(text, encoding="utf-8")
        document = lsp.VersionedTextDocumentIdentifier(self.version, self.uri(name))
        whole = lsp.TextDocumentContentChangeWholeDocument(text)
        self.client.text_document_did_change(lsp.DidChangeTextDocumentParams(document, [whole]))
        identifier = lsp.TextDocumentIdentifier(self.uri(name))
        self.client.text_document_did_save(lsp.DidSaveTextDocumentParams(identifier))

    async def answer(self) -> None:
        """Wait for the next run to be told."""
        await asyncio.wait_for(self.told.get(), LONGEST)

    async def hints(self, name: str) -> dict[int, str]:
        whole = lsp.Range(lsp.Position(0, 0), lsp.Position(100, 0))
        parameters = lsp.InlayHintParams(lsp.TextDocumentIdentifier(self.uri(name)), whole)
        found = await self.client.text_document_inlay_hint_async(parameters)
        return {hint.position.line + 1: str(hint.label) for hint in found or ()}

    async def hover(self, name: str, line: int, character: int) -> str:
        place = lsp.Position(line - 1, character)
        parameters = lsp.HoverParams(lsp.TextDocumentIdentifier(self.uri(name)), place)
        found = await self.client.text_document_hover_async(parameters)
        return found.contents.value if found is not None else ""

    async def fixes(self, name: str, line: int) -> list[lsp.CodeAction]:
        where = lsp.Range(lsp.Position(line - 1, 0), lsp.Position(line - 1, 0))
        parameters = lsp.CodeActionParams(
            lsp.TextDocumentIdentifier(self.uri(name)), where, lsp.CodeActionContext([])
        )
        return list(await self.client.text_document_code_action_async(parameters) or ())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    (tmp_path / "layers.py").write_text(LAYERS, encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    return tmp_path


def with_editor(folder: Path, *what: Callable[[Editor], Coroutine[Any, Any, None]]) -> None:
    """What somebody does in one session, one after the other."""

    async def session() -> None:
        editor = Editor(folder)
        await editor.start()
        try:
            for each in what:
                await each(editor)
        finally:
            await editor.client.shutdown_async(None)
            editor.client.exit(None)
            await editor.client.stop()

    asyncio.run(session())


async def shapes_stand_behind_the_lines_that_make_them(editor: Editor) -> None:
    """And outlive what does not parse."""
    editor.open("net.py")
    await editor.answer()
    expected = {13: "(B, 8, H − 2, W − 2)", 14: "(B, 8)", 15: "(B, 10)"}
    assert await editor.hints("net.py") == expected
    assert await editor.hints("layers.py") == {10: "(B, 10)"}
    assert not any(editor.found.values())

    text = await editor.hover("net.py", 13, 17)
    assert "self.conv(x)" in text
    assert "`(2, 8, 7, 7)`" in text
    assert "mean" in text
    assert not await editor.hover("net.py", 1, 2)

    # A horse takes two of the protocol's units, and one character of Python.
    assert "y.mean" in await editor.hover("net.py", 14, NET.splitlines()[13].index("y.mean") + 1)

    # What was changed since keeps silent, what moved goes along.
    editor.change(
        "net.py", "        y = self.conv(x)\n", "        z = 1\n        y = self.conv( x)\n"
    )
    assert set(await editor.hints("net.py")) == {15, 16}

    # What is saved while one types is said, and lasts no longer.
    editor.save("net.py", NET + "\ndef (:\n")
    await editor.answer()
    assert any("net.py:17" in line for line in editor.log)
    editor.save("net.py", NET + "\nprint('to standard output')\n")
    await editor.answer()
    assert await editor.hints("layers.py")


async def a_failure_is_marked_with_its_root_and_mended_by_a_quick_fix(editor: Editor) -> None:
    editor.open("layers.py")
    broken = NET.replace("width=8", "width=6")
    editor.save("net.py", broken)
    await editor.answer()
    [found] = editor.found[editor.uri("layers.py")]
    assert (found.code, found.severity) == ("SW-width", lsp.DiagnosticSeverity.Error)
    assert found.range == lsp.Range(lsp.Position(9, 15), lsp.Position(9, 25))
    assert "8 ≠ 6" in found.message
    related = found.related_information or []
    assert editor.uri("net.py") in {each.location.uri for each in related}

    offered = await editor.fixes("layers.py", 10)
    assert offered
    assert offered[0].is_preferred
    assert not await editor.fixes("layers.py", 2)
    assert offered[0].edit is not None
    changed = {}
    for uri, edits in (offered[0].edit.changes or {}).items():
        name = Path(uri).name
        lines = (editor.folder / name).read_text(encoding="utf-8").splitlines(keepends=True)
        for edit in sorted(edits, key=lambda each: -each.range.start.line):
            assert edit.range.start.line == edit.range.end.line
            line = lines[edit.range.start.line]
            start, end = edit.range.start.character, edit.range.end.character
            lines[edit.range.start.line] = line[:start] + edit.new_text + line[end:]
        changed[name] = "".join(lines)
    for name, text in changed.items():
        editor.save(name, text)
        await editor.answer()
    assert not any(editor.found.values())

    # After a change nothing is offered that was made for another text.
    editor.save("net.py", broken)
    await editor.answer()
    if any(editor.found.values()):
        editor.change("layers.py", "nn.Linear(", "nn.Linear( ")
        assert not await editor.fixes("layers.py", 10)


def test_shapes_and_failures_stand_where_they_belong(folder: Path) -> None:
    with_editor(
        folder,
        shapes_stand_behind_the_lines_that_make_them,
        a_failure_is_marked_with_its_root_and_mended_by_a_quick_fix,
    )


def test_a_folder_that_names_no_models_says_how(folder: Path) -> None:
    (folder / "pyproject.toml").unlink()

    async def told(editor: Editor) -> None:
        editor.open("net.py")
        assert await editor.hints("net.py") == {}
        while not editor.log:
            await asyncio.sleep(0.1)
        assert any("[tool.shapewalk]" in line for line in editor.log)

    with_editor(folder, told)

"""The site of documentation: it is built without a network, and every example on it is run.

In a page a block of `python` is run, those of one page after each other; one that has a title is
written to the file of this name instead, as `toml` is.  A block of `console` runs its commands.
What they print is the block of `text` that follows, or what stands below the command; of what goes
to the standard error the explanation alone, since a traceback names places of this machine.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import socket
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tracer.explaining import HEADING

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if page.parent.name != "errors")
# How long a run took, and which build of torch ran it.
TOOK = re.compile(r"(?<= in )[\d.,]+ (µs|ms|s)\b|(?<=, torch )\S+")
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```\n', re.DOTALL | re.MULTILINE)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder in which one works; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    # What is printed is as wide on every terminal.
    monkeypatch.setenv("COLUMNS", "80")
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None and Path(file).is_relative_to(tmp_path):
            del sys.modules[name]


def commanded(block: str) -> str:
    """A block of `console` as it is when its commands are run now."""
    from shapewalk.__main__ import main

    told = []
    for line in block.splitlines():
        if not line.startswith("$ "):
            continue
        program, *arguments = shlex.split(line[2:])
        assert program == "shapewalk", f"no example runs {program}"
        printed, errors = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
            patch.setattr(sys, "argv", [program, *arguments])
            with contextlib.redirect_stderr(errors), contextlib.suppress(SystemExit):
                main()
        explanation = "".join(errors.getvalue().partition(HEADING)[1:])
        told.append(f"{line}\n{explanation}{printed.getvalue().rstrip()}\n")
    return "\n".join(told)


def as_run(page: str) -> str:
    """The page with what its examples print now."""
    scope: dict[str, object] = {"__name__": "page"}
    printed: str | None = None

    def again(found: re.Match[str]) -> str:
        nonlocal printed
        language, title, block = found.groups()
        before, printed = printed, None
        if title is not None:
            Path(title).write_text(block, encoding="utf-8")
        elif language == "python":
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                exec(compile(block, "page", "exec"), scope)
            printed = output.getvalue()
        elif language == "console":
            return f"```console\n{commanded(block)}```\n"
        elif language == "text" and before is not None:
            return f"```text\n{before}```\n"
        return found[0]

    return BLOCK.sub(again, page)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(DOCS).as_posix())
def test_a_page_shows_what_its_examples_print(
    path: Path, workplace: Path, request: pytest.FixtureRequest
) -> None:
    page = path.read_text(encoding="utf-8")
    told = as_run(page)
    if request.config.getoption("--rewrite-golden"):
        path.write_text(told, encoding="utf-8")
    else:
        assert TOOK.sub("…", told) == TOOK.sub("…", page)


class _Loaded(HTMLParser):
    """What a page makes a browser load."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "img", "iframe", "source") and given.get("src"):
            self.addresses.append(str(given["src"]))
        elif tag == "link" and given.get("rel") not in ("canonical", "next", "prev", "edit"):
            self.addresses.append(str(given["href"]))


def test_the_site_is_built_without_a_network_and_needs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    def refused(*_: object) -> None:
        raise AssertionError("The site asked the network.")

    monkeypatch.setattr(socket.socket, "connect", refused)
    site = tmp_path / "site"
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(site), strict=True))
    built = {page.relative_to(site).with_suffix("").as_posix() for page in site.rglob("*.html")}
    # Every page of the folder is there, and the site's own "not found".
    told = {page.relative_to(DOCS).with_suffix("").as_posix() for page in DOCS.rglob("*.md")}
    assert {name.replace("README", "index") for name in told} == built - {"404"}
    for page in site.rglob("*.html"):
        loaded = _Loaded()
        loaded.feed(page.read_text(encoding="utf-8"))
        assert not [a for a in loaded.addresses if re.match(r"(\w+:)?//", a)], page.name

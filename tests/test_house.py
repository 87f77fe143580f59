"""The pages for the next person name what is there, and no function grows without a reason."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

from tests.tracer.test_imports import ROOMS

ROOT = Path(__file__).parents[1]
FOLDERS = ("tracer", "shapewalk", "ui", "pages", "modules", "benchmarks", "deploy", "docs")
LONGEST = 60
NAMED = re.compile(r"`((?:[\w.-]+/)*[\w.-]+\.(?:py|js|css|po|md|toml|txt|html)|(?:[\w.-]+/)+)`")
LINE = re.compile(r"^- `([^`]+)`: \S", re.MULTILINE)


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def sources() -> set[str]:
    """Every file of code, by its path from the top."""
    found = {"app.py", "served.py"}
    for folder in FOLDERS:
        for ending in ("*.py", "*.js", "*.css"):
            found |= {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob(ending)}
    return found


def test_every_file_has_one_line_in_the_architecture() -> None:
    listed = [name for name in LINE.findall(text("ARCHITECTURE.md")) if "*" not in name]
    assert len(listed) == len(set(listed))
    assert set(listed) == sources()


def test_the_architecture_names_the_rooms_in_the_order_of_imports() -> None:
    order = re.findall(r"^\d+\. \*\*([a-z]+)\*\*", text("ARCHITECTURE.md"), re.MULTILINE)
    assert order == list(ROOMS)


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"])
def test_every_file_that_a_page_names_exists(page: str) -> None:
    made = ("net.py", "run.json", "run.html", "walk.html", "train.py", "net.py.orig")
    known = {*made, *(Path(name).name for name in sources())}
    missing = {
        name
        for name in NAMED.findall(text(page))
        if name not in known and "NAME" not in name and not (ROOT / name).exists()
    }
    assert not missing


@functools.cache
def functions() -> list[tuple[str, str, int, bool]]:
    """File, name and length of each function, and whether a reason stands above it."""
    found = []
    for name in sorted(sources()):
        # A lesson is read from top to bottom, as its paper is.
        if name.endswith(".py") and not name.startswith("modules/"):
            lines = text(name).split("\n")
            for node in ast.walk(ast.parse("\n".join(lines))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                    reason = lines[first - 2].lstrip().startswith("# long: ")
                    length = (node.end_lineno or node.lineno) - node.lineno + 1
                    found.append((name, node.name, length, reason))
    return found


def test_a_long_function_has_a_reason_above_it() -> None:
    long = {f"{f}:{name} ({n} lines)" for f, name, n, why in functions() if n > LONGEST and not why}
    assert not long


def test_a_reason_for_length_stands_above_long_functions_alone() -> None:
    short = {f"{f}:{name}" for f, name, n, reason in functions() if reason and n <= LONGEST}
    assert not short

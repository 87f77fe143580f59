"""Imports point one way: from the doors down to the document, lazy ones included."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

HERE = Path(__file__).parents[2] / "tracer"

# From top to bottom; what is a folder stands for all that is in it.
ROOMS = {
    "doors": ["__init__", "__main__", "check", "notebook", "pytest_plugin", "worker"],
    "api": [
        "api",
        "arguments",
        "asserting",
        "checks",
        "configurations",
        "explaining",
        "fitting",
        "gathered",
        "holding",
        "reading",
        "settings",
        "symbolic",
        "unbuilt",
    ],
    "views": ["views"],
    "diagnosis": ["diagnosis"],
    "formulas": ["formulas"],
    "record": ["record", "inputs", "given"],
    "ops": ["ops"],
    "source": ["source"],
    "sandbox": ["sandbox", "outline", "installed"],
    "document": [
        "document",
        "arithmetic",
        "endings",
        "sentences",
        "language",
        "patches",
        "strict",
        "syntax",
    ],
}
FLOOR = {name: floor for floor, names in enumerate(ROOMS.values()) for name in names}

FILES = {
    ".".join(path.relative_to(HERE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in HERE.rglob("*.py")
}


@functools.cache
def nodes_of(name: str) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(FILES[name].read_text(encoding="utf-8"))))


def imported(name: str, types: bool = True) -> set[str]:
    """The files of tracer that a file imports, wherever in it; those for a type checker too."""
    found: set[str] = set()
    nodes = nodes_of(name)
    checked = [each for each in nodes if isinstance(each, ast.If) and is_type_checking(each)]
    only_types = {inner for each in checked for inner in ast.walk(each)}
    for node in nodes if types else [each for each in nodes if each not in only_types]:
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: write imports in full"
            whole = {f"{node.module}.{each.name}" for each in node.names}
            found |= {each if within(each) in FILES else str(node.module) for each in whole}
    return {within(each) for each in found if each.split(".")[0] == "tracer"} - {name}


def is_type_checking(node: ast.If) -> bool:
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def within(dotted: str) -> str:
    return "__init__" if dotted == "tracer" else dotted.removeprefix("tracer.")


def floor(name: str) -> int:
    return FLOOR[name.split(".")[0]]


def test_every_file_has_its_room() -> None:
    assert {name.split(".")[0] for name in FILES} == set(FLOOR)


def test_imports_point_down() -> None:
    up = {(name, other) for name in FILES for other in imported(name) if floor(other) < floor(name)}
    assert not up, "the first imports what stands above it"


def test_no_circle() -> None:
    list(TopologicalSorter({name: imported(name, types=False) for name in FILES}).static_order())


def test_private_names_stay_in_their_file() -> None:
    taken = {
        (name, f"{node.module}.{each.name}")
        for name in FILES
        for node in nodes_of(name)
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "tracer"
        for each in node.names
        if each.name.startswith("_")
    }
    assert not taken


def test_no_page_and_no_lesson_is_imported() -> None:
    roots = {
        (name, str(each).split(".")[0])
        for name in FILES
        for node in nodes_of(name)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for each in ([node.module] if isinstance(node, ast.ImportFrom) else [])
        + [each.name for each in node.names if isinstance(node, ast.Import)]
    }
    assert not [found for found in roots if found[1] in ("streamlit", "ui", "modules", "pages")]


def test_a_saved_trace_needs_no_torch() -> None:
    for name in FILES:
        if name.split(".")[0] in ("document", "sentences", "ops", "views"):
            text = FILES[name].read_text(encoding="utf-8")
            assert "import torch" not in text
            assert "from torch" not in text


def test_importing_the_tracer_loads_neither_formulas_nor_player() -> None:
    code = "import sys, tracer; print(*(n for n in sys.modules if n.startswith('tracer.')))"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = ("tracer.formulas", "tracer.diagnosis", "tracer.views.html", "tracer.views.player")
    assert not [name for name in found if name.startswith(heavy)]


def test_a_torch_that_is_too_old_is_told_in_one_sentence() -> None:
    code = "import torch; torch.__version__ = type(torch.__version__)('2.5.1+cpu'); "
    found = subprocess.run(
        [sys.executable, "-c", code + "import tracer; tracer.trace"], capture_output=True, text=True
    )
    wanted = "ImportError: Shapewalk needs torch 2.6 or newer, and 2.5.1+cpu is installed here"
    assert found.stderr.splitlines()[-1].startswith(wanted)

"""The classes of modules of the installed packages, found without running them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracer import installed

PACKAGE = {
    "__init__.py": "from zoo.layers import Gate\n",
    "layers.py": """\
from torch import nn


class Base(nn.Module):
    pass


class Gate(
    Base,
):
    pass


class GatedUnit(Gate):
    pass


class _Hidden(nn.Module):
    pass


class Helper:
    pass


class Config(dict):
    pass
""",
    "instead.py": "class Gate(metaclass=Dummy):\n    pass\n",
    "tests/inner.py": "class Checked(nn.Module):\n    pass\n",
    "modular_unit.py": "class Draft(nn.Module):\n    pass\n",
    "modeling_unit.py": "# Made for you:\n#    generated from src/zoo/modular_unit.py.\n\n"
    "class Draft(nn.Module):\n    pass\n",
    "broken.py": "class Half(nn.Module):\n    def (",
    "deep/__init__.py": "class Deep(Generic[T], zoo.layers.GatedUnit):\n    raise SystemExit\n",
}


@pytest.fixture
def _zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, text in PACKAGE.items():
        path = tmp_path / "zoo" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
    about = tmp_path / "zoo-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: zoo\nVersion: 1.0\nRequires-Dist: torch>=2.6\n"
    )
    (about / "RECORD").write_text("zoo/__init__.py,,\nzoo/layers.py,,\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    installed.classes.cache_clear()
    installed.packages.cache_clear()
    yield
    installed.classes.cache_clear()
    installed.packages.cache_clear()


@pytest.mark.usefixtures("_zoo")
def test_the_modules_of_a_package_are_found_and_nothing_is_run() -> None:
    assert installed.classes("zoo") == (
        "zoo.broken.Half",
        "zoo.deep.Deep",
        "zoo.layers.Base",
        "zoo.layers.Gate",
        "zoo.layers.GatedUnit",
        "zoo.modeling_unit.Draft",  # and not the draft that it is made from
    )
    assert "zoo" not in sys.modules
    assert {"torch", "zoo"} <= set(installed.packages())
    assert "numpy" not in installed.packages()


@pytest.mark.usefixtures("_zoo")
def test_what_is_typed_finds_the_likest_first() -> None:
    assert installed.matching("gate", ["zoo"], 8) == ("zoo.layers.Gate", "zoo.layers.GatedUnit")
    assert installed.matching("zoo.Gated", ["zoo"], 8) == ("zoo.layers.GatedUnit",)
    assert installed.matching("deep", ["torch", "zoo"], 1) == ("zoo.deep.Deep",)
    assert installed.matching("Gat3dUnit", ["zoo"], 8) == ("zoo.layers.GatedUnit",)
    assert installed.matching("xyzzy", ["zoo"], 8) == ()
    assert installed.matching("", ["zoo"], 2) == ("zoo.deep.Deep", "zoo.broken.Half")


def test_torch_itself() -> None:
    found = installed.matching("torch.nn.MultiheadAttention", ["torch"], 3)
    assert found[0] == "torch.nn.modules.activation.MultiheadAttention"


def test_a_package_that_is_not_there_has_none() -> None:
    assert installed.classes("no_such_package") == ()

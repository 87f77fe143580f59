"""An edited file is parsed where it differs, and its parts are those of the whole."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

import pytest

from tracer.diagnosis.repair.edited import Edited
from tracer.source.slices import Slice, sliced
from tracer.source.text import text_of

SCRIPT = textwrap.dedent(
    """
    import torch

    def first(x):
        y = x + 1
        return y.view(3, -1)

    def second(x):
        y = x + 2
        return y.view(4, -1)

    a = 5
    b = a + 1
    c = b.view(6)
    """
)


def slices(file: Path) -> list[Slice]:
    """What leads to each line with a view, in a function and at the top of the file."""
    text = text_of(str(file))
    assert text is not None
    whole = compile(SCRIPT, str(file), "exec")
    codes = {each.co_name: each for each in whole.co_consts if hasattr(each, "co_name")}
    found = []
    for node in ast.walk(text.tree):
        if isinstance(node, ast.stmt) and not hasattr(node, "body") and "view" in text.of(node):
            cut = sliced(text, node, None, lambda _: True, lambda _: False, ())
            assert cut is not None
            above = text.around(node, ast.FunctionDef)
            code = whole if above is None else codes[above.name]
            found.append(Slice(text, code, cut[0], (), cut[1], {}))
    assert len(found) == 3
    return found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x + 1", "x + 7"),
        ("x + 2", "x + 7"),
        ("    y = x + 1\n", "    y = x + 1\n    y = y * 2\n"),
        ("    y = x + 2\n", "    y = x + 2\n    y = y * 2\n"),
        ("import torch\n", "import torch\nimport math\n"),
        ("import torch\n", ""),
        ("a = 5\n", "a = 5\na = a * 2\n"),
        ("a = 5", "a = (\n    5\n)"),
        ("b.view(6)", "b.view(7)"),
    ],
)
def test_a_part_is_that_of_the_whole_edited_file(tmp_path: Path, old: str, new: str) -> None:
    file = tmp_path / "script.py"
    file.write_text(SCRIPT)
    assert SCRIPT.count(old) == 1
    edited = Edited(str(file), SCRIPT.replace(old, new))
    for part in slices(file):
        found = edited.part(part)
        wanted = part.compiled(ast.parse(edited.text), edited.name)
        assert found == wanted
        assert list(found.co_positions()) == list(wanted.co_positions())
        assert found.co_consts == wanted.co_consts

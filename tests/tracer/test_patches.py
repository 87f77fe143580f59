"""Unified diffs as people and agents write them, made in texts."""

from __future__ import annotations

import difflib
import random

import pytest

from tests.effort import TIMES
from tracer.patches import PatchError, applied

NET = """\
import torch


def first(x):
    y = x + 1
    return y


def second(x):
    y = x + 1
    return y
"""
TEXTS = {"net.py": NET, "blocks/core.py": "a = 1\n", "blocks/last.py": "b = 2"}

PLAIN = """\
--- a/net.py\t2026-01-01
+++ b/net.py\t2026-01-02
@@ -9,3 +9,3 @@ def first(x):
 def second(x):
-    y = x + 1
+    y = x + 2
     return y
"""


def hunk(text: str, file: str = "net.py") -> str:
    return f"--- {file}\n+++ {file}\n{text}\n"


def second(text: str) -> str:
    head, _, tail = text.rpartition("x + 1")
    return f"{head}x + 2{tail}"


@pytest.mark.parametrize(
    "diff",
    [
        PLAIN,
        f"diff --git a/net.py b/net.py\nindex 1..2 100644\n{PLAIN}-- \n2.43\n",
        f"Here it is:\n```diff\n{PLAIN}```\nThat is all.",
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("a/net.py", "./net.py").replace("b/net.py", "/work/project/net.py"),
        PLAIN.replace("@@ -9,3 +9,3 @@", "@@ -90,7 +1,2 @@"),
        PLAIN.replace("@@ -9,3 +9,3 @@ def first(x):", "@@ ... @@"),
        "--- net.py\n+++ net.py\n@@ -10 +10 @@\n-    y = x + 1\n+    y = x + 2\n",
        hunk("@@ -8,3 +8,3 @@\n\n def second(x):\n-    y = x + 1\n+    y = x + 2"),
    ],
)
def test_a_diff_is_made_where_its_lines_stand(diff: str) -> None:
    assert applied(diff, TEXTS) == {"net.py": second(NET)}


def test_files_and_hunks_in_one_diff() -> None:
    diff = """\
--- a/net.py
+++ b/net.py
@@ -1 +1,3 @@
 import torch
+import math
+import sys
@@ -5 +7 @@
-    y = x + 1
+    y = x + 3
@@ -10 +12 @@
-    y = x + 1
+    y = x + 4
--- blocks/last.py
+++ blocks/last.py
@@ -1 +1,2 @@
 b = 2
+c = 3
\\ No newline at end of file
--- /dev/null
+++ b/blocks/new.py
@@ -0,0 +1,2 @@
+d = 4
+e = 5
"""
    found = applied(diff, TEXTS)
    wanted = NET.replace("torch\n", "torch\nimport math\nimport sys\n", 1)
    assert found["net.py"] == second(wanted).replace("x + 2", "x + 4").replace("x + 1", "x + 3")
    assert found["blocks/last.py"] == "b = 2\nc = 3"
    assert found["blocks/new.py"] == "d = 4\ne = 5\n"


@pytest.mark.parametrize(
    ("diff", "words"),
    [
        ("", "This is no unified diff"),
        ("x = 1", "This is no unified diff"),
        (hunk(""), "says nothing of what changes in net.py"),
        (hunk("@@ -1 +1 @@\n import torch"), "says nothing of what changes in net.py"),
        (hunk("@@ -5 +5 @@\n-    y = x + 1\n+    y = x + 1"), "changes nothing"),
        (hunk("@@ -5 +5 @@\n-    y = x + 9\n+    y = x"), "the file has no line `y = x + 9`"),
        (hunk("@@ -5 +5 @@\n     return y\n-    y = x + 1"), "do not stand there in this order"),
        (hunk("@@\n-    y = x + 1\n+    y = x"), "may belong to several places"),
        (hunk("@@ -5 +5 @@\n-    y = x + 1\n+    y = (x"), "net.py is no Python, in line 5"),
        (hunk("@@ -1 +1 @@\n-a = 1\n+a = 2", "core.py"), "no such file; it has blocks/core.py"),
        ("--- net.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-import torch\n", "removes net.py"),
        ("--- /dev/null\n+++ net.py\n@@ -0,0 +1 @@\n+a = 1\n", "adds net.py, which is there"),
        ("--- /dev/null\n+++ ../net.py\n@@ -0,0 +1 @@\n+a = 1\n", "adds ../net.py: add files"),
        ("Binary files a/x.png and b/x.png differ\n", "no text"),
        (" " * 500_001, "more than 500,000 characters"),
    ],
)
def test_a_diff_that_cannot_be_made_is_one_sentence(diff: str, words: str) -> None:
    with pytest.raises(PatchError) as raised:
        applied(diff, TEXTS)
    assert words in str(raised.value)
    assert str(raised.value).count("\n") == 0


def test_what_python_writes_as_a_diff_gives_the_text() -> None:
    drawn = random.Random(0)
    for _ in range(60 * TIMES):
        old = [f"v{drawn.randrange(6)} = {drawn.randrange(3)}\n" for _ in range(30)]
        new = [f"w = {n}\n" if drawn.random() < 0.15 else line for n, line in enumerate(old)]
        new = [line for line in new if drawn.random() < 0.95]
        context = drawn.randrange(4)
        diff = "".join(difflib.unified_diff(old, new, "net.py", "net.py", n=context))
        if old != new:
            assert applied(diff, {"net.py": "".join(old)}) == {"net.py": "".join(new)}

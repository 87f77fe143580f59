"""Modules of torch.nn, timm and transformers, found by their names on the page and walked step by
step; those of packages that are not installed here are left out.  All of them are `deep`: without
a browser `tests/test_walked.py` walks them, and `test_debug.py` finds one by its name."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.effort import TIMES
from tests.test_walked import COMPARED, MODULES

HERE = [
    name
    for package, names in MODULES.items()
    if importlib.util.find_spec(package) is not None
    for name in names
]
SAMPLE = HERE if TIMES > 1 else HERE[5::8]

SHAPES = r"\([\d, ]*\)(?:, \([\d, ]*\))*"
PLAIN = re.compile(rf"(?:Shape kept: |A new tensor |{SHAPES} → )?{SHAPES}|No tensor comes out")
"""A sentence that says the shapes before and after, and nothing else."""


@pytest.mark.deep
@pytest.mark.parametrize("name", SAMPLE)
def test_a_class_is_walked_and_its_steps_are_told(
    open_page: Callable[..., Page], app: str, name: str
) -> None:
    page = open_page()
    page.goto(f"{app}/Your_module?class=")
    expect(page.get_by_label("Class")).to_be_focused()
    page.keyboard.type(name)
    page.locator(".st-key-debug-matches button").first.click()
    expect(page.locator(".st-key-verdict")).to_contain_text("runs: ")
    slider = page.locator(".shapewalk .slider")
    last = int(slider.get_attribute("max") or 0)
    told = []
    for _ in range(last + 1):
        told.append(page.locator(".shapewalk .detail .summary").first.inner_text())
        slider.press("ArrowRight")
    assert len(told) > 0
    assert sum(bool(PLAIN.fullmatch(each)) for each in told) <= COMPARED * len(told), told

"""Where did it go? For random cells of all lessons: a lit cell of an input changes the followed
cell, one that is not changes nothing; by the player's own modules, against the run itself."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from torch import Tensor, nn

from modules import LESSONS
from modules.lesson import Lesson, prepare
from tests.browser.test_player import Open, Server, Show, press
from tests.browser.test_player import server as server
from tests.browser.test_player import show as show
from tests.browser.test_player_modules import Modules
from tests.browser.test_player_modules import page as page
from tests.browser.test_player_modules import run as run
from tests.cells import forward_cell
from tests.effort import TIMES, spread
from tests.tracer.ops.against_torch import _replaced
from tracer import Trace, compute, trace
from tracer.record.tensors import tensors_in
from tracer.views import html
from tracer.views.player import payload

CELLS = 100 * TIMES
"""How many random cells are followed, over all lessons."""

LARGEST = {"B": 2, "C": 8, "H": 12, "W": 16, "T": 6, "H_t": 12, "W_t": 16, "num_codes": 4}
"""No lesson is run at larger sizes than these, so that a hundred runs are soon over."""
_OTHERS = {"hacnn": {"C": 16, "H": 32, "W": 16}, "evc": {"C": 16}, "squeeze": {"C": 16}}

_LOOSE: frozenset[str] = frozenset()
"""Lessons all of whose inputs are looked at where their values say."""

FOLLOWED = """(packed, asked) => {
  const model = readTrace(packed);
  const numbers = new Numbers();
  return asked.map(([id, index, inputs]) => {
    const note = model.notes.get(id);
    const followed = new Followed(model, numbers, note, CellSet.one(note.shape, index));
    return inputs.map((each) => {
      const set = followed.back.get(each);
      const { shape } = model.notes.get(each);
      if (!set) return { lit: [], exact: true, count: 0 };
      const size = shape.reduce((all, one) => all * one, 1);
      const lit = [...Array(size).keys()].filter((place) => set.has(indexOf(place, shape)));
      return { lit, exact: set.isExact, count: set.count };
    });
  });
}"""
NAMES = """trace.js: readTrace; numbers.js: Numbers; lineage.js: Followed; cell-sets.js: CellSet;
cells.js: indexOf""".replace("\n", " ")


class Case(NamedTuple):
    """A lesson at small sizes, in double precision, so that nothing is lost in rounding."""

    key: str
    model: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    trace: Trace


def _small(each: Lesson) -> dict[str, Any]:
    settings = each.settings()
    own = _OTHERS.get(each.key.partition("-")[0], {})
    for size in each.sizes:
        most = {**LARGEST, **own}.get(size.name)
        if most is not None:
            settings[size.name] = max(min(settings[size.name], most), size.low)
    return settings


def _double(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


@cache
def case(key: str) -> Case:
    each = next(lesson for lesson in LESSONS if lesson.key == key)
    model, args, kwargs = prepare(each, _small(each))
    model = model.double().eval()
    # A lesson's last layer may begin at zero, behind which nothing changes anything.
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            if not weight.any():
                weight.normal_()
        args = tuple(map(_double, args))
        kwargs = {name: _double(value) for name, value in kwargs.items()}
        return Case(key, model, args, kwargs, trace(model, *args, diagnose=False, **kwargs))


def value_at(found: Case, note: int, index: list[int], other: dict[int, Tensor]) -> float:
    """The cell's number with other tensors in the place of given ones, by their identity."""
    args, kwargs = _replaced((found.args, found.kwargs), other)
    with torch.no_grad():
        return float(compute(note, found.model, *args, **kwargs)[tuple(index)])


def places(found: Case, draw: random.Random, count: int) -> Iterator[tuple[int, list[int]]]:
    """Random cells of what steps gave, as (note, index)."""
    notes = [
        note
        for step in found.trace.steps
        for note in step.outputs
        if math.prod(note.shape) and note.dtype == "float64"
    ]
    for _ in range(count):
        note = draw.choice(notes)
        yield note.id, [draw.randrange(size) for size in note.shape]


@pytest.mark.parametrize("key", [each.key for each in LESSONS])
def test_a_lit_cell_changes_the_followed_one_and_an_unlit_one_does_not(
    run: Modules, key: str
) -> None:
    found, draw = case(key), random.Random(key)
    asked = list(places(found, draw, -(-CELLS // len(LESSONS))))
    ids = [note.id for note in found.trace.inputs]
    answers = run(NAMES, FOLLOWED, payload(found.trace), [[*each, ids] for each in asked])
    exact = 0
    for (note, index), sets in zip(asked, answers, strict=True):
        before = value_at(found, note, index, {})
        for given, lit in zip(tensors_in((found.args, found.kwargs)), sets, strict=True):
            if not given.is_floating_point():
                continue
            marks = torch.zeros(given.numel(), dtype=torch.bool)
            marks[lit["lit"]] = True
            assert len(lit["lit"]) == lit["count"]
            # All that is not lit at once: nothing of it may count, not in the last bit.
            noise = torch.randn(given.numel(), dtype=given.dtype)
            unlit = torch.where(marks, given.reshape(-1), noise).view_as(given)
            if not marks.all():
                after = value_at(found, note, index, {id(given): unlit})
                assert after == before, (note, index)
            if not lit["exact"] or not lit["lit"]:
                continue
            # One that is lit: NaN shows that it counts also where these values hide it.
            strange = given.clone().reshape(-1)
            strange[draw.choice(lit["lit"])] = math.nan
            after = value_at(found, note, index, {id(given): strange.view_as(given)})
            assert math.isnan(after), (note, index)
            exact += 1
    assert exact or key in _LOOSE


# --- on the page ---------------------------------------------------------------------------------


class Deep(nn.Module):
    """A picture through two windows, and one element of the result for each."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        z = torch.max_pool2d(y, 2)
        return z.flatten(2).relu()


def deep() -> Trace:
    return trace(Deep(), torch.randn(1, 1, 8, 10))


def follow(page: Page, side: int, row: int, column: int) -> None:
    """Follow a cell of the picture before (0) or after (1), by the keys alone."""
    page.locator(".picture canvas").nth(side).focus()
    press(page, "ArrowDown")
    press(page, *["ArrowDown"] * row, *["ArrowRight"] * column, "Enter")


def parts(page: Page) -> list[str]:
    return page.locator(".figure .part:visible").all_inner_texts()


def test_a_cell_is_followed_back_to_the_input_and_onward_by_the_keys(show: Show) -> None:
    page = show(deep(), "step=2")
    follow(page, 1, 1, 2)
    bar = page.locator(".followed")
    expect(bar).to_contain_text("Followed: z[0, 0, 1, 2]")
    assert parts(page) == ["4 of 80 cells make it.", "The followed cell."]
    press(page, "ArrowLeft")
    page.locator("#area").focus()
    page.get_by_role("button", name="its part of x").click()
    page.wait_for_function("heard.at(-1)?.path === '0'")
    # Of a window of 2 by 2 over windows of 3 by 3.
    assert parts(page) == ["16 of 80 cells make it.", "4 of 80 cells make it."]
    page.get_by_role("button", name="what it reaches of").click()
    page.wait_for_function("heard.at(-1)?.path === '3'")
    assert parts(page)[1] == "It reaches 1 of 20 cells."
    press(page, "c")
    expect(bar).to_be_hidden()
    assert parts(page) == []


def test_a_click_follows_a_cell_forwards_too_and_the_light_is_where_it_says(show: Show) -> None:
    page = show(deep())
    canvas = page.locator(".picture canvas").first
    box = canvas.bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.19)
    expect(page.locator(".followed")).to_contain_text("Followed: x[0, 0, 1, 2]")
    assert parts(page) == ["The followed cell.", "It reaches 9 of 80 cells."]
    frame = page.locator(".lit-box:visible").nth(1)
    style = frame.evaluate("({ style }) => [style.left, style.top, style.width, style.height]")
    assert [float(each[:-1]) for each in style] == [10, 0, 30, 37.5]
    page.evaluate("player.goto('3')")
    assert parts(page)[0] == "It reaches 4 of 20 cells."


def test_what_has_no_part_says_so(show: Show) -> None:
    page = show(trace(forward_cell("x y", "a = x * 2\nb = y.exp()\nreturn a + b"), *_pair()))
    follow(page, 1, 0, 0)
    page.evaluate("player.goto('1')")
    assert parts(page) == ["It has no part in the followed cell."] * 2
    page.evaluate("player.goto('2')")
    assert parts(page)[1] == "It reaches 1 of 12 cells."


def _pair() -> tuple[Tensor, Tensor]:
    return torch.randn(3, 4), torch.randn(3, 4)


WRITTEN = """
y = x.clone()
part = y[:, :2]
part.mul_(3)
return y + 1
"""


def test_what_is_written_through_a_view_is_not_lost(show: Show) -> None:
    run_ = trace(forward_cell("x", WRITTEN), torch.randn(2, 4))
    page = show(run_, f"step={len(run_.steps)}")
    follow(page, 1, 0, 0)
    page.evaluate("player.goto('0')")
    assert "cells make it." in parts(page)[0]


def test_it_works_in_an_exported_file(open_page: Open, server: Server) -> None:
    page = open_page(reduced_motion="reduce")
    page.goto(server.put("exported", html.page(deep())))
    page.locator(".picture canvas").nth(1).click()
    expect(page.locator(".followed")).to_be_visible()
    assert "make it." in parts(page)[0]


@pytest.mark.parametrize(("width", "scheme"), spread([(1400, "light"), (390, "dark")], every=2))
def test_axe_objects_to_nothing_and_all_of_it_is_on_screen(
    show: Show, width: int, scheme: str
) -> None:
    page = show(deep(), width=width, color_scheme=scheme, reduced_motion="reduce")
    canvas = page.locator(".picture canvas").nth(1)
    canvas.scroll_into_view_if_needed()
    canvas.click()
    expect(page.locator(".followed")).to_be_visible()
    assert [rule["id"] for rule in Axe().run(page, ".figures").response["violations"]] == []
    boxes = [each.bounding_box() for each in page.locator(".followed button").all()]
    assert all(box and box["x"] + box["width"] <= width for box in boxes)

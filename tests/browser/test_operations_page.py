"""The page of operations in a browser: a size is changed, a mistake tried, the scene opened."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_accessibility import first, objections
from tests.browser.waiting import until

Open = Callable[..., Page]


def opened(open_page: Open, app: str, query: str, **look: int | str) -> Page:
    page = open_page(**look)
    page.goto(f"{app}/Operations?{query}")
    expect(page.locator(".shapewalk .transport")).to_be_visible()
    return page


def test_a_size_is_changed_a_mistake_tried_and_its_scene_is_in_the_address(
    open_page: Open, app: str
) -> None:
    page = opened(open_page, app, "op=matmul&lang=en")
    formula = page.locator(".st-key-operation-rule .formula")
    expect(formula).to_have_text("a (B, M, K), b (B, K, N) → (B, M, N)")
    page.get_by_label("Sizes of b").fill("2, 4, 1")
    page.keyboard.press("Enter")
    expect(page.locator(".shapewalk .summary")).to_contain_text("(2, 3, 1)")
    until(page, "location.search.includes('with.b=2%2C+4%2C+1')")
    page.locator(".shapewalk .what").click()
    page.keyboard.press("m")
    scene = page.locator(".shapewalk dialog[data-show=scene]")
    expect(scene).to_contain_text("A row meets a column and becomes a cell.")
    until(page, "location.search.includes('scene=1')")
    page.keyboard.press("Escape")
    until(page, "!location.search.includes('scene')")
    page.get_by_role("button", name="Try a = 2, 3, 5").click()
    expect(page.locator(".shapewalk .rule")).to_contain_text("5 ≠ 4")
    until(page, "location.search.includes('with.a=2%2C+3%2C+5')")
    page.get_by_role("button", name="As it was").click()
    expect(page.locator(".shapewalk .rule")).to_have_count(0)
    until(page, "!location.search.includes('with.')")


@pytest.mark.parametrize(("language", "scheme", "size"), first(1))
def test_every_reader(
    open_page: Open, app: str, language: str, scheme: str, size: tuple[int, int]
) -> None:
    query = f"op=conv2d&scene=1&lang={language}"
    look = {"width": size[0], "height": size[1], "color_scheme": scheme}
    page = opened(open_page, app, query, **look)
    expect(page.locator(".shapewalk dialog[data-show=scene]")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".st-key-operation-list")).to_be_visible()
    assert objections(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

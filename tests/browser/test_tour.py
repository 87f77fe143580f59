"""The tour of a first visit: four steps, in nobody's way, and gone for good."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.test_accessibility import objections
from tests.browser.waiting import until

Open = Callable[..., Page]


def test_a_first_visit_is_told_what_there_is_to_do_and_the_second_is_not(
    open_page: Open, app: str
) -> None:
    page = open_page(390, 844, color_scheme="dark")
    page.goto(f"{app}/_stcore/health")
    page.evaluate("sessionStorage.setItem('newcomer', '1'); localStorage.clear()")
    page.goto(f"{app}/Walkthrough?lesson=squeeze-excite&step=2&lang=zh")
    tour = page.locator(".shapewalk .tour")
    expect(tour).to_contain_text("1 / 4")
    assert page.locator(".shapewalk .toured").get_attribute("class") == "source toured"
    assert objections(page) == []
    # Keys are the player's as ever, also with the tour there.
    page.keyboard.press("ArrowRight")
    until(page, "location.search.includes('step=3')")
    onward = tour.locator(".main")
    onward.focus()
    page.keyboard.press("Enter")
    expect(tour).to_contain_text("2 / 4")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(tour).to_contain_text("4 / 4")
    page.keyboard.press("Escape")
    expect(tour).to_have_count(0)
    assert page.evaluate("localStorage.getItem('shapewalk.tour')") == "left"
    page.evaluate("sessionStorage.removeItem('newcomer')")
    page.reload()
    expect(page.locator(".shapewalk .transport")).to_be_visible()
    expect(tour).to_have_count(0)

"""The first websocket breaks after so many messages: what is on screen then is what was asked for,
the title, the controls, the player and the address alike."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.dropping import dropping, leaving
from tests.browser.waiting import until
from tests.effort import TIMES

Open = Callable[..., Page]

# Among the controls; with more effort after every message.
AFTER = range(3, 41) if TIMES > 1 else (16,)
OTHERS = ("/", "/Open_a_trace", "/Your_module")
COMPARED = "/Compare"
EARLY = (
    [(path, after) for path in (*OTHERS, COMPARED) for after in range(1, 15)]
    if TIMES > 1
    else [(OTHERS[0], 1), (COMPARED, 6)]
)
"""Before the browser knows the page, as it hears of it, and as it is drawn.  The shortest page is
made of 15 messages."""


def numbers(page: Page) -> Locator:
    return page.get_by_test_id("stNumberInput").locator("input")


@pytest.mark.parametrize("after", AFTER)
def test_a_lesson_with_its_own_settings(open_page: Open, app: str, after: int) -> None:
    page = open_page()
    with dropping(app, after) as address:
        page.goto(f"{address}/Walkthrough?lesson=non-local&seed=5&training=true&H=12&lang=zh")
        expect(page.locator(".shapewalk")).to_be_visible()
        expect(page.locator("h1")).to_have_text("非局部模块")
        expect(numbers(page)).to_have_count(5)
        for number, value in enumerate(("6", "3", "12", "10", "5")):
            expect(numbers(page).nth(number)).to_have_value(value)
        for choice in ("中文", "train"):
            expect(page.get_by_role("radio", name=choice, exact=True)).to_be_checked()
        expect(page.locator(".shapewalk")).to_contain_text("(6, 3, 12, 10)")
        page.keyboard.press("ArrowRight")  # from the opening to the first step
        until(page, "() => location.search.includes('step=')")
        asked = page.evaluate("Object.fromEntries(new URLSearchParams(location.search))")
        assert page.evaluate("location.pathname") == "/Walkthrough"
        wanted = {"lesson": "non-local", "seed": "5", "training": "true", "H": "12", "lang": "zh"}
        assert {name: asked.get(name) for name in wanted} == wanted
        expect(page.get_by_test_id("stAlert")).to_have_count(0)
        page.goto("about:blank")


@pytest.mark.parametrize(("path", "after"), EARLY)
def test_the_other_pages(open_page: Open, app: str, path: str, after: int) -> None:
    page = open_page()
    with dropping(app, after) as address:
        page.goto(address + path)
        headings = {"/": "Shapewalk", path: path.strip("/").replace("_", " ") or "Shapewalk"}
        if after > 2:
            expect(page.locator("h1")).to_have_text(headings[path])
        # The browser hears with the third message on which page it is, and may ask for home
        # before that.  What it draws is of one piece all the same.
        expect(page.locator("h1")).to_have_text(re.compile("|".join(headings.values())))
        expect(page.get_by_role("radio", name="English")).to_be_checked()
        shown = page.evaluate("location.pathname")
        expect(page.locator("h1")).to_have_text(headings[shown])
        page.goto("about:blank")


AWAY = [("zh", "服务器没有响应"), ("en", "The server does not answer.")]


@pytest.mark.parametrize(("lang", "words"), AWAY if TIMES > 1 else AWAY[:1])
def test_who_steps_needs_no_server(open_page: Open, app: str, lang: str, words: str) -> None:
    page = open_page(loses=True)
    told = page.locator("#away")
    with leaving(app) as (address, away):
        page.goto(f"{address}/Walkthrough?lesson=non-local&H=12&step=3&lang={lang}")
        expect(numbers(page).nth(2)).to_have_value("12")
        expect(page.locator(".shapewalk .count")).to_contain_text("3")
        expect(told).to_be_empty()
        # What lies under the player is loaded when it is first drawn.
        expect(page.locator(".st-key-graph svg .node").first).to_be_attached()
        downloads = page.locator(".st-key-downloads")
        expect(downloads.get_by_test_id("stPopover").first).to_be_attached()
        expect(downloads.locator("[data-testid=stPageLink]")).to_have_count(1)
        away.set()
        # Streamlit has noticed: nothing lies over the player, and its keys and buttons work.
        expect(told).to_contain_text(words)
        expect(page.get_by_role("dialog")).to_have_count(0)
        page.keyboard.press("ArrowRight")
        until(page, "() => location.search.includes('step=4')")
        page.locator(".shapewalk .transport .control").nth(3).click()
        until(page, "() => location.search.includes('step=5')")
        away.clear()
        expect(told).to_be_empty()
        # What is said by the address is on screen, and settings can be changed again.
        expect(page.locator(".shapewalk .count")).to_contain_text("5")
        numbers(page).nth(2).fill("14")
        numbers(page).nth(2).press("Enter")
        until(page, "() => location.search.includes('H=14')")
        expect(page.locator(".shapewalk")).to_contain_text("(6, 3, 14, 10)")
        page.goto("about:blank")

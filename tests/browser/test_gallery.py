"""Home in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from modules import LESSONS
from tests.browser.test_accessibility import objections
from tests.browser.waiting import until
from ui import preload, shipped
from ui.gallery import FIRST

Open = Callable[..., Page]


def card_of(page: Page, key: str) -> Locator:
    return page.locator(".card").filter(has=page.locator(f"[data-lesson={key}]"))


def test_every_lesson_has_a_card_with_a_picture_that_leads_to_it_and_can_be_searched(
    open_page: Open, app: str
) -> None:
    page = open_page()
    page.goto(app)
    for each in LESSONS:
        card = card_of(page, each.key)
        expect(card).to_contain_text(each.title)
        expect(card).to_contain_text(each.teaches)
        picture = card.get_by_role("img")
        expect(picture).to_be_visible()
        size = picture.evaluate("e => e.decode().then(() => [e.naturalWidth, e.naturalHeight])")
        assert min(size) >= 100
    # What home is drawn with is asked for with the page itself.
    preloaded = set(re.findall(r"/([\w.-]+\.js)>", preload.header()[1].decode()))
    named = set(re.findall(r"/([\w.-]+\.js)", (preload.STATIC / "index.html").read_text()))
    loaded: list[str] = page.evaluate(
        "performance.getEntriesByType('resource').map(each => each.name)"
        ".filter(each => each.endsWith('.js')).map(each => each.split('/').at(-1))"
    )
    assert preloaded <= set(loaded) <= preloaded | named
    the_whole_card_leads_to_the_walkthrough(page)
    search_and_family_filter(page)


def the_whole_card_leads_to_the_walkthrough(page: Page) -> None:
    card = card_of(page, LESSONS[-1].key)
    card.click(position={"x": 20, "y": 20})
    expect(page.get_by_role("heading", level=1)).to_have_text(LESSONS[-1].title)
    until(page, "() => location.search.includes('lesson=')")
    page.go_back()
    expect(page.get_by_role("heading", name="Shapewalk")).to_be_visible()


def search_and_family_filter(page: Page) -> None:
    cards = page.locator(".card")
    expect(cards).to_have_count(len(LESSONS))
    page.get_by_role("textbox", name="Search").type("eca sequence")
    expect(cards).to_have_count(1)
    expect(cards).to_contain_text("ECA")
    page.get_by_role("textbox", name="Search").fill("zebra <b>")
    expect(page.get_by_test_id("stAlert")).to_contain_text("No lesson mentions “zebra <b>”")
    page.get_by_role("textbox", name="Search").fill("")
    expect(cards).to_have_count(len(LESSONS))
    family = LESSONS[0].family
    page.get_by_role("radio", name=family).or_(page.get_by_role("button", name=family)).click()
    expect(cards).to_have_count(sum(each.family == family for each in LESSONS))


@pytest.mark.parametrize("scheme", ["dark", pytest.param("light", marks=pytest.mark.deep)])
def test_a_phone_needs_no_sideways_scrolling_and_axe_objects_to_nothing_in_chinese(
    open_page: Open, app: str, scheme: str
) -> None:
    page = open_page(width=390, height=844, color_scheme=scheme)
    page.goto(f"{app}/?lang=zh")
    expect(page.locator("html")).to_have_attribute("lang", "zh")
    expect(page.locator(".card").first).to_be_visible()
    assert objections(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = page.locator(".card").first.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390


def test_lessons_stand_by_family_in_the_order_of_the_posts(open_page: Open, app: str) -> None:
    page = open_page(width=1920, height=1080)
    page.goto(app)
    families = list(dict.fromkeys(each.family for each in LESSONS))
    expect(page.get_by_role("heading", level=2)).to_have_text(families)
    cards = page.locator(".card")
    expect(cards).to_have_count(len(LESSONS))
    shown = page.locator(".card a").evaluate_all("all => all.map(each => each.dataset.lesson)")
    assert shown == [each.key for name in families for each in LESSONS if each.family == name]
    # On a wide screen the room beside the words shows a step of the first lesson, and leads there.
    step = page.locator(".st-key-glimpse .family")
    trace = shipped.default(FIRST)
    assert trace is not None
    expect(step).to_contain_text(f"step 1 of {len(trace.steps)}")
    expect(step.locator("code")).to_have_text(trace.steps[0].expression)
    expect(step.locator(".cell")).to_have_text(
        ["B 2", "C 64", "H 14", "W 14", "B 2", "C 64", "1", "1"]
    )
    box = step.bounding_box()
    assert box is not None
    assert box["x"] + box["width"] > 1800
    assert objections(page) == []
    page.emulate_media(color_scheme="dark")
    assert objections(page) == []
    step.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(shipped.lesson(FIRST).title)

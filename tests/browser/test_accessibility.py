"""For whoever reads with other means than eyes and mouse, or on a small screen: axe objects to
nothing, every text is in the language that its element names, and a finger hits what it means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.waiting import has_rested, settled, watch_rest
from tests.effort import TIMES
from ui import shipped

Open = Callable[..., Page]

DESK, PHONE = (1400, 900), (390, 844)
ALL_LOOKS = [
    ("en", "light", DESK),
    ("zh", "dark", PHONE),
    ("en", "dark", PHONE),
    ("zh", "light", DESK),
]
LOOKS = ALL_LOOKS if TIMES > 1 else ALL_LOOKS[:2]
"""Both languages, themes and sizes; with more effort each language in each theme."""


def first(look: int) -> list[Any]:
    """Of the looks this alone, and the others where much is tried."""
    others = [pytest.param(*each, marks=pytest.mark.deep) for each in LOOKS if each != LOOKS[look]]
    return [LOOKS[look], *others]


TABS = 6

LOOKS_AT_REST = 5
"""How often a page is read again that was drawn anew meanwhile, by what came to the server."""

OPTIONS = {
    # Streamlit names the region that takes files, and calls it no region.
    "rules": {"presentation-role-conflict": {"enabled": False}},
    # What holds is not written out, element by element.
    "resultTypes": ["violations"],
}


LOOK = """async ([but, options]) => {
  const read = document.querySelectorAll(but);
  // What cannot be seen is not read, and costs nothing: `exclude` would have it all laid out.
  read.forEach(({ style }) => { style.visibility = 'hidden'; });
  const found = await axe.run(options);
  read.forEach(({ style }) => { style.visibility = ''; });
  return found.violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
}"""

PLAYER = ".st-key-player"
NONE = ":not(*)"


def objections(page: Page, but: str = NONE) -> list[str]:
    """What axe finds on a page at rest, `but` in what was read before, a line for each element:
    what fades has no contrast."""
    if page.evaluate("window.axe === undefined"):
        page.evaluate(Axe().axe_script)
    for _ in range(LOOKS_AT_REST):
        settled(page)
        watch_rest(page)
        found: list[str] = page.evaluate(LOOK, [but, OPTIONS])
        if has_rested(page):
            break
    return found


def opened(
    open_page: Open, address: str, language: str, scheme: str, size: tuple[int, int]
) -> Page:
    page = open_page(*size, color_scheme=scheme)
    page.goto(f"{address}lang={language}")
    expect(page.locator("html")).to_have_attribute("lang", language)
    return page


def is_complete(page: Page) -> None:
    """Nothing comes any more that would move what is below the player."""
    expect(page.locator(".shapewalk .transport")).to_be_visible()
    expect(page.locator(".st-key-downloads [data-testid=stPageLink]")).to_have_count(1)


def tabs_are_read(page: Page, language: str, of: str) -> None:
    """Every other tab in one look, the others in the other; with more effort all in all.  The
    player above them, the longest to read, is the same."""
    tabs = page.locator(".st-key-tabs [role=radio]")
    start, step = (1, 1) if TIMES > 1 else (1 if language == "en" else 2, 2)
    for number in range(start, tabs.count(), step):
        tabs.nth(number).click()
        expect(tabs.nth(number)).to_be_checked()
        is_complete(page)
        assert objections(page, PLAYER) == [], (of, number)


@pytest.mark.deep
@pytest.mark.parametrize(("language", "scheme", "size"), LOOKS)
def test_axe_objects_to_nothing_at_home(
    open_page: Open, app: str, language: str, scheme: str, size: tuple[int, int]
) -> None:
    """As in `test_gallery.py`, whose pages are of one language, theme and size each."""
    page = opened(open_page, f"{app}/?", language, scheme, size)
    expect(page.locator("a[href*='lesson=']").first).to_be_visible()
    assert objections(page) == []


@pytest.mark.parametrize(("language", "scheme", "size"), LOOKS)
def test_axe_objects_to_nothing_of_a_lesson_and_a_finger_hits_what_it_means(
    open_page: Open, app: str, language: str, scheme: str, size: tuple[int, int]
) -> None:
    address = f"{app}/Walkthrough?lesson=eca-image&step=3&"
    page = opened(open_page, address, language, scheme, size)
    is_complete(page)
    expect(page.locator(".shapewalk .faces")).to_be_visible()
    if size == PHONE:
        a_finger_hits(page)
    assert objections(page) == []
    page.keyboard.press("g")
    current = page.locator(".shapewalk .graph .node.current")
    expect(current).to_be_visible()
    assert objections(page) == [], "the graph"
    page.keyboard.press("g")
    # A click on what moves as the graph goes would be lost.
    expect(current).to_be_hidden()
    expect(page.locator(".st-key-tabs [role=radio]")).to_have_count(TABS)
    tabs_are_read(page, language, "a lesson")
    if language == "en":
        quotes_are_in_their_own_language(page)


def quotes_are_in_their_own_language(page: Page) -> None:
    page.locator(".st-key-tabs").get_by_text("Claims", exact=True).click()
    quotes = page.locator(".st-key-claims p[lang=zh]")
    expect(quotes.first).to_be_visible()
    assert all("“" in text for text in quotes.all_inner_texts())


def a_finger_hits(page: Page) -> None:
    parts = ".top button, .transport button, .transport select, .transport input"
    boxes: list[dict[str, Any]] = page.locator(".shapewalk").evaluate(
        """(player, parts) => [...player.querySelectorAll(parts)]
          .filter(each => each.checkVisibility())
          .map(each => [each.ariaLabel ?? each.textContent, each.getBoundingClientRect()])
          .map(([name, { width, height, right }]) => ({ name, width, height, right }))""",
        parts,
    )
    assert len(boxes) >= 12
    assert [each for each in boxes if each["height"] < 44 or each["width"] < 44] == []
    # Chromium lays out in 64ths of a pixel.
    assert [each for each in boxes if round(each["right"]) > PHONE[0]] == []


@pytest.mark.parametrize(("language", "scheme", "size"), first(1))
def test_axe_objects_to_nothing_of_a_file(
    open_page: Open, app: str, language: str, scheme: str, size: tuple[int, int], tmp_path: Path
) -> None:
    trace = shipped.default("squeeze-excite")
    assert trace is not None
    trace.save(tmp_path / "saved.json")
    page = opened(open_page, f"{app}/Open_a_trace?", language, scheme, size)
    upload = page.get_by_test_id("stFileUploader")
    expect(upload).to_be_visible()
    assert objections(page) == [], "no trace yet"
    upload.locator("input").set_input_files(tmp_path / "saved.json")
    is_complete(page)
    # The player and the tabs are drawn by the same code, of a file as of a lesson.
    assert objections(page, NONE if TIMES > 1 else PLAYER) == [], "a saved trace"
    if TIMES > 1:
        tabs_are_read(page, language, "a saved trace")


@pytest.mark.parametrize(("language", "scheme", "size"), first(0))
def test_axe_objects_to_nothing_of_what_came_of_a_run(
    open_page: Open, app: str, language: str, scheme: str, size: tuple[int, int]
) -> None:
    page = opened(open_page, f"{app}/Your_module?", language, scheme, size)
    expect(page.locator("[data-testid=stBaseButton-primary]").first).to_be_visible()
    assert objections(page) == [], "nothing has run yet"
    page.locator(".st-key-cards-broken button").first.click()
    expect(page.locator(".shapewalk .failure").first).to_be_visible()
    is_complete(page)
    assert objections(page) == [], "a module that fails"
    page.locator(".st-key-cards-working button").first.click()
    expect(page.locator(".shapewalk .failure")).to_have_count(0)
    is_complete(page)
    # The costs come with the formulas, and move the tabs behind theirs.
    cost = {"en": "Cost", "zh": "开销"}[language]
    expect(page.locator(".st-key-tabs [role=radio]").filter(has_text=cost)).to_have_count(1)
    assert objections(page, NONE if TIMES > 1 else PLAYER) == [], "a class that runs"
    if TIMES > 1:
        tabs_are_read(page, language, "a class that runs")

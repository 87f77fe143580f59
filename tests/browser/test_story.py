"""A lesson's story in the player: cards around its steps, chapters, and loops that are folded."""

from __future__ import annotations

import dataclasses
from functools import cache

import pytest
import torch
from playwright.sync_api import Page, expect

from modules import chinese, lesson
from modules.lesson import run
from tests.browser.test_accessibility import objections
from tests.browser.test_player import Open, Server, Show, count, marked, net, path, press, query
from tests.browser.test_player import server as server
from tests.browser.test_player import show as show
from tests.cells import run_cell
from tracer import Trace, trace
from tracer.document import Chapter, Lead, Slip, Story
from tracer.sentences import said
from tracer.views import html
from tracer.views.player import payload

DOUBLED = """
class Doubled(nn.Module):
    def forward(self, x):
        # What comes in is moved.
        u = x + 1
        for turn in range(4):
            # Twice as much.
            v = u * 2
            u = v.tanh()
        return u - 1
"""


@cache
def told() -> Trace:
    torch.manual_seed(0)
    found = trace(run_cell(DOUBLED)["Doubled"](), torch.randn(2, 3))
    story = Story(
        title="Doubling",
        about="It **doubles**: $u=2v$.\n\nAt length.",
        place="Nowhere yet.",
        look="See `u`.",
        paper="A. Author: On doubling. Venue 2020",
        post="About doubling",
        author="somebody",
        seen=(said("{n} rounds", n=4), said("Two"), said("Three")),
        slip=Slip("只有三轮", "there are three rounds", "There are four."),
        leads=(Lead("eca-image", "ECA for images", "Channels are weighed."),),
    )
    chapters = (Chapter("Move", 0, 1), Chapter("Turn", 1, 9), Chapter("Back", 9, 10))
    return dataclasses.replace(found, story=story, chapters=chapters)


def current(page: Page) -> list[str]:
    return page.locator(".chapters [aria-current] .word").all_inner_texts()


def title(page: Page) -> str:
    return page.locator(".what h2").first.inner_text()


# --- cards ----------------------------------------------------------------------------------------


def test_it_opens_with_what_the_module_is_for(show: Show) -> None:
    page = show(told())
    assert title(page) == "Doubling"
    assert count(page) == "introduction"
    detail = page.locator(".detail")
    for text in (
        "It doubles",
        "Nowhere yet.",
        "See u.",
        "On doubling",
        "About doubling · somebody",
    ):
        expect(detail).to_contain_text(text)
    assert detail.locator("math").count() == 1
    # What is told at length stands behind what one needs to begin.
    said = detail.inner_text()
    assert said.index("See u.") < said.index("Begin") < said.index("At length.")
    # What goes in and what comes out of the whole.
    assert page.locator(".tensors.before button.tensor").count() == 1
    assert page.locator(".picture canvas").count() == 2
    assert page.locator(".control[aria-label=previous]").is_disabled()
    assert current(page) == []
    assert marked(page) == ""
    page.get_by_role("button", name="Begin").click()
    assert count(page) == "operation 1 of 10"
    assert path(page) == "0"
    assert current(page) == ["Move"]


def test_it_ends_with_what_was_seen_what_was_wrong_and_what_comes_next(show: Show) -> None:
    options = "{ url: true, lesson: (key) => `there?lesson=${key}` }"
    page = show(told(), options=options)
    press(page, "End")
    assert title(page) == "What you have seen"
    assert page.locator(".seen li").all_inner_texts() == ["4 rounds", "Two", "Three"]
    expect(page.locator(".detail blockquote")).to_have_text("“只有三轮”")
    assert page.locator(".detail blockquote").get_attribute("lang") == "zh"
    expect(page.locator(".detail")).to_contain_text("There are four.")
    link = page.get_by_role("link", name="ECA for images")
    assert link.get_attribute("href") == "there?lesson=eca-image"
    assert count(page) == "conclusion"
    # The page around knows steps alone.
    assert path(page) == "9"
    assert page.locator(".control[aria-label=next]").is_disabled()
    press(page, "Home")
    assert title(page) == "Doubling"
    assert path(page) == "0"


def test_it_ends_without_a_wrong_claim_where_the_post_has_none(show: Show) -> None:
    story = told().story
    assert story is not None
    page = show(dataclasses.replace(told(), story=dataclasses.replace(story, slip=None)))
    press(page, "End")
    expect(page.locator(".detail")).to_contain_text("none is wrong")
    expect(page.locator(".detail")).not_to_contain_text("not so")
    expect(page.locator(".detail blockquote")).to_have_count(0)


def test_the_address_without_a_step_is_the_opening_and_steps_keep_their_numbers(
    show: Show, open_page: Open
) -> None:
    page = show(told())
    assert query(page) == {}
    press(page, "ArrowRight")
    page.wait_for_url("**?step=1")
    press(page, "End")
    page.wait_for_url("**?step=end")
    copied = open_page()
    copied.goto(page.url)
    assert title(copied) == "What you have seen"
    press(page, "Home")
    page.wait_for_url(lambda url: "step" not in url)
    for step in (0, 1, 2, 7, 10):
        address = page.url.split("?")[0] + f"?step={step}"
        copied.goto(address)
        assert path(copied) == str(max(step - 1, 0))
        assert count(copied) == f"operation {max(step, 1)} of 10"


def test_a_run_without_a_story_is_shown_without_one(show: Show) -> None:
    page = show(net())
    assert count(page) == "operation 1 of 13"
    expect(page.locator(".chapters")).to_be_hidden()
    assert page.locator(".source .chapter, .times").count() == 0
    # Its keys are left to the page.
    press(page, "PageDown")
    assert path(page) == "0"
    press(page, "End")
    assert path(page) == "12"


def test_a_run_that_stops_opens_where_it_stops(show: Show) -> None:
    cell = run_cell(DOUBLED.replace("u - 1", "u @ x"))
    failed = trace(cell["Doubled"](), torch.randn(2, 3))
    story = dataclasses.replace(told().story, seen=())
    page = show(dataclasses.replace(failed, story=story, chapters=told().chapters[:2]))
    assert marked(page) == "u @ x"
    # There is nothing to sum up.
    press(page, "End")
    assert marked(page) == "u @ x"
    press(page, "Home")
    assert title(page) == "Doubling"


def test_the_card_stays_when_another_run_of_the_lesson_comes(show: Show) -> None:
    page = show(told())
    larger = trace(run_cell(DOUBLED)["Doubled"](), torch.randn(5, 3))
    other = dataclasses.replace(larger, story=told().story, chapters=told().chapters)
    page.evaluate("next => player.update(next)", payload(other))
    assert title(page) == "Doubling"
    expect(page.locator(".tensors.before .cell").first).to_contain_text("5")
    press(page, "ArrowRight", "ArrowRight")
    page.evaluate("next => player.update(next)", payload(told()))
    assert path(page) == "1"


# --- chapters -------------------------------------------------------------------------------------


def test_chapters_are_gone_through_by_key_and_by_click(show: Show) -> None:
    page = show(told())
    visited = []
    for _ in range(4):
        press(page, "PageDown")
        visited.append((count(page), current(page)))
    assert visited == [
        ("operation 1 of 10", ["Move"]),
        ("operation 2 of 10", ["Turn"]),
        ("operation 10 of 10", ["Back"]),
        ("conclusion", []),
    ]
    press(page, "PageUp", "PageUp", "ArrowRight")
    assert (path(page), current(page)) == ("2", ["Turn"])
    # Inside a chapter the way back leads to its beginning.
    press(page, "PageUp")
    assert path(page) == "1"
    press(page, "PageUp", "PageUp")
    assert title(page) == "Doubling"
    page.get_by_role("navigation", name="chapters").get_by_role("button", name="Back").click()
    assert path(page) == "9"
    # The keys are still the player's.
    press(page, "ArrowLeft")
    assert current(page) == ["Turn"]


def test_chapters_are_headings_in_the_code(show: Show) -> None:
    page = show(told())
    code = page.locator(".source .code")
    assert code.locator(".chapter").all_inner_texts() == ["Move", "Turn", "Back"]
    # Above the note of the line where it begins, and above the head of the loop.
    order = code.evaluate(
        """node => [...node.querySelectorAll(".chapter, .note, .line")].map(
            each => each.querySelector(".text")?.innerText ?? each.className)"""
    )
    first = order.index("chapter")
    assert order[first + 1] == "note"
    assert order[first + 2].strip().startswith("u = x + 1")
    second = order.index("chapter", first + 1)
    assert order[second + 1].strip().startswith("for turn")
    code.get_by_role("button", name="Turn").click()
    assert path(page) == "1"


# --- rounds ---------------------------------------------------------------------------------------


def test_rounds_that_are_alike_are_one_entry(show: Show) -> None:
    page = show(told(), "step=3")
    press(page, "ArrowRight")
    assert count(page) == "operation 4–9 of 10"
    assert marked(page) == "for turn in range(4)"
    expect(page.locator(".summary")).to_contain_text("3 more rounds of this loop do the same")
    expect(page.locator(".summary")).to_contain_text("6 operations in all")
    assert page.locator(".source .times").inner_text() == "×4"
    page.wait_for_url("**?step=r1")
    press(page, "ArrowRight")
    assert count(page) == "operation 10 of 10"
    press(page, "ArrowLeft", "Enter")
    assert count(page) == "operation 4 of 10"
    assert marked(page) == "u * 2"
    press(page, "Escape")
    assert count(page) == "operation 4–9 of 10"


def test_a_link_into_a_folded_round_shows_that_step(show: Show) -> None:
    page = show(told(), "step=6")
    assert path(page) == "5"
    assert count(page) == "operation 6 of 10"
    press(page, "ArrowLeft", "ArrowLeft", "ArrowLeft")
    assert count(page) == "operation 3 of 10"
    page.locator(".source .times").click()
    assert count(page) == "operation 4–9 of 10"
    page.goto(page.url.split("?")[0] + "?step=r1")
    assert count(page) == "operation 4–9 of 10"


def test_by_line_cards_and_rounds_are_entries_too(show: Show) -> None:
    page = show(told())
    page.get_by_role("button", name="line", exact=True).click()
    assert count(page) == "introduction"
    found = []
    for _ in range(6):
        press(page, "ArrowRight")
        found.append(count(page))
    assert found == [*(f"line {n} of 5" for n in range(1, 6)), "conclusion"]


# --- real lessons ---------------------------------------------------------------------------------


@cache
def regions() -> Trace:
    chosen = lesson("hacnn-regions")
    small = {"B": 2, "H": 32, "W": 16, "U": 32, "V": 16}
    return run(chosen, {**chosen.settings(), **small})


def test_a_lesson_is_walked_from_its_opening_to_its_ending(show: Show) -> None:
    page = show(regions())
    seen = [count(page)]
    for _ in range(60):
        press(page, "ArrowRight")
        seen.append(count(page))
        if seen[-1] == "conclusion":
            break
    # 50 operations, of which 21 are the further rounds of one loop.
    assert seen[0] == "introduction"
    assert len(seen) == 1 + 29 + 1 + 1
    assert "operation 13–33 of 50" in seen


def test_an_exported_page_tells_the_story_in_its_language(open_page: Open, server: Server) -> None:
    page = open_page()
    page.goto(server.put("story", html.page(chinese.in_chinese(regions()), language="zh")))
    assert title(page) == "硬注意力：由 θ 得到区域"
    assert objections(page) == []
    expect(page.locator(".detail")).to_contain_text("在网络中的位置")
    press(page, "PageDown", "PageDown")
    assert current(page) == ["切出四个区域"]
    press(page, "End")
    assert title(page) == "看到了什么"
    # A file knows of no other lessons to open, and names them.
    assert page.locator(".leads strong").count() == 2
    assert page.locator(".leads a").count() == 0


@pytest.mark.parametrize(
    ("width", "height"), [(390, 844), pytest.param(1024, 768, marks=pytest.mark.deep)]
)
def test_with_chapters_a_step_is_seen_without_scrolling(
    show: Show, width: int, height: int
) -> None:
    options = "{ url: true, height: '100dvh' }"
    page = show(regions(), options=options, width=width, height=height)
    bar = page.locator(".transport").bounding_box()
    # A card's pictures are seen whole or not at all; on a phone they are scrolled to.
    for canvas in page.locator(".figures canvas:visible").all() if width > 640 else ():
        box = canvas.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= bar["y"]
    for key in ("PageDown", "PageDown", "ArrowRight", "PageDown"):
        press(page, key)
        for part in (".expression", ".flow", ".summary"):
            box = page.locator(part).first.bounding_box()
            assert box is not None
            assert box["y"] >= 0
            assert box["y"] + box["height"] <= bar["y"] + 1, (key, part)
        for segment in page.locator(".chapters button").all():
            box = segment.bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
            assert box["height"] >= 24
            assert box["width"] >= 24

"""Present: one expression in large type for a class, asked first and then answered."""

from __future__ import annotations

import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.test_player import Open, Server, Show, count, net, press, query
from tests.browser.test_player import server as server
from tests.browser.test_player import show as show
from tests.browser.test_story import told
from tests.cells import forward_cell
from tracer import trace
from tracer.views import html

SIZES = [
    (1920, 1080, "dark"),
    (390, 844, "light"),
    pytest.param(1024, 768, "light", marks=pytest.mark.deep),
]


def slide(page: Page) -> str:
    """What kind of slide is on screen, and what stands on top of it."""
    shown = page.locator(".stage .slide")
    kind = (shown.get_attribute("class") or "").split()[-1]
    return f"{kind}: {shown.locator('h2').first.inner_text()}"


def given(page: Page) -> list[str]:
    return page.locator(".stage .given .cell").all_inner_texts()


def test_a_clicker_goes_through_titles_questions_and_answers_and_back(show: Show) -> None:
    page = show(told())
    press(page, "v")
    seen = [slide(page)]
    for _ in range(5):
        press(page, "PageDown")
        seen.append(slide(page))
    assert seen == [
        "opening: Doubling",
        "chapter: Move",
        "ask: x + 1",
        "show: x + 1",
        "chapter: Turn",
        "ask: u * 2",
    ]
    assert given(page) == ["?"]
    # The page behind follows.
    assert count(page) == "operation 2 of 10"
    press(page, " ")
    assert [each.split("\n")[-1] for each in given(page)] == ["2", "3"]
    press(page, "PageUp", "ArrowLeft", "Backspace")
    assert slide(page) == "show: x + 1"
    press(page, "End")
    assert slide(page) == "ending: What you have seen"
    press(page, "ArrowRight", "Home")
    assert slide(page) == "opening: Doubling"
    press(page, "Escape")
    expect(page.locator(".stage")).to_be_hidden()
    assert count(page) == "introduction"


def test_b_blanks_and_any_key_brings_it_back(show: Show) -> None:
    page = show(told(), query="step=2")
    press(page, "v")
    before = slide(page)
    press(page, "b")
    expect(page.locator(".stage .slide")).to_be_hidden()
    press(page, "b")
    expect(page.locator(".stage .slide")).to_be_visible()
    assert slide(page) == before
    press(page, "b", "ArrowRight")
    expect(page.locator(".stage .slide")).to_be_visible()
    assert slide(page) != before


def test_an_address_opens_it_and_keeps_the_place(show: Show) -> None:
    page = show(told(), query="present=1&step=3")
    assert slide(page) == "ask: v.tanh()"
    press(page, "ArrowRight", "ArrowRight")
    page.wait_for_function("location.search.includes('step=')")
    assert query(page)["present"] == ["1"]
    press(page, "Escape")
    page.wait_for_function("!location.search.includes('present')")
    press(page, "v")
    page.wait_for_function("location.search.includes('present=1')")


def test_clicks_go_on_and_at_the_left_edge_back(show: Show) -> None:
    page = show(told(), query="step=2")
    press(page, "v")
    before = slide(page)
    page.mouse.click(700, 700)
    after = slide(page)
    assert after != before
    expect(page.locator(".pointer-dot")).to_be_visible()
    page.mouse.click(40, 700)
    assert slide(page) == before
    page.get_by_role("button", name="next").last.click()
    assert slide(page) == after


def test_a_failure_is_the_last_slide(show: Show) -> None:
    page = show(trace(forward_cell("x", "y = x.relu()\nreturn y @ y"), torch.zeros(2, 3)))
    press(page, "v", "End")
    assert slide(page) == "failure: y @ y"
    expect(page.locator(".stage .said")).to_contain_text("3")


def test_a_second_window_has_the_answer_the_note_and_what_comes_next(show: Show) -> None:
    page = show(told(), query="step=2")
    press(page, "v", "ArrowRight")
    assert slide(page) == "ask: u * 2"
    with page.expect_popup() as opened:
        press(page, "s")
    notes = opened.value.locator(".notes")
    expect(notes.locator("h2").first).to_have_text("u * 2")
    assert notes.locator(".given .length").all_inner_texts() == ["2", "3"]
    expect(notes.locator(".note")).to_have_text("Twice as much.")
    expect(notes.locator(".next")).to_have_text("v.tanh()")
    # Each window steers both.
    opened.value.keyboard.press("PageDown")
    opened.value.keyboard.press("PageDown")
    assert slide(page) == "ask: v.tanh()"
    press(page, "ArrowLeft")
    expect(notes.locator("h2").first).to_have_text("u * 2")
    with opened.value.expect_event("close"):
        press(page, "Escape")


@pytest.mark.parametrize(("width", "height", "scheme"), SIZES)
def test_all_of_a_slide_is_on_screen_and_large(
    show: Show, width: int, height: int, scheme: str
) -> None:
    page = show(net(), width=width, height=height, color_scheme=scheme)
    press(page, "v")
    least = 18 if width < 500 else height / 40
    for number in range(60):
        fits = page.locator(".stage").evaluate(
            """stage => [stage.scrollHeight <= stage.clientHeight,
              parseFloat(getComputedStyle(stage.querySelector(".room")).fontSize)]"""
        )
        assert fits[0], slide(page)
        assert fits[1] >= least or number > 50, slide(page)
        if number == 3:
            page.emulate_media(reduced_motion="reduce", color_scheme=scheme)
            found = Axe().run(page).response["violations"]
            assert [rule["id"] for rule in found] == []
        before = slide(page), given(page)
        press(page, "ArrowRight")
        if (slide(page), given(page)) == before:
            break
    else:
        raise AssertionError("it has no end")


def test_it_is_in_the_exported_file(open_page: Open, server: Server) -> None:
    page = open_page(1024, 768)
    page.goto(server.put("file", html.page(told(), language="zh")) + "?present=1")
    assert slide(page) == "opening: Doubling"
    press(page, "PageDown")
    expect(page.locator(".stage .ordinal")).to_have_text("第 1 章")
    # The file's policy lets the notes be dressed too.
    with page.expect_popup() as opened:
        press(page, "s")
    look = "getComputedStyle(document.querySelector('.notes')).display"
    assert opened.value.evaluate(look) == "grid"

"""Predict: the next shape is asked before it is shown, and what was missed is said and kept."""

from __future__ import annotations

import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.test_player import Open, Server, Show, net, press
from tests.browser.test_player import server as server
from tests.browser.test_player import show as show
from tests.cells import forward_cell
from tests.effort import spread
from tracer import Trace, trace
from tracer.views import html

BODY = """
rows = x.flatten(2)
pairs = torch.cat([rows, rows], 1)
means = pairs.mean(1)
return means.relu()
"""
LETTERS = {"x": "B C H W"}


def run() -> Trace:
    return trace(forward_cell("x", BODY), torch.zeros(2, 3, 5, 7))


def begin(page: Page, anew: bool = True) -> None:
    """`anew`: nothing was predicted in this browser before."""
    if anew:
        page.evaluate("localStorage.clear()")
    press(page, "p")
    expect(page.locator(".stage")).to_be_visible()


def answer(page: Page, text: str) -> None:
    page.locator(".stage input").first.fill(text)
    press(page, "Enter")


def said(page: Page) -> str:
    return " ".join(page.locator(".stage .reasons").inner_text().split())


def asked(page: Page) -> str:
    return page.locator(".stage .expression").inner_text()


def test_the_next_shape_is_asked_and_shown_once_it_is_right(show: Show) -> None:
    page = show(run(), letters=LETTERS)
    begin(page)
    assert asked(page) == "x.flatten(2)"
    stage = page.locator(".stage")
    assert stage.locator(".taken .length").all_inner_texts() == ["2", "3", "5", "7"]
    # Nothing on the stage says what comes out.
    assert "35" not in stage.inner_text().replace("35, H*W", "")
    answer(page, "2, C, H*W")
    assert said(page).startswith("Right.")
    assert stage.locator(".given .length").all_inner_texts() == ["2", "3", "35"]
    expect(stage.locator(".score")).to_have_text("1 of 1 at the first try")
    press(page, "Enter")
    assert asked(page) == "torch.cat([rows, rows], 1)"
    # What hands its shape on is not asked.
    expect(stage.locator(".place-of")).to_have_text("2 of 3")
    press(page, "Escape")
    expect(stage).to_be_hidden()
    page.wait_for_function("heard.at(-1)?.path === '1'")


def test_a_wrong_answer_gets_its_reason_and_the_rules_missed_are_told_at_the_end(
    show: Show,
) -> None:
    page = show(run(), letters=LETTERS)
    begin(page)
    answer(page, "2 3 5")
    assert "is no size" in said(page)
    answer(page, "2, 3, 5, 7")
    assert (
        said(page) == "The result has 3 dimensions, not 4: dims 0, 1 of x; dims 2, 3 of x as one."
    )
    stage = page.locator(".stage")
    expect(stage.locator(".fields")).to_have_class("fields wrong")
    press(page, "Backspace")
    stage.get_by_role("button", name="one dimension less").click()
    stage.locator("input").nth(2).fill("H+W")
    press(page, "Enter")
    assert said(page) == (
        "12 is 5 + 7: flatten does not add the sizes, it multiplies them. Dim 2 is dims 2, 3 of x "
        "read as one: flatten keeps the elements, so their sizes are multiplied."
    )
    assert [each.get_attribute("aria-invalid") for each in stage.locator("input").all()] == [
        None,
        None,
        "true",
    ]
    expect(stage.locator("input").nth(2)).to_be_focused()
    stage.locator("input").nth(2).fill("35")
    press(page, "Enter")
    assert said(page).startswith("Right.")
    expect(stage.locator(".score")).to_have_text("0 of 1 at the first try")
    press(page, "Enter")
    answer(page, "2, 6, 35")
    press(page, "Enter")
    stage.get_by_role("button", name="Show").click()
    assert "Dims" in said(page) or "Dim" in said(page)
    press(page, "Enter")
    assert "1 of 3 shapes right at the first try." in stage.inner_text()
    missed = stage.locator(".missed li").all_inner_texts()
    assert [each.split(" ·")[0] for each in missed] == [
        "how many dimensions there are",
        "a reshape keeps the product of the sizes",
    ]
    stage.locator(".missed button").first.click()
    assert asked(page) == "x.flatten(2)"


def test_hints_come_in_steps_and_a_score_survives_the_page(show: Show) -> None:
    page = show(run(), letters=LETTERS)
    begin(page)
    hint = page.locator(".answers button", has_text="int")
    hint.click()
    rule = said(page)
    assert "Dims 0, 1 are dims 0, 1 of x, handed on." in rule
    assert "35" not in rule
    hint.click()
    assert said(page) == "Dim 0: 2."
    hint.click()
    hint.click()
    assert said(page) == "Dim 2: 5 · 7 = 35."
    assert [each.input_value() for each in page.locator(".stage input").all()] == ["2", "3", "35"]
    expect(hint).to_be_disabled()
    press(page, "Enter")
    page.reload()
    expect(page.locator(".transport")).to_be_visible()
    begin(page, anew=False)
    # Who was told has not predicted.
    expect(page.locator(".stage .score")).to_have_text("0 of 1 at the first try")


def test_it_works_where_the_browser_keeps_nothing(open_page: Open, server: Server) -> None:
    page = open_page()
    page.goto(server.put("notebook", html.notebook(run(), LETTERS)))
    frame = page.frame_locator("iframe")
    frame.locator(".shapewalk .top").click()
    page.keyboard.press("p")
    stage = frame.locator(".stage")
    stage.locator("input").first.fill("2, 3, 35")
    page.keyboard.press("Enter")
    expect(stage.locator(".verdict")).to_have_text("Right.")
    expect(stage.locator(".score")).to_have_text("1 of 1 at the first try")


def test_a_run_with_nothing_to_ask_offers_nothing(show: Show) -> None:
    page = show(trace(forward_cell("x", "return x.relu()"), torch.zeros(2, 3)))
    expect(page.get_by_role("button", name="predict")).to_be_hidden()
    press(page, "p")
    expect(page.locator(".stage")).to_be_hidden()


@pytest.mark.parametrize(("width", "scheme"), spread([(390, "dark"), (1400, "light")], every=2))
def test_axe_objects_to_nothing_and_a_finger_finds_it(show: Show, width: int, scheme: str) -> None:
    page = show(net(), width=width, color_scheme=scheme)
    page.get_by_role("button", name="predict").click()
    stage = page.locator(".stage")
    stage.locator("input").first.fill("3, 5")
    stage.get_by_role("button", name="Check").click()
    expect(stage.locator(".reason").first).to_be_visible()
    assert [rule["id"] for rule in Axe().run(page).response["violations"]] == []
    boxes = [each.bounding_box() for each in stage.locator("button, input").all()]
    assert all(box and box["height"] >= 44 and box["width"] >= 44 for box in boxes)
    assert all(box and box["x"] + box["width"] <= width for box in boxes)

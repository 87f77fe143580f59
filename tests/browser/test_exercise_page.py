"""An exercise in a browser: a teacher's steps are asked, and the code that is handed in says what
was missed."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.test_accessibility import objections
from tests.browser.test_player import Open, Server
from tests.browser.test_player import server as server
from tests.browser.test_predict import LETTERS, answer, asked, run
from tracer.views import html
from ui.exercise import exercise_text, handed


def test_a_teachers_steps_are_asked_and_the_code_says_what_was_missed(
    open_page: Open, server: Server
) -> None:
    text = exercise_text("Read & write 读写", [(2, "Mind the *axis*.", "Which axis?"), (0, "", "")])
    address = server.put("exercise", html.page(run(), LETTERS, "en", text))
    page = open_page(390, 844, color_scheme="dark")
    page.goto(address)
    page.evaluate("localStorage.clear()")
    page.reload()
    stage = page.locator(".stage")
    expect(stage.locator(".stage-head h2")).to_have_text("Read & write 读写")
    assert asked(page) == "x.flatten(2)"
    assert stage.locator(".teachers").inner_text().strip() == ""
    answer(page, "2, 3, 35")
    page.keyboard.press("Enter")
    assert asked(page) == "pairs.mean(1)"
    expect(stage.locator(".teachers em")).to_have_text("axis")
    assert objections(page) == []
    stage.get_by_label("Which axis?").fill("the “second” 第二")
    answer(page, "2, 6")
    stage.locator(".fields input").nth(1).fill("35")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(stage.locator(".hand-in")).to_be_visible()
    page.get_by_label("your name").fill("Ada | 艾达")
    page.get_by_role("button", name="Make the code").click()
    code = page.get_by_label("the code to hand in")
    expect(code).to_be_visible()
    assert objections(page) == []
    found = handed(code.input_value())
    assert found is not None
    assert found.name == "Ada | 艾达"
    assert found.exercise == text[-12:]
    assert found.steps[0] == ("first", (), "")
    state, missed, told = found.steps[2]
    assert (state, told) == ("later", "the “second” 第二")
    assert len(missed) == 1
    # It is kept by the browser, and asked in the order of the run.
    page.reload()
    assert asked(page) == "x.flatten(2)"
    expect(stage.locator(".score")).to_have_text("1 of 2 at the first try")

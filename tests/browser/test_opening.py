"""What is shipped of the lessons in a real browser: of a server of its own, which is looked at from
outside."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from modules import LESSONS
from tests.browser.conftest import TOKEN, free_port, serving
from tests.browser.test_debug import LINEAR, has_text, write
from tests.browser.test_walkthrough import query_of, wait_for_query
from tests.browser.waiting import until

Open = Callable[..., Page]

KEY = "squeeze-excite"


def has_torch(server: subprocess.Popen[bytes]) -> bool:
    return "libtorch" in Path(f"/proc/{server.pid}/maps").read_text()


def all_pictures(page: Page) -> None:
    until(
        page,
        """count => [...document.querySelectorAll(".card img")]
            .filter(each => each.complete && each.naturalWidth >= 100).length === count""",
        arg=len(LESSONS),
    )


def complete(page: Page, number: int) -> None:
    """The player stands at this operation, with values and formulas."""
    expect(page.locator(".shapewalk .transport")).to_contain_text(f"operation {number} of")
    expect(page.locator(".shapewalk .figures canvas").first).to_be_visible()
    expect(page.locator(".shapewalk .faces")).to_be_visible()


def seed(page: Page, number: int) -> None:
    box = page.get_by_role("spinbutton", name="Seed")
    box.fill(str(number))
    box.press("Enter")


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks into the process")
def test_lessons_are_read_without_torch_until_one_changes_something_and_outlive_their_server(
    open_page: Open, tmp_path: Path
) -> None:
    port = free_port()
    app = f"http://127.0.0.1:{port}"
    with serving(port, tmp_path / "log.txt") as server:
        page = open_page(loses=True)
        page.goto(app)
        all_pictures(page)
        page.locator(f".card [data-lesson={KEY}]").click()
        expect(page.locator(".shapewalk .transport")).to_contain_text("introduction")
        for number in (1, 2):
            page.locator(".shapewalk").press("ArrowRight")
            complete(page, number)
        wait_for_query(page, lesson=KEY, step="2")
        page.reload()
        complete(page, 2)
        # A saved link, in a second tab, in the other language.
        other = open_page(loses=True)
        other.goto(f"{app}/Walkthrough?lesson=eca-image&step=4&lang=zh")
        expect(other.locator(".shapewalk .transport")).to_contain_text(re.compile(r"4\D+9"))
        expect(other.get_by_role("heading", level=1)).to_be_visible()
        page.go_back()
        all_pictures(page)
        page.go_forward()
        complete(page, 2)
        assert not has_torch(server)

        seed(page, 3)
        wait_for_query(page, lesson=KEY, seed="3", step="2")
        expect(page.locator(".shapewalk .facts")).to_contain_text(
            "time"
        )  # of a run of this machine
        complete(page, 2)
        assert has_torch(server)
        # The tab beside stands where it stood, and the way back is as it was.
        assert query_of(other)["lesson"] == "eca-image"
        seed(page, 0)
        wait_for_query(page, lesson=KEY, seed=None, step="2")
        expect(page.locator(".shapewalk .facts")).not_to_contain_text("time")
        page.get_by_role("combobox", name="Preset").click()
        page.get_by_role("option").nth(1).click()
        until(page, "() => [...new URLSearchParams(location.search)].length > 2")
        complete(page, 2)
        other.goto(f"{app}/Your_module?lang=en&token={TOKEN}")
        write(other, LINEAR)
        until(other, "'shapewalk:code' in sessionStorage")
    # A lesson outlives its server.
    page.locator(".shapewalk").press("ArrowRight")
    complete(page, 3)
    with serving(port, tmp_path / "again.txt", secret="another"):
        # The page as it stands is one of the new server, which hears the first change.
        expect(page.locator("#away")).to_be_empty()
        drawn = "/seed-[0-9a-f]{8}/.test(document.querySelector('[class*=excite-seed]').className)"
        until(page, drawn)
        seed(page, 7)
        wait_for_query(page, lesson=KEY, seed="7", step="3")
        complete(page, 3)
        page.reload()
        complete(page, 3)
        wait_for_query(page, lesson=KEY, seed="7", step="3")
        # Who may run code there comes by another address, be it in another tab, and finds there
        # what was typed and never run.
        expect(other.get_by_text("stays in this browser")).to_be_visible()
        other.goto("about:blank")
        page.goto(f"{app}/Your_module?lang=en&token=another")
        has_text(page, LINEAR)
        page.goto("about:blank")

"""Two runs side by side, in a browser: stepped through together, what differs marked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Page, expect
from torch import Tensor, nn

from tests.browser.test_accessibility import objections
from tests.browser.waiting import until
from tracer import trace

Open = Callable[..., Page]


def opened(open_page: Open, app: str, query: str = "lang=en", **size: int | str) -> Page:
    page = open_page(**size)
    page.goto(f"{app}/Compare?{query}")
    expect(page.locator(".comparing .transport")).to_be_visible()
    return page


def sides(page: Page) -> list[str]:
    """What stands on either side: its expression, or that there is none."""
    found = page.locator(".comparing .side").all()
    return [each.locator(".expression, .absent").inner_text() for each in found]


def verdict(page: Page) -> str:
    return page.locator(".comparing .verdict").inner_text()


def test_both_are_stepped_through_together_and_two_saved_traces_too(
    open_page: Open, app: str, tmp_path: Path
) -> None:
    page = opened(open_page, app)
    assert sides(page) == ["self.avg_pool(x)", "self.avg_pool(x)"]
    assert verdict(page) == "Both give the same shape and type."
    page.keyboard.press("ArrowRight")
    assert sides(page) == ["pooled.view(B, C)", "no such step"]
    assert verdict(page) == "Only the run on the left has this step."
    page.get_by_role("button", name="sigmoid(score)").click()
    assert sides(page) == ["sigmoid(score)", "torch.sigmoid(score)"]
    assert verdict(page) == "One has 2 dimensions, the other 4 dimensions."
    page.keyboard.press("End")
    assert sides(page) == ["x * gate", "x * gate"]
    page.keyboard.press("n")  # from the end on to the first that differs
    assert sides(page) == ["pooled.view(B, C)", "no such step"]
    page.keyboard.press("p")
    assert sides(page) == ["omega.view(B, C, 1, 1)", "no such step"]
    # To where an operand was made.
    page.get_by_role("button", name="omega (2, 64)").click()
    assert sides(page) == ["sigmoid(score)", "torch.sigmoid(score)"]
    two_saved_traces(page, tmp_path)


def test_dimensions_that_differ_are_marked_and_told(open_page: Open, app: str) -> None:
    query = "one=lesson%3Dcoordatt&other=lesson%3Ddycaconv&lang=en"
    page = opened(open_page, app, query)
    assert verdict(page) == "They differ in C: 64, 32."
    marked = page.locator(".comparing .cell.odd .length")
    assert marked.all_inner_texts() == ["64", "32"]
    page.get_by_role("button", name="self.conv1(y)").click()
    expect(marked).to_have_count(0)
    pictures = page.locator(".comparing .both-figures canvas:visible")
    expect(pictures).to_have_count(2)


def test_a_change_of_a_size_is_seen_and_the_link_has_it(open_page: Open, app: str) -> None:
    one = "lesson%3Dsqueeze-excite"
    page = opened(open_page, app, f"one={one}&other={one}&lang=en")
    expect(page.locator(".comparing .differing")).to_contain_text("No difference")
    page.locator(".st-key-comparing-other").get_by_role("button", name="Feature map").click()
    page.get_by_label("C", exact=True).fill("32")
    page.get_by_label("C", exact=True).press("Enter")
    expect(page.locator(".comparing .differing")).to_contain_text("Next of ")
    until(page, "location.search.includes('C%3D32')")
    other = open_page()
    other.goto(page.url)
    expect(other.locator(".comparing .whose").nth(1)).to_have_text(
        "SE, squeeze and excitation · C=32"
    )


class Net(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(4, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = torch.relu(self.layer(x))
        return out


def two_saved_traces(page: Page, tmp_path: Path) -> None:
    for side, width in (("one", 3), ("other", 5)):
        trace(Net(width), torch.randn(2, 4)).save(tmp_path / f"{side}.json")
        column = page.locator(f".st-key-comparing-{side}")
        column.get_by_role("combobox").first.click()
        page.get_by_role("option", name="A saved trace").click()
        column.locator("input[type=file]").set_input_files(tmp_path / f"{side}.json")
        expect(column.locator("input[type=file]")).to_have_count(0)
    expect(page.locator(".comparing .verdict")).to_have_text("They differ in K: 3, 5.")
    expect(page.locator(".st-key-comparing-totals")).to_contain_text("15")


def test_the_way_from_a_lesson(open_page: Open, app: str) -> None:
    page = open_page()
    page.goto(f"{app}/Walkthrough?lesson=coordatt&lang=en")
    page.locator(".st-key-downloads").get_by_role("link", name="Compare").click()
    expect(page.locator(".comparing .whose").first).to_have_text("Coordinate attention")


@pytest.mark.parametrize(
    ("language", "scheme", "width"),
    [
        ("zh", "dark", 390),
        pytest.param("en", "light", 1400, marks=pytest.mark.deep),
        pytest.param("zh", "dark", 1024, marks=pytest.mark.deep),
        pytest.param("zh", "light", 390, marks=pytest.mark.deep),
    ],
)
def test_every_reader(open_page: Open, app: str, language: str, scheme: str, width: int) -> None:
    page = opened(open_page, app, f"lang={language}", width=width, color_scheme=scheme)
    assert objections(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if language == "zh":
        assert verdict(page) == "两者给出相同的形状和类型。"
    if width > 640:
        box = page.locator(".comparing .transport").bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= 850

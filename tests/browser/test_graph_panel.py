"""The graph beside the player: a panel where there is room for four, and one key away elsewhere."""

from __future__ import annotations

import itertools
from functools import cache

import pytest
from playwright.sync_api import Locator, Page, expect

from modules import lesson
from modules.lesson import run
from tests.browser.test_player import Open, Server, Show, net, path, press
from tests.browser.test_player import server as server
from tests.browser.test_player import show as show
from tests.browser.test_story import told
from tests.effort import spread
from tracer import Trace
from tracer.views import html
from ui import shipped

WIDE = {"width": 1600, "height": 900}


@cache
def dycaconv() -> Trace:
    one = lesson("dycaconv")
    return run(one, one.settings(), values=False, diagnose=False)


def graph(page: Page) -> Locator:
    return page.locator(".graph")


def current(page: Page) -> Locator:
    """The first line of what is lit."""
    return page.locator(".graph .node[aria-current=step] .row-0")


def scale(page: Page) -> float:
    place = page.locator(".graph .place")
    return float(place.evaluate("node => new DOMMatrix(getComputedStyle(node).transform).a"))


def inside(page: Page, node: Locator) -> bool:
    # It glides there.
    page.wait_for_function("document.getAnimations().every(each => each.playState !== 'running')")
    box, frame = node.bounding_box(), graph(page).bounding_box()
    assert box is not None
    assert frame is not None
    return (
        box["x"] >= frame["x"]
        and box["y"] >= frame["y"]
        and box["x"] + box["width"] <= frame["x"] + frame["width"]
        and box["y"] + box["height"] <= frame["y"] + frame["height"]
    )


def test_it_is_a_fourth_panel_and_lights_the_current_step(show: Show) -> None:
    page = show(dycaconv(), "step=21", **WIDE)
    boxes = [
        page.locator(f".layout > .{name}").bounding_box()
        for name in ("source", "detail", "figures", "graph")
    ]
    for one, other in itertools.pairwise(boxes):
        assert one is not None
        assert other is not None
        assert one["x"] + one["width"] <= other["x"] + 1
    expect(current(page)).to_have_text(["share_w"])
    for _ in range(12):  # it goes with the reader
        press(page, "ArrowRight")
        if current(page).count():
            assert inside(page, page.locator(".graph .node.current"))
    press(page, "Home")
    press(page, "ArrowRight")
    assert inside(page, page.locator(".graph .node.current"))


def test_nothing_is_empty_where_a_long_drawing_begins_and_ends(show: Show) -> None:
    page = show(dycaconv(), "step=21", **WIDE)
    for key, edge in (("Home", "top"), ("End", "bottom")):
        press(page, key)
        press(page, {"Home": "ArrowRight", "End": "ArrowLeft"}[key])
        assert inside(page, page.locator(".graph .node.current"))
        drawn, panel = (
            page.locator(each).evaluate("(node, edge) => node.getBoundingClientRect()[edge]", edge)
            for each in (".graph .place", ".graph")
        )
        assert abs(drawn - panel) < 40, edge


def test_a_node_leads_to_its_step_by_hand_and_by_key(show: Show) -> None:
    page = show(net(), "step=3", **WIDE)
    nodes = page.locator(".graph .node[role=button]")
    nodes.nth(1).click()
    assert path(page) == "1"
    # One of them can be reached by Tab: the current one. Each tells what it reads.
    expect(page.locator(".graph .node[tabindex='0']")).to_have_count(1)
    nodes.nth(2).focus()
    page.keyboard.press("Enter")
    assert path(page) == "2"
    assert page.locator(".graph .node[role=button]:not([aria-label*=operation])").count() == 0
    assert " from " in (nodes.nth(2).get_attribute("aria-label") or "")


def test_edges_carry_shapes_in_the_colours_of_their_dimensions(show: Show) -> None:
    page = show(dycaconv(), "step=21", **WIDE)
    shape = page.locator(".graph .shape-of", has_text="(2, 32, 14, 20)").first
    colours = shape.locator(".first").evaluate_all(
        "bars => bars.map(bar => getComputedStyle(bar).fill)"
    )
    assert len(colours) == 4
    assert len(set(colours)) == 4
    assert page.locator(".graph .edge.current").count() >= 2


def test_shapes_are_formulas_where_sizes_are(show: Show) -> None:
    trace = shipped.default("eca-image")
    assert trace is not None
    page = show(trace, "step=2", **WIDE)
    shapes = page.locator(".graph .shape-of text")
    assert shapes.first.inner_html() == "(2, 64, 14, 14)"
    press(page, "f")
    assert shapes.first.inner_html() == "(B, C, H, W)"
    # Each has the room that the drawing was laid out with.
    boxes = page.locator(".graph .shape-of .ground").evaluate_all(
        """all => all.map(each => each.getBBox())
          .map(({ x, y, width, height }) => [x, y, width, height])"""
    )
    for (x, y, width, height), (left, top, _, _) in itertools.permutations(boxes, 2):
        assert not (x <= left < x + width and y <= top < y + height)
    press(page, "ArrowRight")
    assert shapes.first.inner_html() == "(B, C, H, W)"


def test_chapters_are_frames(show: Show) -> None:
    page = show(told(), "step=2", **WIDE)
    expect(page.locator(".graph .title")).to_have_text(["Move", "Turn", "Back"])
    # Edges pass below the titles, not through them.
    assert page.locator(".graph .title ~ .edge").count() == 0
    assert page.locator(".graph .edge ~ .title").count() == 3


def test_it_is_fitted_and_zoomed(show: Show) -> None:
    page = show(dycaconv(), "step=21", **WIDE)
    press(page, "0")
    whole = scale(page)
    for node in (page.locator(".graph .node").first, page.locator(".graph .node").last):
        assert inside(page, node)
    press(page, "+")
    assert scale(page) > whole * 1.2
    press(page, "-", "-")
    assert scale(page) < whole
    graph(page).hover()
    page.mouse.wheel(0, -400)
    page.wait_for_function(
        "before => new DOMMatrix(getComputedStyle(document.querySelector('.graph .place'))"
        ".transform).a > before",
        arg=whole,
    )
    page.get_by_role("button", name="all of it (0)").click()
    assert scale(page) == pytest.approx(whole)


@pytest.mark.parametrize("width", spread([390, 800, 1200], every=2))
def test_elsewhere_it_is_one_key_away_in_the_place_of_the_source(show: Show, width: int) -> None:
    page = show(dycaconv(), "step=21", width=width, height=844)
    expect(graph(page)).to_be_hidden()
    press(page, "g")
    expect(graph(page)).to_be_visible()
    expect(page.locator(".source")).to_be_hidden()
    expect(current(page)).to_have_text(["share_w"])
    assert inside(page, page.locator(".graph .node.current"))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator(".top").get_by_role("button", name="graph").click()
    expect(graph(page)).to_be_hidden()
    expect(page.locator(".source")).to_be_visible()


def test_who_wants_none_beside_has_none(show: Show) -> None:
    page = show(dycaconv(), "step=21", **WIDE)
    press(page, "g")
    expect(graph(page)).to_be_hidden()
    expect(page.locator(".source")).to_be_visible()
    press(page, "ArrowRight")
    expect(graph(page)).to_be_hidden()


def test_an_exported_file_has_it_in_its_language(open_page: Open, server: Server) -> None:
    page = open_page(**WIDE)
    page.goto(server.put("graph", html.page(dycaconv(), language="zh")) + "?step=21")
    expect(current(page)).to_have_text(["share_w"])
    expect(page.get_by_role("button", name="显示全部 (0)")).to_be_visible()
    labels = page.locator(".graph .node[role=button]").evaluate_all(
        "all => all.map(node => node.getAttribute('aria-label'))"
    )
    assert all("来自" in label for label in labels)

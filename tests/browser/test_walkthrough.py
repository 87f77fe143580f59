"""The walkthrough in a real browser, as a student uses it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, TimeoutError, expect

from modules import LESSONS, chinese, lesson
from modules.lesson import run
from tests.browser.test_accessibility import objections
from tests.browser.waiting import settled, until
from tests.effort import TIMES, spread
from tests.test_pages import hostile
from tracer.views.rounds import rounds
from tracer.views.slides import slides
from ui import shipped

Open = Callable[..., Page]

SMALL = "lesson=fbkd-student&C=32&H=12&W=16"
TALLER = SMALL.replace("H=12", "H=14")


def go(page: Page, app: str, query: str) -> None:
    page.goto(f"{app}/Walkthrough?{query}")
    expect(page.locator(".shapewalk .transport")).to_be_visible()
    settled(page)


def query_of(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def wait_for_query(page: Page, **wanted: str | None) -> None:
    until(
        page,
        """wanted => {
            const now = new URLSearchParams(location.search);
            return Object.entries(wanted).every(([name, value]) => now.get(name) === value);
        }""",
        arg=wanted,
    )


def listen(page: Page) -> None:
    page.evaluate(
        """() => {
            window.heard = [];
            addEventListener('shapewalk:step', ({detail}) => window.heard.push(detail.path));
        }"""
    )


def shown(page: Page) -> str:
    """The path of the step on screen."""
    return page.evaluate("window.shapewalkPath")


# One with a loop, whose rounds are one entry; the others are walked by the same code, and a walk
# through all of them takes minutes.
WALKED = [each.key for each in LESSONS] if TIMES > 1 else ["hacnn-regions"]


@pytest.mark.parametrize("key", WALKED)
def test_a_whole_lesson_by_keyboard(open_page: Open, app: str, key: str) -> None:
    page = open_page()
    small = min(
        (p for p in lesson(key).presets if p.values and p.breaks is None),
        key=lambda p: (
            run(lesson(key), lesson(key).settings(p.name), values=False).seconds
            + sum(v for v in lesson(key).settings(p.name).values() if type(v) is int)
        ),
    )
    settings = lesson(key).settings(small.name)
    trace = run(lesson(key), settings, values=False, training=small.training)
    query = "&".join(f"{name}={str(value).lower()}" for name, value in settings.items())
    go(page, app, f"lesson={key}&{query}")
    listen(page)
    page.keyboard.press("Home")
    for _ in trace.steps:
        page.keyboard.press("ArrowRight")
    until(page, "n => window.heard.at(-1) === n", arg=str(len(trace.steps) - 1))
    heard = page.evaluate("window.heard")
    steps = {path for path in heard if path.isdigit()}
    # Of a loop's further rounds, which are one entry, the first stands for all.
    folded = {n for each in rounds(trace) for n in range(each.start + each.length + 1, each.stop)}
    assert steps >= {str(index) for index in set(range(1, len(trace.steps))) - folded}
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")  # from the conclusion back to the last step
    last = trace.steps[-1]
    for size in last.outputs[0].shape:
        expect(page.locator(".shapewalk .transport")).to_contain_text(str(len(trace.steps)))
        expect(page.locator(".shapewalk")).to_contain_text(str(size))
    page.keyboard.press("Home")
    until(page, "() => window.heard.at(-1) === '0'")


def test_a_deep_link_opens_the_same_view(open_page: Open, app: str) -> None:
    page = open_page()
    go(page, app, f"{SMALL}&seed=4&input=noise&training=true&step=10")
    assert shown(page) == "9"
    expect(page.get_by_role("spinbutton", name="H", exact=True)).to_have_value("12")
    expect(page.get_by_role("spinbutton", name="Seed")).to_have_value("4")
    page.keyboard.press("ArrowRight")
    wait_for_query(page, step="11", seed="4", H="12")
    copied = open_page()
    copied.goto(page.url)
    expect(copied.locator(".shapewalk .transport")).to_be_visible()
    settled(copied)
    assert shown(copied) == "10"
    assert query_of(copied) == query_of(page)
    assert copied.locator(".shapewalk .detail").inner_text() == (
        page.locator(".shapewalk .detail").inner_text()
    )


def change_size(page: Page, name: str, value: int) -> None:
    field = page.get_by_role("spinbutton", name=name, exact=True)
    field.fill(str(value))
    field.press("Enter")


def test_a_changed_size_is_traced_again_at_the_same_step_and_in_no_other_tab(
    open_page: Open, app: str
) -> None:
    page, other = open_page(), open_page()
    go(other, app, "lesson=eca-image&show=shapes")
    go(page, app, f"{SMALL}&step=3")
    page.wait_for_timeout(2000)
    expect(page.locator(".st-key-graph g.node").first).to_be_visible()
    page.evaluate(
        """() => {
            const { getPointAtLength } = SVGGeometryElement.prototype;
            window.measured = 0;
            SVGGeometryElement.prototype.getPointAtLength = function (...given) {
                window.measured += 1;
                return getPointAtLength.apply(this, given);
            };
        }"""
    )
    change_size(page, "H", 14)
    other.keyboard.press("End")
    wait_for_query(page, H="14", step="3", C="32", lesson="fbkd-student")
    settled(page)
    expect(page.locator(".shapewalk .detail")).to_contain_text(str(14 * 16))
    assert shown(page) == "2"
    # The graph is drawn anew, and what would glide from the old one to it is not worked out.
    expect(page.get_by_test_id("stGraphVizChart")).to_contain_text("14")
    assert page.evaluate("window.measured") == 0
    assert query_of(other)["lesson"] == "eca-image"
    expect(other.get_by_role("heading", level=1)).to_have_text(lesson("eca-image").title)
    # A fast hand is not overruled.
    field = page.get_by_role("spinbutton", name="H", exact=True)
    for _ in range(6):
        field.press("ArrowUp")
        page.wait_for_timeout(60)
    wait_for_query(page, H="20")
    settled(page)
    expect(page.get_by_role("spinbutton", name="H", exact=True)).to_have_value("20")


def test_back_and_forward_walk_through_the_views(open_page: Open, app: str) -> None:
    page = open_page()
    page.goto(app)
    page.get_by_role("link", name=lesson("eca-sequence").title).click()
    expect(page.locator(".shapewalk .transport")).to_be_visible()
    settled(page)
    change_size(page, "T", 14)
    wait_for_query(page, T="14")
    settled(page)
    page.wait_for_timeout(1600)
    choose(page, "Lesson", lesson("eca-image").title)
    wait_for_query(page, lesson="eca-image", T=None)
    settled(page)
    page.go_back()
    wait_for_query(page, lesson="eca-sequence", T="14")
    # While the page is drawn anew, the old field is still there for a moment.
    frames = page.get_by_role("spinbutton", name="T", exact=True).last
    expect(frames).to_have_value("14")
    expect(page.get_by_role("heading", level=1)).to_have_text(lesson("eca-sequence").title)
    settled(page)
    page.go_back()
    wait_for_query(page, lesson="eca-sequence", T=None)
    expect(frames).to_have_value("23")
    page.go_forward()
    wait_for_query(page, T="14")
    expect(frames).to_have_value("14")
    settled(page)
    page.go_back()
    page.go_back()
    expect(page.get_by_role("heading", name="Shapewalk")).to_be_visible()


# What is said of other links, `tests/test_pages.py` asks without a browser.
@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("B=999999999&step=999999", "B=999,999,999 is outside"),
        pytest.param(
            "seed=<img src=x onerror=alert(1)>&step=%3Cscript%3E",
            "is not a whole number",
            marks=pytest.mark.deep,
        ),
    ],
)
def test_a_broken_link_says_what_is_wrong_and_shows_the_beginning(
    open_page: Open, app: str, query: str, sentence: str
) -> None:
    page = open_page()
    # What shall be said here, not how long values take.
    go(page, app, f"{SMALL}&{query}&show=shapes")
    expect(page.get_by_test_id("stAlert")).to_contain_text(sentence)
    if "step=999999" in query:  # beyond the end is the last one, and the address says which
        expect(page.locator(".shapewalk .transport")).to_contain_text("operation 39 of 39")
        wait_for_query(page, step="39")
    page.keyboard.press("Home")
    assert shown(page) == "0"


def choose(page: Page, label: str, option: str | re.Pattern[str]) -> None:
    wanted = page.get_by_role("option", name=option)
    for _ in range(60):
        page.get_by_role("combobox", name=label).click()
        try:
            # A list is closed again by a page that is just being drawn anew.
            wanted.click(timeout=3000)
            return
        except TimeoutError:
            continue
    raise AssertionError(f"{label} offers no {option}")


def test_the_post_s_own_size_with_values_and_a_preset_that_breaks(
    open_page: Open, app: str
) -> None:
    page = open_page()
    go(page, app, "lesson=fbkd-student")
    expect(page.locator(".shapewalk")).to_contain_text("(2, 256, 100, 148)")
    expect(page.locator(".shapewalk canvas").first).to_be_visible()
    unknown = page.get_by_text("Only shapes were recorded").locator("visible=true")
    expect(unknown).to_have_count(0)
    breaking = next(p for p in lesson("fbkd-student").presets if p.breaks)
    choose(page, "Preset", breaking.name)
    alerts = page.get_by_test_id("stMain").get_by_test_id("stAlert")
    expect(alerts.filter(has_text=str(breaking.breaks)).first).to_be_visible()
    settings = lesson("fbkd-student").settings(breaking.name)
    failure = run(lesson("fbkd-student"), settings, mend=False).failure
    assert failure is not None
    assert failure.step is not None
    until(page, "path => window.shapewalkPath === path", arg=str(failure.step.index))
    expect(page.locator(".shapewalk .detail")).to_contain_text(failure.expression)
    # What stands beside one picture does not run into the next.
    expect(page.locator(".shapewalk .figures canvas").first).to_be_visible()
    assert page.locator(".shapewalk .figures .figure").evaluate_all(OUTSIDE) == []


OUTSIDE = """figures => figures.flatMap(each => {
  const { top, bottom } = each.getBoundingClientRect();
  const boxes = [...each.querySelectorAll('*')].map(part => part.getBoundingClientRect());
  return boxes.filter(box => box.height && (box.top < top - 1 || box.bottom > bottom + 1));
})"""


def test_sizes_that_do_not_fit_show_their_shapes_and_claims_have_their_verdicts(
    open_page: Open, app: str
) -> None:
    page = open_page()
    go(page, app, "lesson=fbkd-teacher&B=16&reduction=2&sub_sample=false&show=values")
    expect(page.get_by_test_id("stAlert")).to_contain_text("54400, 54400")
    expect(page.get_by_test_id("stAlert")).to_contain_text("Reduce")
    expect(page.locator(".shapewalk")).to_contain_text("(16, 256, 200, 272)")
    open_tab(page, "Claims")
    claims = page.locator(".st-key-claims")
    expect(claims).to_contain_text("(2,54400)")
    expect(claims).to_contain_text("(2,25400)")
    assert claims.get_by_text("slip of the post").count() == sum(
        claim.verdict == "slip" for claim in lesson("fbkd-teacher").claims
    )


def test_a_long_run_can_be_cancelled(open_page: Open, app: str) -> None:
    page = open_page()
    for seed in range(77, 83):
        page.goto(f"{app}/Walkthrough?lesson=fbkd-teacher&B=3&seed={seed}")
        try:
            page.get_by_role("button", name="Cancel").click(timeout=20_000)
        except TimeoutError:
            continue  # it ended before a hand was there
        settled(page)
        if page.get_by_test_id("stAlert").count():
            break  # else it ended while the hand was on its way
    expect(page.get_by_test_id("stAlert")).to_contain_text("cancelled")
    expect(page.locator(".shapewalk")).to_contain_text("(3, 256, 200, 272)")
    change_size(page, "B", 1)
    change_size(page, "H", 20)
    wait_for_query(page, H="20")
    settled(page)
    expect(page.locator(".shapewalk canvas").first).to_be_visible()


# --- under the player -------------------------------------------------------------------------


def open_tab(page: Page, name: str) -> None:
    page.locator(".st-key-tabs").get_by_text(name, exact=True).click()
    settled(page)


def goes_to(page: Page, path: str) -> None:
    event = "new CustomEvent('shapewalk:goto', { detail: { path } })"
    page.evaluate(f"path => {{ dispatchEvent({event}) }}", path)


def test_a_step_asks_the_server_nothing_and_the_graph_marks_it_and_obeys_a_click(
    open_page: Open, app: str
) -> None:
    page = open_page()
    sent: list[object] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(frame)))
    go(page, app, f"{SMALL}&step=4")
    current = page.locator(".st-key-graph g.shapewalk-current")
    expect(current).to_have_attribute("id", "step-3")
    listen(page)
    before = -1
    while len(sent) > before:  # what the page itself has to say comes first
        before = len(sent)
        page.wait_for_timeout(500)
    sent.clear()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    until(page, "() => window.heard.length >= 10")
    page.wait_for_timeout(500)
    assert sent == []
    goes_to(page, "3")
    expect(current).to_have_attribute("id", "step-3")
    page.keyboard.press("ArrowRight")
    expect(current).to_have_attribute("id", "step-4")
    page.locator("#step-20").scroll_into_view_if_needed()
    page.locator("#step-20").click()
    expect(current).to_have_attribute("id", "step-20")
    assert shown(page) == "20"
    page.locator("#step-21").focus()
    page.keyboard.press("Enter")
    assert shown(page) == "21"
    expect(page.locator(".st-key-graph g.cluster")).to_have_count(1)
    # A module's level.
    goes_to(page, "22")
    choose(page, "Level", re.compile("^Inside FBKDStudentConnector"))
    whole = page.locator(".st-key-graph g.node.call")
    expect(whole).to_have_count(1)
    expect(whole).to_have_class(re.compile("shapewalk-current"))


def test_a_row_of_the_table_goes_to_its_step(open_page: Open, app: str) -> None:
    page = open_page(motion=True)  # the page glides back to the player
    go(page, app, SMALL)
    open_tab(page, "Table")
    table = page.get_by_test_id("stDataFrame")
    table.scroll_into_view_if_needed()
    box = table.bounding_box()
    assert box is not None
    # The table is a canvas: its rows are 35 pixels high, the first under the headings.
    page.mouse.click(box["x"] + 17, box["y"] + 35 * 5 + 17)
    until(page, "() => window.shapewalkPath === '4'")
    expect(page.locator(".shapewalk .transport")).to_be_in_viewport()
    # The table still has the keyboard.
    page.get_by_role("button", name=re.compile("^next", re.I)).first.click()
    assert shown(page) == "5"
    # Another run of the script does not send the reader back to the row.
    open_tab(page, "Graph")
    level = page.get_by_role("combobox", name=re.compile("Level"))
    level.fill("Inside")
    level.press("Enter")
    expect(level).to_have_value(re.compile("^Inside"))
    open_tab(page, "Table")
    open_tab(page, "Graph")
    open_tab(page, "Table")
    expect(page.get_by_test_id("stDataFrame")).to_be_visible()
    assert shown(page) == "5"


def test_a_run_is_handed_on_its_inspector_and_source_follow_the_step_and_it_is_taken_away(
    open_page: Open, app: str
) -> None:
    page = open_page()
    go(page, app, f"{SMALL}&lang=en&step=1")
    # One has gone on since the page was drawn.
    page.keyboard.press("ArrowRight")
    wait_for_query(page, step="2")
    it_is_handed_on(page)
    open_tab(page, "Inspector")
    expect(page.get_by_test_id("stPlotlyChart")).to_have_count(2)
    tensor = page.get_by_role("combobox", name="Tensor")
    expect(tensor).to_have_value(re.compile(re.escape("s (2, 1, 12, 16) · step 2")))
    expect(page.get_by_test_id("stTable")).to_contain_text(f"{2 * 12 * 16:,}")
    expect(page.get_by_role("spinbutton", name="Index in B (0 to 1)")).to_be_visible()
    for name, value in (("Rows", "H (12)"), ("Columns", "W (16)")):
        expect(page.get_by_role("combobox", name=name, exact=True)).to_have_value(value)
    page.get_by_role("button", name=re.compile("^next", re.I)).first.click()
    assert shown(page) == "2"
    expect(tensor).to_have_value(re.compile("step 3$"))
    the_source_follows(page)
    # The formulas draw the page anew, and revoke what was about to be downloaded.
    expect(page.get_by_role("button", name="formulas", exact=True)).to_be_visible()
    settled(page)
    all_is_downloaded(page)


def the_source_follows(page: Page) -> None:
    open_tab(page, "Source")
    source = page.get_by_role("group", name="Source", exact=True)
    expect(source.locator("summary")).to_contain_text(["class FBKDStudentConnector"])
    expect(source.locator(".current")).to_be_visible()
    assert page.evaluate("e => e.clientHeight", source.element_handle()) < 600
    for step in ("12", "30"):
        goes_to(page, step)
        frame, line = source.bounding_box(), source.locator(".current").bounding_box()
        assert frame is not None
        assert line is not None
        assert frame["y"] <= line["y"]
        assert line["y"] + line["height"] <= frame["y"] + frame["height"]
    expect(page.get_by_role("link", name=lesson("fbkd-student").paper.link)).to_be_visible()


def all_is_downloaded(page: Page) -> None:
    files = taken_away(page)
    with page.expect_download() as saved:
        files.get_by_role("button", name="Trace").click()
    trace = json.loads(saved.value.path().read_text())
    assert trace["format"] == "shapewalk-trace"
    assert saved.value.suggested_filename.endswith(".json")
    with page.expect_download() as saved:
        files.get_by_role("button", name="Page").click()
    assert "<!doctype html>" in saved.value.path().read_text()[:100].lower()
    # What else there is of a run, each by its first bytes.
    begins = {
        "Table": b"step,",
        "Annotated source": b"FBKD student connector",
        "Markdown": b"## FBKD student connector",
        "Worksheet": b"<!doctype html>",
        "Slides": b"<!doctype html>",
        "Graph": b"<svg",
        "Heatmaps": b"PK",
        "Notebook": b"{",
        "Python": b"# FBKD student connector",
    }
    for name, first in begins.items():
        with page.expect_download() as saved:
            files.get_by_role("button", name=name).click()
        assert saved.value.path().read_bytes().startswith(first), name
    page.keyboard.press("Escape")


def it_is_handed_on(page: Page) -> None:
    # What the other page takes is what the lesson's own page says.
    page.get_by_role("button", name="Embed").click()
    code = page.get_by_test_id("stPopoverBody").get_by_test_id("stCode")
    expect(code).to_contain_text("Walkthrough?lesson=fbkd-student")
    expect(code).to_contain_text("embed=1")
    page.keyboard.press("Escape")
    # The link is of the step on screen, as the address is.
    page.locator(".st-key-downloads").get_by_role("button", name="Link").click()
    dialog = page.get_by_role("dialog", name="Link")
    expect(dialog.get_by_role("img", name="QR code of the link")).to_be_visible()
    step = query_of(page)["step"]
    expect(dialog.get_by_test_id("stCode")).to_contain_text(re.compile(rf"[?&]step={step}\b"))
    asked = parse_qs(urlsplit(dialog.get_by_test_id("stCode").inner_text().strip()).query)
    assert {name: values[0] for name, values in asked.items()} == query_of(page)
    assert objections(page) == []
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def taken_away(page: Page) -> Locator:
    """What of the run can be taken away, once it is asked for."""
    page.get_by_role("button", name="Take away").click()
    return page.get_by_test_id("stPopoverBody")


def test_in_a_frame_the_player_is_alone(open_page: Open, app: str) -> None:
    page = open_page()
    go(page, app, f"{SMALL}&lang=en&embed=1&step=3")
    for part in ("stSidebar", "stHeader"):
        expect(page.get_by_test_id(part)).to_be_hidden()
    expect(page.locator("h1, .st-key-tabs, .st-key-downloads")).to_have_count(0)
    box = page.locator(".shapewalk").bounding_box()
    assert box is not None
    assert (box["x"], box["y"], box["width"], box["height"]) == (0, 0, 1400, 850)
    page.keyboard.press("ArrowRight")
    until(page, "() => location.search.includes('step=4')")
    assert query_of(page)["embed"] == "1"


def test_slides_are_stepped_through_by_a_clicker(open_page: Open, tmp_path: Path) -> None:
    """In a browser, from the file alone: each key shows another slide, and none is passed over."""
    deck = tmp_path / "deck.html"
    default = shipped.default("squeeze-excite")
    assert default is not None
    deck.write_text(slides(default), encoding="utf-8")
    page = open_page(width=1024, height=768)
    page.goto(deck.as_uri())
    shown = """() => [...document.querySelectorAll("section")].findIndex(
        (each) => Math.abs(each.getBoundingClientRect().top) < 2)"""
    seen = [page.evaluate(shown)]
    for key in ("PageDown", "ArrowRight", "Space", "PageUp", "ArrowLeft", "End", "Home"):
        page.keyboard.press(key)
        seen.append(page.evaluate(shown))
    last = page.locator("section").count() - 1
    assert seen == [0, 1, 2, 3, 2, 1, last, 0]


def test_a_downloaded_trace_can_be_opened_a_hostile_one_is_only_text_and_nothing_is_lost(
    open_page: Open, app: str
) -> None:
    page = open_page()
    page.on("dialog", lambda dialog: pytest.fail(f"a script of the trace ran: {dialog.message}"))
    go(page, app, f"{SMALL}&show=shapes&seed=5")
    files = taken_away(page)
    with page.expect_download() as saved:
        files.get_by_role("button", name="Trace").click()
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Open a trace").click()
    upload = page.get_by_test_id("stFileUploaderDropzoneInput")
    upload.set_input_files(
        {
            "name": "t.json",
            "mimeType": "application/json",
            "buffer": saved.value.path().read_bytes(),
        }
    )
    expect(page.locator(".shapewalk .transport")).to_be_visible()
    settled(page)
    expect(page.locator(".shapewalk .transport")).to_be_in_viewport(ratio=1)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert shown(page) == "1"
    expect(page.locator(".st-key-graph g.shapewalk-current")).to_have_attribute("id", "step-1")
    assert "lesson" not in query_of(page)
    page.get_by_role("button", name="Another file").click()
    upload.set_input_files(
        {"name": "bad.json", "mimeType": "application/json", "buffer": b'{"format": 1'}
    )
    expect(page.get_by_test_id("stAlert")).to_contain_text("bad.json")
    expect(page.locator(".shapewalk .transport")).to_be_visible()
    upload.set_input_files(
        {"name": "hostile.json", "mimeType": "application/json", "buffer": hostile()}
    )
    expect(page.locator(".shapewalk .transport")).to_be_visible()
    settled(page)
    expect(page.locator(".st-key-graph g.node").first).to_contain_text("<script>")
    open_tab(page, "Table")
    expect(page.get_by_test_id("stDataFrame")).to_be_visible()
    assert page.locator("img[src=x]").count() == 0
    assert page.locator("script", has_text="alert(1)").count() == 0
    # The lesson is where it was left.
    page.get_by_role("link", name="Walkthrough").click()
    wait_for_query(page, seed="5", H="12")
    expect(page.get_by_role("spinbutton", name="Seed")).to_have_value("5")


# --- every reader -----------------------------------------------------------------------------


SIZES = [(390, 844), (768, 1024), (1024, 768), (1280, 720), (1400, 900), (1920, 1080)]

HIDDEN = """async (player, { steps, enters }) => {
  // Another size of the window is known with the next frame.
  for (let frame = 0; frame < 2; frame += 1) await new Promise(requestAnimationFrame);
  const hidden = [];
  const header = document.querySelector('[data-testid=stHeader]');
  const opaque = getComputedStyle(header).backgroundColor !== 'rgba(0, 0, 0, 0)';
  const top = opaque ? header.getBoundingClientRect().bottom : 0;
  const look = (what, node, frame) => {
    const box = node.getBoundingClientRect();
    const inside = frame && frame.clientHeight;  // on a phone the page scrolls, not the panel
    const within = inside ? frame.getBoundingClientRect() : {top: 0, bottom: innerHeight};
    const transport = player.querySelector('.transport').getBoundingClientRect();
    if (box.top < Math.max(top, within.top) - 1) hidden.push(`${what}: above`);
    if (box.bottom > Math.min(transport.top, within.bottom) + 1) hidden.push(`${what}: below`);
    if (box.left < -1 || box.right > innerWidth + 1) hidden.push(`${what}: beside`);
  };
  const press = key => document.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
  const found = [];
  press('Home');
  press(enters ? 'Enter' : 'ArrowRight');
  for (let step = 1; step <= steps; step += 1) {
    if (enters) press('Enter');
    hidden.length = 0;
    look('title', document.querySelector('h1'), null);
    const detail = player.querySelector('.detail');
    for (const part of ['.expression', '.flow', '.summary']) {
      const node = detail.querySelector(part);
      if (node) look(part, node, detail);
    }
    if (document.documentElement.scrollWidth > innerWidth) hidden.push('scrolls sidewards');
    if (hidden.length) found.push([step, ...hidden]);
    press('ArrowRight');
  }
  return found;
}"""
"""What of each step is out of sight; where one `enters`, of each step of what can be opened."""


# With more effort each language, theme and amount of pictures.
STEPPED = [("zh", "dark", "values"), ("en", "light", "shapes"), ("zh", "light", "shapes")]


@pytest.mark.parametrize(("lang", "theme", "show"), spread(STEPPED, every=3))
def test_a_step_is_on_screen_without_scrolling(
    open_page: Open, app: str, lang: str, theme: str, show: str
) -> None:
    """The title, the expression, what it takes and gives, and what happens, of steps with short
    and with long ones, with and without pictures, on a phone, a tablet, a projector and a screen.
    """
    page = open_page(*SIZES[0], color_scheme=theme)
    go(page, app, f"lesson=hacnn-regions&lang={lang}&show={show}&step=5")
    the_transport_is_in_reach(page)
    hidden = {}
    # A phone, a projector and a screen; with more effort all.
    sizes = SIZES if TIMES > 1 else SIZES[::2]
    for width, height in sizes:
        page.set_viewport_size({"width": width, "height": height})
        page.evaluate("scrollTo(0, 0)")
        page.locator(".shapewalk .detail").focus()
        # 50 steps, of which 21 are the further rounds of a loop.
        found = page.locator(".shapewalk").evaluate(HIDDEN, {"steps": 30})
        if found:
            hidden[width, height] = found
        assert int(shown(page)) > 30
    assert hidden == {}
    if theme == "dark":
        dark_and_light_follow_the_reader(page)


def the_transport_is_in_reach(page: Page) -> None:
    """On a phone, in one column."""
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = page.locator(".shapewalk .transport").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    assert box["y"] + box["height"] <= 844
    before = shown(page)
    page.get_by_role("button", name=re.compile("^(next|下一个)", re.I)).first.click()
    assert int(shown(page)) == int(before) + 1


def dark_and_light_follow_the_reader(page: Page) -> None:
    def paper() -> int:
        return sum(int(part) for part in re.findall(r"\d+", colour())[:3])

    def colour() -> str:
        return str(player.evaluate("e => getComputedStyle(e).backgroundColor"))

    player = page.locator(".shapewalk")
    assert paper() < 3 * 60
    dark = colour()
    page.emulate_media(color_scheme="light")
    until(
        page, """() => getComputedStyle(document.querySelector('.stApp')).colorScheme === 'light'"""
    )
    expect(player).not_to_have_css("background-color", dark)
    assert paper() > 3 * 200


# --- language -----------------------------------------------------------------------------------


def test_the_language_follows_the_browser_and_stays_in_the_link(browser: Browser, app: str) -> None:
    context = browser.new_context(locale="zh-CN", reduced_motion="reduce")
    try:
        page = context.new_page()
        page.goto(f"{app}/Walkthrough?lesson=squeeze-excite&show=shapes&step=3")
        heading = page.get_by_role("heading", level=1)
        title = chinese.chinese(lesson("squeeze-excite").title) or "none"
        expect(heading).to_have_text(title)
        notes = page.locator(".note[lang=zh]")
        expect(notes.first).to_be_visible()
        assert "lang=" not in page.url
        # What follows an arrival at once is one change of mind with it, and no entry of its own.
        page.wait_for_timeout(1600)
        # English is chosen: everything changes, step and settings stay, and the link says so.
        page.get_by_text("English", exact=True).click()
        expect(heading).to_have_text(lesson("squeeze-excite").title)
        expect(notes).to_have_count(0)
        until(page, "() => location.search.includes('lang=en')")
        assert "show=shapes" in page.url
        assert "step=3" in page.url
        expect(page.get_by_role("radio", name="Shapes only")).to_be_checked()
        # So it does on the other pages, and on the way back in the history.
        page.get_by_role("link", name="Open a trace").click()
        expect(heading).to_have_text("Open a trace")
        until(page, "() => location.search.includes('lang=en')")
        page.go_back()
        expect(heading).to_have_text(lesson("squeeze-excite").title)
        page.go_back()
        expect(heading).to_have_text(title)
        expect(page.get_by_role("radio", name="仅形状")).to_be_checked()
    finally:
        context.close()


def test_a_link_brings_its_language_and_the_open_tab_stays_open_in_another(
    open_page: Open, app: str
) -> None:
    page = open_page()
    page.goto(f"{app}/Walkthrough?lesson=eca-image&show=shapes&lang=zh")
    title = chinese.chinese(lesson("eca-image").title) or "none"
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    page.get_by_role("link", name="Shapewalk").click()
    first = chinese.chinese(LESSONS[0].title) or "none"
    expect(page.get_by_role("link", name=first)).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    tabs = page.locator(".st-key-tabs")
    for name in ("表格", "来源"):
        tabs.get_by_text(name, exact=True).click()
        expect(tabs.get_by_role("radio", name=name)).to_be_checked()
    page.get_by_text("English", exact=True).click()
    expect(tabs.get_by_role("radio", name="Source")).to_be_checked()
    expect(page.get_by_role("group", name="Source", exact=True)).to_be_visible()
    tabs.get_by_text("Graph", exact=True).click()
    expect(tabs.get_by_role("radio", name="Graph")).to_be_checked()
    expect(page.locator(".st-key-graph g.node").first).to_be_visible()


# --- formulas -----------------------------------------------------------------------------------


def test_formulas_follow_the_numbers(open_page: Open, app: str) -> None:
    """The numbers are there first; what was chosen by then, and the step, stay."""
    page = open_page()
    go(page, app, "lesson=hacnn-channel&show=shapes&step=4")
    open_tab(page, "Table")
    faces = page.locator(".shapewalk .faces")
    expect(faces).to_be_visible()
    expect(page.locator(".st-key-tabs").get_by_role("radio", name="Table")).to_be_checked()
    assert "step=4" in page.url
    faces.get_by_role("button", name="formulas").click()
    expect(page.locator(".shapewalk .detail")).to_contain_text("reduction_rate")
    until(page, "() => location.search.includes('dims=formulas')")
    open_tab(page, "Cost")
    expect(page.get_by_text("Doubling")).to_be_visible()
    page.reload()
    pressed = page.locator(".shapewalk .faces [aria-pressed=true]")
    expect(pressed).to_have_attribute("aria-label", "formulas")

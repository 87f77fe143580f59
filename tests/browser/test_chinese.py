"""A page in Chinese says nothing in English but code, names, and what is marked as English."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from modules import LESSONS, chinese, lesson
from modules.lesson import run
from modules.posts import POSTS
from tests.browser.test_player import Server
from tests.browser.test_player import server as server
from tests.browser.waiting import settled
from tests.chinese import TERMS, words
from tests.effort import TIMES
from tracer import Trace
from tracer.ops import space
from tracer.views import html
from ui import shipped

Open = Callable[..., Page]

COLLECT = """() => {
  // Code, names of tensors and of operations, icons (whose texts are names of glyphs), formulas.
  const quoted = `code, pre, kbd, samp, var, math, textarea, script, style, [translate=no],
    [lang=en], .shapewalk .text, .katex, [data-testid=stIconMaterial]`;
  const spoken = ["aria-label", "aria-description", "aria-valuetext", "title", "alt",
                  "placeholder", "data-title"];
  const found = [];
  let last = null;
  const walk = (node, isDrawn) => {
    if (node.nodeType === Node.TEXT_NODE) {
      const text = node.data.trim();
      // A name that may be broken between its words is one text.
      const broken = node.previousSibling?.nodeName === "WBR";
      const continues = broken && node.previousSibling.previousSibling === last;
      if (continues && text) found.push(found.pop() + text);
      else if (text) found.push(text);
      last = node;
      return;
    }
    if (node.nodeType === Node.ELEMENT_NODE) {
      if (node.matches(quoted)) return;
      if (isDrawn && !node.checkVisibility({ visibilityProperty: true })) return;
      for (const name of spoken) {
        const text = node.getAttribute(name)?.trim();
        if (text) found.push(text);
      }
      // What is chosen of a list.
      if (node.matches("input[role=combobox]") && node.value) found.push(node.value);
    }
    const inner = isDrawn && node.nodeName !== "CANVAS";
    for (const child of node.shadowRoot?.childNodes ?? []) walk(child, inner);
    for (const child of node.childNodes) walk(child, inner);
  };
  walk(document.body, true);
  return [document.title, ...found];
}"""

NAMES = frozenset(
    word
    for line in (
        "Language English Shapewalk PyTorch Python Keras torch Landlock seccomp Markdown JSON CSV",
        "PNG UTF NaN Inf FLOP kFLOP MFLOP GFLOP kB MB GB MiB",
        "Ctrl Enter Esc Shift Space Home End PageUp PageDown eval train true false",
    )
    for word in line.split()
)
"""Of products, formats, units, keys and values in code; `eval` and `train` are PyTorch's names of
the modes.  The field for the language is called in both."""

STREAMLITS = {
    "Skip to main content": "its link for the keyboard",
    "Sidebar": "the sidebar's role",
    "Collapse sidebar": "a button of its frame",
    "Expand sidebar": "a button of its frame",
    "Main menu": "a button of its frame",
    "Running...": "its sign that a script runs, which shows for a moment",
    "Stop": "its sign that a script runs",
    "progress": "the name of its bar, under which our own words stand",
    "Decrement": "the steps of a field for numbers",
    "Increment": "the steps of a field for numbers",
    "Open": "the arrow of a list",
    "Choose an option": "the empty field of a list",
    "Fullscreen": "the button over a picture",
    "Close fullscreen": "the button over a picture",
    "Show/hide columns": "a button over a table",
    "Download as CSV": "a button over a table",
    "Search": "a button over a table",
    "file upload": "the field for files",
    "Copy to clipboard": "the button over code",
    "Add files": "the field for files",
    "add icon": "the field for files",
    "Upload": "the field for files",
    "64MB per file": "the field for files",
    "Help": "the sign beside a field",
    "Clear value": "the cross in a field",
}
"""What Streamlit says by itself, and where: it has no other language, and no option takes these."""

MOST_LOOKS = 300

_OVER = re.compile(r"Fullscreen: (.*)|Help for (.*)|(.*) • JSON")
"""Streamlit's words around words of the page."""

_LINK = re.compile(r"https?://\S+")
_STOP = re.compile(r"[\u4e00-\u9fff]\.(\s|$)|^\.$")
"""Chinese that ends as English does: such a mark after it, or alone."""

_WORD = re.compile(r"(?<![\w.@/])[A-Za-z]?[a-z]+(?![\w(=]|[./]\w)")


class Reader:
    """Reads pages and remembers what is English on them: {text: where}."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def read(self, page: Page, where: str, known: Iterable[str] = ()) -> None:
        allowed = NAMES | TERMS | set(known)
        found = self._english(page, allowed)
        for _ in range(MOST_LOOKS):
            if not found:
                return
            # What Streamlit shows while a page comes is gone when it is there.
            page.wait_for_timeout(100)
            found = self._english(page, allowed)
        for text in found:
            self.found.setdefault(text, where)

    def _english(self, page: Page, allowed: frozenset[str] | set[str]) -> list[str]:
        found = []
        for text in page.evaluate(COLLECT):
            over = _OVER.fullmatch(text)
            told = next(filter(None, over.groups()), "") if over else text
            if told in STREAMLITS:
                continue
            told = _LINK.sub("", told)
            strange = any(len(each) > 1 and each not in allowed for each in _WORD.findall(told))
            if strange or _STOP.search(told):
                found.append(text)
        return found


def names(trace: Trace) -> set[str]:
    """The words that name tensors, modules, operations and their arguments in a run."""
    notes = [note.name for note in trace.tensors().values()]
    steps = [
        text
        for step in trace.walk()
        for text in (step.op, step.module, *step.arguments, *step.targets)
    ]
    calls = [text for call in trace.calls for text in (call.module, call.type)]
    kinds = [note.dtype for note in trace.tensors().values()]
    found = set().union(*map(words, (trace.name, *notes, *steps, *calls, *kinds)))
    return found | {word.strip("_") for word in found}


def titles() -> set[str]:
    """What lessons, posts and authors are called in Chinese: names may be in other letters."""
    posts = [text for post in POSTS.values() for text in (post.original, post.author)]
    return set().union(*map(words, posts), *(words(each.map) for each in LESSONS))


@pytest.fixture
def reader() -> Iterator[Reader]:
    reader = Reader()
    yield reader
    assert reader.found == {}


def tabs(page: Page, reader: Reader, where: str, known: set[str], first: int = 0) -> None:
    """Reads those from `first` on; from the last with -1."""
    choices = page.locator(".st-key-tabs [role=radio]")
    for number in range(choices.count())[first:]:
        choices.nth(number).click()
        expect(choices.nth(number)).to_be_checked()
        expect(page.locator(".st-key-downloads [data-testid=stPageLink]")).to_have_count(1)
        settled(page)
        if choices.nth(number).inner_text() == "张量查看":
            page.locator(".st-key-slice .js-plotly-plot").first.hover()  # its tools show
            expect(page.locator(".modebar-btn").first).to_be_visible()
        reader.read(page, f"{where}, {choices.nth(number).inner_text()}", known)


def test_home_and_a_saved_trace(open_page: Open, app: str, reader: Reader, tmp_path: Path) -> None:
    page = open_page()
    page.goto(f"{app}/?lang=zh")
    expect(page.locator(".card img")).to_have_count(len(LESSONS))
    reader.read(page, "home", titles())
    page.get_by_role("textbox", name="搜索").fill("斑马")
    expect(page.get_by_test_id("stAlert")).to_contain_text("斑马")
    reader.read(page, "home, nothing found", titles())
    page.goto(f"{app}/Open_a_trace?lang=zh")
    field = page.get_by_test_id("stFileUploader")
    expect(field).to_be_visible()
    # Streamlit's own word is there and not seen.
    word = field.get_by_role("button").locator("p")
    shown = word.evaluate("node => getComputedStyle(node, '::after').content")
    assert (shown, word.evaluate("node => node.clientHeight > 10")) == ('"选择文件"', True)
    reader.read(page, "open")
    file = field.locator("input")
    file.set_input_files({"name": "x.json", "mimeType": "application/json", "buffer": b"{}"})
    expect(page.get_by_test_id("stAlert")).to_be_visible()
    reader.read(page, "open, no trace", {"json"})
    trace = shipped.default("squeeze-excite")
    assert trace is not None
    path = tmp_path / "saved.json"
    trace.save(path)
    file.set_input_files(path)
    expect(page.locator(".shapewalk .transport")).to_be_visible()
    expect(page.locator(".st-key-graph g.node").first).to_be_visible()
    settled(page)
    reader.read(page, "a saved trace", names(trace) | titles())


@pytest.mark.parametrize("key", ["eca-image"])
def test_a_lesson_with_every_tab_and_step(
    open_page: Open, app: str, reader: Reader, key: str
) -> None:
    trace = shipped.default(key)
    assert trace is not None
    known = names(trace) | titles() | set(lesson(key).settings())
    page = open_page()
    page.goto(f"{app}/Walkthrough?lang=zh&lesson={key}&B=none&input=x&k_size=x")
    expect(page.get_by_test_id("stAlert").first).to_be_visible()
    expect(page.locator("html")).to_have_attribute("lang", "zh")
    settled(page)
    for face in range(2):
        page.keyboard.press("Home")
        for number in range(len(trace.steps) + 2):
            reader.read(page, f"{key}, step {number}, face {face}", known)
            page.keyboard.press("ArrowRight")
        page.keyboard.press("f")
    page.keyboard.press("?")
    reader.read(page, f"{key}, help", known)
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    reader.read(page, f"{key}, graph", known)
    page.keyboard.press("g")
    tabs(page, reader, key, known)


def test_a_lesson_that_stops_and_one_that_cannot_be_built(
    open_page: Open, app: str, reader: Reader
) -> None:
    broken = next(
        (each, preset) for each in LESSONS for preset in each.presets if preset.breaks is not None
    )
    each, preset = broken
    settings = each.settings(preset.name)
    query = "&".join(f"{name}={str(value).lower()}" for name, value in settings.items())
    known = names(run(each, settings, values=False, mend=False)) | set(settings) | titles()
    page = open_page()
    page.goto(f"{app}/Walkthrough?lang=zh&lesson={each.key}&{query}")
    expect(page.locator(".shapewalk .failure").first).to_be_visible()
    # The shapes come first: with the values the page is complete.
    expect(page.locator(".shapewalk .figures canvas").first).to_be_visible()
    settled(page)
    reader.read(page, f"{each.key}, {preset.name}", known)
    page.goto(f"{app}/Walkthrough?lang=zh&lesson=squeeze-excite&C=1&reduction=16&show=shapes")
    expect(page.get_by_test_id("stAlert").first).to_be_visible()
    reader.read(page, "cannot be built", {"reduction", "channel"})


def test_a_module_of_one_s_own(open_page: Open, app: str, reader: Reader) -> None:
    page = open_page()
    page.goto(f"{app}/Your_module?lang=zh")
    verdict = page.locator(".st-key-verdict")
    broken = page.locator(".st-key-cards-broken button")
    expect(broken).to_have_count(12)
    reader.read(page, "your module")
    page.get_by_text("这台机器如何受到保护").click()
    settled(page)
    reader.read(page, "what protects")
    broken.first.click()
    expect(verdict).to_contain_text("≠")
    expect(page.locator(".shapewalk .failure").first).to_be_visible()
    settled(page)
    known = {"classes", "images", "relu", "flatten", "Linear"}
    reader.read(page, "a broken example", known)
    # They are drawn by the code that draws those of a lesson.
    tabs(page, reader, "a broken example", known, first=0 if TIMES > 1 else -1)
    page.get_by_role("textbox", name="代码").fill("class Net(")
    page.keyboard.press("Control+Enter")
    settled(page)
    reader.read(page, "a text that is no Python", known)
    page.locator(".st-key-cards-working button").first.click()
    expect(verdict).to_contain_text("步")
    expect(page.locator(".shapewalk .transport")).to_be_visible()
    settled(page)
    reader.read(page, "a module that works", {"Gate", "channels", "reduction"})


@pytest.mark.deep  # drawn by the code that draws a lesson
def test_an_exported_page(open_page: Open, server: Server, reader: Reader) -> None:
    trace = shipped.default("hacnn-regions")  # with a loop, whose rounds are folded
    assert trace is not None
    page = open_page()
    page.goto(server.put("chinese", html.page(chinese.in_chinese(trace), language="zh")))
    expect(page.locator("html")).to_have_attribute("lang", "zh")
    known = names(trace) | titles()
    while not page.locator(".control[aria-label=下一个]").is_disabled():
        reader.read(page, page.locator(".transport .count").inner_text(), known)
        page.keyboard.press("ArrowRight")
    reader.read(page, "the end", known)


def test_what_is_asked_and_what_is_shown_to_a_class(
    open_page: Open, server: Server, reader: Reader
) -> None:
    trace = shipped.default("dycaconv")
    assert trace is not None
    page = open_page()
    told = html.page(chinese.in_chinese(trace), language="zh")
    page.goto(server.put("taught", told) + "?step=1")
    known = names(trace) | titles() | set(lesson("dycaconv").settings())
    known |= {"max", "mip", "oup", "kernel_size", "stride"}  # of its formulas
    known |= {size for sizes in space.ROLES.values() for size in sizes}  # of its scenes
    page.keyboard.press("p")
    stage = page.locator(".stage")
    for wrong in ("7", "2, 32, 1, 20, 3", "2, 32, 15, 1", "x", "2,1,1,1") * 2:
        where = stage.locator(".expression").inner_text()
        reader.read(page, where, known)
        stage.locator("input").first.fill(wrong)
        page.keyboard.press("Enter")
        reader.read(page, f"{where}: {wrong}", known)
        for button in ("提示", "再给提示", "显示答案"):
            stage.get_by_role("button", name=button).click()
            reader.read(page, f"{where}: {button}", known)
        page.keyboard.press("Enter")
    for _ in range(60):
        if stage.locator(".missed").count():
            break
        stage.locator(".answers button").last.click()
    reader.read(page, "the score", known)
    page.keyboard.press("Escape")
    page.keyboard.press("v")
    page.keyboard.press("Home")
    for number in range(30):
        reader.read(page, f"slide {number}", known)
        page.keyboard.press("PageDown")
    page.keyboard.press("End")
    reader.read(page, "the last slide", known)

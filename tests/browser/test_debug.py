"""The page of one's own module in a real browser: in few actions, by keyboard, on a phone, handed
on, and with a run that does not end."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.test_accessibility import objections
from tests.browser.test_walkthrough import HIDDEN, SIZES
from tests.browser.waiting import settled, until
from tests.effort import TIMES
from tests.test_debug_page import CHANNELS, LINEAR
from tests.tracer.test_worker import FILES, PACKAGED

Open = Callable[..., Page]


DEEP = """import torch
from torch import nn


class Layer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x):
        q, k, v = self.qkv(self.norm(x)).chunk(3, dim=-1)
        scores = (q @ k.transpose(1, 2)).softmax(-1)
        return x + self.out(scores @ v)


class Model(nn.Module):
    def __init__(self, width=32, depth=12):
        super().__init__()
        self.table = nn.Embedding(100, width)
        self.layers = nn.ModuleList(Layer(width) for _ in range(depth))
        self.head = nn.Linear(width, 5)

    def forward(self, tokens):
        x = self.table(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)
"""


def go(page: Page, app: str) -> Locator:
    """The page, once it can be used; its editor."""
    page.goto(f"{app}/Your_module")
    expect(page.locator(".st-key-debug-run button")).to_be_visible()
    return editor(page)


def editor(page: Page) -> Locator:
    """What takes the keys, once Ace is there."""
    keys = page.locator(".shapewalk-editor .ace_text-input")
    expect(keys).to_be_attached()
    return keys


def has_text(page: Page, text: str) -> None:
    until(
        page,
        "text => document.querySelector('.shapewalk-editor .editor')?.text?.() === text",
        arg=text,
    )


def write(page: Page, text: str) -> None:
    """In the place of all that is there."""
    # Who writes has moved on from the answer, to which the page else brings the keyboard.
    page.keyboard.press("Shift")
    editor(page).focus()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(text)


def is_seen(place: Locator) -> None:
    """It is in view, and stays there when the page grows above it."""
    expect(place).to_be_in_viewport(ratio=0.5)
    place.page.wait_for_timeout(1300)
    place.page.evaluate(
        """() => {
            const late = document.createElement('div');
            late.style.height = '1500px';
            document.querySelector('[data-testid=stMainBlockContainer]').prepend(late);
        }"""
    )
    place.page.wait_for_timeout(300)
    expect(place).to_be_in_viewport(ratio=0.5)


ACTIONS = """() => {
    window.actions = [];
    const own = ["Control", "Shift", "Alt", "Meta"];
    const add = (what) => what === window.actions.at(-1) || window.actions.push(what);
    addEventListener("pointerdown", ({ target }) => add(`click ${target.textContent}`), true);
    addEventListener("keydown", (event) => {
        if (own.includes(event.key)) return;
        add(event.key.length === 1 && !event.ctrlKey ? "type" : `key ${event.key}`);
    }, true);
}"""
"""Counts what a reader does: each click, each key that is more than text, each text that is typed
in one go."""


def actions(page: Page) -> list[str]:
    found: list[str] = page.evaluate("window.actions")
    return found


def pasted(open_page: Open, app: str, text: str) -> Page:
    """From the gallery to a run of what is in the clipboard, as a reader does it."""
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(app)
    page.evaluate("text => navigator.clipboard.writeText(text)", text)
    page.evaluate(ACTIONS)
    page.get_by_role("link", name="Walk your own module").click()  # 1
    expect(page.locator(".st-key-debug-run button")).to_be_visible()
    editor(page)
    page.locator(".shapewalk-editor .ace_scroller").click()  # 2
    page.keyboard.press("Control+v")  # 3
    has_text(page, text)
    page.keyboard.press("Control+Enter")  # 4
    return page


def test_from_the_gallery_to_a_walk_of_what_is_pasted_in_four_actions_and_its_link_to_others(
    open_page: Open, app: str
) -> None:
    fine = LINEAR.replace("nn.Linear(20", "nn.Linear(self.body.out_features")
    page = pasted(open_page, app, fine)
    expect(page.locator(".st-key-verdict")).to_contain_text("Net runs: 4 steps")
    expect(page.locator(".shapewalk .transport")).to_be_visible()
    assert len(actions(page)) == 4, actions(page)
    # The link opens in another browser at the same step.
    until(page, "location.search.includes('module=')")
    page.evaluate("dispatchEvent(new CustomEvent('shapewalk:goto', { detail: { path: '2' } }))")
    until(page, "location.search.includes('step=3')")
    page.reload()
    has_text(page, fine)
    other = open_page()
    other.goto(page.url)
    has_text(other, fine)
    expect(other.locator(".st-key-verdict")).to_have_count(0)
    handed = other.get_by_text("nothing of it has run")
    expect(handed).to_be_visible()
    other.keyboard.press("Control+Enter")
    expect(other.locator(".st-key-verdict")).to_contain_text("Net runs: 4 steps")
    expect(handed).to_have_count(0)
    until(other, "window.shapewalkPath === '2'")


def test_the_player_applies_what_changes_the_code_and_tells_what_other_inputs_would_do(
    open_page: Open, app: str
) -> None:
    page = open_page()
    go(page, app)
    write(page, CHANNELS)
    field = page.get_by_role("textbox", name="signal")
    field.fill("4,20,5")
    field.press("Tab")
    settled(page)
    page.locator(".st-key-debug-run button").click()
    fixes = page.locator(".shapewalk .fix")
    told = fixes.filter(has_text="call the model with")
    expect(told).to_have_count(1)
    apply = page.locator(".shapewalk").get_by_role("button", name="Apply and run again")
    expect(apply).to_have_count(fixes.count() - 1)
    expect(told.get_by_role("button")).to_have_count(0)


HELD = """const made = URL.createObjectURL;
URL.createObjectURL = (script) => made.call(URL, new Blob(["await window.held;\\n", script],
  { type: script.type }));"""
"""Every script of a component waits, once it is loaded, for what the page sets as `held`."""


def test_a_player_whose_script_comes_after_its_formulas_stays_on_the_page(
    open_page: Open, app: str
) -> None:
    fine = LINEAR.replace("nn.Linear(20", "nn.Linear(self.body.out_features")
    page = open_page()
    page.add_init_script(HELD)
    go(page, app)
    write(page, fine)
    page.evaluate("() => { window.held = new Promise((done) => { window.letGo = done; }); }")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("The sizes have formulas")).to_be_visible()
    settled(page)
    page.evaluate("window.letGo()")
    expect(page.locator(".shapewalk .transport")).to_be_visible()
    page.wait_for_timeout(1_000)
    expect(page.locator(".shapewalk .transport")).to_be_visible()
    # What stands beside it follows it.
    page.locator(".shapewalk").first.get_by_role("button", name="Next").click()
    expect(page.locator("g.node[aria-current=step]")).to_have_count(1)


def test_from_the_gallery_to_the_first_fix_of_a_broken_paste_in_four_actions_and_by_keyboard_on(
    open_page: Open, app: str
) -> None:
    page = pasted(open_page, app, LINEAR)
    fix = page.locator(".st-key-fix-0")
    expect(fix.locator("ins")).to_have_text(
        "added: +self.head = nn.Linear(self.body.out_features, classes)"
    )
    expect(fix.get_by_role("button", name="Apply and run again")).to_be_enabled()
    assert len(actions(page)) == 4, actions(page)
    verdict = page.locator(".st-key-verdict")
    expect(verdict).to_contain_text("16 ≠ 20")
    is_seen(verdict.get_by_role("alert").first)
    assert page.evaluate("window.shapewalkPath") == "2"
    expect(page.locator(".shapewalk .failure").first).to_be_visible()
    apply = page.locator(".shapewalk").get_by_role("button", name="Apply and run again").first
    apply.focus()
    page.keyboard.press("Enter")
    expect(verdict).to_contain_text("Net runs: 4 steps")
    has_text(page, LINEAR.replace("nn.Linear(20", "nn.Linear(self.body.out_features"))
    page.get_by_role("button", name="Undo the change").focus()
    page.keyboard.press("Enter")
    expect(verdict).to_contain_text("16 ≠ 20")
    has_text(page, LINEAR)


def test_the_editor_marks_the_way_of_a_size_and_lets_the_keyboard_out(
    open_page: Open, app: str
) -> None:
    page = open_page(color_scheme="dark")
    go(page, app)
    write(page, LINEAR)
    page.keyboard.press("Control+Enter")
    marks = page.locator(".shapewalk-editor .marked")
    expect(page.locator(".shapewalk-editor .marked.failed")).to_have_count(1)
    expect(page.locator(".shapewalk-editor .marked.root")).to_have_count(1)
    expect(page.locator(".shapewalk-editor .shapes span")).to_have_text(["(2, 10, 16)"])
    # The fix stands as a diff under the line that it changes.
    offer = page.locator(".shapewalk-editor .offer")
    expect(offer.locator("pre")).to_have_text(
        "+       self.head = nn.Linear(self.body.out_features, classes)"
    )
    expect(page.locator(".shapewalk-editor .gone")).to_have_count(1)
    is_seen(page.locator(".st-key-verdict").get_by_role("alert").first)
    failed = page.locator(".shapewalk-editor .marked.failed")
    failed.scroll_into_view_if_needed()
    failed.hover(force=True, position={"x": 8, "y": 8})
    failed.hover(force=True, position={"x": 12, "y": 8})
    told = page.locator(".ace_tooltip .told")
    expect(told).to_contain_text("16 ≠ 20")
    # Typing takes away what was said of another text; what is typed stays.
    editor(page).focus()
    page.keyboard.press("Control+Home")
    page.keyboard.insert_text("# mine\n")
    expect(marks).to_have_count(0)
    has_text(page, f"# mine\n{LINEAR}")
    before = page.get_by_text("This was the code before your change")
    expect(before).to_be_visible()
    page.keyboard.press("Control+z")
    has_text(page, LINEAR)
    expect(before).to_have_count(0)
    # It is kept once it has rested.
    typed = "text => JSON.parse(sessionStorage['shapewalk:code'] ?? '{}').text === text"
    until(page, typed, arg=LINEAR)
    page.goto(f"{app}/Your_module")
    has_text(page, LINEAR)
    editor(page).focus()
    page.keyboard.press("Control+f")
    expect(page.get_by_placeholder("Search for")).to_be_focused()
    page.keyboard.press("Escape")
    expect(editor(page)).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".shapewalk-editor .ace_scroller")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator(".shapewalk-editor :focus")).to_have_count(0)


def test_the_fix_in_the_editor_is_taken_there_by_keyboard(open_page: Open, app: str) -> None:
    page = open_page(width=390, height=844)
    go(page, app)
    write(page, LINEAR)
    page.keyboard.press("Control+Enter")
    apply = page.locator(".shapewalk-editor .offer").get_by_role("button")
    expect(apply).to_have_text("Apply and run again")
    page.evaluate("document.activeElement.blur()")  # a cursor that blinks moves
    assert objections(page) == []
    editor(page).focus()
    page.keyboard.press("Escape")
    for _ in range(6):
        if apply.evaluate("node => node === document.activeElement"):
            break
        page.keyboard.press("Tab")
    expect(apply).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".st-key-verdict")).to_contain_text("Net runs: 4 steps")
    has_text(page, LINEAR.replace("nn.Linear(20", "nn.Linear(self.body.out_features"))
    expect(page.locator(".shapewalk-editor .offer")).to_have_count(0)


def chosen(open_page: Open, app: str, typed: str, offered: str, name: str) -> Page:
    """From the gallery to the walk of an installed class, in three actions."""
    page = open_page()
    page.goto(app)
    page.evaluate(ACTIONS)
    page.get_by_role("link", name="or a class of an installed package").click()  # 1
    expect(page.get_by_label("Class")).to_be_focused()
    page.keyboard.type(typed)  # 2
    match = page.locator(".st-key-debug-matches button").first
    expect(match).to_contain_text(offered)
    match.click()  # 3
    expect(page.locator(".st-key-verdict")).to_contain_text(f"{name} runs")
    expect(page.locator(".shapewalk .transport")).to_be_visible()
    assert len(actions(page)) == 3, actions(page)
    return page


def test_from_the_gallery_to_a_walk_in_three_actions(open_page: Open, app: str) -> None:
    layer = "TransformerEncoderLayer"
    page = chosen(open_page, app, f"nn.{layer}", layer, layer)
    # The letters are those of the input that was found: this layer takes the batch second.
    letters = page.locator(".shapewalk .letter")
    page.keyboard.press("End")
    assert [each.strip() for each in letters.all_inner_texts()][:3] == ["L", "B", "C"]
    # A call of many lines and operands leaves what is said of it in sight, on every screen.
    player = page.locator(".shapewalk")
    hidden = {}
    for width, height in SIZES if TIMES > 1 else SIZES[::4]:
        page.set_viewport_size({"width": width, "height": height})
        player.evaluate("node => node.scrollIntoView()")
        page.locator(".shapewalk .detail").focus()
        # 33 steps with those inside the attention; the page's title is above what was scrolled to.
        found = player.evaluate(HIDDEN, {"steps": 33, "enters": True})
        hidden |= {
            (width, height, step): parts
            for step, *all_parts in found
            if (parts := [each for each in all_parts if not each.startswith("title")])
        }
        assert page.evaluate("window.shapewalkPath") == "10"
    expect(page.locator(".shapewalk .slider")).to_have_attribute("max", "32")
    assert hidden == {}


@pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="timm is not installed")
def test_from_the_gallery_to_a_walk_of_a_class_of_timm_in_three_actions(
    open_page: Open, app: str
) -> None:
    chosen(open_page, app, "timm.layers.Cbam", "timm.layers.cbam.CbamModule", "CbamModule")


BAD = {
    LINEAR.replace("def forward(", "def forward(("): "is not Python",
    "def double(x):\n    return 2 * x\n": "There is no module in this code",
    "import nowhere\n" + LINEAR: "No module named 'nowhere'",
    LINEAR.replace("width=8", "width: bytes"): "needs width, and nothing says what that could be",
}


def test_what_is_bad_is_one_sentence_and_nothing_is_lost(
    open_page: Open, app: str, tmp_path: Path
) -> None:
    page = open_page()
    go(page, app)
    alerts = page.get_by_test_id("stAlert")
    for text, words in BAD.items():
        write(page, text)
        page.keyboard.press("Control+Enter")
        expect(alerts).to_have_count(1)
        expect(alerts).to_contain_text(words)
        has_text(page, text)
    fine = LINEAR.replace("nn.Linear(20", "nn.Linear(self.body.out_features")
    write(page, fine)
    expect(page.locator(".st-key-debug-arguments")).to_be_visible()
    page.locator(".st-key-debug-run button").click()
    expect(page.locator(".st-key-verdict")).to_contain_text("Net runs: 4 steps")
    has_text(page, fine)
    twelve_layers_open_as_twelve_rows(page)
    opens_a_folder(page, tmp_path)


def twelve_layers_open_as_twelve_rows(page: Page) -> None:
    write(page, DEEP)
    page.keyboard.press("Control+Enter")
    expect(page.locator(".st-key-verdict")).to_contain_text("Model runs")
    slider = page.locator(".shapewalk .slider")
    expect(slider).to_have_attribute("max", "13")  # between the table and the head
    page.evaluate("dispatchEvent(new CustomEvent('shapewalk:goto', { detail: { path: 'c2' } }))")
    expect(page.locator(".shapewalk .detail")).to_contain_text("layer(x)")
    # The keyboard is where the answer is: a folded row is entered, and the text stays as it is.
    expect(page.locator(".st-key-verdict")).to_be_focused()
    page.keyboard.press("Enter")
    expect(slider).to_have_attribute("max", "21")
    page.keyboard.press("Escape")
    expect(slider).to_have_attribute("max", "13")
    has_text(page, DEEP)


def opens_a_folder(page: Page, place: Path) -> None:
    """A package as it lies on the reader's disk, and one of its other files."""
    for name, text in (FILES | {"net/model.py": PACKAGED}).items():
        path = place / "repository" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    page.get_by_test_id("stPopoverButton").filter(has_text="Open").click()
    folder = page.get_by_test_id("stFileUploaderDropzoneInput").nth(1)
    folder.set_input_files(place / "repository")
    has_text(page, PACKAGED)
    page.keyboard.press("Escape")
    shown = page.get_by_role("combobox", name="File", exact=True)
    expect(shown).to_have_value("net/model.py")
    shown.fill("sizes")
    shown.press("Enter")
    has_text(page, FILES["net/sizes.py"])
    # Another session of the server has all of them from the browser, as they were last.
    changed = FILES["net/sizes.py"] + "\n# mine\n"
    write(page, changed)
    typed = "text => JSON.parse(sessionStorage['shapewalk:code'] ?? '{}').text === text"
    until(page, typed, arg=changed)
    page.goto(page.url.partition("?")[0])
    has_text(page, changed)
    expect(shown).to_have_value("net/sizes.py")
    shown.fill("model")
    shown.press("Enter")
    has_text(page, PACKAGED)


@pytest.mark.parametrize("scheme", ["dark", pytest.param("light", marks=pytest.mark.deep)])
def test_on_a_phone_a_run_that_does_not_end_leaves_the_page_alive_and_an_example_is_seen(
    open_page: Open, app: str, scheme: str
) -> None:
    page = open_page(width=390, height=800, color_scheme=scheme)
    go(page, app)
    write(page, "while True:\n    pass\n" + LINEAR)
    page.keyboard.press("Control+Enter")
    # On a phone the way to end it lies under no band.
    cancel = page.get_by_role("button", name="Cancel")
    expect(cancel).to_be_visible()
    cancel.click()
    expect(cancel).to_have_count(0)
    page.get_by_role("button", name="U-Net on an odd size").click()
    verdict = page.locator(".st-key-verdict")
    expect(verdict).to_contain_text("45 ≠ 44")
    is_seen(verdict.get_by_role("alert").first)
    page.get_by_role("button", name="Go to line 26").click()
    until(page, "window.shapewalkPath === '4'")
    wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert page.evaluate(wide)

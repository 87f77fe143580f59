"""What the player says of a run that failed and of suspicious steps, in a real browser."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Page, expect
from torch import nn

from tests.broken import CASES
from tests.browser.test_player import CONTRASTS, marked, press, squeezed
from tests.cells import forward_cell, run_cell
from tests.effort import spread
from tests.tracer.views.symbolic import with_formulas
from tracer import Trace, trace
from tracer.document import Edit, Fix, Operand, Root, Span, Violation, Warning
from tracer.sentences import as_written
from tracer.views.player import payload, script, style

Open = Callable[..., Page]

HARNESS = """<!doctype html>
<meta charset="utf-8"><title>player</title>
<style>body { margin: 0 } %(style)s</style>
<div id="place"></div>
<textarea id="area"></textarea>
<script type="application/json" id="trace">%(trace)s</script>
<script type="module">
%(script)s
window.asked = [];
const payload = JSON.parse(document.getElementById("trace").textContent);
window.player = mount(document.getElementById("place"), payload, %(options)s);
</script>
"""

ASKING = "{ onFix: index => asked.push(index) }"


@pytest.fixture
def show(open_page: Open) -> Callable[..., Page]:
    def show_one(run: Trace, options: str = "{}", **page_options: Any) -> Page:
        page = open_page(motion=True, **page_options)
        page.set_content(
            HARNESS
            % {
                "style": style(),
                "script": script(),
                "trace": json.dumps(payload(run)).replace("<", "\\u003c"),
                "options": options,
            }
        )
        expect(page.locator(".count")).not_to_be_empty()
        return page

    return show_one


Show = Callable[..., Page]


@cache
def broken(name: str) -> Trace:
    """The failed run of one of the broken models."""
    (case,) = [case for case in CASES if case.name == name]
    with tempfile.TemporaryDirectory() as folder:
        program = case.load(Path(folder))
        return trace(program.build(), *program.inputs(), name=name)


def swallowed() -> Trace:
    return broken("batch_size_in_an_earlier_view")


def unet() -> Trace:
    return broken("unet_on_an_odd_image")


@cache
def suspicious() -> Trace:
    cell = run_cell(
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.head = nn.Linear(8, 1)

            def forward(self, x, y):
                p = self.head(x.relu())
                loss = (p - y) ** 2
                h = x.view(16, 8) + 1
                return loss.mean() + h.sum()
        """
    )
    run = trace(cell["Net"](), torch.randn(16, 8), torch.randn(16))
    assert [warning.kind for warning in run.warnings] == ["broadcast", "batch"]
    return run


def with_failure(run: Trace, **changed: Any) -> Trace:
    assert run.failure is not None
    return dataclasses.replace(run, failure=dataclasses.replace(run.failure, **changed))


def count(page: Page) -> str:
    return page.locator(".count").inner_text()


# --- the operands ---------------------------------------------------------------------------------

PLACES = """() => [...document.querySelectorAll('.operand')].map(row =>
    [...row.querySelectorAll('.place')].map(place => {
        const {x, width} = place.querySelector('.cell').getBoundingClientRect();
        return {
            size: place.querySelector('.length').textContent,
            centre: Math.round(x + width / 2),
            sign: place.querySelector('b')?.textContent ?? '',
            weight: Number(getComputedStyle(place.querySelector('.length')).fontWeight),
        };
    }))"""


@pytest.mark.parametrize("width", spread([1400, 800, 390], every=2))
def test_operands_stand_under_each_other_by_their_last_dimension(show: Show, width: int) -> None:
    page = show(swallowed(), width=width)
    rows = page.evaluate(PLACES)
    assert [[place["size"] for place in row] for row in rows] == [
        ["32", "49"],
        ["32", "392"],
        ["32"],
    ]
    x, weight, bias = rows
    assert x[1]["centre"] == weight[1]["centre"] == bias[0]["centre"]
    assert x[0]["centre"] == weight[0]["centre"] < x[1]["centre"]


def test_what_is_at_odds_is_marked_by_a_sign_by_weight_and_in_words(show: Show) -> None:
    page = show(swallowed())
    rows = page.evaluate(PLACES)
    assert [[place["sign"] for place in row] for row in rows] == [["", "▲"], ["", "▲"], [""]]
    assert {place["weight"] > 700 for row in rows for place in row if place["sign"]} == {True}
    assert {place["weight"] > 700 for row in rows for place in row if not place["sign"]} == {False}
    first, second, third = page.locator(".operand .spoken").all_inner_texts()
    assert first.strip() == "(32, 49), at odds: dimension 1, 49"
    assert second.strip() == "(32, 392), at odds: dimension 1, 392"
    assert third.strip() == "(32,)"


def test_each_operand_has_a_name_a_type_and_the_way_to_where_it_was_made(show: Show) -> None:
    page = show(swallowed())
    names = [squeezed(text) for text in page.locator(".operand .tensor-name").all_inner_texts()]
    assert names[0].startswith("x ")
    assert names[0].endswith(" float32")
    assert names[1].startswith("fc.weight ")
    assert names[1].endswith(" float32 parameter")
    (way,) = page.locator(".operand button").all()
    assert way.inner_text() == "from x.view(32, -1), line 18"
    way.click()
    assert marked(page) == "x.view(32, -1)"
    expect(page.locator(".pin")).to_contain_text("x")


def test_the_sizes_are_written_with_the_face_that_is_chosen(show: Show) -> None:
    run = with_formulas(swallowed(), {"B": 4, "C": 8}, {49: "H·W/4", 392: "49·C", 32: "8·B"})
    page = show(run)
    cell = page.locator(".operand").nth(1).locator(".cell").nth(1)
    assert cell.inner_text().endswith("392")
    page.keyboard.press("f")
    assert cell.inner_text() == "49·C"
    expect(page.locator(".operand .spoken").nth(1)).to_contain_text("(8·B, 49·C), at odds")
    page.keyboard.press("f")
    assert cell.inner_text().split() == ["49·C", "392"]
    assert page.locator(".place b").count() == 2


def test_a_scalar_and_more_dimensions_than_are_shown(show: Show) -> None:
    scalar = trace(
        forward_cell("x y", "return torch.cat([x, y])"), torch.ones(2), torch.tensor(1.0)
    )
    page = show(scalar)
    expect(page.locator(".operand").nth(1).locator(".cell")).to_have_text("scalar")
    deep = trace(forward_cell("x y", "return x + y"), torch.ones([1] * 14 + [3]), torch.ones(2))
    page = show(deep)
    first, second = page.evaluate(PLACES)
    assert [place["size"] for place in first] == ["1"] * 11 + ["3"]
    assert first[-1]["centre"] == second[-1]["centre"]
    assert first[-1]["sign"] == second[-1]["sign"] == "▲"


# --- the diagnosis --------------------------------------------------------------------------------


def test_it_opens_at_the_failure_with_the_message_the_rule_and_the_reason(show: Show) -> None:
    run = unet()
    failure = run.failure
    assert failure is not None
    page = show(run)
    assert marked(page) == failure.expression
    alert = page.get_by_role("alert")
    assert alert.inner_text().split("\n", 1)[0] == failure.type
    assert alert.locator("p").inner_text() == failure.message
    expect(page.locator(".rule")).to_have_text(failure.rule)
    expect(page.locator(".reason")).to_have_text(failure.reason)
    assert page.locator(".flow").count() == 0


def test_a_link_goes_to_the_step_where_it_began_and_another_back(show: Show) -> None:
    page = show(unet())
    root = page.locator(".root")
    expect(root).to_contain_text("25 is odd and becomes 12 here")
    assert root.locator("pre mark").inner_text() == "self.maxpool(conv1)"
    root.get_by_role("button").click()
    assert marked(page) == "self.maxpool(conv1)"
    cause = page.get_by_role("note")
    expect(cause).to_contain_text("The failure begins here: 25 is odd")
    cause.get_by_role("button", name="Back to the failure").click()
    assert marked(page) == "torch.cat([conv1, up], dim=1)"


def test_the_source_has_a_sign_at_the_failure_and_at_its_cause(show: Show) -> None:
    page = show(unet())
    cause = page.locator(".line", has_text="self.maxpool(conv1)").locator(".flag")
    expect(cause).to_have_accessible_name("Line 27: the cause of the failure. Go there.")
    cause.click()
    assert marked(page) == "self.maxpool(conv1)"
    page.get_by_role("button", name="the run failed here").press("Enter")
    assert marked(page) == "torch.cat([conv1, up], dim=1)"
    assert page.locator(".flag").count() == 2


def test_a_constructor_is_shown_with_its_file_line_and_source(show: Show) -> None:
    run = broken("upsampling_chain_of_a_generator")
    assert run.failure is not None
    assert run.failure.root is not None
    place = run.failure.root.place
    page = show(run)
    root = page.locator(".root")
    expect(root.locator(".where")).to_have_text(
        f"{Path(place.file).name}:{place.line}, in {place.function}"
    )
    assert squeezed(root.locator("pre").inner_text()) == squeezed(place.statement)
    assert root.locator("mark").inner_text() == place.expression
    assert root.get_by_role("button").count() == 0


def test_a_caller_is_one_click_away(show: Show) -> None:
    page = show(broken("pair_where_a_tensor_was_meant"))
    page.locator(".root").get_by_role("button").click()
    assert marked(page) == "block(x)"


def test_inside_an_opened_step_there_is_a_way_to_the_diagnosis(show: Show) -> None:
    attention = run_cell(
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.attend = nn.MultiheadAttention(8, 2, batch_first=True)

            def forward(self, x, mask):
                return self.attend(x, x, x, attn_mask=mask)[0]
        """
    )
    page = show(trace(attention["Net"](), torch.randn(2, 5, 8), torch.zeros(4, 4, 7).bool()))
    assert page.locator(".what > .hop").inner_text().startswith("Go in")
    press(page, "Enter", "End")
    assert page.locator(".rule").count() == 0
    page.get_by_role("button", name="Why the run failed").click()
    assert page.locator(".rule").count() == 1


def test_by_line_the_diagnosis_is_the_same(show: Show) -> None:
    page = show(swallowed())
    text = page.locator(".failure").inner_text()
    page.get_by_role("button", name="line", exact=True).click()
    assert page.locator(".failure").inner_text() == text
    press(page, "ArrowLeft")
    assert page.locator(".failure").count() == 0


def test_without_a_diagnosis_there_is_the_message_alone(show: Show) -> None:
    run = with_failure(swallowed(), violation=None, root=None, fixes=(), histories=(), chain=())
    page = show(run)
    assert page.locator(".failure > *").count() == 2
    assert page.locator(".failure").inner_text().startswith("RuntimeError")


# --- where the sizes come from --------------------------------------------------------------------


class Joined(nn.Module):
    def __init__(self, width: int = 4, parts: int = 3) -> None:
        super().__init__()
        self.each = nn.Linear(8, width)
        self.head = nn.Linear(width * parts, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        joined = torch.cat([self.each(x), self.each(x)], dim=1)
        return self.head(joined)


@cache
def joined() -> Trace:
    return trace(Joined(), torch.ones(2, 8), build=Joined)


class Turned(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        turned = x.transpose(1, 2)
        return self.head(turned.relu())


def test_the_way_of_the_wrong_size_can_be_walked(show: Show) -> None:
    found = trace(Turned(), torch.ones(2, 5, 8), build=Turned)
    page = show(found)
    links = page.locator(".chain .link-row")
    assert links.count() == len(found.failure.chain)  # type: ignore[union-attr]
    step = page.locator(".chain .link").first
    before = count(page)
    step.click()
    assert count(page) != before
    assert page.locator(".failure").count() == 0


def test_a_place_in_a_constructor_opens_its_lines(show: Show) -> None:
    page = show(joined())
    place = page.locator(".chain .written").first
    expect(place.locator(".quoted")).to_be_hidden()
    place.locator("summary").click()
    expect(place.locator(".quoted")).to_have_text("self.head = nn.Linear(width * parts, 2)")


def test_both_sizes_are_unfolded_and_where_they_part_is_marked(show: Show) -> None:
    page = show(joined())
    first, second = page.locator(".history").all()
    expect(first.locator("p")).to_have_text("8 is dimension 1 of joined")
    expect(first.locator(".term b").first).to_have_text("8 = 4 + 4")
    expect(second.locator(".term b").first).to_have_text("12 = 4 · 3")
    assert "they part here" in second.locator(".apart").inner_text()


# --- the fixes ------------------------------------------------------------------------------------


def test_a_fix_is_a_diff_with_what_it_gives(show: Show) -> None:
    page = show(swallowed())
    fix = page.locator(".fix").first
    expect(fix.locator(".fix-summary")).to_have_text(
        "Keep the 4 samples apart: flatten each to 392 features."
    )
    assert fix.locator("del").inner_text().split() == [
        "removed:",
        "−",
        "x",
        "=",
        "x.view(32,",
        "-1)",
    ]
    assert fix.locator("ins").inner_text().split() == ["added:", "+", "x", "=", "x.flatten(1)"]
    expect(fix.locator(".diff .where")).to_contain_text(".py:18")
    expect(fix.locator(".verified")).to_have_text("✓It was run with this change, gives (4, 10).")
    assert fix.locator(".caveat").count() == 0


def test_an_unverified_fix_says_so_and_a_caveat_is_told(show: Show) -> None:
    run = swallowed()
    assert run.failure is not None
    fix, *_ = run.failure.fixes
    other = dataclasses.replace(
        fix, verified=False, output_shapes=(), notes=(as_written("It drops `x`."),)
    )
    page = show(with_failure(run, fixes=(fix, other)))
    expect(page.locator(".failure h3").last).to_have_text("Fixes, the best first")
    second = page.locator(".fix").nth(1)
    expect(second.locator(".unverified")).to_have_text("?It was not run with this change.")
    expect(second.locator(".caveat")).to_have_text("But: It drops x.")
    assert second.locator(".caveat code").inner_text() == "x"


def test_where_the_text_is_not_at_hand_the_replacement_and_its_place(show: Show) -> None:
    edit = Edit("/far/model.py", Span(7, 20, 7, 22), "nn.Flatten()")
    page = show(
        with_failure(swallowed(), fixes=(Fix(as_written("Flatten."), (edit,), True, ((),)),))
    )
    expect(page.locator(".diff .where")).to_have_text("model.py:7, column 21")
    assert page.locator(".diff del").count() == 0
    expect(page.locator(".diff ins code")).to_have_text("nn.Flatten()")
    expect(page.locator(".verified")).to_contain_text("gives a scalar.")


def several() -> Trace:
    """A failure with two fixes that are edits."""
    run = unet()
    assert run.failure is not None
    one = next(fix for fix in run.failure.fixes if fix.edits)
    other = dataclasses.replace(one, says=as_written("Another"))
    return with_failure(run, fixes=(one, other))


def test_the_host_is_asked_to_apply_a_fix_by_mouse_and_by_keyboard(show: Show) -> None:
    page = show(several(), ASKING)
    buttons = page.get_by_role("button", name="Apply and run again")
    assert buttons.count() == 2
    buttons.nth(1).click()
    buttons.nth(0).focus()
    press(page, "Enter")
    assert page.evaluate("asked") == [1, 0]
    # Enter pressed the button; it did not go into the step.
    assert page.locator(".rule").count() == 1


def test_without_a_host_nothing_can_be_applied(show: Show) -> None:
    page = show(several())
    assert page.get_by_role("button", name="Apply and run again").count() == 0
    assert page.get_by_role("button", name="Copy the new lines").count() == 2


def test_the_new_lines_are_copied_as_they_stand_in_the_file(show: Show) -> None:
    page = show(swallowed())
    page.locator(".fix .hop").first.click()
    expect(page.locator(".fix .hop").first).to_have_text("Copied")
    page.locator("#area").focus()
    press(page, "Control+v")
    expect(page.locator("#area")).to_have_value("        x = x.flatten(1)")


def test_the_exported_page_copies_too(open_page: Open, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(swallowed().to_html(), encoding="utf-8")
    page = open_page()
    page.goto(file.as_uri())
    page.locator(".fix .hop").first.click()
    expect(page.locator(".fix .hop").first).to_have_text("Copied")
    assert page.get_by_role("button", name="Apply and run again").count() == 0


def test_who_runs_again_sees_the_next_failure_or_the_step_that_works_now(show: Show) -> None:
    def run(body: str) -> Trace:
        return trace(forward_cell("x", body), torch.ones(2, 3))

    page = show(run("y = x + 1\nz = y @ y\nreturn z"), ASKING)
    following = run("y = x + 1\nz = y @ y.mT\nw = z + 1\nreturn w @ x.mT")
    page.evaluate("next => player.update(next)", payload(following))
    assert marked(page) == "w @ x.mT"
    assert page.locator(".failure").count() == 1
    mended = run("y = x + 1\nz = y @ y.mT\nw = z + 1\nreturn w @ x")
    page.evaluate("next => player.update(next)", payload(mended))
    assert page.locator(".failure").count() == 0
    assert marked(page) == "w @ x"


# --- suspicious steps -----------------------------------------------------------------------------


def test_a_suspicious_step_says_why_and_carries_a_sign(show: Show) -> None:
    run = suspicious()
    page = show(run)
    assert page.locator(".warning").count() == 0
    flag = page.locator(".line", has_text="(p - y) ** 2").locator(".flag")
    expect(flag).to_have_attribute("title", f"suspicious: {run.warnings[0].reason}")
    flag.click()
    assert marked(page) == "p - y"
    text = page.get_by_role("note").inner_text()
    assert text.startswith("A broadcast that may not be meant: ")
    assert text.split(": ", 1)[1] == run.warnings[0].reason.replace("`", "")
    expect(page.locator(".shapewalk > .spoken")).to_contain_text("Suspicious: p (16, 1) and y")


def test_the_count_of_warnings_jumps_from_one_to_the_next_and_round(show: Show) -> None:
    page = show(suspicious())
    button = page.get_by_role("button", name="2 warnings: go to the next")
    assert button.inner_text() == "2"
    button.click()
    assert marked(page) == "p - y"
    press(page, "w")
    assert marked(page) == "x.view(16, 8)"
    press(page, "w")
    assert marked(page) == "p - y"
    page.get_by_role("button", name="line", exact=True).click()
    assert page.get_by_role("note").count() == 1
    press(page, "w")
    assert page.get_by_role("note").inner_text().startswith("A batch size written into the code")
    press(page, "?")
    expect(page.get_by_role("dialog")).to_contain_text("next warning")


def test_a_run_without_warnings_offers_none(show: Show) -> None:
    page = show(swallowed())
    expect(page.locator("button.warned")).to_be_hidden()
    before = marked(page)
    press(page, "w")
    assert marked(page) == before
    press(page, "?")
    expect(page.get_by_role("dialog")).not_to_contain_text("next warning")


def test_a_folded_call_tells_of_the_warnings_inside(show: Show) -> None:
    cell = run_cell(
        """
        class Loss(nn.Module):
            def forward(self, p, y):
                return ((p - y) ** 2).mean()

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.head = nn.Linear(8, 1)
                self.loss = Loss()

            def forward(self, x, y):
                return self.loss(self.head(x), y)
        """
    )
    run = trace(cell["Net"](), torch.randn(16, 8), torch.randn(16))
    page = show(run)
    press(page, "w", "Escape")
    assert marked(page) == "self.loss(self.head(x), y)"
    expect(page.get_by_role("note")).to_contain_text("A broadcast that may not be meant")


# --- for everyone, from anyone --------------------------------------------------------------------


LOOKS = [(1400, "light"), (390, "dark")]
OTHERS = [pytest.param(*each, marks=pytest.mark.deep) for each in ((1400, "dark"), (390, "light"))]


@pytest.mark.parametrize(("width", "theme"), [*LOOKS, *OTHERS])
def test_it_fits_and_has_contrast(show: Show, theme: str, width: int) -> None:
    page = show(unet(), f"{{ theme: '{theme}', onFix: () => {{}} }}", width=width, height=844)
    worst: dict[str, float] = {}
    for run in (unet(), broken("non_local_theta_not_permuted"), suspicious()):
        page.evaluate("next => player.update(next)", payload(run))
        press(page, "w")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for name, ratio in page.evaluate(CONTRASTS).items():
            worst[name] = min(worst.get(name, 99), ratio)
    assert {"rule", "reason", "fix-summary", "verified", "where", "origin link"} <= worst.keys()
    assert {name: ratio for name, ratio in worst.items() if ratio < 4.5} == {}
    bar = page.locator(".transport").bounding_box()
    assert bar is not None
    for control in page.locator(".transport button:visible").all():
        box = control.bounding_box()
        assert box is not None
        assert 0 <= box["x"] <= width - box["width"]


def test_all_of_it_is_reached_by_keyboard_and_named(show: Show) -> None:
    page = show(unet(), ASKING)
    names = set()
    for _ in range(60):
        press(page, "Tab")
        name = page.evaluate(
            """() => {
                const at = document.activeElement;
                if (!at.closest('.failure')) return null;
                return getComputedStyle(at).outlineStyle !== 'none' && at.textContent;
            }"""
        )
        assert name is not False
        names.add(name)
    assert {
        "from self.down1(x), line 26",
        "Go there: line 27, in UNet.forward",
    } <= names
    assert {"Apply and run again", "Copy"} <= names


EVIL = '<img src=x onerror="window.evil = 1"><script>window.evil = 1</script>\u202e' + "w" * 2000


def test_a_hostile_trace_is_text_and_stays_in_bounds(show: Show) -> None:
    run = unet()
    failure = run.failure
    assert failure is not None
    assert failure.root is not None
    note = dataclasses.replace(
        failure.operands[0].note, name=EVIL, shape=(10**300, 1, 2), dtype=EVIL, dims=(), device=EVIL
    )
    operand = Operand(note, EVIL, EVIL, -(10**18), tuple(range(-5, 90)))
    place = dataclasses.replace(
        failure.root.place,
        file=EVIL,
        line=10**18,
        function=EVIL,
        expression=EVIL,
        statement=EVIL + "\n" * 5000,
        span=Span(-(10**12), -1, 10**12, 10**12),
        statement_span=Span(0, 0, 0, 0),
    )
    edits = tuple(Edit(EVIL, Span(-n, n, 10**9, -n), "<img>\n" * 60) for n in range(90))
    evil = as_written(EVIL)
    fix = Fix(evil, edits, True, ((10**300,) * 50,) * 50, (evil,))
    other = Fix(evil, edits[:15], True, ((10**300,),), (evil,))
    evil = with_failure(
        run,
        type=EVIL,
        message=EVIL,
        operands=(operand,) * 20,
        violation=Violation("width", as_written(EVIL), (as_written(EVIL),)),
        root=Root(EVIL, place, EVIL, 3, as_written(EVIL)),
        fixes=(fix, *(other,) * 11),
    )
    warnings = tuple(Warning(EVIL, step % 10, as_written(EVIL)) for step in range(300))
    evil = dataclasses.replace(evil, warnings=warnings)
    evil = Trace.from_json(evil.to_json())
    page = show(evil, width=390, height=844)
    assert page.locator(".fix").count() == 8
    assert page.locator(".operand").count() == 8
    assert page.locator(".diff").count() <= 8 * 12
    press(page, "w", "Home", "w", "w", "End")
    assert page.locator(".shapewalk :is(img, script)").count() == 0
    assert page.evaluate("window.evil") is None
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert "\u202e" not in page.locator(".detail").inner_text()
    for kind in ("step", "call", "input", "constructor"):
        root = Root(kind, place, EVIL, None, as_written(""))
        # As one text: Playwright takes a value apart, which costs more than all the rest.
        told = json.dumps(payload(with_failure(evil, root=root)))
        page.evaluate("next => player.update(JSON.parse(next))", told)
        assert page.locator(".root").count() == 1

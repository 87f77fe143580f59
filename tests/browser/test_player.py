"""The player in a real browser: what it shows, how it is steered, and that nothing breaks it."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import json
import random
import re
import statistics
import struct
import threading
from collections.abc import Callable, Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import torch
from playwright.sync_api import Browser, Locator, Page, expect
from torch import nn

from modules.fbkd import STUDENT
from tests.cells import forward_cell, run_cell
from tests.effort import TIMES, spread
from tests.tracer.views.symbolic import formula, with_formulas
from tracer import Step, Trace, trace
from tracer.document import Constraint, Cost
from tracer.sentences import as_written, said
from tracer.views import html
from tracer.views.player import payload, script, style

Open = Callable[..., Page]

NET = r"""
class Scale(nn.Module):
    def forward(self, x):
        # Half of it: $\frac{x}{2}$, {x.shape}.
        y = x / 2
        return y.abs().sqrt()

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.scale = Scale()
        self.attend = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        u = self.conv(x)
        # Calls the block twice, **once** per turn.
        for turn in range(2):
            u = self.scale(u) + u
        # One row per place, so that the {u.shape[1]} channels come last.
        tokens = u.flatten(2).transpose(1, 2)
        z, weights = self.attend(tokens, tokens, tokens)
        return torch.cat([z, tokens], dim=2), weights
"""


@cache
def net() -> Trace:
    torch.manual_seed(0)
    return trace(run_cell(NET)["Net"](), torch.randn(2, 3, 4, 5))


@cache
def student() -> Trace:
    settings = {**STUDENT.settings(), "C": 16, "H": 12, "W": 16}
    model = STUDENT.build(settings)
    args, kwargs = STUDENT.inputs(settings, "picture", 0)
    return trace(model, *args, **kwargs, name="student")


# --- pages that hold a player ---------------------------------------------------------------------

HARNESS = """<!doctype html>
<meta charset="utf-8"><title>player</title>
<style>body { margin: 0 } %(style)s</style>
<input id="field"><textarea id="area"></textarea>
<div id="before" style="height: %(space)spx"></div>
<div id="place"></div>
<div id="behind" style="height: %(space)spx"></div>
<script type="application/json" id="trace">%(trace)s</script>
<script type="module">
%(script)s
window.mount = mount;
window.heard = [];
addEventListener("shapewalk:step", ({ detail }) => heard.push(detail));
window.payload = JSON.parse(document.getElementById("trace").textContent);
const host = document.getElementById("place");
let root = host;
if (%(shadow)s) {
  root = host.attachShadow({ mode: "open" });
  const style = document.createElement("style");
  style.textContent = document.querySelector("style").textContent;
  root.append(style);
}
window.player = mount(root, payload, %(options)s);
</script>
"""


class Server:
    """Pages from memory, at an address of this machine."""

    def __init__(self) -> None:
        pages = self.pages = {}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = pages.get(urlsplit(self.path).path, "").encode()
                self.send_response(200 if page else 204)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def put(self, name: str, text: str) -> str:
        self.pages[f"/{name}"] = text
        return f"{self.address}/{name}"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.server.shutdown()
    server.server.server_close()


Show = Callable[..., Page]


@pytest.fixture
def show(open_page: Open, server: Server) -> Show:
    """Mounts a trace: `show(trace, "step=4", space=900, shadow=True, width=390)`."""

    def show_one(
        run: Trace,
        query: str = "",
        *,
        space: int = 0,
        shadow: bool = False,
        options: str = "{ url: true }",
        letters: dict[str, str] | None = None,
        **page_options: Any,
    ) -> Page:
        text = HARNESS % {
            "style": style(),
            "script": script(),
            "trace": json.dumps(payload(run, letters)).replace("<", "\\u003c"),
            "space": space,
            "shadow": "true" if shadow else "false",
            "options": options,
        }
        page = open_page(motion="reduced_motion" not in page_options, **page_options)
        page.goto(server.put("player", text) + f"?{query}")
        expect(page.locator(".count")).not_to_be_empty()
        return page

    return show_one


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def path(page: Page) -> str:
    """The step on screen, by the last event."""
    return str(page.evaluate("heard.at(-1).path"))


def count(page: Page) -> str:
    return page.locator(".count").inner_text()


def marked(page: Page) -> str:
    """The highlighted source, across its lines."""
    return "\n".join(page.locator(".source mark").all_inner_texts())


def squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def line(page: Page, text: str) -> Locator:
    return page.locator(".source .line", has_text=text).first


def chips(page: Page, side: str) -> list[tuple[str, list[str]]]:
    """The name and the cells of each tensor before or after, as `B 2`."""
    found = []
    for chip in page.locator(f".tensors.{side} button.tensor").all():
        name = chip.locator(".tensor-name").inner_text().split("\n")[0]
        cells = [squeezed(text) for text in chip.locator(".cell").all_inner_texts()]
        found.append((name, cells))
    return found


# --- what it shows --------------------------------------------------------------------------------


def test_a_whole_lesson_shows_each_step_as_recorded(show: Show) -> None:
    run = student()
    page = show(run, letters={"x": "B C H W"})
    for step in run.steps:
        assert count(page) == f"operation {step.index + 1} of {len(run.steps)}"
        assert path(page) == str(step.index)
        assert squeezed(page.locator(".expression").inner_text()) == squeezed(step.expression)
        assert squeezed(marked(page)) == squeezed(step.expression)
        assert page.locator(".line.current .number").first.inner_text() == str(step.line)
        sizes = [[cell.split()[-1] for cell in cells] for _, cells in chips(page, "after")]
        assert sizes == [[str(size) for size in note.shape] for note in step.outputs]
        press(page, "ArrowRight")
    assert path(page) == str(len(run.steps) - 1)
    assert page.locator(".control[aria-label=next]").is_disabled()


def test_the_exact_part_of_a_chain_is_marked_and_what_was_done_is_dim(show: Show) -> None:
    page = show(net(), "step=3")
    assert marked(page) == "y.abs()"
    press(page, "ArrowRight")
    assert marked(page) == "y.abs().sqrt()"
    assert page.locator(".expression .done").inner_text() == "y.abs()"


def test_shapes_stand_at_the_line_ends_of_the_call_on_screen(show: Show) -> None:
    page = show(net(), "step=2")
    assert line(page, "y = x / 2").locator(".shape").inner_text() == "(2, 4, 4, 5)"
    assert line(page, "def forward").locator(".shape").inner_text() == "(2, 4, 4, 5)"
    page.evaluate("player.goto('0')")
    assert line(page, "def forward").locator(".shape").inner_text() == "(2, 3, 4, 5)"
    assert line(page, "tokens = ").locator(".shape").inner_text() == "(2, 20, 4)"
    assert line(page, "z, weights").locator(".shape").inner_text() == "(2, 20, 4), (2, 20, 20)"
    right = [
        shape.bounding_box()["x"] + shape.bounding_box()["width"]
        for shape in page.locator(".source .shape").all()
    ]
    assert max(right) - min(right) < 2


def test_notes_replace_their_comments_filled_and_typeset(show: Show) -> None:
    page = show(net(), "step=2")
    note = page.locator(".source .note")
    expect(note).to_contain_text("Half of it: ")
    expect(note).to_contain_text("(2, 4, 4, 5)")
    assert note.locator("math mfrac").count() == 1
    assert "# Half" not in page.locator(".source").inner_text()
    page.evaluate("player.goto('0')")
    assert page.locator(".source .note strong").inner_text() == "once"
    expect(page.locator(".source .note").nth(1)).to_contain_text("that the 4 channels come last")


def test_before_and_after_with_names_letters_and_a_sentence(show: Show) -> None:
    page = show(net(), "step=1", letters={"x": "B C H W"})
    (x, weight, bias) = chips(page, "before")
    assert x == ("x", ["B 2", "C 3", "H 4", "W 5"])
    assert weight[0] == "weight"
    assert bias[0] == "bias"
    assert page.locator(".owned button.tensor").count() == 2
    ((name, cells),) = chips(page, "after")
    assert name == "u"
    assert [cell.split()[-1] for cell in cells] == ["2", "4", "4", "5"]
    said = payload(net(), {"x": "B C H W"})["explanations"][0]
    assert page.locator(".summary").inner_text() == said["summary"]
    expect(page.locator(".facts")).to_contain_text("nn.Conv2d")
    assert "kernel_size=(1, 1)" in page.locator(".facts").inner_text()


def test_an_operand_without_a_name_is_called_by_its_expression(show: Show) -> None:
    page = show(net(), "step=5")
    assert [name for name, _ in chips(page, "before")] == ["self.scale(u)", "u"]


def test_an_operand_is_called_as_it_is_read(show: Show) -> None:
    body = "h = x + 1\nactive = h.relu_()\nreturn active.sum(1)"
    page = show(trace(forward_cell("x", body), torch.randn(2, 3)), "step=3")
    name = page.locator(".tensors.before .tensor-name")
    assert name.inner_text().split() == ["active", "=", "h"]
    expect(page.locator(".figures .figure-called").first).to_have_text("active")


# --- heatmaps -------------------------------------------------------------------------------------


def colour(page: Page, side: int, row: int, column: int, rows: int, columns: int) -> list[int]:
    """The most frequent colour in a cell of the heatmap before (0) or after (1)."""
    found: list[int] = page.evaluate(
        """([side, row, column, rows, columns]) => {
            const canvas = document.querySelectorAll('.picture canvas')[side];
            const [wide, high] = [canvas.width / columns, canvas.height / rows];
            const {data} = canvas.getContext('2d').getImageData(
                column * wide, row * high, wide, high);
            const counts = {};
            for (let at = 0; at < data.length; at += 4) {
                const key = data.slice(at, at + 3).join();
                counts[key] = (counts[key] ?? 0) + 1;
            }
            const [most] = Object.entries(counts).sort((a, b) => b[1] - a[1])[0];
            return most.split(',').map(Number);
        }""",
        [side, row, column, rows, columns],
    )
    return found


def point(page: Page, side: int, row: int, column: int, rows: int, columns: int) -> str:
    box = page.locator(".picture canvas").nth(side).bounding_box()
    assert box is not None
    x = box["x"] + (column + 0.5) * box["width"] / columns
    page.mouse.move(x, box["y"] + (row + 0.5) * box["height"] / rows)
    return page.locator(".readout").nth(side).inner_text()


def test_the_value_under_the_pointer_is_the_tensors_own(show: Show) -> None:
    x = torch.tensor([[0.1, -2.5, 1 / 3], [0.0, 7e-12, 123456.789]])
    page = show(trace(forward_cell("x", "return x + 1"), x), letters={"x": "N C"})
    for row in range(2):
        for column in range(3):
            for side, tensor in ((0, x), (1, x + 1)):
                text = point(page, side, row, column, 2, 3)
                place, value = text.split(": ")
                assert place == f"N {row}, C {column}"
                assert torch.tensor(float(value)) == tensor[row, column]
            # Both pictures show the cell, since they show the same axes.
            assert page.locator(".readout.reading").count() == 2


def test_cells_that_are_means_say_which_indices_they_stand_for(show: Show) -> None:
    x = torch.arange(256.0).reshape(128, 2)
    page = show(trace(forward_cell("x", "return x.neg()"), x), letters={"x": "N C"})
    assert point(page, 0, 3, 1, 64, 2) == "N 6–7, C 1: mean 14"


def test_arrow_keys_read_the_cells_of_a_focused_heatmap(show: Show) -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    page = show(trace(forward_cell("x", "y = x * 2\nreturn y.abs()"), x), letters={"x": "N C"})
    page.locator(".picture canvas").first.focus()
    press(page, "ArrowRight")
    expect(page.locator(".readout").first).to_have_text("N 0, C 0: 1")
    press(page, "ArrowRight", "ArrowDown")
    expect(page.locator(".readout").first).to_have_text("N 1, C 1: 4")
    assert path(page) == "0"


def test_signed_values_are_centred_on_zero_and_others_run_from_low_to_high(show: Show) -> None:
    x = torch.tensor([[-1.0, 0.0, 3.0, -3.0]])
    page = show(trace(forward_cell("x", "return x.abs() + 1"), x))
    bars = page.locator(".bar")
    scales = [bars.nth(side).get_attribute("data-scale") for side in (0, 1)]
    assert scales == ["diverging", "sequential"]
    ends = page.locator(".scale").first.inner_text().split()
    assert [float(text) for text in ends] == [-3, 3]
    assert min(colour(page, 0, 0, 1, 1, 4)) > 245
    low, high = colour(page, 0, 0, 3, 1, 4), colour(page, 0, 0, 2, 1, 4)
    assert low[2] > low[0]
    assert high[0] > high[2]


def test_nan_and_infinity_have_looks_of_their_own_and_are_counted(show: Show) -> None:
    x = torch.tensor([[0.0, 1.0, -1.0, 2.0], [4.0, 5.0, 6.0, 7.0]])
    page = show(trace(forward_cell("x", "return x / torch.tensor([0.0, 0.0, 0.0, 1.0])"), x))
    press(page, "End")
    colours = {tuple(colour(page, 1, 0, column, 2, 4)) for column in range(4)}
    assert len(colours) == 4
    stats = page.locator(".stats").nth(1)
    assert re.search(r"NaN\s*1\b", stats.inner_text())
    assert re.search(r"Inf\s*5\b", stats.inner_text())
    assert point(page, 1, 0, 0, 2, 4).endswith("NaN")
    assert point(page, 1, 0, 2, 2, 4).endswith("−Inf")
    assert [float(text) for text in page.locator(".scale").nth(1).inner_text().split()] == [2, 7]


def test_one_chooses_among_several_operands(show: Show) -> None:
    model = forward_cell("x", "y = x * 10\nz = x * 100\nreturn torch.cat([x, y, z])")
    page = show(trace(model, torch.tensor([[1.0, 2.0]])), "step=3")
    names = page.locator(".thumbnail").all_inner_texts()
    assert [squeezed(name) for name in names] == ["x", "y", "z"]
    assert squeezed(page.locator(".figure-name").first.inner_text()) == "x (1, 2)"
    page.locator(".thumbnail").nth(2).click()
    assert squeezed(page.locator(".figure-name").first.inner_text()) == "z (1, 2)"
    assert point(page, 0, 0, 1, 1, 2).endswith("200")


def test_shapes_only_says_so(show: Show) -> None:
    page = show(trace(forward_cell("x", "return x + 1"), torch.randn(3), values=False))
    expect(page.locator(".picture-missing").first).to_have_text("Only shapes were recorded.")
    # The work was not done, so no time is told of it.
    expect(page.locator(".facts")).to_contain_text("operation")
    expect(page.locator(".facts")).not_to_contain_text("time")
    press(page, "?")
    expect(page.locator(".dialog")).to_contain_text("parameters")
    expect(page.locator(".dialog dt", has_text=re.compile("^time$"))).to_have_count(0)
    expect(page.locator(".picture canvas").first).to_be_hidden()


# --- sizes as formulas ----------------------------------------------------------------------------

PAIRS = """
y = x.flatten(2)
z = y.transpose(1, 2)
return z @ y
"""


@cache
def pairs() -> tuple[Trace, Trace]:
    """A run, and the same with formulas."""
    run = trace(forward_cell("x", PAIRS), torch.rand(2, 6, 4, 5))
    view = Cost(0, 0, 0)
    matrix = Cost(
        elements=800,
        bytes=3200,
        flops=9600,
        elements_formula=formula("B·H²·W²"),
        bytes_formula=formula("4·B·H²·W²"),
        flops_formula=formula("2·B·C·H²·W²"),
        memory_growth=formula("B·H²·W²"),
        flops_growth=formula("B·C·H²·W²"),
    )
    symbolic = with_formulas(
        run,
        {"B": 2, "C": 6, "H": 4, "W": 5},
        {2: "B", 6: "C", 4: "H", 5: "W", 20: formula("H·W", "N")},
        (
            Constraint(formula("C ≥ 2"), said("C is at least 2."), None),
            Constraint(formula("H % 3 = 0"), said("H is a multiple of 3."), 2, holds=False),
        ),
        (view, view, matrix),
    )
    return run, symbolic


def faces(page: Page) -> list[str]:
    """The pressed ones of the three."""
    return page.locator(".faces [aria-pressed=true]").evaluate_all(
        "all => all.map(one => one.getAttribute('aria-label'))"
    )


def test_sizes_as_numbers_as_formulas_and_as_both(show: Show) -> None:
    page = show(pairs()[1], "step=3", letters={"x": "B C H W"})
    assert faces(page) == ["numbers"]
    numbers = [[cell.split()[-1] for cell in cells] for _, cells in chips(page, "before")]
    assert numbers == [["2", "20", "6"], ["2", "6", "20"]]
    end = line(page, "y = x.flatten(2)").locator(".shape")
    assert end.inner_text() == "(2, 6, 20)"
    page.get_by_role("button", name="formulas", exact=True).click()
    assert faces(page) == ["formulas"]
    assert chips(page, "before") == [("z", ["B", "H·W", "C"]), ("y", ["B", "C", "H·W"])]
    assert end.inner_text() == "(B, C, H·W)"
    name = page.locator(".figure-name").last
    assert squeezed(name.inner_text()) == "output (B, H·W, H·W)"
    chip = page.locator(".tensors.after button.tensor")
    assert "(B, H·W, H·W)" in chip.locator(".spoken").inner_text()
    cell = chip.locator(".cell").last
    assert cell.get_attribute("title") == "H·W = 20, called N in the source"
    # The click left the keys with the player.
    press(page, "f")
    assert faces(page) == ["both"]
    assert chips(page, "after") == [("output", ["B 2", "H·W 20", "H·W 20"])]
    assert re.sub(r"\s+", "", end.inner_text()) == "(B2,C6,H·W20)"
    press(page, "f")
    assert faces(page) == ["numbers"]
    assert end.inner_text() == "(2, 6, 20)"


def test_the_face_is_kept_in_the_link_over_steps_and_updates(show: Show) -> None:
    run, symbolic = pairs()
    page = show(symbolic, "dims=formulas&step=2")
    assert faces(page) == ["formulas"]
    page.get_by_role("button", name="both", exact=True).click()
    page.wait_for_url("**?dims=both&step=2")
    press(page, "ArrowRight")
    page.wait_for_url("**?dims=both&step=3")
    page.evaluate("next => player.update(next)", payload(run))
    expect(page.locator(".faces")).to_be_hidden()
    page.evaluate("next => player.update(next)", payload(symbolic))
    assert faces(page) == ["both"]
    assert path(page) == "2"
    page.get_by_role("button", name="numbers", exact=True).click()
    page.wait_for_url("**?step=3")
    page.goto(page.url.replace("?step=3", "?step=3&dims=nonsense"))
    expect(page.locator(".count")).not_to_be_empty()
    assert faces(page) == ["numbers"]


def test_another_language_changes_words_and_no_place(show: Show) -> None:
    page = show(net(), "step=3")
    press(page, "Home", "ArrowRight", "ArrowRight")
    assert count(page) == "operation 3 of 13"
    page.evaluate("next => player.update(next)", payload(net(), language="zh"))
    assert count(page) == "运算 3 / 13"
    assert page.locator(".shapewalk").get_attribute("lang") == "zh"
    expect(page.get_by_role("button", name="下一个", exact=True)).to_be_visible()
    press(page, "ArrowRight")
    assert path(page) == "3"
    page.evaluate("next => player.update(next)", payload(net()))
    assert count(page).startswith("operation 4 of 13")
    expect(page.locator(".shapewalk")).to_have_count(1)


def test_formulas_that_come_later_change_nothing_else(show: Show) -> None:
    run, symbolic = pairs()
    page = show(run, "step=2&dims=formulas")
    expect(page.locator(".faces")).to_be_hidden()
    assert chips(page, "after")[0][1][0].split()[-1] == "2"
    press(page, "f")
    page.locator(".tensors.before button.tensor").click()
    path_before = path(page)
    held = page.locator(".pin").inner_text()
    press(page, " ")
    page.evaluate("next => player.update(next)", payload(symbolic))
    assert path(page) == path_before
    assert page.locator(".pin").inner_text() == held
    assert faces(page) == ["formulas"]
    expect(page.get_by_role("button", name="pause", exact=True)).to_be_visible()
    press(page, " ", "?")
    assert "sizes as numbers" in page.locator(".dialog").inner_text()


def test_a_run_without_formulas_offers_none(show: Show) -> None:
    page = show(pairs()[0])
    press(page, "f")
    expect(page.locator(".faces")).to_be_hidden()
    for part in (".sizes", ".constraint", ".formula", ".growth"):
        assert page.locator(f".layout > :not(.top) {part}").count() == 0
    press(page, "?")
    assert "formulas" not in page.locator(".dialog").inner_text()


@pytest.mark.parametrize(("width", "place"), [(1920, ".source"), (1400, ".source"), (390, ".why")])
def test_a_note_is_said_once_where_one_looks(show: Show, width: int, place: str) -> None:
    page = show(net(), "step=2", width=width, height=844)
    shown = page.locator(".note", has_text="Half of it: ").filter(visible=True)
    expect(shown).to_have_count(1)
    expect(page.locator(place).locator(shown)).to_have_count(1)


def test_over_a_picture_a_name_gives_way_before_the_shape_does(show: Show) -> None:
    page = show(student(), "step=21")
    for width in (390, 768, 990, 1010, 1400):
        page.set_viewport_size({"width": width, "height": 844})
        for caption in page.locator("figcaption").all():
            shape = caption.locator(".figure-shape")
            expect(shape).to_be_visible()
            assert shape.evaluate("node => node.scrollWidth - node.clientWidth") <= 0
            assert caption.locator(".figure-called").evaluate("node => node.clientWidth") >= 7
            # Nothing stands over it.
            right = caption.bounding_box()["x"] + caption.bounding_box()["width"]
            assert shape.bounding_box()["x"] + shape.bounding_box()["width"] <= right + 0.5


def test_a_step_says_what_it_demands_and_no_other_does(show: Show) -> None:
    page = show(pairs()[1])
    words = page.locator(".detail", has_text="H is a multiple of 3.")
    expect(page.locator(".demands summary").filter(visible=True)).to_have_count(1)
    for step, count in (("1", 0), ("2", 1), ("1", 0)):
        page.evaluate(f"player.goto('{step}')")
        expect(words).to_have_count(count)
        expect(page.locator(".detail .demands")).to_have_count(0)
        expect(page.locator(".detail .legend")).to_have_count(0)
    # All of them can be looked up at any step, and lead to theirs.
    press(page, "?")
    page.locator(".dialog .demands").get_by_role("button", name="z @ y").click()
    expect(page.locator(".dialog")).to_be_hidden()
    assert path(page) == "2"
    # What letters stand for is told where they are shown.
    press(page, "f")
    expect(page.locator(".detail .legend")).to_have_count(1)


def test_what_the_code_says_is_no_fact_beside_it(show: Show) -> None:
    page = show(net(), "step=0")
    terms = set()
    for _ in range(6):
        terms |= set(page.locator(".facts dt").all_inner_texts())
        press(page, "ArrowRight")
    assert "operation" in terms
    assert "in module" not in terms


def test_what_the_letters_are_and_what_is_demanded_of_them(show: Show) -> None:
    page = show(pairs()[1], "dims=formulas")
    legend = [squeezed(text) for text in page.locator(".legend li").all_inner_texts()]
    assert legend == ["B = 2", "C = 6", "H = 4", "W = 5", "N = H·W = 20"]
    assert (
        page.locator(".detail .demands summary").inner_text() == "2 demands on the sizes, 1 not met"
    )
    kept, broken = page.locator(".detail .demands .constraint").all()
    assert kept.locator(".sign").get_attribute("aria-label") == "met"
    assert kept.locator("button").count() == 0
    assert broken.locator(".sign").inner_text() == "✗"
    assert "not met" in broken.inner_text()
    assert "H is a multiple of 3." in broken.inner_text()
    assert page.locator(".what .constraint").count() == 0
    broken.get_by_role("button", name="z @ y").click()
    assert path(page) == "2"
    assert page.locator(".what .constraint .formula").inner_text() == "H % 3 = 0"


@pytest.mark.parametrize("face", ["formulas", "both"])
@pytest.mark.parametrize("width", [1400, 390])
def test_a_long_formula_stays_in_its_place(show: Show, face: str, width: int) -> None:
    long = "·".join(f"max(8, ⌊(C + {number})/r⌋)" for number in range(12))
    run = with_formulas(pairs()[0], {"B": 2, "C": 6, "r": 2}, {2: "B", 6: long, 20: "N" * 400})
    page = show(run, f"step=2&dims={face}", width=width, height=844)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    panel = page.locator(".what").bounding_box()
    assert panel is not None
    for cell in page.locator(".flow .cell").all():
        box = cell.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= panel["x"] + panel["width"] + 1
        assert box["height"] < 100
    top = page.locator(".faces").bounding_box()
    assert top is not None
    assert top["x"] + top["width"] <= width


# --- how it is steered ----------------------------------------------------------------------------


def test_first_last_and_the_slider(show: Show) -> None:
    page = show(net())
    total = len(net().steps)
    press(page, "End")
    assert path(page) == str(total - 1)
    press(page, "Home")
    assert path(page) == "0"
    page.locator(".slider").fill("3")
    assert path(page) == "3"
    page.locator(".slider").focus()
    press(page, "ArrowRight")
    assert path(page) == "4"
    for name, expected in (("first", 0), ("next", 1), ("last", total - 1), ("previous", total - 2)):
        page.get_by_role("button", name=name, exact=True).click()
        assert path(page) == str(expected)
    # The click did not take the keys away.
    press(page, "ArrowLeft")
    assert path(page) == str(total - 3)


def test_up_and_down_go_by_line(show: Show) -> None:
    page = show(net())
    lines = []
    for _ in range(8):
        lines.append(page.locator(".line.stated .number").first.inner_text())
        press(page, "ArrowDown")
    assert all(before != after for before, after in itertools.pairwise(lines))
    for expected in reversed(lines):
        press(page, "ArrowUp")
        assert page.locator(".line.stated .number").first.inner_text() == expected


def test_by_line_each_statement_is_one_entry(show: Show) -> None:
    page = show(net(), "step=3")
    page.get_by_role("button", name="line", exact=True).click()
    assert count(page).startswith("line ")
    assert marked(page) == "return y.abs().sqrt()"
    assert [name for name, _ in chips(page, "before")] == ["y"]
    assert page.locator(".parts li").count() == 2
    press(page, "ArrowRight")
    assert marked(page) == "self.scale(u) + u"
    press(page, "ArrowLeft", "ArrowLeft")
    assert marked(page) == "x / 2"
    press(page, "ArrowRight")
    page.get_by_role("button", name="operation", exact=True).click()
    assert marked(page) == "y.abs().sqrt()"


def test_out_of_a_call_and_in_again(show: Show) -> None:
    page = show(net(), "step=3")
    crumbs = page.locator(".crumbs")
    assert squeezed(crumbs.inner_text()) == "Net scale Scale"
    total = len(net().steps)
    press(page, "Escape")
    assert squeezed(crumbs.inner_text()) == "Net"
    assert marked(page) == "self.scale(u)"
    assert [name for name, _ in chips(page, "before")] == ["u"]
    assert "3 operations inside" in page.locator(".summary").inner_text()
    # A fold has the numbers of what it stands for, and what follows keeps its own.
    assert count(page) == f"operation 2–4 of {total}"
    press(page, "ArrowRight")
    assert path(page) == "4"
    assert count(page) == f"operation 5 of {total}"
    press(page, "ArrowLeft", "Enter")
    assert path(page) == "1"
    assert count(page) == f"operation 2 of {total}"
    press(page, "Home", "Escape")
    assert path(page) == "0"


def test_into_an_operation_of_torch_and_out_again(show: Show) -> None:
    (index,) = [step.index for step in net().steps if step.children]
    inner = net().steps[index].children
    page = show(net(), f"step={index + 1}")
    expect(page.locator(".hop")).to_contain_text("Go in")
    press(page, "Enter")
    assert path(page) == f"{index}.0"
    assert page.locator(".expression").inner_text() == inner[0].expression.split("\n")[0]
    assert "nn.MultiheadAttention" in page.locator(".crumbs").inner_text()
    press(page, "Escape")
    assert path(page) == str(index)
    assert "self.attend" in marked(page)


def test_the_breadcrumb_leads_out(show: Show) -> None:
    page = show(net(), "step=3")
    page.locator(".crumbs button").first.click()
    assert squeezed(page.locator(".crumbs").inner_text()) == "Net"
    assert marked(page) == "self.scale(u)"


def test_play_goes_on_its_own_and_stops_at_the_end(show: Show) -> None:
    page = show(net())
    page.locator(".speed").select_option("8")
    press(page, "End", "ArrowLeft", "ArrowLeft", " ")
    expect(page.get_by_role("button", name="pause", exact=True)).to_be_visible()
    page.wait_for_function(f"heard.at(-1).path === '{len(net().steps) - 1}'")
    expect(page.get_by_role("button", name="play", exact=True)).to_be_visible()
    press(page, "Home", " ")
    page.wait_for_function("Number(heard.at(-1).path) >= 2")
    press(page, " ")
    at = path(page)
    page.wait_for_timeout(600)
    assert path(page) == at


def test_help_lists_the_keys_and_holds_them_back(show: Show) -> None:
    page = show(net())
    press(page, "?")
    dialog = page.get_by_role("dialog")
    for words in ("previous, next operation", "previous, next line", "play, pause", "Esc", "Home"):
        expect(dialog).to_contain_text(words)
    press(page, "ArrowRight")
    assert path(page) == "0"
    press(page, "Escape")
    expect(dialog).to_be_hidden()
    press(page, "ArrowRight")
    assert path(page) == "1"


def test_keys_belong_to_fields_and_to_shortcuts_of_others(show: Show) -> None:
    page = show(net())
    for field in ("#field", "#area", ".speed"):
        page.locator(field).focus()
        press(page, "ArrowRight", "End")
        assert path(page) == "0"
    page.evaluate("document.activeElement.blur()")
    press(page, "Control+ArrowRight", "Alt+ArrowDown", "Shift+ArrowRight")
    assert path(page) == "0"
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<div role=tab tabindex=0>t')")
    page.locator("[role=tab]").focus()
    press(page, "ArrowRight")
    assert path(page) == "0"
    page.locator(".control[aria-label=last]").focus()
    press(page, "Enter")
    assert path(page) == str(len(net().steps) - 1)


def test_keys_rest_while_the_player_is_out_of_sight(show: Show) -> None:
    page = show(net(), space=3000)
    page.evaluate("scrollTo(0, 0)")
    press(page, "ArrowRight")
    assert path(page) == "0"
    page.evaluate("document.querySelector('.shapewalk').scrollIntoView()")
    press(page, "ArrowRight")
    assert path(page) == "1"


def test_a_click_on_a_line_goes_there(show: Show) -> None:
    page = show(net(), "step=1")
    line(page, "return torch.cat").locator(".number").click()
    assert marked(page) == "torch.cat([z, tokens], dim=2)"
    assert path(page) == str(len(net().steps) - 1)


def test_a_click_on_an_expression_goes_to_it(show: Show) -> None:
    page = show(net(), "step=1")
    text = line(page, "tokens = ").locator(".text")
    box = page.evaluate(
        """text => {
            const walker = document.createTreeWalker(text, NodeFilter.SHOW_TEXT);
            for (let node; (node = walker.nextNode());) {
                const at = node.data.indexOf('flatten');
                if (at < 0) continue;
                const range = document.createRange();
                range.setStart(node, at + 2);
                range.setEnd(node, at + 3);
                const {x, y, width, height} = range.getBoundingClientRect();
                return [x + width / 2, y + height / 2];
            }
        }""",
        text.element_handle(),
    )
    page.mouse.click(*box)
    assert marked(page) == "u.flatten(2)"


def test_a_click_on_a_call_shows_it_as_one_row(show: Show) -> None:
    page = show(net(), "step=1")
    line(page, "u = self.scale(u)").locator(".number").click()
    # The line's last operation is the sum; its block is inside the parenthesis.
    assert marked(page) == "self.scale(u) + u"


def test_a_click_on_a_chip_goes_to_where_the_tensor_was_made(show: Show) -> None:
    page = show(net())
    press(page, "End")
    page.locator(".tensors.before button.tensor", has_text="tokens").click()
    assert marked(page) == "u.flatten(2).transpose(1, 2)"
    expect(page.locator(".tensors.after button.tensor")).to_have_class(re.compile(r"\blit\b"))
    expect(page.locator(".pin")).to_contain_text("tokens")


def test_the_page_around_can_go_to_a_step_and_hears_of_each(show: Show) -> None:
    page = show(net(), options="{ onStep: (path, step) => (window.told = [path, step?.op]) }")
    page.evaluate("dispatchEvent(new CustomEvent('shapewalk:goto', { detail: { path: '2' } }))")
    assert page.evaluate("heard.at(-1)") == {"path": "2", "trace": "Net", "call": None}
    assert page.evaluate("told") == ["2", "Tensor.abs"]
    for wrong in ("99", "-1", "x", "2.5", "", "1e1", "0.0.0", "c99"):
        page.evaluate(
            "path => dispatchEvent(new CustomEvent('shapewalk:goto', { detail: { path } }))", wrong
        )
        assert path(page) == "2"
    press(page, "Escape")
    assert page.evaluate("heard.at(-1)") == {"path": "1", "trace": "Net", "call": 1}


# --- the address ----------------------------------------------------------------------------------


def query(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def test_the_address_keeps_the_step_and_a_copied_link_opens_it(show: Show, open_page: Open) -> None:
    (index,) = [step.index for step in net().steps if step.children]
    page = show(net(), "lesson=a%20b&step=1")
    before = page.evaluate("history.length")
    page.evaluate(f"player.goto('{index}.1')")
    page.wait_for_url(f"**step={index + 1}.2*")
    assert query(page) == {"lesson": ["a b"], "step": [f"{index + 1}.2"]}
    assert page.evaluate("history.length") == before
    copied = open_page()
    copied.goto(page.url)
    assert copied.evaluate("heard.at(-1).path") == f"{index}.1"
    assert copied.locator(".detail").inner_text() == page.locator(".detail").inner_text()


STACK = r"""
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(4)
        self.mix = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 4))

    def forward(self, x):
        return x + self.mix(self.norm(x))

class Stack(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(*[Block() for _ in range(12)])

    def forward(self, x):
        return self.blocks(x)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stack = Stack()
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.stack(x))
"""


def test_a_deep_model_opens_at_the_level_of_its_modules(show: Show) -> None:
    page = show(trace(run_cell(STACK)["Net"](), torch.randn(2, 4)))
    position = page.locator(".slider")
    rows = [position.get_attribute("aria-valuetext")]
    for _ in range(13):
        press(page, "ArrowRight")
        rows.append(position.get_attribute("aria-valuetext"))
    # Twelve blocks and the head, at which it ends.
    assert rows[:2] == ["operation 1–5 of 61", "operation 6–10 of 61"]
    assert rows[11:] == ["operation 56–60 of 61", *["operation 61 of 61"] * 2]
    press(page, "Home")
    press(page, "Enter")
    rows = [position.get_attribute("aria-valuetext")]
    for _ in range(3):
        press(page, "ArrowRight")
        rows.append(position.get_attribute("aria-valuetext"))
    # One level down: the normalisation, the mixture as a row, the sum, and the next block.
    assert rows == [f"operation {each} of 61" for each in ("1", "2–4", "5", "6–10")]


def test_a_folded_call_has_an_address_too(show: Show, open_page: Open) -> None:
    page = show(net(), "step=3")
    press(page, "Escape")
    page.wait_for_url("**step=c1*")
    copied = open_page()
    copied.goto(page.url)
    assert marked(copied) == "self.scale(u)"


def test_an_address_that_names_no_step_begins_at_the_first(show: Show) -> None:
    assert path(show(net(), "step=%F0%9F%90%8D")) == "0"


def test_an_address_beyond_the_end_begins_at_the_last(show: Show) -> None:
    steps = net().steps
    assert path(show(net(), f"step={len(steps) + 7}")) == str(len(steps) - 1)
    assert path(show(net(), "step=0")) == "0"


def test_without_the_option_the_address_is_left_alone(show: Show) -> None:
    page = show(net(), "step=4", options="{}")
    assert path(page) == "0"
    press(page, "ArrowRight")
    page.wait_for_timeout(400)
    assert query(page) == {"step": ["4"]}


# --- another trace, another theme -----------------------------------------------------------------


def test_an_update_keeps_the_place(show: Show) -> None:
    page = show(net(), "step=6")
    page.evaluate("window.node = document.querySelector('.expression'); player.update(payload)")
    assert path(page) == "5"
    assert page.evaluate("node.isConnected"), "the same trace was drawn again"
    torch.manual_seed(1)
    larger = trace(run_cell(NET)["Net"](), torch.randn(3, 3, 4, 5))
    page.evaluate("next => player.update(next)", payload(larger))
    assert path(page) == "5"
    assert chips(page, "after")[0][1][0].endswith(" 3")
    other = trace(forward_cell("x", "return x + 1"), torch.randn(2))
    page.evaluate("next => player.update(next)", payload(other))
    assert path(page) == "0"
    assert count(page) == "operation 1 of 1"


def test_theme_by_option_by_the_system_and_by_the_page_around(show: Show) -> None:
    theme = "document.querySelector('.shapewalk').dataset.theme"
    page = show(net(), options="{ theme: 'auto' }", color_scheme="dark")
    assert page.evaluate(theme) == "dark"
    page.emulate_media(color_scheme="light")
    page.wait_for_function(f"{theme} === 'light'")
    page.evaluate("player.update(payload, { theme: 'dark' })")
    assert page.evaluate(theme) == "dark"
    page.evaluate("document.body.style.setProperty('--st-background-color', '#f8f8f0')")
    page.evaluate("player.update(payload, { theme: 'auto' })")
    assert page.evaluate(theme) == "light"
    background = "getComputedStyle(document.querySelector('.shapewalk')).backgroundColor"
    assert page.evaluate(background) == "rgb(248, 248, 240)"


def test_height_by_option(show: Show) -> None:
    page = show(net(), options="{ height: 555 }")
    height = "document.querySelector('.layout').offsetHeight"
    assert page.evaluate(height) == 555
    page.evaluate("player.update(payload, { height: '50vh' })")
    assert page.evaluate(height) in (425, 460)


def test_destroy_leaves_nothing_behind(show: Show) -> None:
    page = show(net())
    page.evaluate("heard.length = 0; player.destroy()")
    press(page, "ArrowRight", "End", " ")
    page.evaluate("dispatchEvent(new CustomEvent('shapewalk:goto', { detail: { path: '2' } }))")
    assert page.evaluate("heard.length") == 0
    assert page.locator("#place > *").count() == 0


def test_in_a_shadow_root(show: Show) -> None:
    page = show(net(), shadow=True)
    press(page, "ArrowRight")
    assert path(page) == "1"
    page.locator(".slider").focus()
    press(page, "ArrowRight")
    assert path(page) == "2"
    page.locator(".speed").focus()
    press(page, "ArrowDown")
    assert path(page) == "2"
    page.evaluate("player.goto('0')")
    box = line(page, "tokens = ").locator(".name", has_text="u").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 60, box["y"] + box["height"] / 2)
    assert marked(page).startswith("u.flatten(2)")


def test_the_keys_go_to_the_player_in_use(show: Show) -> None:
    page = show(net(), options="{ height: 460 }", height=1000)
    page.evaluate("mount(document.getElementById('behind'), payload, { height: 460 })")
    total = len(net().steps)
    press(page, "ArrowRight")
    assert page.locator(".count").all_inner_texts() == [
        f"operation 1 of {total}",
        f"operation 2 of {total}",
    ]
    page.locator(".what").first.click()
    press(page, "End")
    assert page.locator(".count").all_inner_texts() == [
        f"operation {total} of {total}",
        f"operation 2 of {total}",
    ]


# --- light ----------------------------------------------------------------------------------------


def lit(page: Page) -> dict[str, list[str]]:
    return page.evaluate(
        """() => ({
            names: [...document.querySelectorAll('.name.lit')].map(
                name => name.closest('.line').dataset.line + ' ' + name.textContent),
            chips: [...document.querySelectorAll('button.tensor.lit .tensor-name')].map(
                chip => chip.textContent),
            pictures: [...document.querySelectorAll('.picture-frame')].map(
                frame => frame.classList.contains('lit')),
        })"""
    )


def test_a_name_a_chip_and_a_heatmap_light_the_same_tensor(show: Show) -> None:
    page = show(net(), "step=2")
    first = int(page.locator(".line.current .number").inner_text())
    nothing = {"names": [], "chips": [], "pictures": [False, False]}
    assert lit(page) == nothing
    everywhere = {
        "names": [f"{first} y", f"{first + 1} y"],
        "chips": ["y"],
        "pictures": [False, True],
    }
    page.locator(".line.current .name", has_text="y").hover()
    assert lit(page) == everywhere
    page.mouse.move(5, 5)
    assert lit(page) == nothing
    page.locator(".tensors.after button.tensor").hover()
    assert lit(page) == everywhere
    page.locator(".picture canvas").nth(1).hover()
    assert lit(page) == everywhere
    page.locator(".picture canvas").first.hover()
    assert lit(page)["names"] == [f"{first - 2} x", f"{first} x"]


def test_a_click_on_a_name_holds_the_light_until_the_next(show: Show) -> None:
    page = show(net(), "step=2")
    name = line(page, "y.abs()").locator(".name", has_text="y")
    name.click()
    page.mouse.move(5, 5)
    assert lit(page)["chips"] == ["y"]
    assert path(page) == "1"
    press(page, "ArrowRight")
    assert lit(page)["chips"] == ["y"]
    assert lit(page)["pictures"] == [True, False]
    line(page, "y.abs()").locator(".name", has_text="y").click()
    page.mouse.move(5, 5)
    assert lit(page)["chips"] == []
    expect(page.locator(".pin")).to_be_hidden()


def test_the_same_name_is_another_tensor_before_and_after_it_is_assigned(show: Show) -> None:
    page = show(net(), "step=5")
    words = page.locator(".line.current .name", has_text="u")
    words.nth(0).hover()
    assert lit(page)["pictures"] == [False, True]
    words.nth(1).hover()
    after = lit(page)
    assert after["pictures"] == [False, False]
    assert after["chips"] == ["u"]


def test_what_is_overwritten_lights_as_both(show: Show) -> None:
    page = show(trace(forward_cell("x", "y = x + 1\ny.mul_(2)\nreturn y"), torch.ones(2)), "step=2")
    page.locator(".line.current .name", has_text="y").hover()
    assert lit(page)["pictures"] == [True, True]


# --- a failing run --------------------------------------------------------------------------------


def test_a_failure_opens_at_the_failing_step_with_operands_and_origins(show: Show) -> None:
    model = forward_cell("x", "a = x.flatten(1)\nb = x.sum(0)\nreturn a @ b")
    run = trace(model, torch.randn(2, 3, 4))
    assert run.failure is not None
    page = show(run)
    assert marked(page) == "a @ b"
    box = page.locator(".failure")
    expect(box).to_contain_text("RuntimeError")
    expect(box).to_contain_text(run.failure.message)
    origins = page.locator(".operand .origin").all_inner_texts()
    assert origins == ["from x.flatten(1), line 3", "from x.sum(0), line 4"]
    press(page, "ArrowLeft")
    expect(box).to_have_count(0)


def test_a_failure_before_any_operation(show: Show) -> None:
    run = trace(forward_cell("x", "if x.ndim == 2:\n    raise ValueError('no')"), torch.ones(1, 1))
    page = show(run)
    expect(page.locator(".failure")).to_contain_text("ValueError")
    assert count(page) == "operation 1 of 1"


def test_a_run_without_operations(show: Show) -> None:
    page = show(trace(nn.Identity(), torch.randn(2, 3)))
    expect(page.locator(".summary")).to_contain_text("nothing to step through")
    press(page, "ArrowRight", "End", "Enter", "Escape", " ")
    assert len(chips(page, "before")) == 1


# --- the room it has ------------------------------------------------------------------------------

BOXES = """() => Object.fromEntries(
    ['layout', 'source', 'what', 'figures', 'transport', 'flow'].map(name => {
        const {x, y, width, height} = document.querySelector('.' + name).getBoundingClientRect();
        return [name, {x, y, width, height}];
    }))"""


@pytest.mark.parametrize(("width", "columns"), [(1400, 3), (1010, 3), (990, 2), (650, 2), (620, 1)])
def test_columns_follow_the_width(show: Show, width: int, columns: int) -> None:
    page = show(student(), width=width, height=760)
    boxes = page.evaluate(BOXES)
    lefts = sorted(boxes[name]["x"] for name in ("source", "what", "figures"))
    assert 1 + sum(after - before > 50 for before, after in itertools.pairwise(lefts)) == columns
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if columns > 1:
        assert boxes["layout"]["height"] == 660


def test_columns_follow_the_width_of_the_player_not_of_the_window(show: Show) -> None:
    page = show(student(), width=1400)
    page.evaluate("document.getElementById('place').style.width = '500px'")
    assert page.evaluate(BOXES)["source"]["width"] > 480


@pytest.mark.parametrize("scheme", ["dark", "light"][: min(TIMES, 2)])
def test_on_a_phone_all_is_in_reach(show: Show, scheme: str) -> None:
    page = show(student(), width=390, height=844, color_scheme=scheme)
    for step in range(len(student().steps)):
        boxes = page.evaluate(BOXES)
        bar = boxes["transport"]
        assert bar["y"] + bar["height"] <= 845
        assert boxes["flow"]["y"] + boxes["flow"]["height"] < bar["y"]
        assert boxes["figures"]["y"] + 100 < bar["y"]
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert path(page) == str(step)
        page.get_by_role("button", name="next", exact=True).click(force=True)
    page.evaluate("scrollTo(0, 1e6)")
    bar = page.evaluate(BOXES)["transport"]
    assert bar["y"] + bar["height"] <= 845
    for control in page.locator(".transport button:visible").all():
        box = control.bounding_box()
        assert box is not None
        assert 0 <= box["x"] <= 390 - box["width"]
        assert min(box["width"], box["height"]) >= 36


LINE_IN_SIGHT = """() => {
    const panel = document.querySelector('.source').getBoundingClientRect();
    const line = document.querySelector('.line.current').getBoundingClientRect();
    return line.top >= panel.top && line.bottom <= panel.bottom;
}"""


def test_a_window_that_is_turned_keeps_the_line_in_sight(show: Show) -> None:
    page = show(student(), "step=21", width=1400, height=900)
    assert page.evaluate(LINE_IN_SIGHT)
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function(LINE_IN_SIGHT)
    # Who looks elsewhere stays there.
    page.evaluate("document.querySelector('.source').scrollTop = 0")
    page.wait_for_timeout(100)
    page.set_viewport_size({"width": 420, "height": 844})
    page.wait_for_timeout(100)
    assert page.evaluate("document.querySelector('.source').scrollTop") == 0


def test_stepping_scrolls_the_source_and_never_the_page(show: Show) -> None:
    page = show(student(), space=700, height=900, options="{ height: 480 }")
    page.evaluate("scrollTo(0, 500)")
    scrolled = set()
    for _ in student().steps:
        press(page, "ArrowRight")
        assert page.evaluate("scrollY") == 500
        scrolled.add(page.evaluate("document.querySelector('.source').scrollTop"))
        inside = page.evaluate(
            """() => {
                const panel = document.querySelector('.source').getBoundingClientRect();
                const line = document.querySelector('.line.current').getBoundingClientRect();
                return line.top >= panel.top && line.top < panel.bottom - 10;
            }"""
        )
        assert inside
    assert len(scrolled) > 2


# --- for everyone ---------------------------------------------------------------------------------

CONTRASTS = """() => {
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = 1;
    const pen = canvas.getContext('2d', { willReadFrequently: true });
    const over = (colour, base) => {
        pen.fillStyle = `rgb(${base.join(' ')})`;
        pen.fillRect(0, 0, 1, 1);
        pen.fillStyle = colour;
        pen.fillRect(0, 0, 1, 1);
        return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const backgrounds = element => {
        const chain = [];
        for (let at = element; at; at = at.parentElement) chain.unshift(at);
        let all = [[255, 255, 255]];
        for (const at of chain) {
            const style = getComputedStyle(at);
            all = all.map(base => over(style.backgroundColor, base));
            const ends = at.matches('.cell:not(.plain)') ? ['--from', '--to'] : [];
            if (ends.length) {
                const probe = document.createElement('i');
                at.append(probe);
                all = ends.map(end => {
                    probe.style.color = `var(${end})`;
                    return over(getComputedStyle(probe).color, all[0]);
                });
                probe.remove();
            }
        }
        return all;
    };
    const luminance = rgb => {
        const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
        const [r, g, b] = rgb.map(v => linear(v / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const found = {};
    const player = document.querySelector('.shapewalk');
    const walker = document.createTreeWalker(player, NodeFilter.SHOW_TEXT);
    for (let node; (node = walker.nextNode());) {
        const element = node.parentElement;
        if (!node.data.trim() || !element.checkVisibility()) continue;
        if (element.closest(':disabled')) continue;
        for (const base of backgrounds(element)) {
            const text = luminance(over(getComputedStyle(element).color, base));
            const back = luminance(base);
            const ratio = (Math.max(text, back) + 0.05) / (Math.min(text, back) + 0.05);
            const key = element.className || element.tagName;
            found[key] = Math.min(found[key] ?? 99, ratio);
        }
    }
    return found;
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_all_text_has_contrast(show: Show, theme: str) -> None:
    page = show(student(), options=f"{{ theme: '{theme}' }}")
    worst: dict[str, float] = {}
    for index in range(0, len(student().steps), 3 if TIMES > 1 else 6):
        page.evaluate(f"player.goto('{index}')")
        page.locator(".tensors.after button.tensor").first.hover()
        for name, ratio in page.evaluate(CONTRASTS).items():
            worst[name] = min(worst.get(name, 99), ratio)
    failed = trace(forward_cell("x", "return x @ x  # why"), torch.randn(2, 3))
    for other in (failed, pairs()[1]):
        page.evaluate("next => player.update(next)", payload(other))
        press(page, "End", "f", "f")
        for name, ratio in page.evaluate(CONTRASTS).items():
            worst[name] = min(worst.get(name, 99), ratio)
    assert {"letter", "length", "number", "formula", "growth", "sign", "words"} <= worst.keys()
    assert {name: ratio for name, ratio in worst.items() if ratio < 4.5} == {}


def test_everything_that_can_be_used_has_a_name_and_a_visible_focus(show: Show) -> None:
    page = show(net(), "step=5")
    for control in page.locator("button:visible, select:visible, .slider, .picture canvas").all():
        name = control.evaluate(
            "node => node.getAttribute('aria-label') || node.textContent.trim()"
        )
        assert name, control.evaluate("node => node.outerHTML")
    seen = set()
    page.locator("#area").focus()
    for _ in range(40):
        press(page, "Tab")
        focus = page.evaluate(
            """() => {
                const at = document.activeElement;
                if (!at.closest('.shapewalk')) return null;
                return [at.getAttribute('class'), getComputedStyle(at).outlineStyle];
            }"""
        )
        if focus is None:
            break
        seen.add(focus[0])
        assert focus[1] != "none", focus
    assert {"slider", "speed", "source"} <= seen


def test_a_screen_reader_hears_each_step(show: Show) -> None:
    page = show(net())
    live = page.locator("[aria-live=polite].spoken")
    press(page, "ArrowRight")
    said = payload(net())["explanations"][1]["summary"]
    expect(live).to_have_text(f"operation 2 of {len(net().steps)}. x / 2. {said}.")
    label = page.locator(".picture canvas").first.get_attribute("aria-label")
    assert label is not None
    assert label.startswith("Heatmap of ")
    assert page.locator(".slider").get_attribute("aria-valuetext") == count(page)


def test_nothing_moves_on_its_own(show: Show) -> None:
    page = show(net(), reduced_motion="reduce")
    press(page, "ArrowRight", "ArrowDown", "ArrowDown")
    assert page.evaluate("document.getAnimations().length") == 0
    smooth = "[...document.querySelectorAll('.shapewalk *')].filter(node => \
        getComputedStyle(node).scrollBehavior === 'smooth').length"
    assert page.evaluate(smooth) == 0


# --- speed ----------------------------------------------------------------------------------------

CHANGES = """async () => {
    const shapewalk = document.querySelector('.shapewalk');
    const size = node => 1 + (node.querySelectorAll?.('*').length ?? 0);
    const changes = [];
    let records = [];
    const observer = new MutationObserver(seen => records.push(...seen));
    observer.observe(shapewalk, {
        subtree: true, childList: true, attributes: true, characterData: true,
    });
    for (let index = 0; index < 30; index += 1) {
        document.dispatchEvent(new KeyboardEvent('keydown', {
            key: index === 15 ? 'End' : index > 15 ? 'ArrowLeft' : 'ArrowRight', bubbles: true,
        }));
        await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
        changes.push(records.reduce((sum, { type, addedNodes, removedNodes }) =>
            sum + (type === 'childList'
                ? [...addedNodes, ...removedNodes].reduce((all, node) => all + size(node), 0)
                : 1), 0));
        records = [];
    }
    return [changes, shapewalk.querySelectorAll('*').length];
}"""

LOOP = """
for turn in range(300):
    a = x.abs()
    # Half of $a$: {a.shape}.
    b = a / 2
    c = b.transpose(0, 1)
    x = (c @ b) * 0.1
return x
"""


def straight(count: int) -> nn.Module:
    """A forward of `count` different statements, each with a note."""
    lines = [f"# The {i}th, $x_{{{i}}}$.\nx{i} = x{max(i - 1, 0)} + 1" for i in range(1, count + 1)]
    return forward_cell("x0", "\n".join([*lines, f"return x{count}"]))


@cache
def long() -> Trace:
    return trace(straight(1_200), torch.rand(2), values=False)


@pytest.mark.parametrize("kind", spread(["formulas", "lesson", "straight", "loop"], every=2))
def test_a_step_changes_few_nodes_however_many_steps_there_are(show: Show, kind: str) -> None:
    """What a step costs follows from the nodes that it makes and lays out, at 40 steps and at
    thousands; the time itself is measured by `benchmarks/stepping.py`."""
    if kind == "lesson":
        run = student()
    elif kind == "formulas":
        sizes = {2: "B", 16: "C", 12: "H", 192: "H·W", 8: "⌊C/r⌋", 96: "⌊H/2⌋·⌊W/2⌋"}
        run = with_formulas(student(), {"B": 2, "C": 16, "H": 12, "W": 16, "r": 2}, sizes)
    else:
        run = long() if kind == "straight" else trace(forward_cell("x", LOOP), torch.rand(4, 4))
        assert len(run.steps) >= 1_000
    page = show(run, "step=2&dims=both")
    changes, nodes = page.evaluate(CHANGES)
    print(kind, changes, nodes)
    assert 0 < statistics.median(changes) < 800
    assert max(changes) < 4_000  # the jump to the end, to another part of the source
    assert nodes < 4_000
    if kind in ("loop", "straight"):
        assert path(page) == str(len(run.steps) - 15)


def test_a_long_function_is_built_where_it_is_looked_at(show: Show) -> None:
    page = show(long(), "step=601")
    assert page.locator(".source .line").count() < 600
    assert marked(page) == "x600 + 1"
    page.locator(".source").evaluate("panel => panel.scrollTo(0, 0)")
    expect(line(page, "def forward")).to_be_visible()
    line(page, "x2 = x1 + 1").locator(".number").click()
    assert path(page) == "1"
    press(page, "End")
    assert marked(page) == "x1199 + 1"


# --- whatever a file may hold ---------------------------------------------------------------------

EVIL = (
    '<script>window.pwned=1</script><img src=x onerror="window.pwned=1">"\'`$\\frac{$ **b** '
    '[a](javascript:window.pwned=1) [b](https://e.example/"onmouseover="pwned=1) \u202e {x} '
)


def spoiled(value: Any, random_: random.Random, key: str = "") -> Any:
    """A trace document with hostile text, places beyond the source and monstrous numbers, in
    which everything still has the type that the reader asks for."""
    if isinstance(value, dict):
        # A corner has as many cells as its shape says, or it is not read at all.
        kept = {"format", "schema", *(["shape"] if value.keys() == {"shape", "cells"} else [])}
        return {
            name: item if name in kept else spoiled(item, random_, name)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [spoiled(item, random_, key) for item in value]
    if isinstance(value, str):
        if key == "cells":
            strange = [float("nan"), float("inf"), float("-inf"), 0.0, -2.0, 1e38]
            count = len(base64.b64decode(value)) // 4
            cells = (struct.pack("<f", random_.choice(strange)) for _ in range(count))
            return base64.b64encode(b"".join(cells)).decode()
        return value if key == "kind" else EVIL * random_.choice([1, 1, 1, 300]) + value
    if isinstance(value, bool):
        return value
    if isinstance(value, float):
        return random_.choice([value, 1e308, -1e308, 5e-324])
    if isinstance(value, int):
        if key in ("line", "column", "end_line", "end_column", "first", "last"):
            return random_.choice([value, value + 3, -5, 0, 10**12, -(10**30)])
        if key in ("shape", "parameters", "nan", "inf", "count"):
            return random_.choice([value, 0, 10**40])
        if key in ("row_axis", "column_axis"):
            return random_.choice([value, -3, 99, 10**20])
    return value


@pytest.mark.parametrize("seed", [2, *(pytest.param(n, marks=pytest.mark.deep) for n in (0, 1))])
def test_a_hostile_file_is_only_text(open_page: Open, server: Server, seed: int) -> None:
    document = spoiled(json.loads(net().to_json()), random.Random(seed))
    run = Trace.from_json(json.dumps(document))
    if seed == 2:
        first = Constraint(formula(EVIL * 100), as_written(EVIL * 100), 0, holds=False)
        cost = Cost(10**30, -5, 10**40, *(formula(EVIL * 100) for _ in range(5)))
        run = with_formulas(
            run,
            {EVIL * 9: 10**40, "B": -7},
            {2: formula(EVIL * 100, EVIL), 4: "B·" * 5000},
            (first,) * 90,
            (cost,) * len(run.steps),
        )
    page = open_page()
    page.goto(server.put("hostile", html.page(run)))
    expect(page.locator(".count")).to_contain_text("of")
    expect(page.locator(".shapewalk")).to_contain_text("<script>window.pwned=1</script>")
    for key in ["ArrowRight"] * len(run.steps) + ["Home", "Enter", "Escape", "End", "?", "Escape"]:
        press(page, key)
        if key == "ArrowRight":
            page.locator(".tensors.after button.tensor").first.hover()
    # How its steps work is shown as far as their sizes can be.
    press(page, "Home", "m", *["End", "PageDown"] * len(run.steps), "Escape")
    page.get_by_role("button", name="line", exact=True).click()
    press(page, "Home", "f", "ArrowDown", "f", "ArrowDown")
    assert page.evaluate("window.pwned") is None
    assert page.locator(".shapewalk :is(script, img, iframe)").count() == 0
    links = page.locator(".shapewalk a").evaluate_all("links => links.map(link => link.protocol)")
    assert set(links) <= {"https:", "http:"}
    assert page.evaluate("document.documentElement.scrollWidth") <= 1400


def test_deep_and_wide_files(show: Show) -> None:
    (index,) = [step.index for step in net().steps if step.children]

    def nested(step: Step, depth: int) -> Step:
        children = (nested(step, depth - 1),) if depth else ()
        return dataclasses.replace(step, index=0 if depth < 30 else index, children=children)

    leaf = dataclasses.replace(net().steps[index], children=())
    steps = list(net().steps)
    steps[index] = nested(leaf, 30)
    wide = dataclasses.replace(steps[0], inputs=steps[0].inputs * 400, names=(("x", 1),) * 400)
    page = show(dataclasses.replace(net(), steps=(wide, *steps[1:])), f"step={index + 1}")
    for _ in range(30):
        press(page, "Enter")
    assert path(page) == str(index) + ".0" * 30
    assert page.evaluate("document.documentElement.scrollWidth") <= 1400
    page.evaluate("player.goto('0')")
    expect(page.locator(".more").first).to_contain_text("more tensor")


# --- its other homes ------------------------------------------------------------------------------


def test_the_page_stands_alone(open_page: Open, tmp_path: Any) -> None:
    file = tmp_path / "trace.html"
    file.write_text(html.page(net()), encoding="utf-8")
    page = open_page()
    page.goto(file.as_uri())
    assert page.title() == "Net · Shapewalk"
    press(page, "ArrowRight")
    assert marked(page) == "x / 2"
    boxes = page.evaluate(BOXES)
    assert boxes["layout"]["height"] == 850
    page.wait_for_url("**?step=2")


def test_the_policy_stops_what_is_not_the_player(browser: Browser, server: Server) -> None:
    page = browser.new_page()  # not `open_page`, for which the complaint would be an error
    page.goto(server.put("strict", html.page(net())))
    page.evaluate(
        """() => {
            window.stopped = [];
            addEventListener('securitypolicyviolation', ({effectiveDirective}) =>
                stopped.push(effectiveDirective));
            const script = document.createElement('script');
            script.textContent = 'window.pwned = 1';
            document.body.append(script);
        }"""
    )
    page.wait_for_function("stopped.length > 0")
    assert page.evaluate("window.pwned") is None
    page.close()


def test_in_a_notebook(open_page: Open, server: Server) -> None:
    page = open_page()
    around = "<!doctype html><style>mark { color: red }</style><h1>cell</h1>" + html.notebook(net())
    page.goto(server.put("notebook", around))
    frame = page.frame_locator("iframe")
    expect(frame.locator(".count")).to_have_text(f"operation 1 of {len(net().steps)}")
    frame.locator(".control[aria-label=next]").click()
    expect(frame.locator(".source mark")).to_have_text("x / 2")
    press(page, "ArrowRight")
    expect(frame.locator(".source mark")).to_have_text("y.abs()")
    assert page.locator("iframe").evaluate("frame => frame.contentDocument") is None
    assert page.evaluate("getComputedStyle(document.body).margin") == "8px"

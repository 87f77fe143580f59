"""It moves: what a scene draws is the run's own numbers, read back from the scene's model; and the
stage by keyboard, by finger, still, and told."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from torch import Tensor, nn

from tests.browser.test_cells import CALLS, read, recorded, results
from tests.browser.test_player import Open, Server, Show, press
from tests.browser.test_player import server as server
from tests.browser.test_player import show as show
from tests.browser.test_player_modules import Modules
from tests.browser.test_player_modules import page as page
from tests.browser.test_player_modules import run as run
from tests.cells import forward_cell
from tests.effort import TIMES, spread
from tracer import Trace, trace
from tracer.ops.cells import SCENES
from tracer.views import html
from tracer.views.player import payload

LARGE = """
a @ b                                  | a 2 30 200 | b 2 200 40
F.linear(a, b, c)                      | a 2 9 64 | b 48 64 | c 48
F.conv2d(a, b, c, stride=2, padding=1) | a 2 16 20 30 | b 24 16 3 3 | c 24
F.max_pool2d(a, 3, stride=2)           | a 2 8 31 33
F.avg_pool2d(a, 8)                     | a 1 8 64 64
a.view(2, 8, -1)                       | a 2 8 30 40
a.permute(0, 2, 3, 1)                  | a 2 8 30 40
a.mean((2, 3))                         | a 2 40 30 20
a.sum(1)                               | a 4 300 20
a.softmax(-1)                          | a 20 300
a.expand(30, 40, 9)                    | a 40 1
torch.cat([a, b], 1)                   | a 2 30 20 | b 2 9 20
a.split(20, 1)                         | a 2 64 9
F.embedding(i, a)                      | i 4 9 = 200 | a 200 32
a.amax(2)                              | a 2 20 90
a + b                                  | a 2 30 40 | b 40
"""

MOST = 60
"""Frames of a scene that are looked at; of more than that these, from the first to the last."""

FRAMES = """(rule, inputs, outputs, side, most) => {
  const model = sceneModel(rule, inputs, outputs, new Numbers(), side);
  const count = Math.min(model?.frames.length, most);
  const looked = (k) => Math.round(k * (model.frames.length - 1) / Math.max(count - 1, 1));
  return model && Array.from({ length: count }, (_, k) => {
    const at = looked(k);
    const { number, index, value, lit, results, operands, sum } = frameAt(model, at);
    return { number, index, value, lit, results, operands, sum, text: sumText(sum) };
  });
}"""


def frames(run: Modules, line: str) -> tuple[list[Any], list[Tensor], list[Tensor]] | None:
    """The frames of a call's scene, with the operands and the results."""
    expression, tensors = read(line)
    run_ = recorded(expression, tensors)
    step = run_.steps[-1]
    if any(note.name not in tensors for note in step.inputs):
        return None
    packed = payload(run_)
    notes = {note["id"]: note for note in packed["tensors"]}
    at = list(run_.walk()).index(step)
    rule = packed["cells"]["kinds"][packed["cells"]["of"][at]]
    ins, outs = ([notes[each.id] for each in side] for side in (step.inputs, step.outputs))
    names = "scene-model.js: sceneModel, frameAt; numbers.js: Numbers; scene-words.js: sumText"
    found = run(names, FRAMES, rule, ins, outs, 8, MOST * TIMES)
    return found, [tensors[note.name] for note in step.inputs], results(expression, tensors)


def near(value: float, tensor: Tensor, index: list[int]) -> bool:
    true = float(np.float32(tensor[tuple(index)].item()))
    return value == true or (math.isnan(value) and math.isnan(true))


def worked_out(sum_: dict[str, Any]) -> float | None:
    """What the terms come to, from their numbers alone; None where some were not kept."""
    values = [term["values"] for term in sum_["terms"]]
    if len(values) < sum_.get("count", len(values)):
        return None
    first = values[0]
    added = sum(sum_.get("added") or [])
    ways = {
        "same": lambda: first[0],
        "sum": lambda: sum(map(math.prod, values)) + added,
        "mean": lambda: sum(map(math.prod, values)) / len(values),
        "prod": lambda: math.prod(map(math.prod, values)),
        "max": lambda: max(map(max, values)),
        "min": lambda: min(map(min, values)),
        "add": lambda: first[0] + first[1],
        "sub": lambda: first[0] - first[1],
        "mul": lambda: first[0] * first[1],
        "div": lambda: first[0] / first[1],
        "exp": lambda: math.exp(sum_["own"]) / sum(math.exp(each) for (each,) in values),
    }
    return float(ways[sum_["ways"]]())


@pytest.mark.parametrize("line", [*CALLS.strip().splitlines(), *LARGE.strip().splitlines()])
def test_the_numbers_that_are_drawn_are_those_of_the_tensors(run: Modules, line: str) -> None:
    found = frames(run, line)
    if found is None:
        return
    shown, operands, made = found
    assert shown
    for frame in shown:
        grids = [(grid, operands[grid["operand"]]) for grid in frame["operands"]]
        grids += list(zip(frame["results"], made, strict=False))
        for grid, tensor in grids:
            for cell in grid["cells"]:
                if cell["value"] is not None:
                    assert near(cell["value"], tensor, cell["index"]), (line, cell)
        for grid in frame["operands"]:
            lit = frame["lit"][grid["operand"]]
            for cell in grid["cells"]:
                inside = lit and all(i in each for i, each in zip(cell["index"], lit, strict=True))
                assert (cell["state"] == "lit") == bool(inside), (line, cell)
        (now,) = [c for grid in frame["results"] for c in grid["cells"] if c["state"] == "now"]
        assert now["index"] == frame["index"]
        if frame["sum"] is not None:
            true = made[frame["number"]][tuple(frame["index"])].item()
            worked = worked_out(frame["sum"])
            if worked is not None:
                assert worked == pytest.approx(true, rel=1e-3, abs=1e-5), (line, frame["sum"])
            if frame["sum"].get("rest") is not None:
                parts, rest = sum(frame["sum"]["parts"]), frame["sum"]["rest"]
                whole = (parts + rest) / (frame["sum"]["count"] if " / " in frame["text"] else 1)
                added = sum(frame["sum"]["added"])
                assert whole + added == pytest.approx(true, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("a @ b | a 2 3 | b 3 2", r"·"),
        ("a.mean(1) | a 2 3", r" / 3 = "),
        ("F.max_pool1d(a, 2) | a 1 2 6", "max("),
        ("a.softmax(-1) | a 2 3", "exp("),
        ("a * b | a 2 3 | b 3", "·"),
        ("F.linear(a, b, c) | a 2 3 | b 2 3 | c 2", " + "),
    ],
)
def test_what_is_worked_out_is_written_out(run: Modules, line: str, text: str) -> None:
    found = frames(run, line)
    assert found is not None
    shown, _, _ = found
    assert all(text in frame["text"] for frame in shown)


def test_padding_is_drawn_and_a_large_tensor_by_a_window(run: Modules) -> None:
    found = frames(run, "F.conv2d(a, b, padding=1) | a 1 2 30 40 | b 3 2 3 3")
    assert found is not None
    first = found[0][0]["operands"][0]
    assert first["firsts"] == [-1, -1]
    padding = [cell["index"] for cell in first["cells"] if cell["state"] == "padding"]
    assert padding
    assert all(-1 in index for index in padding)
    lit = [cell for cell in first["cells"] if cell["state"] == "lit"]
    assert len(lit) == 4, "of nine places four are there"
    assert max(first["counts"]) <= 10


# --- the stage -----------------------------------------------------------------------------------


class Net(nn.Module):
    """One step of each scene."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(2, 3, 3, padding=1)
        self.table = nn.Embedding(10, 5)

    def forward(self, x: Tensor, i: Tensor) -> tuple[Tensor, ...]:
        y = self.conv(x)
        rows = y.flatten(2)
        pairs = rows @ rows.transpose(1, 2)
        shares = pairs.softmax(-1)
        means = shares.mean(1)
        wide = means.unsqueeze(1).expand(-1, 4, -1)
        joined = torch.cat([wide, pairs], 1)
        return joined.sort(-1).values + 1, self.table(i)


def every() -> Trace:
    torch.manual_seed(1)
    return trace(Net(), torch.randn(1, 2, 8, 9), torch.tensor([3, 1, 4]))


def said(page: Page) -> str:
    return " ".join(page.locator(".scene-said").inner_text().split())


def test_a_step_is_gone_through_by_hand_and_the_run_follows(show: Show) -> None:
    page = show(every(), reduced_motion="reduce")
    press(page, "m")
    stage = page.locator(".stage")
    expect(stage).to_be_visible()
    assert stage.locator(".expression").inner_text() == "self.conv(x)"
    assert stage.locator(".scene-kind").inner_text().startswith("A window slides")
    assert said(page).startswith("y[0, 0, 0, 0] = ")
    assert "is made of 8 cells of x, 8 cells of weight, bias[0]." in said(page)
    press(page, "ArrowRight")
    assert said(page).startswith("y[0, 0, 0, 1] = ")
    assert (
        stage.locator(".scene-canvas")
        .get_attribute("aria-label")
        .endswith(page.locator(".scene-sum").inner_text())
    )
    press(page, "ArrowDown")
    assert said(page).startswith("y[0, 0, 1, 1] = ")
    press(page, "Home", "ArrowLeft")
    assert said(page).startswith("y[0, 0, 0, 0] = ")
    press(page, "PageDown")
    assert stage.locator(".expression").inner_text() == "y.flatten(2)"
    assert said(page).startswith("rows[0, 0, 0] = ")
    press(page, "Escape")
    expect(stage).to_be_hidden()
    page.wait_for_function("heard.at(-1)?.path === '1'")


def test_every_scene_is_there_and_says_what_it_shows(show: Show) -> None:
    run_ = every()
    page = show(run_, reduced_motion="reduce")
    press(page, "m")
    packed = payload(run_)["cells"]
    tops = [list(run_.walk()).index(step) for step in run_.steps]
    seen = set()
    for number, at in enumerate(tops):
        seen.add(packed["kinds"][packed["of"][at]]["scene"])
        assert "is made of" in said(page), number
        press(page, "PageDown")
    assert seen == set(SCENES)


def test_it_plays_and_pauses_and_stands_still_for_who_wants_nothing_to_move(show: Show) -> None:
    page = show(every())
    page.get_by_role("button", name="How it works").click()
    press(page, "Space")
    page.wait_for_function("document.querySelector('.place-of').textContent !== 'cell 1 of 64'")
    press(page, "Space")
    expect(page.get_by_role("button", name="play (Space)")).to_be_visible()
    held = page.locator(".place-of").inner_text()
    press(page, "ArrowLeft", "ArrowRight")
    expect(page.locator(".place-of")).to_have_text(held)


def test_it_works_in_an_exported_file(open_page: Open, server: Server) -> None:
    page = open_page(reduced_motion="reduce")
    page.goto(server.put("exported", html.page(every())))
    page.locator(".shapewalk .moves").click()
    expect(page.locator(".stage .scene-sum")).to_contain_text("=")


def test_a_file_of_before_shows_its_cells_without_numbers(show: Show) -> None:
    body = json.loads(every().to_json()) | {"schema": 8}
    for note in body["tensors"]:
        del note["corner"]
    page = show(Trace.from_json(json.dumps(body)), reduced_motion="reduce")
    press(page, "m")
    assert said(page) == "y[0, 0, 0, 0] is made of 8 cells of x, 8 cells of weight, bias[0]."
    shapes = trace(Net(), torch.randn(1, 2, 8, 9), torch.tensor([3, 1, 4]), values=False)
    page = show(shapes, reduced_motion="reduce")
    press(page, "m")
    assert said(page) == "y[0, 0, 0, 0] is made of 8 cells of x, 8 cells of weight, bias[0]."


@pytest.mark.parametrize(("width", "scheme"), spread([(390, "dark"), (1400, "light")], every=2))
def test_axe_objects_to_nothing_and_a_finger_finds_it(show: Show, width: int, scheme: str) -> None:
    page = show(every(), width=width, color_scheme=scheme, reduced_motion="reduce")
    page.get_by_role("button", name="How it works").click()
    stage = page.locator(".stage")
    expect(stage.locator(".scene-sum")).to_be_visible()
    assert [rule["id"] for rule in Axe().run(page).response["violations"]] == []
    boxes = [each.bounding_box() for each in stage.locator("button").all()]
    assert all(box and box["height"] >= 44 and box["width"] >= 44 for box in boxes)
    assert all(box and box["x"] + box["width"] <= width for box in boxes)


def test_what_the_trace_keeps_is_bounded_and_read_back() -> None:
    for note in trace(nn.Linear(300, 200), torch.randn(5, 7, 300)).tensors().values():
        corner = note.corner
        assert corner is None or math.prod(corner.shape) <= 256
        assert corner is None or len(corner.cells) == 4 * math.prod(corner.shape)
    run_ = trace(forward_cell("x", "return x.permute(2, 0, 1)"), torch.randn(9, 70, 80))
    assert Trace.from_json(run_.to_json()) == run_
    (step,) = run_.steps
    before, after = step.inputs[0].corner, step.outputs[0].corner
    assert before is not None
    assert after is not None
    assert before.shape == after.shape == (6, 6, 6), "as many along the one as along the other"
    values = np.frombuffer(before.cells, "<f4").reshape(before.shape)
    turned = np.frombuffer(after.cells, "<f4").reshape(after.shape)
    assert np.array_equal(values.transpose(2, 0, 1), turned)

"""What is shipped of the lessons: it is what a fresh run gives, it is used only while it is, and
with it pages open without torch."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modules import LESSONS, lesson
from tests.effort import MECHANISMS, TIMES, one_of_each
from tests.together import together
from tracer import Trace
from ui import pictures, ship, shipped
from ui.run import at_default
from ui.ship import differences
from ui.view import default_view

KEYS = [each.key for each in LESSONS]
SMALL = "squeeze-excite"
MEMORY = 8 * 2**30
"""Bytes that are free for runs, whatever else the machine is busy with."""


def test_what_is_shipped_is_of_these_lessons_and_this_torch() -> None:
    assert not shipped.outdated(), shipped.said(shipped.outdated())


@pytest.mark.parametrize("key", one_of_each(KEYS, every=3))
def test_what_is_shipped_is_what_a_run_gives(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ui.run.free_memory", lambda: MEMORY)
    fresh = ship.made(key)
    known = shipped.default(key)
    assert known is not None
    assert not differences(known, fresh), "`python -m ui.ship` makes it anew"
    # What a reader is not told there.
    assert fresh.failure is None
    assert all(each.holds for each in fresh.constraints)
    assert fresh.symbols, "it has formulas"

    before, after = _pixels(shipped.picture(key).read_bytes()), _pixels(pictures.drawn(key))
    assert before.shape == after.shape
    # Where a map is all but constant another processor's rounding shows, in a few of its pixels.
    assert np.abs(before - after).mean() < 4

    (entry,) = [each for each in shipped._index()["lessons"] if each["says"]["key"] == key]
    assert entry == json.loads(json.dumps(ship.entry(lesson(key))))


@together("key", KEYS)
def test_an_ending_sums_up_and_names_a_wrong_claim_and_what_to_open_next(key: str) -> None:
    trace = shipped.default(key)
    assert trace is not None
    assert trace.story is not None
    assert len(trace.story.seen) == 3
    wrong = [claim.quote for claim in lesson(key).claims if claim.verdict == "slip"]
    assert ([] if trace.story.slip is None else [trace.story.slip.quote]) == wrong[:1]
    leads = [lead.lesson for lead in trace.story.leads]
    assert leads
    assert set(leads) < set(KEYS) - {key}


def test_what_is_wrong_of_shared_code_is_told_by_each_lesson_of_it() -> None:
    for key in ("coordatt", "dycaconv", "non-local", "non-local-1d", "non-local-3d"):
        assert any(claim.verdict == "slip" for claim in lesson(key).claims), key


def _pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def test_lessons_say_the_same_of_themselves_in_the_same_order() -> None:
    names = [*vars(shipped.lesson(SMALL))]
    assert [vars(each) for each in shipped.LESSONS] == [
        {name: getattr(each, name) for name in names} for each in LESSONS
    ]
    for each in LESSONS:
        assert shipped.source(each.key).name == f"{each.build.__module__.split('.')[-1]}.py"


def test_nothing_is_left_over() -> None:
    files = {f"{key}{ending}" for key in KEYS for ending in (".png", ".json.gz")}
    assert {file.name for file in shipped.FOLDER.iterdir()} == {*files, "lessons.json"}


def test_a_file_names_no_folder_of_the_machine_that_made_it() -> None:
    for key in KEYS:
        text = gzip.decompress(shipped.run_file(key).read_bytes()).decode()
        assert str(shipped.ROOT) not in text
        assert "site-packages" not in text


# --- what is noticed ----------------------------------------------------------------------------


def known(key: str = SMALL) -> Trace:
    found = shipped.default(key)
    assert found is not None
    return found


def with_step(trace: Trace, index: int, **changes: object) -> Trace:
    steps = list(trace.steps)
    steps[index] = replace(steps[index], **changes)  # type: ignore[arg-type]
    return replace(trace, steps=tuple(steps))


def test_times_do_not_count_and_neither_does_rounding() -> None:
    trace = known()
    other = with_step(replace(trace, seconds=9.0, torch="2.13.0+cu130"), 0, seconds=9.0)
    assert differences(trace, other) == []
    assert differences(trace, rounded(trace, 1e-6)) == []


def rounded(trace: Trace, by: float) -> Trace:
    """The values of the first step's result are further apart, by so much of each."""
    (note,) = trace.steps[0].outputs
    assert note.stats is not None
    assert note.heatmap is not None
    cells = np.frombuffer(note.heatmap.cells, "<f4") * np.float32(1 + by)
    heatmap = replace(note.heatmap, cells=cells.astype("<f4").tobytes())
    changed = replace(note, heatmap=heatmap)
    return with_step(trace, 0, outputs=(changed,))


def test_a_number_a_shape_a_note_and_a_formula_that_differ_are_named() -> None:
    trace = known()
    (note,) = trace.steps[0].outputs
    assert differences(trace, rounded(trace, 0.1)) == [f"tensor {note.id}"]
    told = differences(trace, with_step(trace, 1, note="Another sentence."))
    assert told == ["trace.trace.steps[1].note"]
    first = trace.constraints[0]
    changed = replace(first, formula=replace(first.formula, text="C ≥ 3"))
    told = differences(trace, replace(trace, constraints=(changed, *trace.constraints[1:])))
    assert told == ["trace.trace.constraints[0].formula.text"]
    reshaped = with_step(trace, 0, outputs=(replace(note, shape=(*note.shape[:-1], 2)),))
    assert any(".shape" in each for each in differences(trace, reshaped))


# --- a changed checkout -------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the app consists of, to be changed; what is compiled of it goes along."""
    for name in ("app.py", "modules", "pages", "tracer", "ui"):
        source = shipped.ROOT / name
        if source.is_dir():
            half_written = shutil.ignore_patterns("*.pyc.*")
            shutil.copytree(source, tmp_path / name, ignore=half_written)
        else:
            shutil.copy(source, tmp_path)
    return tmp_path


def python(folder: Path, code: str) -> tuple[str, str]:
    """What it prints there, and says as a warning."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


OPENED = """
import sys
from ui import run, shipped
from ui.view import default_view
print(*shipped.outdated())
print(run.at_default(default_view("squeeze-excite")) is not None, "torch" in sys.modules)
print(shipped.lesson("eca-image").teaches)
"""


def test_it_is_used_as_long_as_nothing_has_changed(checkout: Path) -> None:
    lines, warned = python(checkout, OPENED)
    assert lines.splitlines() == ["", "True False", lesson("eca-image").teaches]
    assert "shipped" not in warned


def test_a_lesson_that_was_edited_is_run_and_the_log_says_how_to_ship_it(checkout: Path) -> None:
    file = checkout / "modules" / "eca.py"
    before = lesson("eca-image").teaches
    text = file.read_text(encoding="utf-8")
    assert before in text
    file.write_text(text.replace(before, "Another sentence."), encoding="utf-8")
    lines, warned = python(checkout, OPENED)
    assert lines.splitlines() == ["modules/eca.py", "False True", "Another sentence."]
    assert "made before modules/eca.py changed" in warned
    assert "`python -m ui.ship` makes it anew" in warned


@pytest.mark.parametrize("name", ["schema", "torch", "modules/lesson.py", "modules/gone.py"])
def test_what_it_was_made_of_is_compared(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = json.loads(shipped.INDEX.read_text(encoding="utf-8"))
    index["made_of"][name] = "another"
    monkeypatch.setattr(shipped, "INDEX", tmp_path / "lessons.json")
    shipped.INDEX.write_text(json.dumps(index), encoding="utf-8")
    shipped.outdated.cache_clear()
    try:
        assert shipped.outdated() == (name,)
        assert shipped.default(SMALL) is None
    finally:
        shipped.outdated.cache_clear()


def test_without_anything_shipped_all_is_run(checkout: Path) -> None:
    shutil.rmtree(checkout / "ui" / "shipped")
    lines, _ = python(checkout, OPENED)
    assert lines.splitlines()[1:] == ["False True", lesson("eca-image").teaches]


# --- pages without torch ------------------------------------------------------------------------

PAGES = """
import json, sys
from ui import run
run.free_memory = lambda: int(sys.argv[2])
from streamlit.testing.v1 import AppTest
def lesson(key, tab="Graph", language="en"):
    made = AppTest.from_file("app.py", default_timeout=600)
    made.switch_page("pages/1_Walkthrough.py")
    made.session_state["open-tab"] = tab
    made.query_params["lesson"], made.query_params["lang"] = key, language
    return light(made)

def light(app):
    app.run()
    assert not app.exception and not app.error
    assert not [each for each in ("torch", "sympy") if each in sys.modules]
    return app

light(AppTest.from_file("app.py", default_timeout=600))
keys = json.loads(sys.argv[1])
for key in keys:
    assert "job" not in lesson(key).session_state
assert "pandas" not in sys.modules  # tables need it, which are not open
for language in ("en", "zh"):
    for tab in ("Table", "Cost", "Source"):
        lesson(keys[0], tab, language)
key, made = keys[0], lesson(keys[0])
box = made.number_input(key=key + "/seed")
box.set_value(3).run()
assert not made.exception and not made.error
assert made.session_state["job"].view.seed == 3
assert "torch" in sys.modules
print("done")
"""


def test_pages_open_without_torch_until_something_is_changed() -> None:
    opened = KEYS if TIMES > 1 else list(MECHANISMS)[::3]
    command = [sys.executable, "-c", PAGES, json.dumps(opened), str(MEMORY)]
    done = subprocess.run(command, cwd=shipped.ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "done\n", done.stderr


def test_only_the_defaults_are_shipped_and_their_times_are_not_this_machine_s() -> None:
    view = default_view(SMALL)
    run = at_default(view)
    assert run is not None
    assert at_default(view) is run
    assert at_default(replace(view, seed=1)) is None
    assert at_default(replace(view, values=not view.values)) is None
    for told in (run, run.told_in("zh")):
        assert b'"seconds"' not in told.payload

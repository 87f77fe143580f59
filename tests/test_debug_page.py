"""The page Debug, as Streamlit runs it: code of somebody's own, run apart."""

from __future__ import annotations

import html
import io
import re
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import streamlit
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from tests.cells import run_cell
from tests.effort import spread
from tests.test_pages import plain
from tests.test_ui_own import pt
from tests.together import together
from tests.tracer.test_given import huge_png
from tests.tracer.test_worker import FILES, GATE, PACKAGED
from tracer import Trace, inputs, trace, worker
from tracer import outline as outlines
from tracer.worker import Job
from ui import access, debug, debug_form, editor, handed
from ui.examples import examples, working

pytestmark = pytest.mark.waits

ROOT = Path(__file__).parents[1]

HEAD = "import torch\nfrom torch import nn\n\n\n"

LINEAR = (
    HEAD
    + """\
class Net(nn.Module):
    def __init__(self, width=8, classes=3):
        super().__init__()
        self.body = nn.Linear(width, 16)
        self.head = nn.Linear(20, classes)

    def forward(self, x, scale=1.0, mask=None):
        h = self.body(x).relu()
        return self.head(h) * scale
"""
)

EXAMPLES = {example.key: example.job for example in examples()}
WORKING = {example.key: example.job for example in working()}


@pytest.fixture(scope="module", autouse=True)
def _worker() -> Iterator[None]:
    worker.warm()
    yield
    worker.stop()


@pytest.fixture(autouse=True)
def _open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(access.VARIABLE, raising=False)


def page(code: str | None = None) -> AppTest:
    app = AppTest.from_file("../app.py", default_timeout=600)
    app.switch_page("pages/3_Your_module.py")
    app.run()
    return app if code is None else paste(app, code)


def text(app: AppTest) -> str:
    """What is in the editor; Ace itself is for a browser."""
    return str(app.session_state["written"]["debug/code"])


def paste(app: AppTest, code: str) -> AppTest:
    app.session_state["written"]["debug/code"] = code
    return app.run()


def answered(app: AppTest) -> AppTest:
    """Until there is an answer: the page shows no progress any more."""
    for _ in range(6_000):
        if app.session_state["desk"].task is None:
            return app
        time.sleep(0.1)
        app.run()
    raise AssertionError("the run does not end")


def press(app: AppTest, key: str) -> AppTest:
    return answered(app.button(key=key).click().run())


def run(code: str, **inputs: str) -> AppTest:
    app = page(code)
    for name, text in inputs.items():
        app.text_input(key=f"debug/input/Net/{name}").set_value(text)
    return press(app.run(), "debug-run")


def said(app: AppTest) -> str:
    boxes = (*app.error, *app.warning, *app.success, *app.info)
    assert not app.exception
    return "\n".join(plain(box.value) for box in boxes)


def diffs(app: AppTest) -> list[list[str]]:
    """The lines of each fix, as who hears them gets them."""
    shown = [box.proto.body for box in app.get("html") if 'class="changed-lines"' in box.proto.body]
    row = re.compile(r"<(?:del|ins|div)>(.*?)</(?:del|ins|div)>", re.DOTALL)
    sign = re.compile(r'<span aria-hidden="true">.*?</span>|<.*?>')
    return [
        [html.unescape(sign.sub("", each).strip()) for each in row.findall(body)] for body in shown
    ]


# --- a run ------------------------------------------------------------------------------------


def test_pasted_code_gets_a_verdict_and_a_fix_that_works() -> None:
    app = run(LINEAR, x="B,8")
    assert "`self.head(h)`" in said(app)
    assert "line 13" in said(app)
    assert "16 ≠ 20" in said(app)
    assert "It begins at `nn.Linear(20, classes)`, line 9." in said(app)
    (opened,) = [each for each in app.expander if each.label == "The way of the wrong size"]
    way = [each.value for each in opened.markdown]
    assert way[0].startswith("1. Line 9: ")
    assert way[-1].startswith("3. Line 13: ")
    assert diffs(app)[0][1:3] == [
        "removed: self.head = nn.Linear(20, classes)",
        "added: self.head = nn.Linear(self.body.out_features, classes)",
    ]
    press(app, "apply-0")
    assert "nn.Linear(self.body.out_features, classes)" in text(app)
    assert "Net runs: 4 steps, and (2, 3) comes out." in said(app).replace("**", "")
    press(app, "undo")
    assert text(app) == LINEAR
    assert "16 ≠ 20" in said(app)
    assert not any(button.key == "undo" for button in app.button)


def test_the_form_is_filled_from_the_signature() -> None:
    app = page(LINEAR)
    fields = {field.label: field.placeholder for field in app.text_input}
    assert fields == {
        "width": "8",
        "classes": "3",
        "x": "found by trying",
        "scale": "1.0",
        "mask": "None",
    }
    app.text_input(key="debug/argument/Net/width").set_value("5")
    app.text_input(key="debug/input/Net/x").set_value("B,T,5")
    app.text_input(key="debug/input/Net/scale").set_value("2.5").run()
    assert {field.label: field.value for field in app.number_input} == {"B": 2, "T": 16}
    app.number_input(key="debug/size/T").set_value(7).run()
    press(app, "debug-run")
    job = app.session_state["desk"].job
    assert job.arguments == {"width": "5"}
    assert job.inputs == ("B,T,5", "scale:=2.5")
    assert job.sizes == {"B": 2, "T": 7}
    assert app.session_state["desk"].run.trace.inputs[0].shape == (2, 7, 5)


def test_a_found_size_that_was_changed_keeps_its_number_in_every_run_that_follows() -> None:
    app = page(LINEAR)
    press(app, "debug-run")
    found = {field.label: field for field in app.number_input}
    found["C"].set_value(found["C"].value + 4).run()
    wanted = app.session_state["desk"].run.trace.inputs[0].shape[-1] + 4
    for _ in range(3):
        press(app, "debug-run")
        assert app.session_state["desk"].run.trace.inputs[0].shape[-1] == wanted
        assert {field.label: field.value for field in app.number_input}["C"] == wanted


CHANNELS = """import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Conv1d(5, 8, 3), nn.Linear(8, 2)

    def forward(self, signal):
        return self.head(self.first(signal).relu().mean(2))
"""


def test_what_other_inputs_would_mend_is_told_beside_what_is_applied() -> None:
    app = run(CHANNELS, signal="4,20,5")
    told = [box.value for box in app.markdown if "call the model with" in box.value]
    assert ["`signal = signal.transpose(1, 2)`" in each for each in told] == [True]
    fixes = app.session_state["desk"].run.trace.failure.fixes
    applied = [f"apply-{number}" for number, fix in enumerate(fixes) if fix.edits]
    assert [each.key for each in app.button if str(each.key).startswith("apply-")] == applied
    assert len(applied) < len(fixes)


def test_a_text_that_makes_its_own_input_needs_none() -> None:
    app = page(LINEAR + "\n\nif __name__ == '__main__':\n    print(Net()(torch.randn(5, 8)))\n")
    assert app.text_input(key="debug/input/Net/x").placeholder == "5,8"
    press(app, "debug-run")
    assert app.session_state["desk"].run.trace.inputs[0].shape == (5, 8)


def test_a_script_runs_as_it_is() -> None:
    app = page(LINEAR + "\nprint('so far')\nNet()(torch.zeros((4, 8)) + 1)\n")
    app.selectbox(key="debug/name").set_value("").run()
    press(app, "debug-run")
    assert "16 ≠ 20" in said(app)
    assert "so far" in [box.value.strip() for box in app.code]


def test_an_edited_text_takes_no_fix_of_the_old_one() -> None:
    app = run(LINEAR, x="B,8")
    paste(app, "# mine\n" + LINEAR)
    assert app.button(key="apply-0").disabled
    press(app, "debug-run")
    assert not app.button(key="apply-0").disabled
    assert "line 14" in said(app)


def test_ready_made_modules_take_inputs_by_line() -> None:
    app = page(HEAD + "model = nn.Sequential(nn.Linear(4, 3), nn.Linear(4, 2))\n")
    app.text_area(key="debug/input/model/*").set_value("B,4").run()
    press(app, "debug-run")
    assert "3 ≠ 4" in said(app)


def test_a_file_is_opened_and_a_bad_one_said() -> None:
    app = page()
    windows = LINEAR.replace("\n", "\r\n").encode("utf-8-sig")
    app.file_uploader[0].set_value(("net.py", windows, "text/x-python")).run()
    assert text(app) == LINEAR
    app.text_input(key="debug/input/Net/x").set_value("B,8").run()
    press(app, "debug-run")
    press(app, "apply-0")
    assert len(app.success) == 1
    app.file_uploader[0].set_value(("net.py", b"\xff\xfe\x00", "text/x-python")).run()
    assert "net.py is no text in UTF-8" in said(app)
    assert "nn.Linear(self.body.out_features, classes)" in text(app)


def zipped(texts: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, text in texts.items():
            archive.writestr(f"repo/{path}", text)
    return packed.getvalue()


def test_a_zipped_package_runs_and_a_fix_changes_the_file_where_it_belongs() -> None:
    app = page()
    package = FILES | {"net/model.py": PACKAGED}
    app.file_uploader[0].set_value(("repo.zip", zipped(package), "application/zip")).run()
    assert app.session_state["written"]["debug/shown"] == "net/model.py"
    assert text(app) == PACKAGED
    app.text_input(key="debug/input/Net/x").set_value("B,8").run()
    press(app, "debug-run")
    assert "8 ≠ 9" in said(app)
    press(app, "apply-0")
    assert app.session_state["written"]["debug/shown"] == "net/blocks/gate.py"
    assert text(app) != GATE
    assert len(app.success) == 1
    assert app.session_state["desk"].job.file == "net/model.py"
    app.selectbox(key="debug/shown/1").set_value("net/model.py").run()
    assert text(app) == PACKAGED
    app.file_uploader[0].set_value(("bad.zip", b"PK", "application/zip")).run()
    assert "bad.zip is damaged, or no zip archive." in said(app)
    assert text(app) == PACKAGED


def test_several_files_are_opened_together() -> None:
    app = page()
    app.file_uploader[0].set_value(
        [
            ("gate.py", GATE.replace("from ..sizes import WIDTH", "WIDTH = 8").encode(), "text/x"),
            ("top.py", PACKAGED.replace(".blocks", ".gate").encode(), "text/x-python"),
        ]
    ).run()
    assert app.session_state["written"]["debug/shown"].endswith("/top.py")
    files = app.selectbox(key="debug/shown").options
    assert [path.rpartition("/")[2] for path in files] == ["gate.py", "top.py"]
    press(app, "debug-run")
    assert len(app.success) == 1


# --- the examples -----------------------------------------------------------------------------


def test_twelve_examples_of_their_own() -> None:
    assert len(EXAMPLES) == 12
    assert len({job.source for job in EXAMPLES.values()}) == 12


SHOWN = ("silent", "embedding", "heads", "norm")
"""A warning, no fix, an edit of the forward, an edit of a constructor."""


@pytest.mark.parametrize(
    "key",
    [key if key in SHOWN else pytest.param(key, marks=pytest.mark.deep) for key in EXAMPLES],
)
def test_an_example_breaks_and_its_best_fix_mends_it(key: str) -> None:
    app = page()
    press(app, f"example-{key}")
    trace = app.session_state["desk"].run.trace
    assert not app.exception
    assert text(app) == EXAMPLES[key].source
    assert app.session_state["desk"].job == EXAMPLES[key]
    if key == "silent":
        (warning,) = trace.warnings
        assert plain(app.warning[0].value) == warning.reason
        return
    assert trace.failure.rule in said(app).replace("`", "")
    if key == "embedding":  # no change of the code is right: other tokens must come
        assert not diffs(app)
        assert "No change of the code was found" in said(app)
        return
    press(app, "apply-0")
    assert app.session_state["desk"].run.trace.failure is None
    assert len(app.success) == 1


def alone(job: Job, path: Path) -> Job:
    """A card's model as its file makes it, whose text says what it is given."""
    assert path.read_text(encoding="utf-8") == job.source
    assert outlines.outline(job.source).best == job.name
    return Job(job.source, job.name, inputs=tuple(debug_form._guesses(job.source)))


def written_out(job: Job) -> tuple[str, ...]:
    """Its inputs with numbers for the letters."""
    return tuple(
        re.sub(r"[A-Z]+", lambda letter: str(job.sizes[letter[0]]), text) for text in job.inputs
    )


def traced(job: Job, **options: bool) -> Trace:
    """A model of our own with its inputs, in this process."""
    found = run_cell(job.source)
    args, kwargs = inputs.make(job.inputs, job.sizes)
    with torch.no_grad():
        return trace(found[job.name](), args=args, kwargs=kwargs, **options)


@together("key", EXAMPLES)
def test_the_file_of_an_example_breaks_by_itself_as_its_card_does(key: str) -> None:
    card = EXAMPLES[key]
    file = alone(card, ROOT / "examples" / f"{key}.py")
    failure = traced(card, mend=False).failure
    assert (failure is None) == (key == "silent")
    if written_out(card) != file.inputs:  # of other types
        other = traced(file, mend=False).failure
        assert failure is not None
        assert other is not None
        assert other.rule == failure.rule


def test_twelve_models_run_as_their_cards_and_their_files_do() -> None:
    assert len(WORKING) == 12
    for key, card in WORKING.items():
        name = key.removeprefix("working-")
        file = alone(card, ROOT / "examples" / "working" / f"{name}.py")
        assert written_out(card) == file.inputs
        found = traced(card)
        assert found.failure is None
        assert not found.warnings, key
        assert found.steps


def test_a_working_model_opens_from_its_card() -> None:
    app = page()
    press(app, "example-working-codebook")
    assert text(app) == WORKING["working-codebook"].source
    assert "Codebook runs" in said(app).replace("**", "")
    # What ran is taken along: its file, and its link.
    assert "Python" in [each.label for each in app.get("download_button")]
    assert "Link" in [each.label for each in app.button]


def test_an_example_can_be_run_again_from_its_form() -> None:
    app = page()
    press(app, "example-working-sorter")
    press(app, "debug-run")
    assert app.session_state["desk"].job == WORKING["working-sorter"]


# --- bad input --------------------------------------------------------------------------------


def test_code_that_does_not_parse_shows_line_and_caret() -> None:
    app = page(HEAD + "class Net(nn.Module:\n    pass\n")
    (error,) = app.error
    assert "Line 5 is not Python" in plain(error.value)
    assert app.code[0].value.splitlines()[0] == "class Net(nn.Module:"
    assert app.code[0].value.splitlines()[1].strip() == "^"
    app.button(key="debug-run").click().run()
    assert not app.exception
    assert app.session_state["desk"].answer is None


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("x = 1\n", "There is no module in this code"),
        ("\0", "is not Python"),
        ("(" * 5000, "not Python"),
        ("# " + "x" * 1_000_001, "more than the 1,000,000"),
        ("class Net(nn.Module):\n    def forward(self, <script>alert(1)</script>", "not Python"),
    ],
    ids=["no module", "null", "deep", "long", "script"],
)
def test_text_that_offers_nothing(code: str, says: str) -> None:
    app = page(code)
    assert says in said(app)
    paste(app, LINEAR)
    assert not app.error


def test_what_is_missing_is_found_or_said() -> None:
    app = page(LINEAR.replace("width=8", "width").replace("20, classes", "16, classes"))
    press(app, "debug-run")
    assert "Net runs" in said(app).replace("**", "")
    fields = {field.label: field.placeholder for field in app.text_input}
    assert (fields["width"], fields["x"]) == ("C", "B,N,C")
    sizes = {field.label: field.value for field in app.number_input}
    assert sizes == {"B": 2, "N": 10, "C": 64}
    # The argument goes along with the size of the input.
    (size,) = [field for field in app.number_input if field.label == "C"]
    size.set_value(24).run()
    press(app, "debug-run")
    assert app.session_state["desk"].run.trace.inputs[0].shape == (2, 10, 24)
    assert "Net runs" in said(app).replace("**", "")
    app.text_input(key="debug/argument/Net/width").set_value("8").run()
    press(app, "debug-run")
    assert app.session_state["desk"].run.trace.inputs[0].shape == (2, 10, 8)
    (size,) = [field for field in app.number_input if field.label == "N"]
    size.set_value(3).run()
    press(app, "debug-run")
    assert app.session_state["desk"].run.trace.inputs[0].shape == (2, 3, 8)
    app = page(LINEAR.replace("width=8", "width: bytes"))
    press(app, "debug-run")
    assert "needs `width`, and nothing says what that could be" in said(app)


def choose(app: AppTest, name: str) -> AppTest:
    """Type a class into the field for installed ones."""
    app.session_state["debug-from"] = "class"
    app.run()
    return app.text_input(key="debug/class").set_value(name).run()


def test_an_installed_class_is_found_by_a_part_of_its_name_and_walked() -> None:
    app = choose(page(), "multihead")
    (match, *_) = [each for each in app.button if str(each.key).startswith("debug-match/")]
    name = "torch.nn.modules.activation.MultiheadAttention"
    assert match.key == f"debug-match/{name}"
    press(app, match.key)
    app.run()
    told = said(app).replace("**", "")
    assert "MultiheadAttention runs: 1 step, and (10, 2, 64), (2, 10, 10) come out." in told
    fields = {str(field.key).rpartition("/")[2]: field.placeholder for field in app.text_input}
    assert (fields["embed_dim"], fields["num_heads"]) == ("C", "4")
    assert (fields["query"], fields["key"]) == ("L,B,C", "L,B,C")
    assert handed.to_query(app.session_state["desk"].job) == {"class": name}
    app.text_input(key=f"debug/argument/{name}/batch_first").set_value("True").run()
    press(app, "debug-run")
    assert app.session_state["desk"].run.trace.inputs[0].shape == (2, 10, 64)


def test_dimensions_have_the_letters_that_were_found_or_given() -> None:
    recurrent = press(choose(page(), "lstm"), "debug-match/torch.nn.modules.rnn.LSTM")
    given = press(page(), "example-working-gate")  # B,32,H,W
    for app, letters in ((recurrent, ("L", "B", "C")), (given, ("B", "C", "H", "W"))):
        run = app.session_state["desk"].run
        assert run.letters[run.trace.inputs[0].id] == letters


def test_formulas_follow_a_run_that_succeeds() -> None:
    app = press(choose(page(), "torch.nn.Linear"), "debug-run")
    told = app.session_state["desk"].formulas
    seen = [laid_out(app)]
    if told is not None:
        told.wait(None)
    seen.append(laid_out(app.run()))
    (made,) = app.session_state["desk"].run.trace.outputs
    assert [each.text for each in made.dims] == ["B", "N", "64"]
    # Nothing moves when they come: the tabs are the same, under a line of its own.
    assert seen[0] == seen[1]
    assert "Cost" in seen[0][1]
    assert any("have formulas" in each.value for each in app.caption)


def laid_out(app: AppTest) -> tuple[int, list[str]]:
    """How many lines there are in small, and the tabs."""
    tabs = next(each for each in app.segmented_control if "Table" in each.options)
    return len(app.caption), tabs.options


def test_formulas_that_are_not_found_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debug, "LIMITS", worker.Limits(seconds=3, clock=300))
    endless = "        while type(x.shape[0]) is not int:\n            pass\n"
    line = "    def forward(self, x, scale=1.0, mask=None):\n"
    fine = LINEAR.replace("nn.Linear(20", "nn.Linear(16")
    assert line in fine
    app = page(fine.replace(line, line + endless))
    press(app, "debug-run")
    assert "runs: 4 steps" in said(app)
    app.session_state["desk"].formulas.wait(None)
    app.run()
    assert any("stay numbers" in each.value for each in app.caption)


def test_a_link_shows_and_does_not_run() -> None:
    job = Job(LINEAR, "Net", {"width": "6"}, ("B,W", "scale:=2.0"), {"B": 3, "W": 6}, training=True)
    app = AppTest.from_file("../app.py", default_timeout=600)
    app.switch_page("pages/3_Your_module.py")
    for name, value in handed.to_query(job).items():
        app.query_params[name] = value
    app.run()
    assert app.session_state["desk"].task is None
    assert app.session_state["desk"].answer is None
    assert text(app) == LINEAR
    assert "nothing of it has run" in said(app)
    press(app, "debug-run")
    assert "nothing of it has run" not in said(app)
    assert app.session_state["desk"].job == job
    assert handed.from_file(handed.to_file(job)) == job


@pytest.mark.parametrize("text", ["", "x", "eJyrVkrLz1eyUkpKLFKqBQAbUgQC", "é", "AAAA" * 900])
def test_a_damaged_link_is_one_sentence(text: str) -> None:
    app = AppTest.from_file("../app.py", default_timeout=600)
    app.switch_page("pages/3_Your_module.py")
    app.query_params["module"] = text
    app.run()
    assert "The link is damaged" in said(app)
    app.run()
    assert "The link is damaged" not in said(app)


def test_a_served_address_runs_the_classes_that_its_operator_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(access.VARIABLE, "0")
    monkeypatch.setenv(access.PACKAGES, "torch, no_such_package")
    app = page()
    assert not [each for each in app.text_area if each.key == "debug/code"]
    app.text_input(key="debug/class").set_value("torch.nn.Linear").run()
    press(app, "debug-run")
    assert "Linear runs" in said(app).replace("**", "")
    key = "debug/argument/torch.nn.Linear/in_features"
    app.text_input(key=key).set_value("__import__('os').getpid()").run()
    press(app, "debug-run")
    assert "only plain values may be given here" in said(app)
    app.text_input(key="debug/class").set_value("tracer.worker.Job").run()
    press(app, "debug-run")
    assert app.session_state["desk"].job.name == "torch.nn.Linear"
    (told,) = app.warning
    assert told.value.startswith("This server runs classes of torch")
    assert told.value.endswith("as its operator allows, and none of `tracer`.")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("2,", "needs"),
        *(
            # Other texts, of which the page shows a sentence in the same way.
            pytest.param(*each, marks=pytest.mark.deep)
            for each in (
                ("2,-3", "should be sizes such as"),
                ("banana!", "should be sizes such as"),
                ("2,8:float7", "is no dtype of torch"),
                ("nine=2,8", "missing a required argument: 'x'"),
                (":=__import__('os')", "is no Python value"),
            )
        ),
        ("99999999999,99999999,8", "cannot be made"),
    ],
)
def test_bad_inputs_get_a_sentence(text: str, says: str) -> None:
    app = run(LINEAR, x=text)
    assert says in said(app)
    assert len(said(app)) < 900


HOSTILE = {
    "exit": ("import sys\nsys.exit(3)\n", "The code called exit at line 2"),
    "process": ("import os\nos.fork()\n", "tried to start another process"),
    "write": ("open('/tmp/debug-page-was-here', 'w')\n", "tried to write to"),
    "network": ("import socket\nsocket.create_connection(('127.0.0.1', 1))\n", "The code tried"),
    "memory": ("import torch\nx = torch.zeros(10**11)\n", "of memory"),
    "flood": ("while True:\n    print('x' * 1000)\n", "printed more than"),
}


# What else is refused, `tests/tracer/test_worker.py` asks without the page.
@pytest.mark.parametrize("kind", spread(tuple(HOSTILE), every=4))
def test_hostile_code_gets_one_sentence_and_the_page_lives_on(kind: str) -> None:
    attack, says = HOSTILE[kind]
    app = run(attack + LINEAR, x="B,8")
    assert says in said(app)
    assert len(app.error) == 1
    paste(app, LINEAR)
    press(app, "debug-run")
    assert "16 ≠ 20" in said(app)


def test_a_verdict_in_chinese() -> None:
    app = run(LINEAR, x="B,8")
    app.session_state["choose/language"] = "zh"
    app.session_state["language"] = "zh"
    app.run()
    assert "head 要求输入的最后一维是 20：16 ≠ 20" in said(app)


def test_a_run_without_end_can_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debug, "LIMITS", worker.Limits(seconds=3, clock=300))
    app = page("while True:\n    pass\n" + LINEAR)
    app.button(key="debug-run").click().run()
    assert app.session_state["desk"].task is not None
    app.button(key="cancel").click().run()
    assert app.session_state["desk"].task is None
    assert not app.exception
    answered(app.button(key="debug-run").click().run())
    assert "still running after 3 s of computing while being read in" in said(app)


def test_a_forged_fix_is_left_out() -> None:
    """The code of a run shares a process with what records it."""
    forger = """\
from dataclasses import replace
from tracer.document import Edit, Fix, Span, Trace
from tracer.sentences import as_written

outside = Fix(as_written("outside"), (Edit("model.py", Span(999, 0, 999, 5), "x"),), True, ())
nothing = Fix(as_written("nothing"), (), True, ())
to_json = Trace.to_json


def forged(trace):
    return to_json(replace(trace, failure=replace(trace.failure, fixes=(outside, nothing))))


Trace.to_json = forged
"""
    app = run(forger + LINEAR, x="B,8")
    assert app.session_state["desk"].run.trace.failure.fixes[0].summary == "outside"
    assert not diffs(app)
    assert "No change of the code was found" in said(app)


def test_marks_and_markup_of_code_are_only_text() -> None:
    name = "<script>alert(1)</script> **bold** $x$ `code`"
    code = HEAD + f"class Net(nn.Module):\n    def forward(self, x):\n        raise E({name!r})\n"
    app = run(code + "\n\nclass E(Exception):\n    pass\n", x="B,8")
    for element in (*app.markdown, *app.caption, *app.error):
        assert not (getattr(element, "allow_html", False) and "alert(1)" in element.value)
    assert "alert(1)" in said(app)


# --- who may ----------------------------------------------------------------------------------


def test_a_served_address_runs_no_code_but_the_examples() -> None:
    before = streamlit.config.get_option("server.address")
    streamlit.config.set_option("server.address", "0.0.0.0")
    try:
        app = page()
        assert not app.text_area
        assert "runs nobody's code" in said(app)
        assert any("python -m tracer" in box.value for box in app.code)
        press(app, "example-scores")
        assert "32 ≠ 10" in said(app)
        press(app, "apply-0")
        assert len(app.success) == 1
        assert not app.text_area
        assert not app.text_input
    finally:
        streamlit.config.set_option("server.address", before)


BROWSER = {
    "Host": "localhost:8501",
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "User-Agent": "Mozilla/5.0",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-GB",
    "Cache-Control": "no-cache",
    "Pragma": "no-cache",
    "Cookie": "_streamlit_xsrf=1",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "none",
    "Sec-WebSocket-Protocol": "streamlit",
    "Sec-WebSocket-Extensions": "permessage-deflate",
}


@pytest.mark.parametrize(
    ("address", "headers", "variable", "runs"),
    [
        ("127.0.0.1", {}, "", True),
        ("127.0.0.1", {"Host": "127.0.0.1:8501"}, "", True),
        ("::1", {"Host": "[::1]:8501"}, "", True),
        ("localhost", {"Host": "localhost:8501"}, "", True),
        ("127.0.0.1", {"Host": "shapes.example.org"}, "", False),
        ("127.0.0.1", {"Host": "localhost", "X-Forwarded-For": "203.0.113.4"}, "", False),
        ("127.0.0.1", {"Host": "localhost", "Forwarded": "for=203.0.113.4"}, "", False),
        *(
            ("127.0.0.1", {"Host": "localhost:8501", name: "203.0.113.4"}, "", False)
            for name in (
                *("X-Original-Forwarded-For", "X-Client-IP", "Fly-Client-IP", "Fastly-Client-IP"),
                *("X-Envoy-External-Address", "X-Cluster-Client-Ip", "A-Header-Of-Tomorrow"),
            )
        ),
        # A browser's own, and a proxy that adds none but passes on where the page is from.
        ("127.0.0.1", BROWSER | {"Origin": "http://localhost:8501"}, "", True),
        ("127.0.0.1", BROWSER | {"Origin": "https://shapes.example.org"}, "", False),
        ("127.0.0.1", BROWSER | {"Origin": "null"}, "", False),
        # A page of another server of this machine.
        ("127.0.0.1", BROWSER | {"Origin": "http://localhost:9812"}, "", False),
        ("127.0.0.1", BROWSER | {"Origin": "http://127.0.0.1:8501"}, "", False),
        ("0.0.0.0", BROWSER | {"Origin": "http://localhost:9812"}, "1", False),
        ("0.0.0.0", {"Host": "inner:80", "Origin": "https://shapes.example.org"}, "1", True),
        ("0.0.0.0", {"Host": "localhost:8501"}, "", False),
        ("192.168.1.4", {}, "", False),
        (None, {}, "", False),
        ("0.0.0.0", {"X-Forwarded-For": "203.0.113.4"}, "1", True),
        ("127.0.0.1", {}, "0", False),
        ("127.0.0.1", {}, "no", False),
    ],
)
def test_who_may_run_code(
    monkeypatch: pytest.MonkeyPatch,
    address: str | None,
    headers: dict[str, str],
    variable: str,
    runs: bool,
) -> None:
    monkeypatch.setenv(access.VARIABLE, variable)
    monkeypatch.setattr(streamlit, "get_option", {"server.address": address}.get)
    monkeypatch.setattr(streamlit, "context", SimpleNamespace(headers=headers))
    assert access.runs_code() is runs
    monkeypatch.setenv(access.FRAMES, "https://school.example.org")
    assert not access.runs_code()


# --- pictures and weights ---------------------------------------------------------------------


def test_a_picture_is_the_first_input_and_weights_are_told() -> None:
    picture, weights = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (60, 40), (255, 0, 0)).save(picture, "PNG")
    torch.save({"body.weight": torch.ones(4, 3, 1, 1), "head": torch.ones(1)}, weights)
    app = page(
        HEAD
        + """\
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 4, 1)

    def forward(self, x):
        return self.body(x)
"""
    )
    app.file_uploader(key="debug-data").set_value(
        [
            ("my cat.png", picture.getvalue(), "image/png"),
            ("w.pt", weights.getvalue(), "application/octet-stream"),
        ]
    ).run()
    assert app.text_input(key="debug/input/Net/x").placeholder == "@my_cat.png"
    app.text_input(key="debug/input/Net/x").set_value("2,3,8,8").run()
    captions = [plain(each.value) for each in app.caption]
    unused = "my_cat.png is not used: the input that shall take it has `@my_cat.png` in its field."
    assert unused in captions
    app.text_input(key="debug/input/Net/x").set_value("").run()
    assert unused not in [plain(each.value) for each in app.caption]
    press(app, "debug-run")
    assert len(app.success) == 1
    told = " ".join(plain(each.value) for each in app.caption)
    assert "my_cat.png (60×40) is given as numbers from 0 to 1, resized to 48×32" in told
    assert "w.pt gives 1 of the module's 2 tensors; not in the file: body.bias; not in the" in told
    app.file_uploader(key="debug-data").set_value([("my cat.png", b"GIF", "image/png")]).run()
    press(app, "debug-run")
    assert "my_cat.png cannot be read: it is damaged, or no PNG file." in said(app)


BAD_FILES = {
    "huge.png": (huge_png(), "more than the 50 million that are read"),
    "damaged.png": (b"GIF89a", "damaged.png cannot be read: it is damaged, or no PNG file."),
    "objects.pt": (pt({"w": io.BytesIO}), "objects.pt holds Python objects, which are not read"),  # type: ignore[dict-item]
    "cut.npy": (b"\x93NUMPY", "cut.npy"),
}


@pytest.mark.parametrize("name", spread(tuple(BAD_FILES), every=2))
def test_a_bad_file_is_one_sentence_and_the_code_stays(name: str) -> None:
    content, words = BAD_FILES[name]
    fine = LINEAR.replace("nn.Linear(20", "nn.Linear(16")
    app = page(fine)
    uploader = app.file_uploader(key="debug-data")
    uploader.set_value([(name, content, "application/octet-stream")]).run()
    press(app, "debug-run")
    assert len(app.error) == 1
    assert words in said(app)
    assert text(app) == fine
    app.file_uploader(key="debug-data").set_value([]).run()
    press(app, "debug-run")
    assert "Net runs: 4 steps" in said(app).replace("**", "")


def test_a_run_without_an_answer_ends_with_a_sentence() -> None:
    task = debug.Task(worker.Job("", "torch.nn.ReLU", sizes={"B": object()}))  # type: ignore[dict-item]
    assert task.wait(600)
    assert task.answer is not None
    assert task.answer.problem is not None
    assert "gave no answer" in task.answer.problem.sentence


# --- what lies under the player ---------------------------------------------------------------


def test_tensors_and_source_of_a_failing_run_are_looked_into() -> None:
    app = run(LINEAR, x="B,8")
    app.session_state["open-tab"] = "Inspector"
    app.run()
    assert not app.exception
    titles = app.selectbox(key="inspected").options
    assert any(title.startswith("h (2, 16)") for title in titles)
    app.selectbox(key="inspected").set_value(
        app.session_state["desk"].run.trace.steps[1].outputs[0].id
    )
    app.run()
    assert "16 ≠ 20" in said(app)
    assert app.session_state["desk"].tensor[2].shape == (2, 16)
    app.session_state["open-tab"] = "Source"
    app.run()
    assert not app.exception


def test_what_a_browser_has_kept_of_a_program_is_taken_if_it_is_one() -> None:
    texts = {"net/model.py": "a = 1\r\n", "net/sizes.py": "b = 2\n"}
    found = editor.kept({"texts": texts, "main": "net/model.py", "shown": "net/sizes.py"})
    assert found == (texts | {"net/model.py": "a = 1\n"}, "net/model.py", "net/sizes.py")
    for bad in (
        None,
        {"texts": texts, "main": "net/model.py"},
        {"texts": texts, "main": "elsewhere.py", "shown": "net/sizes.py"},
        {"texts": {"../a.py": ""}, "main": "../a.py", "shown": "../a.py"},
        {"texts": {"a.py": 1}, "main": "a.py", "shown": "a.py"},
        {"texts": {"a.py": "\ud800"}, "main": "a.py", "shown": "a.py"},
    ):
        assert editor.kept(bad) is None, bad

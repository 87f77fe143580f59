"""The trace as a document: read back unchanged, and never harmful, whoever wrote the file."""

from __future__ import annotations

import ast
import copy
import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modules import LESSONS, lesson
from modules.lesson import run
from tests.cells import forward_cell
from tests.effort import TIMES, one_of_each
from tests.models import BY_KEY, MODELS, small_settings
from tests.together import together
from tracer import Heatmap, Stats, Step, TensorNote, Trace, TraceFileError, document, load, trace
from tracer.document import Constraint, Edit, Fix, Formula, Span, Symbol
from tracer.sentences import as_written, said

HERE = Path(document.__file__).parent


def model_trace(key: str, **options: Any) -> Trace:
    args, kwargs = BY_KEY[key].arguments()
    return trace(BY_KEY[key].make(), *args, **options, **kwargs)


@functools.cache
def failed() -> Trace:
    return trace(forward_cell("x", "# why\ny = x * 2\nreturn y.view(7)"), torch.ones(2, 3))


@functools.cache
def small() -> Trace:
    model = torch.nn.Sequential(
        torch.nn.Linear(2, 2), torch.nn.TransformerEncoderLayer(2, 1, 2, batch_first=True)
    ).eval()
    return trace(model, torch.ones(1, 2, 2))


@functools.cache
def files() -> tuple[str, str]:
    return failed().to_json(), small().to_json()


def bodies() -> list[dict[str, Any]]:
    return list(map(json.loads, files()))


# --- there and back -------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.key)
@pytest.mark.parametrize("values", [True, False])
def test_a_models_trace_there_and_back(model: Any, values: bool) -> None:
    found = model_trace(model.key, values=values)
    text = found.to_json()
    again = Trace.from_json(text)
    assert again == found
    assert again.to_json() == text
    assert Trace.from_json(text.encode()) == found


@pytest.mark.parametrize(
    "lesson", one_of_each(LESSONS, lambda each: each.key), ids=lambda lesson: lesson.key
)
def test_a_lessons_trace_there_and_back(lesson: Any) -> None:
    for preset in lesson.presets:
        chosen = small_settings(lesson, preset.name)
        args, kwargs = lesson.inputs(chosen, lesson.kinds[0], 0)
        module = lesson.build(chosen).train(preset.training)
        # What is said of a failure is in `failed`.
        found = trace(module, args=args, kwargs=kwargs, diagnose=preset.breaks is None)
        assert Trace.from_json(found.to_json()) == found


def test_a_failed_trace_there_and_back() -> None:
    again = Trace.from_json(failed().to_json())
    assert again == failed()
    assert again.failure is not None
    assert again.failure.step == again.steps[-1]
    assert again.failure.operands


def test_values_that_json_has_no_word_for() -> None:
    x = torch.tensor([[float("nan"), float("inf")], [-float("inf"), 1.5]])
    found = trace(forward_cell("x", "return x * 1, x.double() * 1e300, x[:0] * 1"), x)
    assert "NaN" not in found.to_json()
    assert "Infinity" not in found.to_json()
    assert Trace.from_json(found.to_json()) == found


def test_save_and_load(tmp_path: Path) -> None:
    found = trace(forward_cell("x", "größe = x * 2  # 漢字\nreturn größe"), torch.ones(2))
    path = tmp_path / "ein Name mit ü.json"
    found.save(path)
    assert load(path) == found
    assert load(str(path)) == found
    found.save(str(path))
    assert load(path).steps[0].targets == ("größe",)


def test_the_file_needs_no_code_to_be_read(tmp_path: Path) -> None:
    """The document imports neither torch nor the recorder."""
    tree = ast.parse((HERE / "document.py").read_text(encoding="utf-8"))
    imports = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom) and node.col_offset == 0
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [a.name for a in node.names]
        )
    }
    assert not imports & {"torch", "numpy", "modules", "streamlit"}


def test_a_trace_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        failed().name = "other"  # type: ignore[misc]
    for cls in (Trace, Step, TensorNote, Stats, Heatmap):
        assert cls.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_every_tensor_is_written_once() -> None:
    body = json.loads(model_trace("vit").to_json())
    ids = [tensor["id"] for tensor in body["tensors"]]
    assert len(ids) == len(set(ids))


def test_walk_goes_into_the_children() -> None:
    found = small()
    assert len([*found.walk()]) > len(found.steps)
    expressions = [step.expression for step in found.walk()]
    assert expressions[0] == found.steps[0].expression
    assert {note.id for step in found.walk() for note in step.outputs} <= found.tensors().keys()


# --- files that are not right ---------------------------------------------------------------


def refused(text: str | bytes) -> str:
    with pytest.raises(TraceFileError) as raised:
        Trace.from_json(text)
    message = str(raised.value)
    assert "\n" not in message
    assert len(message) < 400
    return message


def test_a_newer_schema_says_so() -> None:
    body = bodies()[0]
    body["schema"] = document.SCHEMA + 1
    message = refused(json.dumps(body))
    assert str(document.SCHEMA + 1) in message
    assert "newer" in message
    assert "update" in message.lower()


@together("schema", [None, "1", 0, -3, 1.5, True, [], {}])
def test_a_schema_that_is_none(schema: Any) -> None:
    body = bodies()[0]
    body["schema"] = schema
    refused(json.dumps(body))


@together(
    "text",
    [
        "",
        " ",
        "null",
        "[]",
        "3",
        '"text"',
        "{}",
        "{",
        "<html><script>alert(1)</script></html>",
        '{"format": "shapewalk-trace"}',
        '{"format": "shapewalk-trace", "schema": 1}',
        '{"format": "shapewalk-trace", "schema": 1, "tensors": [], "trace": {}}',
        '{"format": "shapewalk-trace", "schema": 1, "tensors": {}, "trace": null}',
        '{"format": "other", "schema": 1}',
        "\x00\x01\x02",
        b"\xff\xfe\x00binary",
        b"PK\x03\x04 a zip",
        "[" * 100_000,
        '{"a":' * 100_000,
        "9" * 5000,
        "NaN",
        '{"format": NaN}',
    ],
    ids=lambda text: repr(text[:24]),
)
def test_what_is_no_trace(text: str | bytes) -> None:
    refused(text)


@together("length", [0, 1, 100, 1000, -1000, -2, -1])
def test_a_file_cut_short(length: int) -> None:
    refused(failed().to_json()[:length])


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(TraceFileError, match=r"nowhere\.json"):
        load(tmp_path / "nowhere.json")
    with pytest.raises(TraceFileError):
        load(tmp_path)
    binary = tmp_path / "binary.json"
    binary.write_bytes(bytes(range(256)))
    with pytest.raises(TraceFileError):
        load(binary)
    with pytest.raises(TraceFileError):
        load("a\0b")


def path_to(body: Any, *path: Any) -> Any:
    for part in path:
        body = body[part]
    return body


@together(
    ("path", "value"),
    [
        (("trace", "steps", 0, "index"), 7),
        (("trace", "steps", 0, "index"), True),
        (("trace", "steps", 0, "call"), 99),
        (("trace", "steps", 0, "call"), -1),
        (("trace", "steps", 0, "inputs"), [123456]),
        (("trace", "steps", 0, "inputs"), [1.0]),
        (("trace", "steps", 0, "inputs"), None),
        (("trace", "steps", 0, "names"), [["x"]]),
        (("trace", "steps", 0, "names"), [["x", 123456]]),
        (("trace", "steps", 0, "bound"), {"dim": 1}),
        (("trace", "steps", 0, "bound"), [["dim"]]),
        (("trace", "steps", 0, "bound"), [[1, 2]]),
        (("trace", "steps", 0, "bound"), [["input", {"tensor": 99}]]),
        (("trace", "steps", 0, "bound"), [["input", {"tensor": -1}]]),
        (("trace", "steps", 0, "bound"), [["input", {"tensor": True}]]),
        (("trace", "steps", 0, "bound"), [["tensors", [1, {"tensor": 99}]]]),
        (("trace", "steps", 0, "bound"), [["index", {"slice": [None, 1]}]]),
        (("trace", "steps", 0, "bound"), [["index", {"slice": [None, {"tensor": 99}, None]}]]),
        (("trace", "steps", 0, "bound"), [["value", {"float": "1.5"}]]),
        (("trace", "steps", 0, "bound"), [["value", {}]]),
        (("trace", "steps", 0, "bound"), [["value", json.loads("[" * 60 + "]" * 60)]]),
        (("trace", "steps", 0, "op"), 3),
        (("trace", "steps", 0, "op"), ["Tensor.mul"]),
        (("trace", "steps", 0, "writes"), 1),
        (("trace", "steps", 0, "seconds"), "0.1"),
        (("trace", "steps", 0, "place"), None),
        (("trace", "steps", 0, "place", "source"), 50),
        (("trace", "steps", 0, "place", "line"), "3"),
        (("trace", "steps", 0, "place", "span"), {"line": 1}),
        (("trace", "chapters"), [{"title": "all", "start": 0, "stop": 10**9}]),
        (("trace", "chapters"), [{"title": "none", "start": 0, "stop": 0}]),
        (("trace", "chapters"), [{"title": t, "start": 0, "stop": 1} for t in "ab"]),
        (("trace", "story"), {"title": 3}),
        (("trace", "steps"), {}),
        (("trace", "steps"), "steps"),
        (("trace", "calls"), []),
        (("trace", "calls", 0, "stop"), 10**9),
        (("trace", "calls", 0, "start"), -1),
        (("trace", "calls", 0, "parent"), 0),
        (("trace", "calls", 0, "index"), 4),
        (("trace", "parameters"), "many"),
        (("trace", "seconds"), 10**400),
        (("trace", "seconds"), None),
        (("trace", "failure"), False),
        (("trace", "failure", "step"), 3),
        (("trace", "sources"), [3]),
        (("tensors", 0, "shape"), [-1]),
        (("tensors", 0, "shape"), [2.5]),
        (("tensors", 0, "shape"), "2, 3"),
        (("tensors", 0, "id"), "0"),
        (("tensors", 0, "born"), 10**6),
        (("tensors", 0, "stats", "count"), 1e3),
        (("tensors", 0, "stats", "mean"), "big"),
        (("tensors", 0, "heatmap", "rows"), 10**9),
        (("tensors", 0, "heatmap", "rows"), -1),
        (("tensors", 0, "heatmap", "cells"), "not base64 !"),
        (("tensors", 0, "heatmap", "cells"), ""),
        (("tensors", 0, "heatmap", "cells"), [1, 2]),
        (("tensors", 0, "corner"), {"shape": [1], "cells": ""}),
        (("tensors", 0, "corner"), {"shape": [0, 0, 0, 0], "cells": ""}),
        (("tensors", 0), None),
        (("tensors",), 10**9),
    ],
    ids=lambda value: str(value)[:40],
)
def test_one_wrong_value(path: tuple[Any, ...], value: Any) -> None:
    body = bodies()[0]
    path_to(body, *path[:-1])[path[-1]] = value
    refused(json.dumps(body))


def test_each_missing_field_is_named() -> None:
    body = bodies()[0]

    def objects(value: Any) -> list[dict[str, Any]]:
        inner = value.values() if isinstance(value, dict) else value
        found = [value] if isinstance(value, dict) else []
        for item in inner if isinstance(value, dict | list) else ():
            found += objects(item)
        return found

    tried = 0
    for holder in objects(body):
        for name in [*holder]:
            value = holder.pop(name)
            assert name in refused(json.dumps(body)) or holder is body
            holder[name] = value
            tried += 1
    assert tried > 200


def test_more_steps_than_any_run_has() -> None:
    """Refused by their number alone: these are not even steps."""
    body = bodies()[0]
    body["trace"]["steps"] = [0] * (document.MAX_STEPS + 1)
    assert f"{document.MAX_STEPS:,}" in refused(json.dumps(body))


def test_more_steps_than_any_run_has_as_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is on all steps together, however they are nested."""
    monkeypatch.setattr(document, "MAX_STEPS", 60)
    body = bodies()[0]
    step = body["trace"]["steps"][0]
    inner = [{**step, "index": number} for number in range(31)]
    body["trace"]["steps"] = [{**step, "index": n, "children": inner} for n in range(2)]
    assert "60" in refused(json.dumps(body))


def test_steps_nested_without_end() -> None:
    body = bodies()[0]
    step = body["trace"]["steps"][0]
    inner = copy.deepcopy(step)
    for _ in range(document.MAX_DEPTH + 5):
        inner = {**copy.deepcopy(step), "index": 0, "children": [inner]}
    body["trace"]["steps"][0] = inner
    assert "nested" in refused(json.dumps(body))


def test_one_tensor_twice() -> None:
    """Two tensors with one id: the file says two things at once."""
    body = bodies()[0]
    twin = {**body["tensors"][0], "shape": [99]}
    body["tensors"].append(twin)
    try:
        found = Trace.from_json(json.dumps(body))
    except TraceFileError:
        return
    assert Trace.from_json(found.to_json()) == found


def test_unknown_fields_are_no_harm() -> None:
    """A later version of the same schema may add some."""
    body = bodies()[0]
    body["more"] = {"deep": [1]}
    body["trace"]["later"] = "text"
    body["trace"]["steps"][0]["__class__"] = "Evil"
    body["tensors"][0]["__init__"] = None
    assert Trace.from_json(json.dumps(body)) == failed()


HTML = "<img src=x onerror=alert(1)></script><script>alert('x')</script>&lt; {{7*7}} ${x} \u2028"


def with_html(value: Any) -> Any:
    """Every text replaced by markup, save where the text is bytes."""
    if isinstance(value, dict):
        return {
            key: item if key in ("format", "cells") else with_html(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        found = [with_html(item) for item in value]
        if [type(part) for part in value] == [str, dict]:  # a sentence: `{x}` would be a gap
            found[0] = HTML.replace("{", "{{").replace("}", "}}")
        return found
    return HTML if isinstance(value, str) else value


@pytest.mark.parametrize("number", [0, 1])
def test_markup_in_every_text_is_text(number: int) -> None:
    found = Trace.from_json(json.dumps(with_html(bodies()[number])))
    assert found.name == HTML
    assert {step.op for step in found.walk()} == {HTML}
    assert Trace.from_json(found.to_json()) == found


# --- any damage at all ----------------------------------------------------------------------


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        if isinstance(item, dict | list):
            found += places(item, (*path, key))
        else:
            found.append((*path, key))
    return found


@functools.cache
def every_place() -> list[tuple[int, tuple[Any, ...]]]:
    return [(number, path) for number, body in enumerate(bodies()) for path in places(body)]


def examples(number: int) -> settings:
    """The same examples in every run: a test that fails today failed yesterday."""
    checks = list(HealthCheck)
    return settings(
        max_examples=number, deadline=None, derandomize=True, suppress_health_check=checks
    )


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from([-1, 0, 1, 2**31, 2**63, 10**30, 1e308, "", "NaN", "\ud800", "AAAA"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(
    place=st.deferred(lambda: st.sampled_from(every_place())), value=anything, remove=st.booleans()
)
@examples(100 * TIMES)
def test_a_random_value_anywhere(
    place: tuple[int, tuple[Any, ...]], value: Any, remove: bool
) -> None:
    number, path = place
    body = bodies()[number]
    holder = path_to(body, *path[:-1])
    if remove:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    sound_or_refused(json.dumps(body))


@given(
    number=st.integers(0, 1),
    cut=st.tuples(st.floats(0, 1), st.integers(0, 60)),
    text=st.text(max_size=20),
)
@examples(100 * TIMES)
def test_random_text_anywhere(number: int, cut: tuple[float, int], text: str) -> None:
    whole = json.dumps(bodies()[number])
    start = int(cut[0] * len(whole))
    sound_or_refused(whole[:start] + text + whole[start + cut[1] :])


@given(st.binary(max_size=200) | st.text(max_size=200))
@examples(200)
def test_anything_as_a_file(text: bytes | str) -> None:
    sound_or_refused(text)


def sound_or_refused(text: str | bytes) -> None:
    """Either one clear sentence, or a trace in which every reference leads somewhere."""
    message = ""
    try:
        found = Trace.from_json(text)
    except TraceFileError as error:
        message = str(error)
    if message:
        assert "\n" not in message
        return
    assert Trace.from_json(found.to_json()) == found
    tensors = found.tensors()
    for step in found.walk():
        assert 0 <= step.call < len(found.calls)
        assert step.place.source is None or 0 <= step.place.source < len(found.sources)
        assert all(number in tensors for _, number in step.names)
        assert isinstance(step.op + step.expression + step.note + step.module, str)
    for call in found.calls:
        assert 0 <= call.start <= call.stop <= len(found.steps)
    for note in tensors.values():
        assert note.born is None or 0 <= note.born < len(found.steps)
        assert all(size >= 0 for size in note.shape)
        if note.heatmap is not None:
            assert len(note.heatmap.cells) == 4 * note.heatmap.rows * note.heatmap.columns


def test_names_of_tensors_that_no_step_uses() -> None:
    """A statement may name a tensor that none of its steps takes as it now is."""
    model = forward_cell("x", "y = x.clone()\ny.T[1:3] *= 2\nreturn y")
    found = trace(model, torch.ones(4, 4))
    assert Trace.from_json(found.to_json()) == found


# --- schemas ------------------------------------------------------------------------------------


def test_a_file_of_the_first_schema_is_read() -> None:
    """It has no formulas; everything else is where it was."""
    trace = run(lesson("squeeze-excite"), lesson("squeeze-excite").settings(), values=False)
    body = json.loads(trace.to_json())
    body["schema"] = 1
    for note in body["tensors"]:
        del note["dims"]
    for name in ("symbols", "constraints", "costs"):
        del body["trace"][name]
    assert Trace.from_json(json.dumps(body)) == trace


def test_demands_and_remarks_of_an_older_file_are_read() -> None:
    """Files of schema 7 had them in English words."""
    found = trace(torch.nn.Linear(4, 4), torch.zeros(2, 4), values=False)
    demand = Constraint(Formula("C ≥ r", r"C \ge r"), as_written("C is at least r."), None)
    found = dataclasses.replace(found, constraints=(demand,), remarks=(as_written("Shapes."),))
    body = json.loads(found.to_json())
    body["schema"] = 7
    body["trace"]["remarks"] = ["Shapes."]
    (old,) = body["trace"]["constraints"]
    del old["says"]
    old["words"] = "C is at least r."
    assert Trace.from_json(json.dumps(body)) == found


def test_a_fix_of_an_older_file_is_read() -> None:
    """Files of schema 4 had it in English words."""
    found = trace(torch.nn.Linear(4, 4), torch.zeros(2, 3), values=False)
    assert found.failure is not None
    mended = Fix(as_written("Mend it"), (), True, ((2, 4),), (as_written("It drops x."),))
    found = dataclasses.replace(found, failure=dataclasses.replace(found.failure, fixes=(mended,)))
    body = json.loads(found.to_json())
    body["schema"] = 4
    (old,) = body["trace"]["failure"]["fixes"]
    del old["says"], old["notes"], old["inputs"]
    old |= {"summary": "Mend it", "caveat": "It drops x."}
    read = Trace.from_json(json.dumps(body)).failure
    assert read is not None
    assert (read.fixes[0].summary, read.fixes[0].caveat) == ("Mend it", "It drops x.")


def test_formulas_go_there_and_back() -> None:
    trace = run(lesson("squeeze-excite"), lesson("squeeze-excite").settings(), values=False)
    size = Formula("⌊C/r⌋", r"\left\lfloor\frac{C}{r}\right\rfloor", ("hidden",))
    note = dataclasses.replace(trace.inputs[0], dims=(size,) * 4)
    full = dataclasses.replace(
        trace,
        inputs=(note,),
        steps=(),
        chapters=(),
        calls=(dataclasses.replace(trace.calls[0], inputs=(note,), outputs=(), start=0, stop=0),),
        outputs=(),
        symbols=(Symbol("C", 64),),
        constraints=(Constraint(size, said("C is at least r."), None),),
    )
    assert Trace.from_json(full.to_json()) == full
    short = json.loads(full.to_json())
    short["tensors"][0]["dims"].pop()
    assert "3 formulas for 4 dimensions" in refused(json.dumps(short))
    costs = json.loads(full.to_json())
    costs["trace"]["costs"] = [
        {
            **dict.fromkeys(["elements", "bytes", "flops"], 1),
            **dict.fromkeys(
                [f"{name}_formula" for name in ("elements", "bytes", "flops")]
                + ["memory_growth", "flops_growth"]
            ),
        }
    ]
    assert "1 costs for 0 steps" in refused(json.dumps(costs))
    imposed = json.loads(full.to_json())
    imposed["trace"]["constraints"][0]["step"] = 3
    assert "constraints[0].step is 3" in refused(json.dumps(imposed))


def test_an_edit_after_a_form_feed_is_made_where_it_stands() -> None:
    """Python's parser ends no line at a form feed, nor at the separators of Unicode."""
    source = 'a = "\u2028"\n\x0c\nb = a.T\n'
    fix = Fix(as_written(""), (Edit("f", Span(3, 4, 3, 5), "c"),), True, ())
    assert fix.apply(source) == 'a = "\u2028"\n\x0c\nb = c.T\n'


def test_edits_of_windows_lines() -> None:
    fix = Fix(as_written(""), (Edit("f", Span(2, 4, 2, 5), "c"),), True, ())
    assert fix.apply("a = 1\r\nb = a\r\n") == "a = 1\r\nb = c\r\n"


@pytest.mark.parametrize(
    "spans",
    [
        ((1, 0, 1, 3), (1, 2, 1, 5)),
        ((1, 0, 2, 1), (2, 0, 2, 1)),
    ],
)
def test_a_fix_whose_edits_overlap_is_refused(
    spans: tuple[tuple[int, int, int, int], ...],
) -> None:
    edits = tuple(Edit("f", Span(*span), "x") for span in spans)
    with pytest.raises(ValueError, match="same text"):
        Fix(as_written(""), edits, True, ()).apply("a = b\nc = d\n")


def test_an_edit_that_is_given_twice_is_made_once() -> None:
    edit = Edit("f", Span(1, 5, 1, 5), ".T")
    assert Fix(as_written(""), (edit, edit), True, ()).apply("a = b\n") == "a = b.T\n"

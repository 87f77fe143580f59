"""What every lesson promises: it runs, its notes are filled, its presets do as they say, its
claims are checked, and its settings are validated."""

from __future__ import annotations

import dataclasses
import re
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from modules import LESSONS, lesson
from modules.fbkd import MODES
from modules.lesson import (
    Lesson,
    Preset,
    prepare,
    run,
    tensor,
    with_formulas,
)
from tests.effort import TIMES
from tests.together import together
from tests.traces import claims, shapes_only
from tracer import Trace
from tracer.source.notes import placeholders

lesson_module = sys.modules["modules.lesson"]  # `modules.lesson` is the function of that name

PRESETS = [
    pytest.param(each, preset, id=f"{each.key}-{preset.name}")
    for each in LESSONS
    for preset in each.presets
]
POSTS = Path(__file__).parents[3] / "shared" / "posts"


# --- the catalogue ------------------------------------------------------------------------------


def test_keys_are_unique_and_found() -> None:
    assert len({each.key for each in LESSONS}) == len(LESSONS)
    for each in LESSONS:
        assert lesson(each.key) is each


def test_an_unknown_key_gets_a_sentence() -> None:
    with pytest.raises(LookupError, match="There is no lesson 'resnet': choose one of fbkd-stud"):
        lesson("resnet")


@together("each", LESSONS, ids=lambda each: each.key)
def test_declarations(each: Lesson) -> None:
    names = [item.name for item in (*each.sizes, *each.options)]
    assert len(set(names)) == len(names)
    for size in each.sizes:
        assert size.low <= size.default <= size.high
    for option in each.options:
        assert option.default in option.choices
    assert len({preset.name for preset in each.presets}) == len(each.presets)
    # The lesson opens with its first preset.
    assert each.settings() == each.settings(each.presets[0].name)
    assert re.fullmatch(r"https://\S+", each.paper.link)
    assert re.fullmatch(r"https://\S+", each.source)
    assert "random" in each.about


@pytest.mark.parametrize("each", LESSONS, ids=lambda each: each.key)
def test_dims_and_map_name_tensors_of_the_run(each: Lesson) -> None:
    trace = shapes_only(each, each.presets[0])
    inputs = {note.name: note for note in trace.inputs}
    assert set(inputs) == set(each.dims)
    settings = each.settings()
    for name, letters in each.dims.items():
        assert inputs[name].shape == tuple(settings[letter] for letter in letters.split())
    assert tensor(trace, each.map).born is not None


# --- runs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("each", "preset"), PRESETS)
def test_presets_run_or_break_as_they_say(each: Lesson, preset: Preset) -> None:
    assert each.problems(each.settings(preset.name)) is None
    trace = shapes_only(each, preset)
    if preset.breaks is None:
        assert trace.failure is None
        return
    assert trace.failure is not None
    assert trace.failure.type == preset.breaks
    assert trace.failure.line > 0
    assert preset.note


@pytest.mark.parametrize(
    ("each", "preset"),
    [
        pytest.param(each, preset, id=f"{each.key}-{preset.name}")
        for each in LESSONS
        for preset in each.presets
        if preset.values and preset.name not in ("Post's size", "Without a mask")
    ],
)
def test_presets_with_values_run_or_break_the_same(each: Lesson, preset: Preset) -> None:
    settings = each.settings(preset.name)
    with_values = run(each, settings, training=preset.training, diagnose=False)
    without = shapes_only(each, preset)
    found = [[note.shape for note in step.outputs] for step in with_values.steps]
    assert found == [[note.shape for note in step.outputs] for step in without.steps]
    if preset.breaks is None:
        assert with_values.failure is None
        assert all(note.stats is not None for note in with_values.outputs)
    else:
        assert with_values.failure is not None
        assert with_values.failure.type == preset.breaks


@pytest.mark.parametrize(
    ("each", "preset"),
    [
        pytest.param(each, preset, id=f"{each.key}-{preset.name}")
        for each in LESSONS
        for preset in each.presets
        if preset.breaks
    ],
)
def test_what_breaks_is_explained(each: Lesson, preset: Preset) -> None:
    settings = each.settings(preset.name)
    # What mends it is searched for by `make test-deep`: tests/broken says what is to be found.
    mend = TIMES > 1
    failure = run(each, settings, values=False, training=preset.training, mend=mend).failure
    assert failure is not None
    assert failure.reason


@together(
    ("key", "name", "expression", "message"),
    [
        (
            "fbkd-student",
            "Breaks: smaller than its pooling window",
            "self.pool(g_map)",
            "too small",
        ),
        (
            "fbkd-teacher",
            "Breaks: smaller than its pooling window",
            "self.pool(g_map)",
            "too small",
        ),
        ("fbkd-student", "Breaks: one value to normalise", "self.conv_out.bn(W_y)", "more than 1"),
        ("eca-image", "Breaks: even kernel", "omega.expand_as(x)", r"\(63\)"),
    ],
)
def test_breaking_presets_stop_where_the_reason_is(
    key: str, name: str, expression: str, message: str
) -> None:
    each = lesson(key)
    failure = shapes_only(each, each.preset(name)).failure
    assert failure is not None
    assert failure.expression == expression
    assert re.search(message, failure.message)


@pytest.mark.parametrize("key", ["fbkd-student", "fbkd-teacher"])
def test_the_notes_of_presets_state_what_the_run_shows(key: str) -> None:
    each = lesson(key)
    for name, unit in (("Post's size", 1e6), ("Class defaults", 1e9)):
        preset = each.preset(name)
        shape = tensor(shapes_only(each, preset), "f").shape
        assert f"({', '.join(map(str, shape))})" in preset.note
        taken = 4 * shape[0] * shape[1] * shape[2] / unit
        stated = re.search(r"takes ([\d.]+) (?:MB|GB)", preset.note)
        assert stated is not None
        assert float(stated[1]) == pytest.approx(taken, rel=0.01)
    assert not each.preset("Class defaults").values


def test_the_class_defaults_would_need_what_is_known_of_them() -> None:
    for key, shape, gigabytes in (
        ("fbkd-student", (2, 14800, 14800), "1.75 GB"),
        ("fbkd-teacher", (2, 54400, 54400), "23.7 GB"),
    ):
        each = lesson(key)
        preset = each.preset("Class defaults")
        assert gigabytes in preset.note
        largest = max(
            (n.shape for s in shapes_only(each, preset).steps for n in s.outputs),
            key=lambda shape: torch.Size(shape).numel(),
        )
        assert largest == shape


def test_an_empty_sequence_shows_as_nan() -> None:
    each = lesson("eca-sequence")
    trace = run(each, {**each.settings("A sequence without a frame"), "B": 2, "C": 20})
    y = tensor(trace, "y").stats
    assert y is not None
    assert y.nan == 20


# --- notes --------------------------------------------------------------------------------------


def all_traces(each: Lesson) -> list[Trace]:
    traces = [shapes_only(each, preset) for preset in each.presets]
    if any(option.name == "mode" for option in each.options):
        small = {"C": 8, "H": 6, "W": 6, "maxpool_stride": 2}
        known = each.settings()
        small = {**known, **{name: value for name, value in small.items() if name in known}}
        traces += [
            run(each, {**small, "mode": mode}, values=False, diagnose=False) for mode in MODES
        ]
    return traces


@pytest.mark.parametrize("each", LESSONS, ids=lambda each: each.key)
def test_every_step_that_changes_a_shape_has_a_note_and_all_are_filled(each: Lesson) -> None:
    for trace in all_traces(each):
        for step in trace.steps:
            assert not placeholders(step.note), (step.expression, step.note)
            if step.outputs and step.outputs[0].shape != step.inputs[0].shape:
                assert step.note, f"{step.expression} in {step.function}"


def test_no_shape_is_typed_by_hand_in_the_source() -> None:
    """Numbers of the posts' sizes must not stand in the notes: they come from the run."""
    for each in LESSONS:
        for source in shapes_only(each, each.presets[0]).sources:
            for comment in source.comments:
                prose = re.sub(r"\$.*?\$|\{.*?\}", "", comment.text, flags=re.DOTALL)
                assert not re.search(r"\d{2,}", prose), comment.text


def test_shape_notes_follow_the_sizes() -> None:
    each = lesson("fbkd-student")
    trace = run(each, {**each.settings(), "H": 20, "W": 24}, values=False)
    step = next(step for step in trace.steps if step.expression == "s.view(B, -1)")
    assert "20 × 24" in step.note
    assert "480 places" in step.note


# --- claims -------------------------------------------------------------------------------------


@pytest.mark.parametrize("each", LESSONS, ids=lambda each: each.key)
def test_every_verdict_is_what_the_run_shows(each: Lesson) -> None:
    assert claims(each)
    for checked in claims(each):
        claim = checked.claim
        assert checked.holds == (claim.verdict != "slip"), (claim.says, checked.found)
        assert claim.why or claim.verdict == "agrees"
        assert checked.found
        assert claim.post == each.post
        assert claim.quote == claim.quote.strip()
        assert "\n" not in claim.quote


def test_the_slips_of_the_teacher() -> None:
    slips = [each for each in claims(lesson("fbkd-teacher")) if each.claim.verdict == "slip"]
    counts = [each for each in slips if "25400" in each.claim.quote]
    assert len(counts) == 2
    for checked in counts:
        assert "(2,54400)" in checked.found
    assert len(slips) == 3


def test_a_claim_about_another_shape_does_not_hold() -> None:
    """The checks look at the run: on a run of other sizes the same claims fail."""
    for each in LESSONS:
        for preset in {claim.preset for claim in each.claims}:
            settings = each.settings(preset)
            changed = {
                # HA-CNN takes channels in sixteens.
                name: value + (16 if name == "C" else 1) if name in "BCHWT" else value
                for name, value in settings.items()
            }
            trace = run(each, changed, values=False, diagnose=False)
            about_shapes = [
                claim
                for claim in each.claims
                if claim.verdict == "agrees" and re.search(r" is \([\d,]+\)", claim.says)
            ]
            assert not any(claim.holds(trace) for claim in about_shapes)


def test_a_rule_is_checked_on_the_run_too() -> None:
    each = lesson("eca-sequence")
    unmasked = run(each, {**each.settings(), "mask": "none"}, values=False)
    knows = next(claim for claim in each.claims if "mask" in claim.says)
    assert not knows.holds(unmasked)
    alone = run(each, {**each.settings(), "kernel_size": 1}, values=False)
    neighbours = next(claim for claim in each.claims if "neighbouring" in claim.says)
    assert not neighbours.holds(alone)


def test_claims_cover_the_posts() -> None:
    counts = {each.key: len(claims(each)) for each in LESSONS}
    assert counts["fbkd-student"] >= 14
    assert counts["fbkd-teacher"] >= 8
    assert counts["eca-sequence"] + counts["eca-image"] >= 8


@pytest.mark.skipif(not POSTS.is_dir(), reason="the posts are not beside the project")
def test_quotations_are_verbatim() -> None:
    for each in LESSONS:
        (post,) = POSTS.glob(f"{each.post}_*.txt")
        lines = post.read_text(encoding="utf-8").split("\n")
        for claim in each.claims:
            assert any(claim.quote in line for line in lines), claim.quote


# --- settings -----------------------------------------------------------------------------------


@together(
    ("key", "change", "message"),
    [
        ("fbkd-student", {"B": 0}, "B (images) is 0: use a whole number from 1 to 16."),
        ("fbkd-student", {"H": 513}, "H (height) is 513: use a whole number from 1 to 512."),
        ("fbkd-student", {"W": 1.5}, "W (width) is 1.5: use a whole number from 1 to 512."),
        ("fbkd-student", {"C": True}, "C (channels) is True: use a whole number from 1 to 1024."),
        ("fbkd-student", {"mode": "x"}, "mode (how two places are compared) is 'x': use one of"),
        ("fbkd-student", {"sub_sample": 1}, "sub_sample (pool the places that are looked at) is 1"),
        ("fbkd-student", {"D": 3}, "The lesson fbkd-student has no setting 'D': use B, C, H, W"),
        (
            "fbkd-teacher",
            {"C": 3, "reduction": 8},
            "reduction is 8 and leaves no channel of 3: use a number from 1 to 3.",
        ),
        ("eca-sequence", {"kernel_size": None}, "kernel_size (neighbouring channels that a"),
        ("eca-image", {"k_size": 6}, "k_size (neighbouring channels that a weight depends on) is"),
    ],
)
def test_problems_are_one_sentence(key: str, change: dict[str, object], message: str) -> None:
    each = lesson(key)
    settings = {**each.settings(), **change}
    problem = each.problems(settings)
    assert problem is not None
    assert str(problem).startswith(message)
    assert str(problem).endswith(".")
    with pytest.raises(ValueError, match=re.escape(message)):
        run(each, settings)


def test_a_missing_setting_is_a_problem() -> None:
    each = lesson("eca-image")
    settings = each.settings()
    del settings["H"]
    assert str(each.problems(settings)) == "H (height) is None: use a whole number from 1 to 512."


def test_an_unknown_preset_gets_a_sentence() -> None:
    with pytest.raises(LookupError, match="The lesson eca-image has no preset 'x': use one of 'F"):
        lesson("eca-image").settings("x")


@together("each", LESSONS, ids=lambda each: each.key)
def test_the_ends_of_every_range_can_be_built(each: Lesson) -> None:
    for size in each.sizes:
        for value in (size.low, size.high):
            settings = {**each.settings(), "C": 1024, size.name: value}
            if size.name == "C":
                settings = {**each.settings(), "C": value}
                if "reduction" in settings:
                    settings["reduction"] = 1
            assert each.problems(settings) is None


# --- building -----------------------------------------------------------------------------------


@pytest.mark.parametrize("each", LESSONS, ids=lambda each: each.key)
def test_weights_are_the_same_every_time_and_the_random_state_is_left_alone(each: Lesson) -> None:
    torch.default_generator.manual_seed(20240)
    before = torch.get_rng_state()
    settings = {**each.settings(), "C": 16}
    first = each.build(settings).state_dict()
    torch.rand(3)
    second = each.build(settings).state_dict()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
    torch.set_rng_state(before)
    each.build(settings)
    assert each.problems(settings) is None
    run(each, settings, values=False)
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_are_the_same_when_many_build_at_once() -> None:
    each = lesson("fbkd-student")
    settings = {**each.settings(), "C": 64}
    wanted = each.build(settings).state_dict()
    built = []
    threads = [
        threading.Thread(target=lambda: built.append(each.build(settings).state_dict()))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 8
    for state in built:
        assert all(torch.equal(value, wanted[name]) for name, value in state.items())


def test_prepare_gives_the_mode_and_the_device() -> None:
    each = lesson("eca-sequence")
    model, args, kwargs = prepare(each, each.settings(), values=False, training=True)
    assert model.training
    assert {value.device.type for value in (*args, *kwargs.values())} == {"meta"}
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    model, args, _ = prepare(each, {**each.settings(), "B": 2}, "ramp")
    assert not model.training
    assert args[0].view(-1)[5] == 5


def test_shape_only_runs_of_any_size_hold_no_memory() -> None:
    each = lesson("fbkd-teacher")
    huge = {**each.settings("Class defaults"), "B": 16, "C": 1024, "H": 512, "W": 512}
    trace = run(each, huge, values=False)
    assert trace.failure is None
    assert tensor(trace, "f").shape == (16, 512 * 512, 512 * 512)


def test_lessons_are_plain_data() -> None:
    for each in LESSONS:
        with pytest.raises(dataclasses.FrozenInstanceError):
            each.key = "other"  # type: ignore[misc]


def test_what_a_formula_is_does_not_depend_on_who_came_before() -> None:
    """Formulas found at other sizes may know but one branch of `max(8, ⌊C/reduction⌋)`."""
    chosen = lesson("coordatt")

    def texts(settings: dict[str, Any]) -> list[list[str]]:
        plain = run(chosen, settings, values=False)
        found = with_formulas(chosen, plain, settings)
        return [[str(dim and dim.text) for dim in note.dims] for note in found.tensors().values()]

    default, small = (dict(chosen.settings(name)) for name in ("Feature map", "Small"))
    lesson_module._solutions.clear()
    alone = texts(default)
    lesson_module._solutions.clear()
    texts(small)
    assert texts(default) == alone
    assert any("max(8" in text for dims in alone for text in dims)

"""The view and its form in the address."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modules import LESSONS, lesson
from tests.together import together
from ui.view import (
    MAX_SEED,
    View,
    default_view,
    from_query,
    matching_preset,
    option_text,
    preset_view,
    to_query,
)

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

KEYS = [each.key for each in LESSONS]
OURS = {"lesson", "input", "training", "show", "seed", "step", "embed", "embed_options"}


@st.composite
def views(draw: st.DrawFn) -> View:
    chosen = lesson(draw(st.sampled_from(KEYS)))
    sizes = {s.name: draw(st.integers(s.low, s.high)) for s in chosen.sizes}
    options = {o.name: draw(st.sampled_from(o.choices)) for o in chosen.options}
    return replace(
        default_view(chosen.key).with_settings({**sizes, **options}),
        kind=draw(st.sampled_from(chosen.kinds)),
        seed=draw(st.integers(0, MAX_SEED)),
        training=draw(st.booleans()),
        values=draw(st.booleans()),
    )


@patient
@given(views())
def test_the_address_brings_back_the_view(view: View) -> None:
    read, complaints = from_query(to_query(view))
    assert complaints == []
    assert read == view
    assert [type(value) for _, value in read.settings] == [type(v) for _, v in view.settings]
    assert hash(read) == hash(view)


@patient
@given(
    st.dictionaries(
        st.sampled_from([*OURS, "B", "C", "H", "W", "T", "reduction", "mask", "unknown"]),
        st.one_of(st.text(max_size=60), st.integers().map(str), st.sampled_from(KEYS)),
    )
)
def test_no_address_is_too_broken_to_show_something(query: dict[str, str]) -> None:
    view, complaints = from_query(query)
    chosen = lesson(view.lesson)
    for size in chosen.sizes:
        assert size.low <= dict(view.settings)[size.name] <= size.high
    for option in chosen.options:
        assert dict(view.settings)[option.name] in option.choices
    assert from_query(to_query(view)) == (view, [])
    told = [str(complaint) for complaint in complaints]
    assert all(len(complaint) < 600 and "\n" not in complaint for complaint in told) or any(
        "\n" in value for value in query.values()
    )


@together("key", KEYS)
def test_a_lesson_as_it_opens_needs_no_words(key: str) -> None:
    assert to_query(default_view(key)) == {"lesson": key}


@together("key", KEYS)
def test_no_setting_takes_a_name_that_the_address_needs(key: str) -> None:
    names = {item.name for item in (*lesson(key).sizes, *lesson(key).options)}
    assert not names & OURS


@together("key", KEYS)
def test_every_option_can_be_told_from_the_others_in_the_address(key: str) -> None:
    for option in lesson(key).options:
        assert len({option_text(choice) for choice in option.choices}) == len(option.choices)


@together(
    ("text", "used", "says"),
    [
        ("-3", "low", "`B=-3` is outside 1 to"),
        ("999999999", "high", "`B=999,999,999` is outside"),
        ("two", "default", "`B=two` is not a whole number"),
        ("2.5", "default", "`B=2.5` is not a whole number"),
        ("9" * 5000, "default", "is not a whole number"),
        ("", "default", "is not a whole number"),
    ],
)
def test_a_size_out_of_range_is_named_with_its_range(text: str, used: str, says: str) -> None:
    view, complaints = from_query({"lesson": "fbkd-student", "B": text})
    complaint = " ".join(map(str, complaints))
    size = next(size for size in lesson("fbkd-student").sizes if size.name == "B")
    assert dict(view.settings)["B"] == getattr(size, used)
    assert says in complaint
    assert f"{getattr(size, used):,} is used" in complaint
    assert len(complaint) < 200


def test_an_unknown_lesson_is_named_with_those_that_there_are() -> None:
    view, complaints = from_query({"lesson": "nope"})
    complaint = " ".join(map(str, complaints))
    assert view == default_view(KEYS[0])
    assert "nope" in complaint
    assert all(key in complaint for key in KEYS)


def test_a_wrong_choice_is_named_with_the_choices() -> None:
    _, complaints = from_query({"lesson": "fbkd-student", "input": "shape", "training": "x"})
    one, other = map(str, complaints)
    assert one.startswith("`input=shape` is not one of `picture`, `noise`, `ramp`")
    assert other.startswith("`training=x` is not one of `false`, `true`")


@together("key", KEYS)
def test_each_preset_is_recognised(key: str) -> None:
    for preset in lesson(key).presets:
        view = preset_view(default_view(key), preset.name)
        assert matching_preset(view) == preset.name
        assert view.values == preset.values
        assert view.training == preset.training
    assert matching_preset(default_view(key).with_settings({"B": 7})) is None

"""What a lesson tells around its steps: chapters that cover the run, sentences that the run bears
out, in both languages, and posts as they name themselves."""

from __future__ import annotations

import re

import pytest

from modules import LESSONS, chinese, lesson
from modules.lesson import Lesson, Preset
from modules.posts import POSTS
from tests.modules.test_lessons import POSTS as TEXTS
from tests.modules.test_lessons import PRESETS
from tests.together import together
from tests.traces import claims, shapes_only
from tracer import Trace
from tracer.document import Step, Story


def story(trace: Trace) -> Story:
    assert trace.story is not None
    return trace.story


@together(("each", "preset"), PRESETS)
def test_chapters_cover_the_run_in_the_order_in_which_they_are_declared(
    each: Lesson, preset: Preset
) -> None:
    trace = shapes_only(each, preset)
    reached = 0
    for chapter in trace.chapters:
        assert chapter.start == reached
        assert chapter.start < chapter.stop
        reached = chapter.stop
    assert reached == len(trace.steps)
    found = [chapter.title for chapter in trace.chapters]
    declared = [part.title for part in each.plot.parts if part.title in found]
    assert found == declared
    if preset.breaks is None:
        needed = [part.title for part in each.plot.parts if not part.optional]
        assert [title for title in found if title in needed] == needed


def test_an_optional_chapter_is_there_where_the_run_comes_to_it() -> None:
    spatial = lesson("hacnn-spatial")
    beside = lesson("squeeze-excite")
    assert "Use" not in titles(spatial, "Post's size")
    assert titles(spatial, "Breaks: odd height, times x")[-1] == "Use"
    assert titles(beside, "Beside ECA")[-1] == "ECA on the same input"


def titles(each: Lesson, preset: str) -> list[str]:
    return [chapter.title for chapter in shapes_only(each, each.preset(preset)).chapters]


@together(("each", "preset"), PRESETS)
def test_what_was_seen_has_the_numbers_of_the_run(each: Lesson, preset: Preset) -> None:
    trace = shapes_only(each, preset)
    told = story(trace).seen
    if trace.failure is not None:
        assert told == ()
        return
    assert [said.text for said in told] == list(each.plot.seen)
    notes = [
        note
        for step in trace.steps
        for part in (step, *descendants(step))
        for note in (*part.inputs, *part.outputs)
    ]
    sizes = {size for note in notes for size in note.shape}
    for said in told:
        for value in dict(said.values).values():
            assert value in sizes | {trace.parameters}, said
        assert "{" not in str(said)


def descendants(step: Step) -> list[Step]:
    return [part for child in step.children for part in (child, *descendants(child))]


@together("each", LESSONS, ids=lambda each: each.key)
def test_the_story_is_told_in_chinese_with_the_same_numbers(each: Lesson) -> None:
    english = shapes_only(each, each.presets[0])
    translated = chinese.in_chinese(english)
    one, other = story(english), story(translated)
    for name in ("about", "place", "look"):
        assert getattr(other, name) == chinese.chinese(getattr(one, name))
    for before, after in zip(one.seen, other.seen, strict=True):
        assert after.text == chinese.chinese(before.text)
        assert after.values == before.values
        assert "{" not in str(after)
    assert [c.title for c in translated.chapters] == [
        chinese.chinese(c.title) for c in english.chapters
    ]
    assert [lead.title for lead in other.leads] == [
        chinese.chinese(lead.title) for lead in one.leads
    ]


@together("each", LESSONS, ids=lambda each: each.key)
def test_a_story_leads_on_and_names_a_slip_that_a_run_shows(each: Lesson) -> None:
    told = story(shapes_only(each, each.presets[0]))
    assert told.title == each.title
    assert each.key not in [lead.lesson for lead in told.leads]
    assert [lesson(lead.lesson).title for lead in told.leads] == [lead.title for lead in told.leads]
    assert told.leads
    wrong = [c.claim for c in claims(each) if c.claim.verdict == "slip" and not c.holds]
    first = (wrong[0].quote, wrong[0].says, wrong[0].why) if wrong else None
    assert (told.slip and (told.slip.quote, told.slip.says, told.slip.why)) == first


def test_every_lesson_is_reached_by_following_what_to_open_next() -> None:
    reached, ahead = set(), [LESSONS[0].key]
    while ahead:
        key = ahead.pop()
        if key not in reached:
            reached.add(key)
            ahead += lesson(key).plot.leads
    assert reached == {each.key for each in LESSONS}


def test_a_trace_keeps_its_story_in_a_file() -> None:
    trace = shapes_only(LESSONS[0], LESSONS[0].presets[0])
    again = Trace.from_json(trace.to_json())
    assert again.story == trace.story
    assert again.chapters == trace.chapters


@together("key", sorted(POSTS))
def test_a_post_is_called_as_it_calls_itself(key: str) -> None:
    post = POSTS[key]
    assert chinese.chinese(post.title) == post.original
    if not TEXTS.is_dir():
        pytest.skip("the posts are not here")
    (file,) = TEXTS.glob(f"{key}_*.txt")
    text = file.read_text(encoding="utf-8")
    assert post.original in text
    assert post.author in text


def test_every_lesson_names_a_known_post() -> None:
    assert {each.post for each in LESSONS} == set(POSTS)


@together("each", LESSONS, ids=lambda each: each.key)
def test_a_post_is_called_by_its_title_and_never_by_a_number(each: Lesson) -> None:
    for text in (each.teaches, each.about, each.plot.place, each.plot.look):
        for told in (text, chinese.chinese(text) or ""):
            assert not re.search(r"(posts?|原文)\s*0\d", told)

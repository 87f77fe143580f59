"""The lessons' texts in Chinese: `NAME.zh.po` beside each module, keyed by the English text.

`python -m modules.chinese` brings these files up to date with the modules: a new text comes
without translation, a changed one with its old translation marked fuzzy.  Neither is used before
somebody has translated it, and a test fails until then.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from modules.lesson import Lesson, check_claims, run
from modules.posts import POSTS
from tracer import Call, Step, Trace
from tracer.document import Source, Story
from tracer.language import extracted, read, translations, update
from tracer.sentences import Said
from tracer.source.notes import filled, placeholders

_HERE = Path(__file__).parent


def key(text: str) -> str:
    """The text with its lines joined, paragraphs kept: where lines break is no part of it."""
    return "\n\n".join(" ".join(part.split()) for part in re.split(r"\n\s*\n", text))


@functools.cache
def _lessons_texts() -> dict[str, str]:
    return translations(*(read(path) for path in sorted(_HERE.glob("*.zh.po"))))


def chinese(text: str) -> str | None:
    """A text of a lesson in Chinese, None where there is no translation."""
    return _lessons_texts().get(key(text))


# --- traces -----------------------------------------------------------------------------------


def in_chinese(trace: Trace) -> Trace:
    """The trace with those of its lesson's texts in Chinese that have a translation, the same
    values filled in."""
    templates = {
        (index, comment.line): comment.text
        for index, source in enumerate(trace.sources)
        for comment in source.comments
    }

    def note(item: Step | Call) -> str:
        span, source = item.place.statement_span, item.place.source
        if not item.note or span is None or source is None:
            return item.note
        return _filled_as(item.note, templates.get((source, span.line), item.note))

    def step(item: Step) -> Step:
        return replace(item, note=note(item), children=tuple(map(step, item.children)))

    return replace(
        trace,
        steps=tuple(map(step, trace.steps)),
        calls=tuple(replace(call, note=note(call)) for call in trace.calls),
        sources=tuple(map(_source, trace.sources)),
        chapters=tuple(replace(c, title=_told(c.title)) for c in trace.chapters),
        story=_story(trace.story) if trace.story is not None else None,
    )


def _told(text: str) -> str:
    return chinese(text) or text


def _story(story: Story) -> Story:
    slip = story.slip and replace(
        story.slip, says=_told(story.slip.says), why=_told(story.slip.why)
    )
    texts = ("title", "about", "place", "look", "post")
    return replace(
        story,
        **{name: _told(getattr(story, name)) for name in texts},
        seen=tuple(replace(each, text=_told(each.text)) for each in story.seen),
        slip=slip,
        leads=tuple(
            replace(each, title=_told(each.title), teaches=_told(each.teaches))
            for each in story.leads
        ),
    )


def _source(source: Source) -> Source:
    comments = tuple(
        replace(comment, text=chinese(comment.text) or comment.text) for comment in source.comments
    )
    return replace(source, comments=comments)


def _filled_as(note: str, template: str) -> str:
    """The template's translation, with the values that turned the template into `note`."""
    translation = chinese(template)
    if translation is None:
        return note
    wanted = list(placeholders(template))
    parts = re.split("|".join(map(re.escape, wanted)), template) if wanted else [template]
    order = re.findall("|".join(map(re.escape, wanted)), template) if wanted else []
    pattern = re.escape(parts[0])
    for part in parts[1:]:
        pattern += "(.*?)" + re.escape(part)
    match = re.fullmatch(pattern, note, re.DOTALL)
    if match is None:
        return note
    return filled(translation, dict(zip(order, match.groups(), strict=True)))


# --- what there is to translate ---------------------------------------------------------------


def texts() -> dict[str, dict[str, str]]:
    """Every text of the lessons, by the name of the module it belongs to: {text: where it is}."""
    from modules import LESSONS

    shared = extracted([_HERE / "lesson.py"], ["said"], _HERE)
    found = {"lesson": {key(text): where for text, where in shared.items()}}
    for lesson in LESSONS:
        module = inspect.getmodule(lesson.build)
        assert module is not None
        own = found.setdefault(module.__name__.rpartition(".")[2], {})
        for text, where in _declared(lesson):
            if text and key(text) not in found["lesson"]:
                own.setdefault(key(text), f"{lesson.key}: {where}")
    posts = found.setdefault("posts", {})
    for post in POSTS.values():
        posts |= {key(post.title): f"post {post.key}", key(post.subject): f"post {post.key}"}
    for name, text, where in _notes():
        found.setdefault(name, {}).setdefault(key(text), where)
    return found


def _declared(lesson: Lesson) -> Iterator[tuple[str, str]]:
    yield lesson.title, "title"
    yield lesson.family, "family"
    yield lesson.teaches, "summary"
    yield lesson.about, "about"
    for size in lesson.sizes:
        yield size.meaning, f"size {size.name}"
    for option in lesson.options:
        yield option.meaning, f"option {option.name}"
        if option.in_words:
            for choice in option.choices:
                yield choice if isinstance(choice, str) else "", f"choice of {option.name}"
    for preset in lesson.presets:
        yield preset.name, "preset"
        yield preset.note, f"preset {preset.name}"
    yield lesson.plot.place, "place in a network"
    yield lesson.plot.look, "what to look at"
    for part in lesson.plot.parts:
        yield part.title, "chapter"
    for text in lesson.plot.seen:
        yield text, "what was seen"
    for checked in check_claims(lesson):
        if isinstance(checked.found, Said):
            yield checked.found.text, f"finding on “{checked.claim.quote}”"
    for claim in lesson.claims:
        yield claim.says, f"claim “{claim.quote}”"
        yield claim.why, f"verdict on “{claim.quote}”"


def _notes() -> Iterator[tuple[str, str, str]]:
    """Module, text and place of each note in the functions that the presets run."""
    from modules import LESSONS

    for lesson in LESSONS:
        for preset in lesson.presets:
            settings = lesson.settings(preset.name)
            trace = run(lesson, settings, values=False, training=preset.training, diagnose=False)
            for source in trace.sources:
                # Code of torch has comments too, written for other readers.
                if Path(source.file).parent == _HERE:
                    for comment in source.comments:
                        yield Path(source.file).stem, comment.text, f"note in {source.function}"


def path(module: str) -> Path:
    return _HERE / f"{module}.zh.po"


if __name__ == "__main__":
    for module, wanted in texts().items():
        update(path(module), wanted)

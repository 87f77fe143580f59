"""How a lesson is told: its chapters, found in a run, and what is said before it and after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from modules.posts import POSTS
from tracer import Step, Trace
from tracer.document import Chapter, Lead, Slip, Story
from tracer.sentences import said

if TYPE_CHECKING:
    from modules.lesson import Claim, Lesson


@dataclass(frozen=True)
class Part:
    """A chapter, and where it begins: at the first step inside the module of that path, or on a
    line that begins with one of `lines`, be it the step's statement or the `def` of the function
    that it stands in.  One that is `optional` is left out of a run that does not come there."""

    title: str
    module: str = ""
    lines: tuple[str, ...] = ()
    optional: bool = False

    def begins(self, step: Step) -> bool:
        inside = f"{step.module}.".startswith(f"{self.module}.")
        if self.module and inside:
            return True
        define = f"def {step.function.rpartition('.')[2]}("
        texts = (step.statement, define)
        return any(text.startswith(line) for line in self.lines for text in texts)


def _no_numbers(_: Trace) -> Mapping[str, object]:
    return {}


@dataclass(frozen=True)
class Plot:
    """What a lesson tells around its steps, beside its title and `about`.

    `place` says where the module sits in a network, `look` what to look at.  `seen` sums up in
    three sentences what the run has shown, whatever the settings; the gaps in it are filled by
    `numbers`.  `leads` are the keys of the lessons to open next.
    """

    place: str
    look: str
    parts: tuple[Part, ...]
    seen: tuple[str, str, str]
    leads: tuple[str, ...]
    numbers: Callable[[Trace], Mapping[str, object]] = _no_numbers


def chapters(parts: tuple[Part, ...], trace: Trace) -> tuple[Chapter, ...]:
    """The parts that the run comes to, each up to the next, in their order."""
    starts: list[tuple[str, int]] = []
    reached = 0
    for part in parts:
        for step in trace.steps[reached:]:
            if part.begins(step):
                starts.append((part.title, step.index))
                reached = step.index + 1
                break
    ends = [*(start for _, start in starts[1:]), len(trace.steps)]
    return tuple(
        Chapter(title, start, end) for (title, start), end in zip(starts, ends, strict=False)
    )


def with_story(lesson: Lesson, trace: Trace, slip: Claim | None, leads: tuple[Lead, ...]) -> Trace:
    """The trace of a run of the lesson with its chapters, and what is told before and after.

    Args:
        slip: what the post says of the module and is not so, as a run has shown.
        leads: what to open next.
    """
    plot, paper, post = lesson.plot, lesson.paper, POSTS[lesson.post]
    seen: tuple[str, ...] = ()
    numbers: Mapping[str, object] = {}
    if trace.failure is None:
        seen, numbers = plot.seen, plot.numbers(trace)
    story = Story(
        title=lesson.title,
        about=lesson.about,
        place=plot.place,
        look=plot.look,
        paper=f"{paper.authors}: {paper.title}. {paper.venue} {paper.year}",
        post=post.title,
        author=post.author,
        seen=tuple(said(text, **numbers) for text in seen),
        slip=None if slip is None else Slip(slip.quote, slip.says, slip.why),
        leads=leads,
    )
    return replace(trace, chapters=chapters(plot.parts, trace), story=story)

"""A run as GitHub Actions shows it: marks at the lines of a change, and a page for the summary of a
job.

The form of the marks: https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

from collections.abc import Iterator

from tracer.document import Place, Trace
from tracer.sentences import Translate
from tracer.views.answer import shown_path
from tracer.views.text import annotated

LARGEST_SUMMARY = 1_000_000
"""Bytes; GitHub refuses a summary above 1 MiB as a whole."""

_AS_TEXT = {ord(sign): f"\\{sign}" for sign in "\\`*_[]<>&#"}


def commands(trace: Trace, translate: Translate = str) -> Iterator[str]:
    """A line for each warning and for the failure, which GitHub shows at the place it names.

    Such a line is one line whatever the trace says: a line end in a text cannot begin another
    command.
    """
    for warning in trace.warnings:
        place = trace.steps[warning.step].place
        yield _command("warning", place, warning.kind, warning.told(translate))
    if trace.failure is not None:
        failure = trace.failure
        rule, reason = failure.told(translate)
        code = failure.violation.code if failure.violation is not None else failure.type
        told = "\n\n".join(text for text in (rule, reason) if text)
        yield _command("error", failure.place, code, told or f"{failure.type}: {failure.message}")


def summary(trace: Trace, translate: Translate = str) -> str:
    """The annotated source as Markdown, for the file that `GITHUB_STEP_SUMMARY` names."""
    text = annotated(trace, width=100, translate=translate)
    # A fence that is longer than any in the text cannot be closed by it.
    fence = "`" * max(3, 1 + _longest_run(text, "`"))
    head = " ".join(trace.name.split()).translate(
        {ord(sign): f"\\{sign}" for sign in "\\`*_[]<>&#"}
    )
    page = f"### {head}\n\n{fence}python\n{text}\n{fence}\n"
    if len(page.encode()) <= LARGEST_SUMMARY:
        return page
    return f"### {head}\n\n{len(trace.steps):,} steps: too long to be shown here.\n"


def _command(kind: str, place: Place, title: str, message: str) -> str:
    span = place.span
    settings = {"file": shown_path(place.file), "line": str(place.line)} if place.file else {}
    if settings and span is not None:
        settings["col"] = str(span.column + 1)
        if span.end_line == place.line:
            settings["endColumn"] = str(span.end_column + 1)
    settings["title"] = title
    listed = ",".join(f"{name}={_setting(value)}" for name, value in settings.items())
    return f"::{kind} {listed}::{_message(message)}"


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _setting(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")


def _longest_run(text: str, sign: str) -> int:
    longest = here = 0
    for each in text:
        here = here + 1 if each == sign else 0
        longest = max(longest, here)
    return longest

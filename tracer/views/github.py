"""A run as GitHub Actions shows it: marks at the lines of a change, and a page for the summary of a
job.

The form of the marks: https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

from tracer.document import Trace
from tracer.sentences import Translate
from tracer.views.answer import Finding, shown_path
from tracer.views.text import annotated

LARGEST_SUMMARY = 1_000_000
"""Bytes; GitHub refuses a summary above 1 MiB as a whole."""

_AS_TEXT = {ord(sign): f"\\{sign}" for sign in "\\`*_[]<>&#"}


def command(finding: Finding) -> str:
    """The line that makes GitHub show a finding at the place that it names.

    It is one line whatever a trace says: a line end in a text cannot begin another command.
    """
    place, span = finding.place, finding.place.span
    settings = {"file": shown_path(place.file), "line": str(place.line)} if place.file else {}
    if settings and span is not None:
        settings["col"] = str(span.column + 1)
        if span.end_line == place.line:
            settings["endColumn"] = str(span.end_column + 1)
    settings["title"] = finding.code
    listed = ",".join(f"{name}={_setting(value)}" for name, value in settings.items())
    text = "\n\n".join(part for part in (finding.message, finding.reason) if part)
    return f"::{finding.level} {listed}::{_message(text)}"


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

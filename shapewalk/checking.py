"""`shapewalk check-fix`: a change that somebody else made, an agent for example, run in the place
of a program that fails and proven as our own repairs are."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from shapewalk import apart
from tracer import worker
from tracer.ops.names import shape_text
from tracer.patches import Checked
from tracer.views import answer


@dataclass(frozen=True)
class CheckedFix:
    """What a change has shown.  `verified`: the program failed without it, runs with it, and it
    holds in all that a repair has to show.  `ran`: it runs with these inputs.  `passed`, `failed`
    and `not_checked` are those checks, `name: words`; what a verified change has failed is to be
    looked at, and may be meant.  Where the program fails with the change too, `error`, `place`,
    `expression` and `rule` say how.  `problem` says what came in the way: of the diff, of the runs
    or of the proof."""

    verified: bool
    ran: bool
    problem: str = ""
    before: str = ""
    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    not_checked: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    error: str = ""
    place: str = ""
    expression: str = ""
    rule: str = ""
    left_out: int = 0


def check(
    target: str,
    diff: str,
    inputs: Sequence[str] | None = None,
    arguments: dict[str, str] | None = None,
    sizes: dict[str, int] | None = None,
    train: bool = False,
) -> CheckedFix:
    """Run a target with a unified diff made in memory, and prove that it mends what fails."""
    asked = apart.job(target, inputs, arguments, sizes, train)
    if isinstance(asked, str):
        return CheckedFix(False, False, asked)
    if not asked.file or not asked.source:
        return CheckedFix(
            False, False, f"{target} is installed: a diff changes files of this folder."
        )
    first = worker.run(replace(asked, diff=diff, prove=True))
    failure = first.trace.failure if first.trace is not None else None
    if failure is None and first.problem is not None and first.problem.kind in _UNREAD:
        return CheckedFix(False, False, apart.problem(first, asked))
    # On the same inputs, where they were found by trying.
    same = replace(first.used or asked, diff=diff, prove=False)
    changed = _changed(worker.run(same), same)
    if failure is None:
        told = apart.problem(first, asked)
        ends = first.problem is None or first.problem.kind == "module"
        why = "Without the change nothing fails: there is nothing to prove." if ends else told
        return replace(changed, problem=changed.problem or why)
    before = failure.told()[0] or f"{failure.type}: {failure.message}"
    proven = _proven(changed, first.checked)
    return replace(proven, before=_short(f"{answer.at(failure.place)}: {before}"))


_UNREAD = ("diff", "parse", "worker")


def _changed(found: worker.Answer, asked: worker.Job) -> CheckedFix:
    """What comes of a run of the changed program, unproven."""
    told = apart.problem(found, asked)
    trace = found.trace
    if trace is None or trace.failure is None:
        # A script without an entry runs to its end, and has no trace.
        ran = trace is not None or (not asked.name and _ended(found))
        outputs = trace.outputs if trace is not None else ()
        shapes = [f"{each.name} {shape_text(each.shape)} {each.dtype}" for each in outputs]
        return CheckedFix(False, ran, "" if ran else told, outputs=shapes[:6])
    failure = trace.failure
    return CheckedFix(
        False,
        False,
        told,
        error=_short(f"{failure.type}: {failure.message}"),
        place=answer.at(failure.place),
        expression=_short(failure.place.expression),
        rule=_short(failure.told()[0]),
    )


def _ended(found: worker.Answer) -> bool:
    return found.problem is not None and found.problem.kind == "module"


def _proven(changed: CheckedFix, found: Checked | None) -> CheckedFix:
    """With what was proven, which counts where the changed program runs."""
    if not changed.ran:
        return changed
    if found is None:
        return replace(changed, problem="It runs; why it failed before could not be proven mended.")
    if not found.ran:
        why = found.unproven
        words = f" {why}" if why is not None else ""
        return replace(changed, problem=f"It runs, and could not be proven.{words}")
    told: dict[bool | None, list[str]] = {True: [], False: [], None: []}
    for each in found.outcomes:
        why = each.why if each.why is not None else each.words
        told[each.passed].append(f"{each.name}: {each.words if each.passed else why}")
    return replace(
        changed,
        verified=found.verified,
        problem=str(found.unproven) if found.unproven is not None else "",
        passed=told[True],
        failed=told[False],
        not_checked=told[None],
    )


def _short(text: str, most: int = 400) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


# --- the command --------------------------------------------------------------------------------


def main(arguments: list[str]) -> int:
    """`shapewalk check-fix`: 0 where the change is verified, 1 where it is not, 2 where the
    arguments are wrong."""
    options = _parser().parse_args(arguments)
    try:
        settings, sizes = _pairs(options.arg, "--arg"), _pairs(options.size, "--size")
        numbers = {name: int(text) for name, text in sizes.items()}
        diff = sys.stdin.read() if options.diff == "-" else _text(options.diff)
    except (OSError, ValueError) as error:
        print(f"shapewalk check-fix: {error}", file=sys.stderr)
        return 2
    found = check(options.target, diff, options.input, settings, numbers, options.train)
    print(json.dumps(asdict(found), indent=2) if options.json else _told(found))
    return 0 if found.verified else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="shapewalk check-fix",
        description="Run a program that fails with a change that you have made, and prove that it "
        "mends the failure as Shapewalk's own fixes are proven: other batches and sizes, single "
        "samples, gradients, what else the edited lines do. Nothing is written.",
    )
    parser.add_argument("target", metavar="FILE.py:NAME", help="what fails, or FILE.py, a script")
    parser.add_argument("diff", metavar="CHANGE.diff", help="a unified diff; - reads it from stdin")
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="[NAME=]SIZES[:DTYPE]",
        help="as of shapewalk itself",
    )
    parser.add_argument("--size", action="append", default=[], metavar="NAME=N", help="the same")
    parser.add_argument("--arg", action="append", default=[], metavar="NAME=VALUE", help="the same")
    parser.add_argument("--train", action="store_true", help="train mode (default: eval)")
    parser.add_argument("--json", action="store_true", help="the answer for programs")
    return parser


def _pairs(texts: list[str], option: str) -> dict[str, str]:
    found = {}
    for each in texts:
        name, equals, value = each.partition("=")
        if not equals or not name.isidentifier() or (option == "--size" and not value.isdecimal()):
            example = "B=2" if option == "--size" else "width=64"
            raise ValueError(f"{option} {each!r} should be NAME=VALUE, such as {example}.")
        found[name] = value
    return found


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8.") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from error


def _told(found: CheckedFix) -> str:
    """In lines for a terminal."""
    if found.verified:
        first = "The change is verified."
    elif found.ran:
        first = "The change is not verified: it runs."
    else:
        first = "The change is not verified: it does not run."
    lines: list[Any] = [first]
    lines += [found.problem] if found.problem else []
    lines += [f"before: {found.before}"] if found.before else []
    if found.error:
        lines += [f"now:    {found.place}: {found.rule or found.error}"]
    for mark, told in (("✓", found.passed), ("✗", found.failed), ("–", found.not_checked)):
        lines += [f"  {mark} {each}" for each in told]
    lines += [f"outputs: {', '.join(found.outputs)}"] if found.outputs else []
    return "\n".join(lines)

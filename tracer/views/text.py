"""A trace as text: the annotated source for a terminal, a failure in words, a Markdown table.

Text from a trace may come from a stranger's file: control characters never reach the terminal.
"""

from __future__ import annotations

import ast
import dataclasses
import io
import re
import tokenize
import unicodedata
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from tracer.document import (
    Call,
    Constraint,
    Failure,
    Fix,
    Operand,
    Place,
    Root,
    Source,
    Span,
    Step,
    TensorNote,
    Trace,
)
from tracer.ops.names import shape_text
from tracer.sentences import Said, Translate, as_written, render, said
from tracer.syntax import parsed
from tracer.views import histories
from tracer.views.diff import Lines, changes, known_lines

_DIM, _BOLD, _PLAIN = "\x1b[2m", "\x1b[1m", "\x1b[0m"
_RED, _GREEN = "\x1b[31m", "\x1b[32m"
_TAB = 4
_SETTINGS = 40
_INSIDE = "stopped"  # what a call shows whose inside failed
_SHAPE = re.compile(r"\((?:[^()]|\([^()]*\))*\)")  # stays on one line, formulas too...
_NAMED = re.compile(r"(?<=[\w\]]) (?=\()")  # ...and beside its name
_FIXED = "\0"  # a space at which no line breaks, if it can be helped
_ALIASES = 12
_NAMES = 3  # of a signature that is folded
_CONTAINERS = ("Sequential.forward",)  # their own text says less than a list of what they ran


def annotated(
    trace: Trace,
    color: bool = False,
    width: int = 100,
    symbols: bool = False,
    translate: Translate = str,
    *,
    module: str = "",
    depth: int | None = None,
    folded: bool = False,
) -> str:
    """The source of every function that ran, in call order, with the shapes at the line ends.

    Functions that ran with the same shapes are shown once.  `color` uses ANSI sequences; `width`
    is the number of columns that shapes may use.  With `symbols` the shapes are formulas where
    the trace has them, and the header says what their letters are and what is demanded of them.
    `translate` gives all that is said in another language.

    Of a large model one may see less: what runs in one `module` (by its name, `layers.0`), what
    is at most `depth` calls of modules below it, and with docstrings and long signatures `folded`.

    Raises:
        KeyError: no module of this name ran.
    """
    voice = _Voice(_formulas if symbols else _numbers, translate)
    # Of the whole nothing is looked for: a file may have calls under any names, or none.
    found = trace[module] if module else None
    shown = _calls_shown(trace, found.module if found is not None else "", depth)
    blocks = _merged(_blocks(trace, voice, shown, folded))
    if isinstance(found, Step):
        blocks = [_listing(trace.calls[found.call], [_event(found, voice)])]
    header = "\n".join([_header(trace, voice), *(_legend(trace, width, voice) if symbols else ())])
    parts = [header, *(_shown(block, color, width) for block in blocks)]
    if trace.failure is not None:
        parts.append(failure_text(trace.failure, color, width, trace.sources, translate, symbols))
    else:
        outputs = [_note_text(note, voice) for note in trace.outputs]
        parts.append(_table(voice.say(said("output")), outputs) or voice.say(said("no output")))
    return "\n\n".join(parts) + "\n"


def program(
    trace: Trace,
    text: str,
    width: int = 100,
    translate: Translate = str,
    symbols: bool = False,
) -> str | None:
    """The whole `text` of a file that ran, with the shapes as comments: the same program, which
    runs as before.  None where nothing of the run stands in this text.  A shape stands at the end
    of its expression's line, or above it where it would pass `width` columns, as far as Python
    takes a comment there.  With `symbols` they are formulas where the trace has them, and the
    header says what their letters are and what is demanded of them."""
    file = file_of(trace, text)
    if file is None:
        return None
    voice = _Voice(_formulas if symbols else _numbers, translate)
    found = (event for group in _events_by_call(trace, voice) for event in group)
    events = sorted((e for e in found if e.place.file == file), key=lambda event: event.order)
    rows = text.split("\n")
    ends = _commentable(text)
    comments: dict[int, list[_Event]] = {}
    for event in events:
        span = event.place.span
        line = span.end_line if span is not None else event.place.line
        while line not in ends and line < len(rows):
            line += 1
        comments.setdefault(line, []).append(event)
    head = "\n".join([_header(trace, voice), *(_legend(trace, width, voice) if symbols else ())])
    lines = [f"# {line}".rstrip() for line in head.split("\n")]
    if rows[0].startswith("#!"):
        lines.insert(0, rows.pop(0))
    for number, code in enumerate(rows, len(text.split("\n")) - len(rows) + 1):
        bare, end = code.removesuffix("\r"), "\r" * code.endswith("\r")
        told = _line_text(comments[number]) if number in comments else ""
        room = width if number == 1 or number - 1 in ends else _columns(bare + told) + 4
        shown = _row_lines(_Row(bare, told), 0, False, room)
        lines += [line + end for line in shown] if told else [code]
    return "\n".join(lines)


def file_of(trace: Trace, text: str) -> str | None:
    """The file of the run that `text` is of: every function of it that ran stands there."""
    rows = text.split("\n")

    def stands(source: Source) -> bool:
        functions = source.text.split("\n")
        there = rows[source.first - 1 : source.first - 1 + len(functions)]
        return [row.rstrip() for row in there] == [row.rstrip() for row in functions]

    files: dict[str, list[bool]] = {}
    for source in trace.sources:
        files.setdefault(source.file, []).append(stands(source))
    fitting = {file: len(found) for file, found in files.items() if all(found)}
    return max(fitting, key=fitting.__getitem__, default=None)


def failure_text(
    failure: Failure,
    color: bool = False,
    width: int = 100,
    sources: Sequence[Source] = (),
    translate: Translate = str,
    symbols: bool = False,
) -> str:
    """Where the forward stopped and why: its exception, each operand with where it came from and
    its offending dimensions marked, the rule that is broken, where the wrong size was born, and
    the fixes, best first.  `sources` (a trace's) let a fix show whole lines; `translate` gives the
    sentences in another language (`tracer.language.translator`); with `symbols` they name sizes by
    their formulas."""
    where = _whereabouts(failure.place, failure.module, translate)
    lines = [render(said("Stopped {where}", where=where), translate).strip()]
    lines += [f"    {line}" for line in _statement(failure.place, color)]
    message = [_clean(line) for line in failure.message.split("\n")] or [""]
    lines.append(f"{_clean(failure.type)}: {message[0]}".rstrip(": "))
    lines += [f"    {line}" for line in message[1:]]
    lines += [f"    {line}" for line in _operand_lines(failure.operands, color, translate)]
    rule, reason = failure.told(translate, symbols)
    if rule:
        lines += ["", *_paragraph(render(said("Rule:"), translate), rule, width)]
    if reason:
        lines += ["", *_paragraph(render(said("Why:"), translate), reason, width)]
    if failure.violation is not None and failure.violation.code:
        page = f"docs/errors/{_clean(failure.violation.code)}.md"
        lines += ["", render(said("More: {page}", page=page), translate)]
    if failure.root is not None:
        why = failure.root.told(translate, symbols)
        lines += ["", *_root_lines(failure.root, why, color, width, translate)]
    for head, found in ((said("Path:"), _chain_lines), (said("Sizes:"), _history_lines)):
        told = list(found(failure, color, width, translate))
        lines += ["", render(head, translate), *told] if told else []
    for number, fix in enumerate(failure.fixes, 1):
        known = known_lines(failure, sources)
        lines += ["", *_fix_lines(number, fix, known, color, width, translate)]
    return "\n".join(lines)


def markdown(trace: Trace, translate: Translate = str) -> str:
    """The steps as a Markdown table, with inputs and outputs; `translate` gives what is said in
    another language."""
    voice = _Voice(_numbers, translate)
    names = (
        said("line"),
        said("module"),
        said("expression"),
        said("operation"),
        said("before"),
        said("after"),
    )
    rows = [f"| # | {' | '.join(map(voice.say, names))} |", "|--:|--:|---|---|---|---|---|"]
    for step in trace.steps:
        event = _event(step, voice)
        cells = (
            str(step.index + 1),
            str(step.line) if step.line > 0 else "",
            _code(step.module),
            _code(" ".join(step.expression.split())),
            _code(step.op),
            _cell(_shapes(event.inputs, voice)),
            _cell(_outputs(event)),
        )
        rows.append(f"| {' | '.join(cells)} |")
    none = voice.say(said("none"))
    given = ", ".join(_code(_note_text(note, voice)) for note in trace.inputs) or none
    found = ", ".join(_code(_note_text(note, voice)) for note in trace.outputs) or none
    if trace.failure is not None:
        error = f"{trace.failure.type}: {trace.failure.message}"
        found = _cell(voice.say(said("none: {error}", error=error)))
    ends = (said("Inputs: {tensors}", tensors=given), said("Outputs: {tensors}", tensors=found))
    head = "\n\n".join([f"## {_cell(trace.name)}", *map(voice.say, ends)])
    return "\n".join([head, "", *rows]) + "\n"


# --- safe and small texts ---------------------------------------------------------------------


def _clean(text: str) -> str:
    """One line in which control characters, and those that turn the direction of writing, are
    written out."""
    if text.isprintable():
        return text
    return "".join(
        letter
        if letter.isprintable()
        else letter.encode("unicode_escape", "backslashreplace").decode("ascii")
        for letter in text.expandtabs(_TAB)
    )


_WIDE = "\u2e80-\u9fff\uff00-\uff60"
_STOPS = "、。，；：！？）"
_PIECE = re.compile(rf"（?(?:[^ {_WIDE}]+|[{_WIDE}])[{_STOPS}]* *")
"""What stays in one line: a word, or a wide letter, with the stops behind it."""


def _columns(text: str) -> int:
    """How many terminal columns the text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in "WF")
        for letter in text
    )


def _numbers(note: TensorNote) -> str:
    return shape_text(note.shape)


def _formulas(note: TensorNote) -> str:
    if not note.dims:
        return _numbers(note)
    texts = [_clean(dim.text).replace(" ", _FIXED) for dim in note.dims]
    return f"({f',{_FIXED}'.join(texts)}{',' * (len(texts) == 1)})"


@dataclass(frozen=True)
class _Voice:
    """How the shape of a tensor is written, and which language all words are in."""

    sizes: Callable[[TensorNote], str]
    translate: Translate

    def say(self, sentence: Said) -> str:
        return render(sentence, self.translate)


def _shapes(notes: Sequence[TensorNote], voice: _Voice) -> str:
    texts = [voice.sizes(note) for note in notes]
    if len(texts) > 4:
        if len(set(texts)) == 1:
            return f"{len(texts)} × {texts[0]}"
        more = said("{some} and {rest} more", some=", ".join(texts[:3]), rest=len(texts) - 3)
        return voice.say(more)
    return ", ".join(texts)


def _note_text(note: TensorNote, voice: _Voice) -> str:
    shape = voice.sizes(note).replace(_FIXED, " ")
    return f"{_clean(note.name)} {shape} {_clean(note.dtype)}".lstrip()


def _file_line(file: str, line: int | None) -> str:
    name = _clean(PurePath(file.replace("\\", "/")).name or file)
    return f"{name}:{line}" if line else name


def _seconds(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:,.1f} s"
    return f"{seconds * 1e3:.0f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f} µs"


def _table(name: str, rows: Iterable[str]) -> str:
    names = [name]
    lines = []
    for row in rows:
        head = names.pop() if names else ""
        lines.append(f"{head}{' ' * (11 - _columns(head))} {row}")
    return "\n".join(lines)


def _header(trace: Trace, voice: _Voice) -> str:
    mode = said("training mode" if trace.training else "evaluation mode")
    count, version = f"{len(trace.steps):,}", _clean(trace.torch)
    if trace.values:
        steps = said(
            "{count} in {time}, {how}, torch {version}",
            count=count,
            time=_seconds(trace.seconds),
            how=mode,
            version=version,
        )
    else:  # found without the work, whose time this is not
        steps = said(
            "{count}, {mode}, shapes only, torch {version}",
            count=count,
            mode=mode,
            version=version,
        )
    tables = [
        _clean(trace.name),
        _table(voice.say(said("input")), [_note_text(note, voice) for note in trace.inputs]),
        _table(voice.say(said("parameters")), [f"{trace.parameters:,}"]),
        _table(voice.say(said("steps")), [voice.say(steps)]),
        _table(voice.say(said("remark")), [_clean(voice.say(each)) for each in trace.remarks]),
    ]
    return "\n".join(table for table in tables if table)


def _legend(trace: Trace, width: int, voice: _Voice) -> Iterator[str]:
    """What the formulas are written in, what the source calls them, and what is demanded."""
    values = [f"{_clean(symbol.name)} = {symbol.value}" for symbol in trace.symbols]
    tables = [(said("sizes"), [", ".join(text.replace(" ", _FIXED) for text in values)])]
    tables.append((said("names"), [", ".join(_aliases(trace))]))
    demands = [_demand(trace, each, voice) for each in trace.constraints]
    tables.append((said("demands"), demands))
    for name, texts in tables:
        rows: list[str] = []
        for text in texts:
            lines = _wrapped(text, max(width - 12, 20))
            rows += [line if not place else f"  {line}" for place, line in enumerate(lines)]
        if rows:
            yield _table(voice.say(name), rows)


def _aliases(trace: Trace) -> list[str]:
    """`N = H·W`, for the names that the source gives to formulas."""
    symbols = {symbol.name for symbol in trace.symbols}
    found = dict.fromkeys(
        f"{_clean(name)} = {_clean(dim.text)}".replace(" ", _FIXED)
        for note in trace.tensors().values()
        for dim in note.dims
        for name in dim.aliases
        if dim.text not in symbols  # the letter says as much as `b = x.shape[0]`
    )
    return list(found)[:_ALIASES]


def _demand(trace: Trace, constraint: Constraint, voice: _Voice) -> str:
    sign = "✓" if constraint.holds else voice.say(said("✗ not met:"))
    formula = _clean(constraint.formula.text).replace(" ", _FIXED)
    text = f"{sign} {formula}{2 * _FIXED}{_clean(voice.say(constraint.says))}"
    if constraint.step is None:
        return text
    step = trace.steps[constraint.step]
    code = _clean(" ".join(step.expression.split()))
    return f"{text} ({_file_line(step.place.file, step.place.line)}: {code})"


def _cell(text: str) -> str:
    """Text for a Markdown table cell: nothing in it is markup."""
    clean = _clean(" ".join(text.split()))
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>#|!&~" else letter for letter in clean)


def _code(text: str) -> str:
    """A Markdown code span that its text cannot end."""
    clean = _clean(text).replace("|", "\\|")
    if not clean:
        return ""
    ticks = "`"
    while ticks in clean:
        ticks += "`"
    space = " " if clean[0] == "`" or clean[-1] == "`" else ""
    return f"{ticks}{space}{clean}{space}{ticks}"


# --- what happened on a line ------------------------------------------------------------------


@dataclass(frozen=True)
class _Event:
    """One step or one call of a module, as the line that wrote it shows it."""

    order: tuple[int, int]
    op: str
    module: str
    settings: tuple[str, ...]
    place: Place
    inputs: tuple[TensorNote, ...]
    outputs: tuple[TensorNote, ...]
    targets: tuple[str, ...]
    note: str
    in_place: bool
    stopped: str
    voice: _Voice


def _event(step: Step, voice: _Voice) -> _Event:
    return _Event(
        order=(step.index, 1),
        op=step.op,
        module=step.module,
        settings=step.arguments,
        place=step.place,
        inputs=_operands(step),
        outputs=step.outputs,
        targets=step.targets,
        note=step.note,
        in_place=step.writes,
        stopped="" if step.error is None else _clean(step.error.split(":")[0]),
        voice=voice,
    )


def _operands(step: Step) -> tuple[TensorNote, ...]:
    """What a step was applied to: a layer's own parameters go without saying."""
    if not step.op.startswith("nn."):
        return step.inputs
    return tuple(note for note in step.inputs if note.kind not in ("parameter", "buffer"))


def _call_event(call: Call, stopped: str, voice: _Voice) -> _Event:
    return _Event(
        order=(call.start, 0),
        op=call.type,
        module=call.module,
        settings=(call.settings,) if call.settings else (),
        place=call.place,
        inputs=call.inputs,
        outputs=call.outputs,
        targets=call.targets,
        note=call.note,
        in_place=False,
        stopped=stopped,
        voice=voice,
    )


def _outputs(event: _Event) -> str:
    if event.stopped:
        return event.stopped
    notes = event.outputs
    if not notes:
        return event.voice.say(said("no tensor"))
    sizes = event.voice.sizes
    text = _shapes(notes, event.voice)
    if 1 < len(notes) <= 4:
        text = ", ".join(
            f"{_clean(note.name)} {sizes(note)}" if note.name in event.targets else sizes(note)
            for note in notes
        )
    if event.in_place:
        text = event.voice.say(said("{shapes} in place", shapes=text))
    if strange := _not_finite(event):
        text = event.voice.say(said("{shapes} with {strange}", shapes=text, strange=strange))
    return text


def _not_finite(event: _Event) -> tuple[str, ...]:
    """NaN and infinite values are told where they first come up."""
    found = []
    for name, attribute in (("NaN", "nan"), ("Inf", "inf")):
        before, after = (
            sum(getattr(note.stats, attribute) for note in notes if note.stats is not None)
            for notes in (event.inputs, event.outputs)
        )
        if after and not before:
            found.append(f"{after:,} {name}")
    return tuple(found)


def _run_text(run: Sequence[_Event]) -> str:
    """`(…) → (…) → (…)` for operations that feed each other, `;` between those that do not."""
    segments: list[str] = []
    before: tuple[TensorNote, ...] = ()
    for event in run:
        inputs = event.inputs
        arrow = f" → {_outputs(event)}"
        if inputs and [inputs[0].id] == [note.id for note in before]:
            rest = f", {_shapes(inputs[1:], event.voice)}" if len(inputs) > 1 else ""
            segments[-1] += rest + arrow
        else:
            segments.append((_shapes(inputs, event.voice) + arrow).lstrip())
        before = event.outputs
    return "; ".join(segments)


def _line_text(events: Sequence[_Event]) -> str:
    """A line that ran several times shows its first and its last run."""
    keys = [(event.place.span or event.place.expression, event.op) for event in events]
    counts = Counter(keys)
    most = max(counts.values())
    # In `[f(y) for y in x.split(2)]` the split runs once, f several times.
    once = [event for event, key in zip(events, keys, strict=True) if counts[key] == 1 < most]
    runs: list[list[_Event]] = [[]]
    seen: set[tuple[Span | str, str]] = set()
    for event, key in zip(events, keys, strict=True):
        if counts[key] == 1 < most:
            continue
        if key in seen:
            runs.append([])
            seen.clear()
        seen.add(key)
        runs[-1].append(event)
    texts = [_run_text(run) for run in runs]
    first = f"{_run_text(once)}; " if once else ""
    middle = f" … {texts[-1]}" if len(set(texts)) > 1 else ""
    times = f" ×{len(texts)}" if len(texts) > 1 else ""
    return f"{first}{texts[0]}{middle}{times}"


# --- blocks of source -------------------------------------------------------------------------


@dataclass(frozen=True)
class _Row:
    """One line of a block; `bold` is the stretch of `code` that failed."""

    code: str
    comment: str = ""
    quiet: bool = False
    bold: tuple[int, int] | None = None


@dataclass(frozen=True)
class _Block:
    """The rows of one function in one call, or of a container without source of its own."""

    modules: tuple[str, ...]
    function: str
    where: str
    rows: tuple[_Row, ...]
    times: int = 1


def _calls_shown(trace: Trace, module: str, depth: int | None) -> set[int]:
    """The calls of modules that are one of this name, the whole without one, or within it, and
    how deep."""
    depths: dict[int, int] = {}
    for call in trace.calls:
        if call.parent in depths:
            depths[call.index] = depths[call.parent] + 1
        elif call.module == module if module else call.parent is None:
            depths[call.index] = 0
    return {index for index, own in depths.items() if depth is None or own <= depth}


def _blocks(trace: Trace, voice: _Voice, shown: set[int], folded: bool) -> Iterator[_Block]:
    events = _events_by_call(trace, voice)
    for call in trace.calls:
        if call.index not in shown:
            continue
        own = sorted(events[call.index], key=lambda event: event.order)
        if call.parent is not None and all(_same_statement(event.place, call) for event in own):
            if own:
                yield _listing(call, own)
            continue
        grouped: dict[int | None, list[_Event]] = {}
        for event in own:
            grouped.setdefault(event.place.source, []).append(event)
        for source, found in sorted(grouped.items(), key=lambda item: _is_helper(trace, item[0])):
            if source is None or trace.sources[source].function in _CONTAINERS:
                yield _listing(call, found)
            else:
                yield _function(trace.sources[source], call, found, trace.failure, folded)


def _is_helper(trace: Trace, source: int | None) -> bool:
    """The forward was called first, though a function that it calls may have the first step."""
    return source is None or trace.sources[source].function.rpartition(".")[2] != "forward"


def _same_statement(place: Place, call: Call) -> bool:
    """Steps of a container have the place of the container's own call."""
    return (place.source, place.statement_span) == (call.place.source, call.place.statement_span)


def _events_by_call(trace: Trace, voice: _Voice) -> list[list[_Event]]:
    events: list[list[_Event]] = [[] for _ in trace.calls]
    failed = _failed_calls(trace)
    for step in trace.steps:
        events[step.call].append(_event(step, voice))
    for call in trace.calls:
        if call.parent is not None:
            stopped = _INSIDE if call.index in failed else ""
            events[call.parent].append(_call_event(call, stopped, voice))
    failure = trace.failure
    if failure is not None and failure.step is None and failure.place.source is not None:
        events[failed[0]].append(
            _Event(
                order=(len(trace.steps), 2),
                op="",
                module=failure.module,
                settings=(),
                place=failure.place,
                inputs=tuple(operand.note for operand in failure.operands),
                outputs=(),
                targets=(),
                note="",
                in_place=False,
                stopped=_clean(failure.type),
                voice=voice,
            )
        )
    return events


def _failed_calls(trace: Trace) -> list[int]:
    """The call that failed, then those that it was made in."""
    failure = trace.failure
    if failure is None:
        return []
    if failure.step is not None:
        fitting = [call for call in trace.calls if call.index == failure.step.call]
    else:
        fitting = [call for call in trace.calls if call.module == failure.module]
    call = fitting[-1] if fitting else trace.calls[0]
    chain = [call.index]
    while call.parent is not None:
        call = trace.calls[call.parent]
        chain.append(call.index)
    return chain


def _listing(call: Call, events: Sequence[_Event]) -> _Block:
    """One line per step, for what was run by code that has no text of its own."""
    rows = []
    for event in events:
        code = event.place.expression if event.place.source is None else ""
        rows.append(_Row(_clean(" ".join(code.split()) or _named(event, call)), _run_text([event])))
    return _Block((call.module,), call.type, "", tuple(rows))


def _named(event: _Event, call: Call) -> str:
    """`0: Conv2d(3, 8, …)`, as a module prints itself, in not too many columns."""
    inner = event.module.removeprefix(f"{call.module}." if call.module else "")
    settings = list(event.settings)
    text = ", ".join(settings)
    while len(text) > _SETTINGS and settings:
        settings.pop()
        text = ", ".join([*settings, "…"])
    return f"{inner}: {event.op.removeprefix('nn.')}({text})".removeprefix(": ")


def _function(
    source: Source,
    call: Call,
    events: Sequence[_Event],
    failure: Failure | None,
    folded: bool,
) -> _Block:
    raw = source.text.split("\n")
    indent = len(raw[0]) - len(raw[0].lstrip())
    comments = _comments(events, source.first, source.first + len(raw) - 1)
    notes = _filled_notes(source, events)
    folds = _folds(source, comments) if folded else {}
    stopped = any(event.stopped not in ("", _INSIDE) for event in events)
    failed = failure.place.span if failure is not None and stopped else None
    rows: list[_Row] = []
    behind = source.first  # the line after the last note
    for number, text in enumerate(raw, source.first):
        line = _outdented(text, indent)
        if number in notes:
            behind, note = notes[number]
            margin = line[: len(line) - len(line.lstrip())]
            rows += [_Row(_clean(f"{margin}# {x}".rstrip()), quiet=True) for x in note.split("\n")]
        if number < behind:
            continue
        if number in folds:
            behind, line = folds[number]
            line = _outdented(line, indent)
        code = _clean(line.rstrip("\r"))
        bold = _stretch(line, number, failed, indent) if code == line else None
        rows.append(_Row(code, comments.get(number, ""), line.lstrip().startswith("#"), bold))
    where = _file_line(source.file, source.first)
    return _Block((call.module,), source.function, where, tuple(rows))


def _folds(source: Source, comments: Container[int]) -> dict[int, tuple[int, str]]:
    """For the first line of a docstring, or of a signature over several lines: the line behind it,
    and what is shown in its place.  What has shapes is left as it is."""
    lines = source.text.split("\n")
    try:  # at any indentation
        tree = parsed("if 1:\n" + source.text if lines[0][:1].isspace() else source.text)
    except (SyntaxError, ValueError, RecursionError):
        return {}
    shift = source.first - (2 if lines[0][:1].isspace() else 1)
    found: dict[int, tuple[int, str]] = {}

    def fold(first: int, last: int, text: str) -> None:
        if last > first and not any(line + shift in comments for line in range(first, last + 1)):
            margin = lines[first + shift - source.first]
            margin = margin[: len(margin) - len(margin.lstrip())]
            found[first + shift] = last + shift + 1, margin + text

    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        first = node.body[0]
        names = [each.arg for each in (*node.args.posonlyargs, *node.args.args)]
        word = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
        shown = ", ".join([*names[:_NAMES], "…"])
        fold(node.lineno, first.lineno - 1, f"{word} {node.name}({shown}):")
        if ast.get_docstring(node, clean=True) and isinstance(first, ast.Expr):
            head = (ast.get_docstring(node, clean=True) or "").split("\n")[0]
            fold(first.lineno, first.end_lineno or first.lineno, f'"""{head} …"""')
    return found


def _commentable(text: str) -> set[int]:
    """The lines at whose end a comment is one: not within a text, nor behind a backslash."""
    ends = (tokenize.NEWLINE, tokenize.NL, tokenize.COMMENT)
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {token.start[0] for token in tokens if token.type in ends}


def _comments(events: Sequence[_Event], first: int, last: int) -> dict[int, str]:
    """The shapes for each line from `first` to `last`: they stand where an expression ends."""
    found: dict[int, list[_Event]] = {}
    for event in events:
        span = event.place.span
        line = span.end_line if span is not None else event.place.line
        found.setdefault(min(max(line, first), last), []).append(event)
    return {line: _line_text(group) for line, group in found.items()}


def _filled_notes(source: Source, events: Sequence[_Event]) -> dict[int, tuple[int, str]]:
    """For the first line of each note that names values of the run: the line behind the note, and
    its text with those values."""
    filled: dict[int, str] = {}
    for event in events:
        if event.place.statement_span is not None and event.note:
            filled.setdefault(event.place.statement_span.line, event.note)
    return {
        comment.first: (max(comment.first, comment.last) + 1, filled[comment.line])
        for comment in source.comments
        if filled.get(comment.line, comment.text) != comment.text
    }


def _outdented(line: str, indent: int) -> str:
    return line[indent:] if not line[:indent].strip() else line


def _stretch(line: str, number: int, span: Span | None, indent: int) -> tuple[int, int] | None:
    """The part of the outdented line that is inside `span`."""
    if span is None or not span.line <= number <= span.end_line:
        return None
    start = span.column - indent if number == span.line else len(line) - len(line.lstrip())
    stop = span.end_column - indent if number == span.end_line else len(line)
    return (start, stop) if 0 <= start < stop <= len(line) else None


def _merged(blocks: Iterable[_Block]) -> list[_Block]:
    """Blocks that show the same are one, with the names of all modules that ran it."""
    found: dict[tuple[str, str, tuple[_Row, ...]], _Block] = {}
    for block in blocks:
        key = block.function, block.where, block.rows
        if key in found:
            old = found[key]
            names = dict.fromkeys((*old.modules, *block.modules))
            found[key] = dataclasses.replace(old, modules=tuple(names), times=old.times + 1)
        else:
            found[key] = block
    return list(found.values())


def _shown(block: _Block, color: bool, width: int) -> str:
    modules = [_clean(module) for module in block.modules if module]
    if len(modules) > 3:
        modules = [f"{modules[0]} … {modules[-1]}"]
    title = " · ".join(part for part in (", ".join(modules), _clean(block.function)) if part)
    title += f", {block.where}" if block.where else ""
    title += f" ×{block.times}" if block.times > 1 else ""
    lines = [f"── {title} {'─' * max(2, width - _columns(title) - 4)}"]
    column = _comment_column(block.rows, width)
    for row in block.rows:
        lines += _row_lines(row, column, color, width)
    return "\n".join(lines)


def _comment_column(rows: Sequence[_Row], width: int) -> int:
    """Where the comments of a block begin: where most of them can stand under each other."""
    sizes = [(_columns(row.code), _columns(row.comment)) for row in rows if row.comment]

    def aligned(column: int) -> int:
        return sum(code + 2 <= column and column + 2 + comment <= width for code, comment in sizes)

    columns = sorted({code + 2 for code, _ in sizes})
    return max(columns, key=aligned, default=0)


def _row_lines(row: _Row, column: int, color: bool, width: int) -> list[str]:
    dim, plain = (_DIM, _PLAIN) if color else ("", "")
    code = row.code
    if color and row.bold is not None:
        start, stop = row.bold
        code = f"{code[:start]}{_BOLD}{code[start:stop]}{_PLAIN}{code[stop:]}"
    elif row.quiet:
        code = f"{dim}{code}{plain}"
    if not row.comment:
        return [code]
    room = width - _columns(row.comment) - 2
    if _columns(row.code) + 2 <= room:
        gap = max(min(column, room), _columns(row.code) + 2) - _columns(row.code)
        return [f"{code}{' ' * gap}{dim}# {row.comment}{plain}".replace(_FIXED, " ")]
    margin = row.code[: len(row.code) - len(row.code.lstrip())]
    comment = _SHAPE.sub(lambda found: found[0].replace(" ", _FIXED), row.comment)
    comment = _NAMED.sub(_FIXED, comment)
    above = _wrapped(comment, max(width - len(margin) - 2, 20))
    return [*(f"{margin}{dim}# {text}{plain}" for text in above), code]


def _wrapped(text: str, width: int) -> list[str]:
    """Lines that break at the spaces and beside wide letters, and at the fixed spaces of what is
    itself too long."""
    words = [
        word if _columns(word) <= width else word.replace(_FIXED, " ") for word in text.split(" ")
    ]
    lines = [""]
    for piece in _PIECE.findall(" ".join(words)):
        if lines[-1] and _columns(lines[-1] + piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return [line.rstrip().replace(_FIXED, " ") for line in lines if line.strip()]


# --- failures ---------------------------------------------------------------------------------


def _statement(place: Place, color: bool) -> Iterator[str]:
    """The statement, its failing expression bold or, without colour, underlined."""
    text = place.statement or place.expression
    if not text:
        return
    whole, span = place.statement_span, place.span
    lines = text.split("\n")
    if whole is None or span is None:
        yield from (_clean(line) for line in lines)
        return
    margin = min((len(x) - len(x.lstrip()) for x in lines[1:] if x.strip()), default=0)
    for offset, line in enumerate(lines):
        # The first line of a statement comes without its indentation.
        indent = whole.column if offset == 0 else min(margin, whole.column)
        shown = line if offset == 0 else _outdented(line, indent)
        stretch = _stretch(shown, whole.line + offset, span, indent)
        clean = _clean(shown)
        if stretch is None or clean != shown:
            yield clean
        elif color:
            start, stop = stretch
            yield f"{shown[:start]}{_BOLD}{shown[start:stop]}{_PLAIN}{shown[stop:]}"
        else:
            yield shown
            start, stop = stretch
            under = " " * _columns(shown[:start]) + "^" * _columns(shown[start:stop])
            if span.line == span.end_line and under.strip() != "^" * _columns(shown):
                yield under


def _whereabouts(place: Place, module: str, translate: Translate) -> str:
    file, function, of = _file_line(place.file, place.line), _clean(place.function), _clean(module)
    where = [said("at {file}", file=file)] if place.file else []
    where += [said("in {function}", function=function)] if function else []
    where += [said("module {module}", module=of)] if of else []
    return translate(", ").join(render(each, translate) for each in where)


def _operand_lines(operands: Sequence[Operand], color: bool, translate: Translate) -> Iterator[str]:
    """One line for each operand, shapes under each other by their last dimensions; below it signs
    under the dimensions that are at odds, which are coloured too."""
    columns = _size_columns(operands)
    unnamed = render(said("(no name)"), translate)
    names = [_clean(operand.note.name) or unnamed for operand in operands]
    shapes = [_aligned(operand, columns, False) for operand in operands]
    cells = [
        [*pair, _clean(o.note.dtype)] for *pair, o in zip(names, shapes, operands, strict=True)
    ]
    widths = [max(map(_columns, column)) for column in zip(*cells, strict=True)]
    for operand, (name, shape, dtype) in zip(operands, cells, strict=True):
        gaps = [" " * (w - _columns(c)) for w, c in zip(widths, (name, shape, dtype), strict=True)]
        shown = _aligned(operand, columns, color)
        parts = (name + gaps[0], shown + gaps[1], dtype + gaps[2], _origin(operand, translate))
        yield "  ".join(parts).rstrip()
        signs = _signs(operand, columns)
        if signs:
            yield f"{' ' * (widths[0] + 2)}{_red(signs, color)}"


def _size_columns(operands: Sequence[Operand]) -> list[int]:
    """How wide each dimension is written, the last dimension first."""
    found: list[int] = []
    for operand in operands:
        for place, size in enumerate(reversed(operand.note.shape)):
            if place == len(found):
                found.append(0)
            found[place] = max(found[place], len(str(size)))
    return found


def _aligned(operand: Operand, columns: Sequence[int], color: bool) -> str:
    shape = operand.note.shape
    missing = columns[len(shape) :]
    sizes = []
    for dim, size in enumerate(shape):
        gap = " " * (columns[len(shape) - 1 - dim] - len(str(size)))
        sizes.append(gap + (_red(str(size), color) if dim in operand.marks else str(size)))
    comma = "," if len(shape) == 1 else ""
    margin = " " * (sum(missing) + 2 * len(missing)) if shape else ""
    return f"{margin}({', '.join(sizes)}{comma})"


def _signs(operand: Operand, columns: Sequence[int]) -> str:
    """Carets under the marked sizes of the aligned shape."""
    rank = len(operand.note.shape)
    text = " " * (sum(columns[rank:]) + 2 * len(columns[rank:]) + 1)
    for dim, size in enumerate(operand.note.shape):
        width, digits = columns[rank - 1 - dim], len(str(size))
        sign = "^" if dim in operand.marks else " "
        text += " " * (width - digits) + sign * digits + "  "
    return text.rstrip()


def _origin(operand: Operand, translate: Translate) -> str:
    formulas = operand.note.dims
    shape = f" = {_formulas(operand.note).replace(_FIXED, ' ')}" if formulas else ""
    made = _clean(" ".join(operand.expression.split()))
    if operand.line is not None and operand.file:
        place = _file_line(operand.file, operand.line)
        source = said("from {place}", place=place)
        if made:
            source = said("from {place}: {code}", place=place, code=made)
    else:
        source = _KINDS.get(operand.note.kind, as_written(operand.note.kind))
    return f"{_clean(render(source, translate))}{shape}"


_KINDS = {
    "constant": said("from outside the run"),
    "made": said("made inside torch"),
    "input": said("input"),
    "parameter": said("parameter"),
    "buffer": said("buffer"),
}


def _red(text: str, color: bool) -> str:
    return f"{_RED}{text}{_PLAIN}" if color and text else text


def _paragraph(head: str, text: str, width: int) -> list[str]:
    """A text behind its heading, wrapped, its lines under each other."""
    lines = _wrapped(_clean(" ".join(text.split())), max(width - 6, 20))
    return [f"{' ' * 6 if place else _heading(head)}{line}" for place, line in enumerate(lines)]


def _heading(head: str) -> str:
    """Six columns, in which a letter of Chinese takes two."""
    return head + " " * (6 - _columns(head))


def _root_lines(
    root: Root, why: str, color: bool, width: int, translate: Translate
) -> Iterator[str]:
    where = _whereabouts(root.place, root.module, translate) or _kind(root, translate)
    yield f"{_heading(render(said('Root:'), translate))}{where}"
    yield from (f"      {line}" for line in _statement(root.place, color))
    if why:
        yield from _paragraph("", why, width)


def _chain_lines(failure: Failure, color: bool, width: int, translate: Translate) -> Iterator[str]:
    """The way of the wrong size, a line for each place; nothing where all has been said."""
    told_of = (_place_of(failure.root), failure.place)
    new = [link for link in failure.chain if link.place not in told_of and link.kind != "input"]
    if not new:
        return
    for number, link in enumerate(failure.chain, 1):
        sign = _red("*", color) if link.place == _place_of(failure.root) else " "
        where = _file_line(link.file, link.line) if link.line > 0 else _kind(link, translate)
        told = link.told(translate)
        if link.place == _place_of(failure.root):
            told = render(said("The root, as said above."), translate)
        first, *rest = _wrapped(f"{where}: {_clean(told)}", max(width - 7, 20))
        yield f"  {sign} {number}. {first}"
        yield from (f"       {line}" for line in rest)


_ROOTS = {"input": said("input"), "call": said("call"), "constructor": said("constructor")}


def _kind(root: Root, translate: Translate) -> str:
    """What stands for a place that is written nowhere."""
    return _clean(render(_ROOTS.get(root.kind, as_written(root.kind)), translate))


def _place_of(root: Root | None) -> Place | None:
    return root.place if root is not None else None


def _history_lines(
    failure: Failure, color: bool, width: int, translate: Translate
) -> Iterator[str]:
    """Where each of the two sizes at odds comes from, and where they part."""
    for history in failure.histories:
        yield f"  {_clean(render(histories.heading(failure, history), translate))}:"
        for line in histories.lines(history):
            yield _history_line(line, color, width, translate)


def _history_line(line: histories.Line, color: bool, width: int, translate: Translate) -> str:
    times = f"{line.times} × " if line.times > 1 else ""
    made = f" = {line.made_of}" if line.made_of else ""
    if line.made_from:
        made = f" {render(said('from {size}', size=line.made_from), translate)}"
    text = f"{'  ' * (line.depth + 2)}{times}{line.value}{made}"
    code = _clean(line.code)
    room = max(width - 46, 24)
    code = code if len(code) <= room else f"{code[: room - 3]}..."
    where = _file_line(line.place.file, line.place.line) if line.place.line > 0 else ""
    mark = f"  {_red('<- ' + render(said('they part here'), translate), color)}"
    return f"{text:<24}  {code}  {where}{mark if line.apart else ''}".rstrip()


def _fix_lines(
    number: int, fix: Fix, known: Lines, color: bool, width: int, translate: Translate
) -> Iterator[str]:
    shapes = ", ".join(shape_text(shape) for shape in fix.output_shapes)
    summary, caveat = fix.told(translate)
    # What ran and did not pass every check says so in its note.
    told = said(
        "Fix {number}: {summary} (run with this change, gives {shapes})"
        if fix.verified and shapes
        else "Fix {number}: {summary} (run with this change)"
        if fix.verified
        else "Fix {number}: {summary}"
        if shapes
        else "Fix {number}: {summary} (not run)",
        number=number,
        summary=_clean(" ".join(summary.split())).rstrip(".。"),
        shapes=shapes,
    )
    head, *rest = _wrapped(render(told, translate), max(width - 6, 20))
    yield head
    yield from (f"      {line}" for line in rest)
    for place, old, new in _changes(fix, known, translate):
        yield f"    {place}"
        yield from (f"    {_red(f'- {line}', color)}".rstrip() for line in old)
        green, plain = (_GREEN, _PLAIN) if color else ("", "")
        yield from (f"    {green}+ {line}{plain}".rstrip() for line in new)
    if caveat:
        note = render(said("Note:"), translate)
        yield from (f"    {line}" for line in _paragraph(note, caveat, width - 4))


def _changes(
    fix: Fix, known: Lines, translate: Translate
) -> Iterator[tuple[str, list[str], list[str]]]:
    """For each stretch of lines that a fix edits: where it is, its lines, and the new ones."""
    for change in changes(fix, known):
        where = _file_line(change.file, change.line)
        if change.column is not None:
            column = change.column + 1
            where = render(said("{place}, column {column}", place=where, column=column), translate)
        old, new = change.old, change.new
        margin = min((len(x) - len(x.lstrip()) for x in (*old, *new) if x.strip()), default=0)
        yield where, [_clean(x[margin:]) for x in old], [_clean(x[margin:]) for x in new]

"""The player: its script and style, and what it is given to draw one trace."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from latex2mathml import exceptions
from latex2mathml.converter import convert_to_element

from tracer.document import Failure, Fix, Place, Story, Trace
from tracer.language import player_words, translator
from tracer.sentences import Translate, render, said
from tracer.views import colours, histories
from tracer.views.cells import cells
from tracer.views.changes import Explanation, explain
from tracer.views.diff import Change, changes, known_lines
from tracer.views.layout import layout
from tracer.views.player.join import join
from tracer.views.rounding import level
from tracer.views.rounds import rounds
from tracer.views.rules import rules

_HERE = Path(__file__).parent

_PAGE = "page.js"

MathNode = list[Any]
"""One MathML element: [tag, attributes, children]; a child is a MathNode or a text."""

# The same pattern as in markdown.js, so that both find the same formulas: code comes first, since a
# dollar inside it is no formula.
_FORMULA = re.compile(
    r"`[^`]{1,500}`|(?P<formula>\$\$(?:[^$]{1,500})\$\$|\$(?:[^$\n]|\n(?!\s*\n)){1,500}\$)"
)
_MOST_CHARACTERS = 100_000  # of all formulas of one trace: a file may hold any number of them
_DEEPEST = 40
_MOST_FIXES = 8  # as many as fixes.js shows

_TAGS = """math mrow mi mn mo ms mtext mspace msup msub msubsup munder mover munderover mfrac msqrt
    mroot mtable mtr mtd mstyle mpadded mphantom menclose mmultiscripts mprescripts"""
_ATTRIBUTES = """accent accentunder align columnalign columnlines columnspacing depth display
    displaystyle fence form frame height largeop linethickness lspace mathvariant maxsize minsize
    movablelimits notation rowalign rowlines rowspacing rspace scriptlevel separator stretchy
    symmetric voffset width"""
_CHILDREN = {
    "mfrac": 2,
    "mroot": 2,
    "msup": 2,
    "msub": 2,
    "mover": 2,
    "munder": 2,
    "msubsup": 3,
    "munderover": 3,
}
_VALUE = re.compile(
    r"[+-]?\d{0,2}(\.\d{1,6})?(em|ex|pt|px|mu|%)?|[a-z-]{1,30}( [a-z-]{1,30}){0,20}"
)

_UNREADABLE: tuple[type[Exception], ...] = (
    exceptions.NumeratorNotFoundError,
    exceptions.DenominatorNotFoundError,
    exceptions.ExtraLeftOrMissingRightError,
    exceptions.MissingSuperScriptOrSubscriptError,
    exceptions.DoubleSubscriptsError,
    exceptions.DoubleSuperscriptsError,
    exceptions.NoAvailableTokensError,
    exceptions.InvalidStyleForGenfracError,
    exceptions.MissingEndError,
    exceptions.InvalidAlignmentError,
    exceptions.InvalidWidthError,
    exceptions.LimitsMustFollowMathOperatorError,
    # What the library lets through on broken input.
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    StopIteration,
    TypeError,
    ValueError,
)


@cache
def script(page: str = "") -> str:
    """The player as the text of one module, which exports `mount`.

    `page` is the text of a module that imports from `"./player.js"`: the result is then that module
    with all that it needs, and its exports.

    Raises:
        JoinError: `page` imports what is not there, or declares a name that the player has.
    """
    if page:
        return join({**modules(), _PAGE: page}, _PAGE)
    return join(modules(), "player.js")


def modules() -> dict[str, str]:
    """The text of each of the player's modules, by file name."""
    files = {file.name: file.read_text(encoding="utf-8") for file in (_HERE / "js").glob("*.js")}
    return {**files, "colours.js": colours.script()}


@cache
def style() -> str:
    """The player's style sheet; all of it is under `.shapewalk`."""
    files = sorted(_HERE.glob("*.css"))
    return colours.style(".shapewalk") + "\n".join(f.read_text(encoding="utf-8") for f in files)


def payload(
    trace: Trace, dims: Mapping[str, str] | None = None, language: str = "en"
) -> dict[str, Any]:
    """All that `mount` in player.js needs, as plain JSON.

    It is the trace's own document with more keys: `explanations`, in parallel to the steps, and
    `math`, which maps each formula of a note, dollars included, to its MathML as nested lists
    `[tag, attributes, children]`.  A formula that cannot be read is left out and shown as written.
    `said` is `explanations` in formulas, where the trace has them.  `diffs`, in parallel to the
    first fixes of a failure, are the lines that each changes.  A failure's violation is put into
    words: `rule` and `reason`, with its `code`; so are its root: `why`, and its fixes: `summary`
    and `caveat`; its `chain` and `histories` are links and lines in words, and a warning's
    `reason` is a text, with its `name`, as are a constraint's `words` and the `remarks`.  The
    trace's `story` is in words, and `rounds` are the loops that are folded in a run with chapters:
    without these it is somebody's own, and every step of it is looked for.  A heatmap is `level`
    where it has nothing to show but rounding.  `graph` is the run's graph as it is laid out
    (`tracer.views.layout`), null if it is too large; `rules`, in parallel to the steps, are what a
    prediction is judged by (`tracer.views.rules`), `cells` which cells of the operands belong to
    which of the results (`tracer.views.cells`).

    `language` is what all this is told in, and `words` what the player itself says in it, by the
    English text.

    `dims` names the inputs' dimensions, as `{"x": "B C H W"}`.

    Raises:
        ValueError: the language is none of `tracer.language.LANGUAGES`.
    """
    translate = translator(language)
    body: dict[str, Any] = json.loads(trace.to_json())
    body |= {"language": language, "words": player_words(language)}
    body["explanations"] = [_plain(item) for item in explain(trace, dims, translate=translate)]
    if trace.symbols:
        body["said"] = [
            _plain(item) for item in explain(trace, dims, symbols=True, translate=translate)
        ]
    body["math"] = _formulas(trace)
    body["graph"] = layout(trace)
    body["rules"] = rules(trace)
    body["cells"] = cells(trace)
    _mark_level(body, trace)
    _tell_of_the_run(body["trace"], trace, translate)
    body["rounds"] = [dataclasses.asdict(each) for each in rounds(trace)] if trace.chapters else []
    if trace.story is not None:
        body["trace"]["story"] = _story(trace.story, translate)
    if trace.failure is not None:
        _tell_of_the_failure(body["trace"]["failure"], trace.failure, translate)
    if trace.failure is not None and trace.failure.fixes:
        body["diffs"] = _diffs(trace, trace.failure.fixes)
    return body


def _tell_of_the_failure(packed: dict[str, Any], failure: Failure, translate: Translate) -> None:
    """The rule, the root and the fixes in words."""
    del packed["violation"]
    rule, reason = failure.told(translate)
    code = failure.violation.code if failure.violation is not None else ""
    packed |= {"code": code, "rule": rule, "reason": reason}
    if failure.root is not None:
        root = packed["root"]
        del root["because"], root["tensors"]
        root["why"] = failure.root.told(translate)
    packed |= _told(failure, translate)
    for told, fix in zip(packed["fixes"], failure.fixes, strict=True):
        del told["says"], told["notes"]
        told["summary"], told["caveat"] = fix.told(translate)


def _tell_of_the_run(packed: dict[str, Any], trace: Trace, translate: Translate) -> None:
    """Warnings, demands and remarks in words."""
    for each, warning in zip(packed["warnings"], trace.warnings, strict=True):
        del each["because"]
        name = _SUSPICIONS.get(warning.kind, said("Suspicious"))
        each |= {"name": render(name, translate), "reason": warning.told(translate)}
    for each, constraint in zip(packed["constraints"], trace.constraints, strict=True):
        del each["says"]
        each["words"] = render(constraint.says, translate)
    packed["remarks"] = [render(remark, translate) for remark in trace.remarks]


_SUSPICIONS = {
    "broadcast": said("A broadcast that may not be meant"),
    "squeeze": said("A squeeze that can take the batch away"),
    "batch": said("A batch size written into the code"),
    "view": said("Sizes that agree by chance"),
    "batchnorm": said("Statistics of too little"),
}
_CAUSE = said("The cause")
_ROOTS = {
    "step": said("Where it begins"),
    "constructor": said("Where it begins: in the constructor"),
    "call": said("Where it begins: in the caller"),
    "input": said("Where it begins: with the input"),
}


def _mark_level(body: dict[str, Any], trace: Trace) -> None:
    nothing_to_show = level(trace)
    for note in body["tensors"]:
        if note["heatmap"] is not None:
            note["heatmap"]["level"] = note["id"] in nothing_to_show


def _story(story: Story, translate: Translate) -> dict[str, Any]:
    leads = [dataclasses.asdict(lead) for lead in story.leads]
    seen = [render(each, translate) for each in story.seen]
    return {**dataclasses.asdict(story), "seen": seen, "leads": leads}


def _told(failure: Failure, translate: Translate) -> dict[str, Any]:
    """The chain and the histories in words: each link with its `why`, each history as lines."""
    kept = [(link, link.told(translate)) for link in failure.chain]
    return {
        "chain": [
            {**_fields(link.place), "kind": link.kind, "module": link.module, "step": link.step}
            | {"why": why, "root": failure.root is not None and link.place == failure.root.place}
            for link, why in kept
        ],
        "histories": [
            {
                "of": render(histories.heading(failure, each), translate),
                "lines": [
                    {**_fields(line.place), "step": line.step, "module": line.module}
                    | {"depth": line.depth, "value": line.value, "made_of": line.made_of}
                    | {"made_from": line.made_from}
                    | {"code": line.code, "times": line.times, "apart": line.apart}
                    for line in histories.lines(each)
                ],
            }
            for each in failure.histories
        ],
        "headings": {
            "chain": render(said("The way of the wrong size"), translate),
            "histories": render(said("Where the two sizes come from"), translate),
            "parting": render(said("they part here"), translate),
            "root": render(_ROOTS.get(failure.root.kind, _CAUSE), translate)
            if failure.root is not None
            else "",
            "why": render(said("Why the run failed"), translate),
            "more": render(said("More on this rule:"), translate),
        },
    }


def _fields(place: Place) -> dict[str, Any]:
    return {"place": dataclasses.asdict(place)}


def _diffs(trace: Trace, fixes: Sequence[Fix]) -> list[list[dict[str, Any]]]:
    known = known_lines(trace.failure, trace.sources)
    return [[_lines(change) for change in changes(fix, known)] for fix in fixes[:_MOST_FIXES]]


def _lines(change: Change) -> dict[str, Any]:
    return {**vars(change), "old": list(change.old), "new": list(change.new)}


def _plain(item: Explanation) -> dict[str, Any]:
    return {
        "summary": item.summary,
        "changes": list(item.changes),
        "inputs": [list(labels) for labels in item.inputs],
        "outputs": [list(labels) for labels in item.outputs],
        "children": [_plain(child) for child in item.children],
    }


def _formulas(trace: Trace) -> dict[str, MathNode]:
    found: dict[str, MathNode | None] = {}
    left = _MOST_CHARACTERS
    for note in dict.fromkeys(_notes(trace)):
        for match in _FORMULA.finditer(note):
            formula = match["formula"]
            if formula and formula not in found and len(formula) <= left:
                left -= len(formula)
                found[formula] = mathml(formula)
    return {formula: node for formula, node in found.items() if node is not None}


def _notes(trace: Trace) -> Iterator[str]:
    for step in trace.walk():
        yield step.note
    for call in trace.calls:
        yield call.note
    for source in trace.sources:
        for comment in source.comments:
            yield comment.text
    if trace.story is not None:
        yield from (trace.story.about, trace.story.place, trace.story.look)


def mathml(formula: str) -> MathNode | None:
    """`$x$` or `$$x$$` as MathML, None where it cannot be read; only known tags and attributes."""
    is_block = formula.startswith("$$")
    # Alike for who reads them; the converter knows one of the two.
    latex = formula.strip("$").strip().replace("{aligned}", "{align*}")
    if not latex:
        return None
    try:
        tree = convert_to_element(latex, display="block" if is_block else "inline")
        return _node(tree, 0)
    except _UNREADABLE:
        return None


def _node(element: Element, depth: int) -> MathNode:
    tag = element.tag.rpartition("}")[2]
    if tag not in _TAGS.split() or depth > _DEEPEST:
        raise ValueError(f"MathML {tag} at depth {depth}")
    attributes = {
        name: value
        for name, value in element.attrib.items()
        if name in _ATTRIBUTES.split() and _VALUE.fullmatch(value)
    }
    children: list[Any] = []
    if element.text:
        children.append(unescape(element.text))
    for child in element:
        node = _node(child, depth + 1)
        before = children[-1] if children else None
        if isinstance(before, list) and _is_upright(before) and _is_upright(node):
            # \mathrm{softmax} comes letter by letter: one identifier is set, and read, as a word.
            before[2] = ["".join((*before[2], *node[2]))]
        else:
            children.append(node)
    if len(element) != _CHILDREN.get(tag, len(element)):
        raise ValueError(f"MathML {tag} with {len(element)} children")
    if any(isinstance(child, str) and child.startswith("\\") for child in children):
        raise ValueError(f"unknown command {children}")
    return [tag, attributes, children]


def _is_upright(node: MathNode) -> bool:
    tag, attributes, children = node
    return (
        tag == "mi"
        and attributes == {"mathvariant": "normal"}
        and all(isinstance(child, str) for child in children)
    )

"""`shapewalk mcp`: tools over the Model Context Protocol, with which an agent asks for shapes,
for what a run demands of its sizes, and for why a model fails.

The code of a target is read here and run apart (`tracer.worker`): what it prints, and how it ends,
does not reach the protocol.  Nothing is written.  https://modelcontextprotocol.io
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations

import tracer
from shapewalk.apart import run
from shapewalk.checking import CheckedFix, check
from tracer.document import Place, TensorNote
from tracer.ops.names import shape_text
from tracer.views import answer

LARGEST_ANSWER = 4_000
"""Bytes of one answer as JSON."""

INSTRUCTIONS = """\
Shapes of PyTorch models, from real runs.

When code raises an error about shapes, sizes or dtypes of tensors, call explain_failure before you
edit: it names the failing expression, its operands, the rule that is broken, where the wrong size
was born, and changes that were run and work. Before you say that a change of your own mends it,
call check_fix with the change as a diff: it is run and proven in memory. Before you write code that
depends on a shape, call shapes. To learn which sizes a model takes, call demands.

A target is FILE.py:NAME (an nn.Module class, an instance, or a function that returns one), FILE.py
(a script), or the name of an installed class such as torch.nn.MultiheadAttention. Paths are
relative to the folder in which this server was started. Inputs are texts such as "2,3,224,224",
"ids=2,10:int64<1000" or "B,C,H,W" with sizes; those that are left out are found by trying.
"""


# --- what is answered ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Fix:
    """A change. `verified`: it was run with these inputs and with others, and held. `caveat` is
    what to know before taking it. `inputs` is not empty where the call changes and not the code."""

    summary: str
    verified: bool
    caveat: str
    diff: str
    inputs: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Explanation:
    """Why a target fails. `ran`: it does not. `problem` is set where there was no run at all."""

    ran: bool
    problem: str = ""
    outputs: list[str] = field(default_factory=list)
    code: str = ""
    error: str = ""
    place: str = ""
    expression: str = ""
    module: str = ""
    rule: str = ""
    reason: str = ""
    operands: list[str] = field(default_factory=list)
    root: str = ""
    path: list[str] = field(default_factory=list)
    fixes: list[Fix] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    left_out: int = 0


@dataclass(frozen=True)
class Shapes:
    """The steps of a run, `place  expression  shapes`, a page of them; the last may be the one
    that failed."""

    problem: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    page: int = 1
    pages: int = 1
    failed: bool = False


@dataclass(frozen=True)
class Demands:
    """What the run demands of its sizes: formula, sentence and place. `symbols` are the sizes of
    this run."""

    problem: str = ""
    symbols: dict[str, int] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    demands: list[str] = field(default_factory=list)
    left_out: int = 0


# --- tools --------------------------------------------------------------------------------------


def server() -> MCPServer:
    """The server with its tools; they only read."""
    made = MCPServer("shapewalk", instructions=INSTRUCTIONS, version=tracer.__version__)
    reads = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
    for tool in (explain_failure, shapes, check_fix, demands):
        made.add_tool(tool, annotations=reads)
    return made


def explain_failure(
    target: str,
    inputs: list[str] | None = None,
    arguments: dict[str, str] | None = None,
    sizes: dict[str, int] | None = None,
    train: bool = False,
) -> Explanation:
    """Why a PyTorch module or script fails on these inputs: the failing expression, its operands
    with their shapes, the broken rule, where the wrong size was born, and diffs that were run.
    `arguments` are those of the constructor, as Python text."""
    found, problem = run(target, inputs, arguments, sizes, train, formulas=False)
    if found is None:
        return Explanation(False, problem)
    told = answer.answer(found)
    outputs = [_tensor(each) for each in told["outputs"]]
    warnings = [f"{_at(each)}: {each['reason']} [{each['code']}]" for each in told["warnings"]]
    failure = told["failure"]
    if failure is None:
        return _fitting(Explanation(True, problem, outputs, warnings=warnings), ("warnings",))
    root = failure["root"]
    return _fitting(
        Explanation(
            ran=False,
            problem=problem,
            code=failure["code"],
            error=_short(f"{failure['type']}: {failure['message']}", 400),
            place=_at(failure),
            expression=_short(failure["expression"], 300),
            module=failure["module"],
            rule=failure["rule"],
            reason=failure["reason"],
            operands=[
                f"{each['expression'] or each['name']} {shape_text(each['shape'])} {each['dtype']}"
                for each in failure["operands"]
            ],
            root=f"{_at(root)}: {root['why']}" if root is not None else "",
            path=[f"{_at(each)}: {each['why']}" for each in failure["chain"]],
            fixes=[
                Fix(
                    each["summary"],
                    each["verified"],
                    each["caveat"],
                    each["diff"] or "",
                    each["inputs"],
                )
                for each in failure["fixes"]
            ],
        ),
        ("fixes", "path", "operands"),
    )


def shapes(
    target: str,
    inputs: list[str] | None = None,
    arguments: dict[str, str] | None = None,
    sizes: dict[str, int] | None = None,
    symbols: bool = False,
    module: str = "",
    page: int = 1,
) -> Shapes:
    """The shape of every intermediate tensor of a run, line by line, in pages. `symbols` gives
    formulas of the inputs' sizes (inputs with letters, such as "B,C,H,W"); `module` keeps to what
    ran inside the module of this path, such as layers.0."""
    found, problem = run(target, inputs, arguments, sizes, False, formulas=symbols)
    if found is None:
        return Shapes(problem)
    steps = [
        f"{_where(step.place)}  {_short(step.expression, 160)}  {_shapes(step.outputs, symbols)}"
        for step in found.steps
        if not module or f"{step.module}.".startswith(f"{module}.")
    ]
    if module and not steps:
        known = dict.fromkeys(step.module.split(".")[0] for step in found.steps if step.module)
        return Shapes(f"No step ran in {module}; there is {', '.join(known) or 'no module'}.")
    if found.failure is not None:
        failure = found.failure
        steps.append(f"{_where(failure.place)}  {_short(failure.expression, 160)}  failed")
    pages = list(_pages(steps, LARGEST_ANSWER - 1_200))
    page = min(max(page, 1), len(pages))
    return Shapes(
        problem=problem,
        inputs=[_short(f"{each.name} {_shapes([each], symbols)}", 80) for each in found.inputs][:6],
        outputs=[_short(_shapes([each], symbols), 80) for each in found.outputs][:6],
        steps=pages[page - 1],
        page=page,
        pages=len(pages),
        failed=found.failure is not None,
    )


def check_fix(
    target: str,
    diff: str,
    inputs: list[str] | None = None,
    arguments: dict[str, str] | None = None,
    sizes: dict[str, int] | None = None,
    train: bool = False,
) -> CheckedFix:
    """Whether a change mends a target that fails: the unified diff is made in memory, run on the
    same inputs, and proven with other batches and sizes, single samples and gradients, as the fixes
    of explain_failure are. Nothing is written. Call it before you take a change of your own."""
    found = check(target, diff, inputs, arguments, sizes, train)
    return _fitting(found, ("not_checked", "passed", "failed", "outputs"))


def demands(
    target: str,
    inputs: list[str] | None = None,
    arguments: dict[str, str] | None = None,
    sizes: dict[str, int] | None = None,
) -> Demands:
    """What a model demands of the sizes of its inputs (such as "H is a multiple of 32"), each
    found by runs, with the step that demands it."""
    found, problem = run(target, inputs, arguments, sizes, False, formulas=True)
    if found is None:
        return Demands(problem)
    if found.failure is not None:
        return Demands("It fails with these sizes: explain_failure says why.")
    told = []
    for each in found.constraints:
        where = f" ({_where(found.steps[each.step].place)})" if each.step is not None else ""
        told.append(f"{each.formula.text}: {each.words}{where}")
    return _fitting(
        Demands(
            problem=problem,
            symbols={each.name: each.value for each in found.symbols},
            outputs=[_shapes([each], True) for each in found.outputs][:6],
            demands=told,
        ),
        ("demands",),
    )


# --- words --------------------------------------------------------------------------------------


def _tensor(note: dict[str, Any]) -> str:
    return f"{note['name']} {shape_text(note['shape'])} {note['dtype']}"


def _shapes(notes: Sequence[TensorNote], symbols: bool) -> str:
    return ", ".join(answer.sizes(note) if symbols else shape_text(note.shape) for note in notes)


def _where(place: Place) -> str:
    """`file:line:column`; a file of an installed package as seen from where packages are."""
    return answer.at(place).rpartition("site-packages/")[2]


def _at(place: dict[str, Any]) -> str:
    column = f":{place['column']}" if place["column"] is not None else ""
    return f"{answer.shown_path(place['file'])}:{place['line']}{column}" if place["file"] else ""


def _short(text: str, most: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


Told = TypeVar("Told", Explanation, Demands, CheckedFix)


def _size(value: Any) -> int:
    return len(json.dumps(value, default=vars).encode())


def _fitting(told: Told, names: Sequence[str]) -> Told:
    """The answer within its limit: the last entries of these lists go first, in this order."""
    left_out = 0
    for name in names:
        while _size(told) > LARGEST_ANSWER and len(getattr(told, name)) > 1:
            changed: dict[str, Any] = {name: getattr(told, name)[:-1], "left_out": left_out + 1}
            told = replace(told, **changed)
            left_out += 1
    return told


def _pages(lines: Sequence[str], most: int) -> Iterator[list[str]]:
    page: list[str] = []
    size = 0
    for line in lines:
        length = _size(line) + 2
        if page and size + length > most:
            yield page
            page, size = [], 0
        page.append(line)
        size += length
    yield page

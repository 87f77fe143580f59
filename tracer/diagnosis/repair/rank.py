"""How likely a repair is to be the author's: a weighted sum of features, the weights fitted by
`benchmarks/fit_repairs.py` and kept in `weights.json`."""

from __future__ import annotations

import ast
import functools
import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tracer.diagnosis.repair.bench import Run
from tracer.diagnosis.repair.calls import parameters
from tracer.diagnosis.repair.draft import Draft, tokens
from tracer.diagnosis.repair.names import unlike
from tracer.diagnosis.repair.proof import Proof
from tracer.diagnosis.repair.world import World, walk
from tracer.document import Span

WEIGHTS = Path(__file__).with_name("weights.json")

Features = Mapping[str, float]


@functools.cache
def weights() -> dict[str, dict[str, float]]:
    """`before`: of what is known before a repair has run; `after`: of all that is known; `claim`:
    what score a repair has to have, and by what margin, to be the answer."""
    found: dict[str, dict[str, float]] = json.loads(WEIGHTS.read_text(encoding="utf-8"))
    return found


def margin() -> float:
    return weights()["claim"]["margin"]


def is_likely(value: float) -> bool:
    """Whether repairs of this score are nearly always right where no other comes near."""
    return value >= weights()["claim"]["least"]


def score(features: Features, table: str) -> float:
    known = weights()[table]
    return sum(known.get(name, 0.0) * value for name, value in features.items())


def before(world: World, draft: Draft) -> dict[str, float]:
    """What can be said of an edit that has not run."""
    spot = draft.spot
    old, new = Counter(tokens(draft.old)), Counter(tokens(draft.new))
    added, removed = list((new - old).elements()), list((old - new).elements())
    lines, unread = draft.lines, _unread(_function(draft))
    found: dict[str, float] = {
        f"kind {draft.kind}": 1.0,
        f"role {spot.role}": 1.0,
        "distance": min(spot.distance, 12.0) / 4,
        "near": 1.0 / (1.0 + spot.distance),
        "added": math.log1p(len(added)),
        "removed": math.log1p(len(removed)),
        "literals": float(sum(part.isdigit() and part not in ("0", "1") for part in added)),
        "literal for a name": float(draft.new.strip().isdigit() and not _DIGIT.search(draft.old)),
        "names": float(sum(part.isidentifier() for part in added)),
        "reckons": float(len(_ARITHMETIC.findall(draft.new)) > len(_ARITHMETIC.findall(draft.old))),
        "of the batch": float(bool(_BATCH.search(draft.new)) - bool(_BATCH.search(draft.old))),
        "order lost": float(_loses_order(draft.new) and not _loses_order(draft.old)),
        "places": float(len(draft.edits) - 1),
        "constructs": float(draft.rebuilds),
        "fits": float(draft.fits is True),
        "unused": float(any(name in unread for name in added)),
        "unused layer": float(_unused_layer(world, draft)),
        "becomes one": float(draft.number == 1),
        "called alike": _called_alike(draft),
        "called alike in its place": _named_in_its_place(world, draft),
        "size of an input": float(_writes_a_size(world, draft)),
        "by a factor": float("interpolate(" in draft.new and _is_a_factor(world)),
        "as beside": float(_as_beside(draft)),
        "drops what failed": float(_drops_what_failed(world, draft)),
        "of the first alone": float(
            bool(_FIRST.search(draft.new)) - bool(_FIRST.search(draft.old))
        ),
        "noted": float(len(draft.notes)),
        "solved": float(draft.kind.removesuffix("_all").endswith("solved")),
        "cut at a number": float(bool(_SLICED.search(draft.new)) > bool(_SLICED.search(draft.old))),
        "names alike": _names_alike(draft),
        "wrong input": float(any(name in world.wrong_inputs for name in draft.inputs_named)),
    }
    family = _family(draft.kind)
    if family:
        found[f"{family} at {spot.role}"] = 1.0
        found[f"{family} of {world.finding.kind}"] = 1.0
        found[f"family {family}"] = 1.0
    for name, places in world.pointed.items():
        found[name] = float(bool(lines & places))
    if draft.recipe is not None:
        found["recipe"] = 1.0
        found["recipe rank"] = min(draft.recipe, 80) / 20
        found[f"recipe {_soundness(draft.recipe)}"] = 1.0
        found[f"knows {draft.source}"] = 1.0
        found["held for less sound"] = min(draft.place, 4) / 2
    return {name: value for name, value in found.items() if value}


def after(
    world: World, parts: tuple[Draft, ...], run: Run, proof: Proof | None
) -> dict[str, float]:
    """What can be said of a repair that ran."""
    found: dict[str, float] = {"expected": 0.0}
    for part in parts:
        known = before(world, part)
        found["expected"] += score(known, "before")
        for name, value in known.items():
            found[name] = found.get(name, 0.0) + value
    found["parts"] = float(len(parts) - 1)
    found["parts alike"] = float(len(parts) > 1 and len({part.kind for part in parts}) == 1)
    found["kept"] = float(run.kept)
    found["stretches"] = float(min(proof.stretched, 4)) if proof is not None else 0.0
    found["idle"] = float(proof is not None and proof.idle)
    for check in proof.checks if proof is not None else ():
        if check.passed is not None:
            found[f"{check.name} {'passed' if check.passed else 'failed'}"] = 1.0
        if check.share is not None:
            found[f"{check.name} held"] = check.share
    return found


_ARITHMETIC = re.compile(r"[\w)\]] (?:[-+*%]|//|\*\*) [\w(]")
_FIRST = re.compile(r"\.(?:mean|sum)\(0\b|\[(?:0|-1)\]$")
_DIGIT = re.compile(r"\d")
_SLICED = re.compile(r"\[(?:[^\[\]]*, )?:?-?(?:[2-9]|\d{2,}):?[^\[\]]*\]")
_OWN = re.compile(r"\bself\.(\w+)")
_BATCH = re.compile(r"\.shape\[0\]|\.size\(0\)")


def _loses_order(new: str) -> bool:
    """Whether dimensions change places that others lie between: of a picture whose channels come
    last, height and width too."""
    for one, other in re.findall(r"\.transpose\((-?\d), (-?\d)\)", new):
        if (int(one) < 0) == (int(other) < 0) and abs(int(one) - int(other)) > 1:
            return True
    return False


def _soundness(recipe: int) -> str:
    """What the rank of a `Candidate` stands for."""
    limits = ((6, "asked for"), (10, "sound"), (30, "usual"), (60, "another"))
    return next((name for limit, name in limits if recipe < limit), "doubtful")


# --- where it is ----------------------------------------------------------------------------------


def _function(draft: Draft) -> ast.AST | None:
    found: ast.AST | None = draft.spot.text.function(draft.spot.node)
    return found


@functools.lru_cache(maxsize=200)
def _unread(function: ast.AST | None) -> frozenset[str]:
    """Local names that are given a value and never read."""
    if function is None:
        return frozenset()
    names = [node for node in walk(function) if isinstance(node, ast.Name)]
    read = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    given = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    given |= {node.arg for node in walk(function) if isinstance(node, ast.arg)}
    return frozenset(given - read)


def _unused_layer(world: World, draft: Draft) -> bool:
    """Whether it uses an attribute of the module that no text has read so far."""
    own = set(_OWN.findall(draft.new)) - set(_OWN.findall(draft.old))
    return any(name not in world.read for name in own)


_FAMILIES = {
    "counts": "carried count_step rounded_up first_alone number operand operator squared named",
    "exchanges": "name swap_arguments swap_items turn_items thrown_away use passed_on by_name "
    "picked",
    "turns": "turn axis_around dim join_dim regroup reverse turn_around twin",
    "shapes": "sizes_given of_all flatten unflatten add_axis add_axes drop_axis squeeze keepdim",
    "reduces": "mean mean_kept sum argmax",
    "discards": "cut cut_last cut_one strided crop select fewer drop_item slice no_slice drop_call "
    "drop_statement",
    "repeats": "directions repeat expand expand_batch spread_index",
    "fills": "ragged insert_pool pad pad_crop pad_entry resize resize_linear sized",
    "settings": "flag option function",
    "order": "swap_statements",
}
_FAMILY = {kind: family for family, kinds in _FAMILIES.items() for kind in kinds.split()}


def _family(kind: str) -> str:
    """What several kinds of edits have in common."""
    plain = (
        kind.removesuffix("_all")
        .removesuffix("_beside")
        .removesuffix("_kept")
        .removeprefix("entry_")
        .removeprefix("input_")
    )
    known = _FAMILY.get(plain)
    return known if known is not None else _FAMILY.get(plain.partition("_")[0], "")


def _writes_a_size(world: World, draft: Draft) -> bool:
    """Whether it writes a number that is a size of the inputs."""
    sizes = {str(int(s)) for tensor in world.given for s in tensor.shape if s > 4}
    return bool(sizes & (set(tokens(draft.new)) - set(tokens(draft.old))))


def _names_alike(draft: Draft) -> float:
    """How much of two names is common at one end, where one stands in the other's place."""
    old, new = (text.rpartition(".")[2] for text in (draft.old.strip(), draft.new.strip()))
    if not (old.isidentifier() and new.isidentifier()):
        return 0.0
    return 1 - unlike(old, new) / max(len(old), len(new))


def _is_a_factor(world: World) -> bool:
    """Whether one of the sizes at odds is a multiple of the other: by a stride, or an order."""
    sizes = sorted({mark.size for mark in world.finding.marks})
    return len(sizes) == 2 and sizes[0] > 1 and sizes[1] % sizes[0] == 0


def _as_beside(draft: Draft) -> bool:
    """Whether the class has what is added in another place too: what one branch gets, another may
    need."""
    added = _added(draft.old, draft.new).strip(" ,()")
    if len(added) < 6 or added.isdigit():
        return False
    text, node = draft.spot.text, draft.spot.node
    around = text.around(node, ast.ClassDef) or text.function(node)
    return around is not None and added in text.of(around)


def _added(old: str, new: str) -> str:
    """What stands in the new text between the common beginning and the common end."""
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    return new[start : len(new) - end]


def _drops_what_failed(world: World, draft: Draft) -> bool:
    """Whether what failed is no longer run: its rule is avoided, and not kept."""
    if not world.frames or not draft.edits:
        return False
    # Of one tensor a call may be what was too much: `.mean(2)`.
    outer = world.frames if len(world.failure.operands) > 1 else world.frames[1:]
    for text, node, _ in outer:
        called_ = text.of(node.func) if isinstance(node, ast.Call) else text.of(node)
        for edit in draft.edits:
            if edit.file == text.file and _covers(edit.span, text.span(node)):
                return called_ not in edit.replacement
    return False


def _covers(outer: Span, inner: Span) -> bool:
    begins = (outer.line, outer.column) <= (inner.line, inner.column)
    return begins and (outer.end_line, outer.end_column) >= (inner.end_line, inner.end_column)


def _called_alike(draft: Draft) -> float:
    """By how much better than before the names that it writes agree with what they are given for:
    `embed_dim=dim` for `embed_dim=heads`."""
    spot = draft.spot
    above = spot.text.parents.get(spot.node)
    if isinstance(above, ast.keyword):
        wanted = above.arg or ""
    elif isinstance(above, ast.Assign) and len(above.targets) == 1:
        wanted = spot.text.of(above.targets[0])
    elif isinstance(above, ast.arguments):
        wanted = _argument_of(above, spot.node)
    else:
        return 0.0
    words = _words(wanted)
    return float(len(words & _words(draft.new)) - len(words & _words(draft.old)))


def _named_in_its_place(world: World, draft: Draft) -> float:
    """The same of what is given by its place, one of the names abbreviated perhaps."""
    spot = draft.spot
    above = spot.text.parents.get(spot.node)
    if not isinstance(above, ast.Call) or spot.node not in above.args:
        return 0.0
    names = parameters(world, spot, above)
    place = above.args.index(spot.node)
    words = _words(names[place]) if place < len(names) else set()
    return float(_alike(words, _words(draft.new)) - _alike(words, _words(draft.old)))


def _alike(wanted: set[str], given: set[str]) -> int:
    """How many words are in both, one of them abbreviated perhaps."""
    return sum(any(one == other or _abbreviates(one, other) for other in given) for one in wanted)


def _abbreviates(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=len)
    return len(short) > 2 and long.startswith(short)


def _argument_of(arguments: ast.arguments, default: ast.AST) -> str:
    """The argument that has this default."""
    plain = [*arguments.posonlyargs, *arguments.args]
    pairs = [
        *zip(reversed(plain), reversed(arguments.defaults), strict=False),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    return next((argument.arg for argument, value in pairs if value is default), "")


def _words(text: str) -> set[str]:
    """The parts of the names in a text: `n_heads` has `n` and `heads`."""
    names = re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", text))
    return {name.lower().rstrip("s") for name in names} - {"self", "config", "cfg", "args"}

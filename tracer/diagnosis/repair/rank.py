"""How likely a repair is to be the author's: a weighted sum of features, the weights fitted by
`benchmarks/fit_repairs.py` and kept in `weights.json`."""

from __future__ import annotations

import functools
import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tracer.diagnosis.repair.bench import Run
from tracer.diagnosis.repair.draft import Draft, tokens
from tracer.diagnosis.repair.proof import Proof
from tracer.diagnosis.repair.world import World

WEIGHTS = Path(__file__).with_name("weights.json")

Features = Mapping[str, float]


@functools.cache
def weights() -> dict[str, dict[str, float]]:
    """`before`: of what is known before a repair has run; `after`: of all that is known."""
    found: dict[str, dict[str, float]] = json.loads(WEIGHTS.read_text(encoding="utf-8"))
    return found


def score(features: Features, table: str) -> float:
    known = weights()[table]
    return sum(known.get(name, 0.0) * value for name, value in features.items())


def before(world: World, draft: Draft) -> dict[str, float]:
    """What can be said of an edit that has not run."""
    spot = draft.spot
    old, new = Counter(tokens(draft.old)), Counter(tokens(draft.new))
    added, removed = list((new - old).elements()), list((old - new).elements())
    root = world.failure.root
    lines = {edit.span.line for edit in draft.edits}
    family = world.finding.kind
    found: dict[str, float] = {
        f"kind {draft.kind}": 1.0,
        f"role {spot.role}": 1.0,
        f"{family}: {draft.kind}": 1.0,
        f"{family}: {spot.role}": 1.0,
        f"{spot.role}: {draft.kind}": 1.0,
        "distance": min(spot.distance, 12.0) / 4,
        "near": 1.0 / (1.0 + spot.distance),
        "added": math.log1p(len(added)),
        "removed": math.log1p(len(removed)),
        "literals": float(sum(part.isdigit() and part not in ("0", "1") for part in added)),
        "names": float(sum(part.isidentifier() for part in added)),
        "places": float(len(draft.edits) - 1),
        "constructs": float(draft.rebuilds),
        "fits": float(draft.fits is True),
        "at the root": float(root is not None and root.line in lines),
    }
    if world.crash.op:
        found[f"op {world.crash.op}: {draft.kind}"] = 1.0
    return {name: value for name, value in found.items() if value}


def after(
    world: World, parts: tuple[Draft, ...], run: Run, proof: Proof | None
) -> dict[str, float]:
    """What can be said of a repair that ran."""
    found: dict[str, float] = {}
    for part in parts:
        for name, value in before(world, part).items():
            found[name] = found.get(name, 0.0) + value
    found["parts"] = float(len(parts) - 1)
    found["kept"] = float(run.kept)
    for check in proof.checks if proof is not None else ():
        if check.passed is not None:
            found[f"{check.name} {'passed' if check.passed else 'failed'}"] = 1.0
    return found

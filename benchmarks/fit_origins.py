"""Fits the weights by which it is said where a wrong size comes from.

    python -m benchmarks.fit_origins collect DATA FOLDER...   # of broken models, see repairs.py
    python -m benchmarks.fit_origins fit DATA... [--write]    # tracer/diagnosis/origins.json

Of each model all statements are kept that something speaks for, with what that is and whether its
author names the statement as the root.  Fitting is a choice of one statement among those of a
model; how often it is right is told of each collection by weights that were fitted to the others.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from benchmarks import repairs
from tracer import diagnosis, recording_construction
from tracer.diagnosis import fixes, origins
from tracer.diagnosis.chain import BESIDES, Statement, marked, statement_of
from tracer.diagnosis.repair.answers import told_apart
from tracer.diagnosis.roots.places import Search
from tracer.record.run import record
from tracer.source.text import header_extent, text_of

Weights = dict[str, float]

DECAY = 0.5  # how much weights are held back


# --- collecting ---------------------------------------------------------------------------------


def statements(path: Path) -> list[dict[str, Any]]:
    """The statements of one broken model that something speaks for; none where its author names
    no root or it does not fail."""
    with tempfile.TemporaryDirectory(prefix="fit") as folder:
        judge = repairs.Judge(path, Path(folder))
        with recording_construction():
            model = repairs.built(judge.module.build)
        torch.manual_seed(2)
        crash = record(model, judge.args, {}, values=False, build=judge.module.build).crash
        if crash is None or crash.trace.failure is None:
            return []
        finding, failure = diagnosis.understood(crash, crash.trace.failure)
        mended, _ = fixes.find(crash, finding, failure)
        mended = told_apart((*finding.fixes, *mended))
        s = Search(crash, finding, dataclasses.replace(failure, fixes=mended))
        known = {statement_of(failure.chain[-1]), *marked(s)}
        return [
            {"signs": each.signs, "right": _right(judge, at, each), "shown": at in known}
            for at, each in origins.origins(s).items()
        ]


def _right(judge: repairs.Judge, at: Statement, each: origins.Origin) -> bool:
    """Whether the author names the statement as the root."""
    if judge.case.get("root_where") in ("input", "inputs") and each.root.kind == "input":
        return True
    wanted = judge.case.get("root_line_contains", "")
    text = text_of(at[0])
    statement = text.statement_on(at[1]) if text is not None else None
    if text is None or statement is None or at[0] != judge.file or not wanted:
        return False
    header = text.span(header_extent(statement, text))
    lines = judge.text.splitlines()[header.line - 1 : header.end_line]
    return "".join(wanted.split()) in "".join("".join(lines).split())


def collect(data: Path, folders: list[Path]) -> None:
    """Write a line for each model, behind what is there."""
    with data.open("a", encoding="utf-8") as file:
        for name in folders:
            for path in repairs.files_of(name):
                rows: list[dict[str, Any]] = []
                with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):
                    rows = statements(path)
                model = {"name": path.stem, "family": name.name, "rows": rows}
                file.write(json.dumps(model) + "\n")
                file.flush()
                print(f"{path.stem:46} {len(rows):3} {sum(row['right'] for row in rows)}")


# --- fitting ------------------------------------------------------------------------------------


def fitted(models: list[dict[str, Any]]) -> Weights:
    """Weights by which the right statements of each model are likely among all of it."""
    seen = Counter(name for m in models for row in m["rows"] for name in row["signs"])
    names = sorted(name for name in seen if seen[name] > 2)
    index = {name: n for n, name in enumerate(names)}
    rows = [(n, row) for n, model in enumerate(models) for row in model["rows"]]
    signs = torch.zeros(len(rows), len(names))
    for number, (_, row) in enumerate(rows):
        for name, value in row["signs"].items():
            if name in index:
                signs[number, index[name]] = value
    of_model = torch.tensor([n for n, _ in rows])
    right = torch.tensor([row["right"] for _, row in rows])
    hold = DECAY * torch.tensor([1 + 6 / seen[name] for name in names])  # seldom seen: held back
    found = torch.zeros(len(names), requires_grad=True)
    best = torch.optim.LBFGS([found], max_iter=120, line_search_fn="strong_wolfe")

    def most(scores: torch.Tensor) -> torch.Tensor:
        """The logarithm of the sum of exponentials, model by model."""
        highest = torch.full((len(models),), -1e9).scatter_reduce(0, of_model, scores, "amax")
        shares = (scores - highest[of_model]).exp()
        return highest + torch.zeros(len(models)).index_add(0, of_model, shares).log()

    def loss() -> Any:
        best.zero_grad()
        scores = signs @ found
        missed = most(scores) - most(scores.masked_fill(~right, -1e9))
        total = missed.sum() + (hold * found**2).sum()
        total.backward()
        return total

    best.step(loss)
    pairs = zip(names, found.tolist(), strict=True)
    return {name: round(value, 3) for name, value in pairs if abs(value) > 0.01}


def score(row: dict[str, Any], weights: Weights) -> float:
    signs: Weights = row["signs"]
    return sum(weights.get(name, 0.0) * value for name, value in signs.items())


def rated(models: list[dict[str, Any]], weights: Weights) -> tuple[int, int]:
    """How often the likeliest statement is right, and how often one that is shown."""
    first = shown = 0
    for model in models:
        rows = sorted(model["rows"], key=lambda row: score(row, weights), reverse=True)
        besides = [row for row in rows if not row["shown"]][:BESIDES]
        first += rows[0]["right"]
        shown += any(row["right"] for row in rows if row["shown"] or row in besides)
    return first, shown


def fit(data: list[Path], write: bool) -> None:
    lines = [line for path in data for line in path.read_text(encoding="utf-8").splitlines()]
    models = list({(m["family"], m["name"]): m for m in map(json.loads, lines)}.values())
    known = [m for m in models if any(row["right"] for row in m["rows"])]
    print(f"{len(models)} models, of {len(known)} the root is among the statements")
    weights = fitted(known)
    for family in sorted({m["family"] for m in known}):
        own = [m for m in known if m["family"] == family]
        apart = fitted([m for m in known if m["family"] != family])
        print(
            f"{family}: of {len(own)} first, shown: {rated(own, weights)}, "
            f"by weights of the others {rated(own, apart)}"
        )
    if write:
        text = json.dumps(weights, indent=1, sort_keys=True) + "\n"
        origins.WEIGHTS.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("what", choices=("collect", "fit"))
    parser.add_argument("data", type=Path)
    parser.add_argument("folders", nargs="*", type=Path, help="of models, or further data to fit")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    if asked.what == "collect":
        collect(asked.data, asked.folders)
    else:
        fit([asked.data, *asked.folders], asked.write)


if __name__ == "__main__":
    main()

"""Fits the weights by which repairs are ordered and ranked.

    python -m benchmarks.fit_repairs collect DATA FOLDER...   # or `corpus`, `short`
    python -m benchmarks.fit_repairs fit DATA... [--write] [--onto]

Collecting runs the grammar's edits on broken models whose right answer is known, and keeps for each
repair that ran its features and whether it is right (one JSON object a line); models that the data
has already are left out.  The weights are
`tracer/diagnosis/repair/weights.json`.  Fitting is logistic
regression over pairs, a right repair against one that is not, of the same model; it is judged on
models that were left out, a fifth after the other.  With `--onto` the weights that are there
stay, and fitted are those of features that have none; with `--of` those of these features alone.
With `--found` there is collected what a search finds as it is, which costs a third.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import io
import itertools
import json
import math
import multiprocessing
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks import repairs
from tracer import diagnosis, recording_construction
from tracer.diagnosis import fixes
from tracer.diagnosis.budget import SEARCH, Budget, OutOfBudget
from tracer.diagnosis.repair import answers, rank, search
from tracer.diagnosis.repair.bench import agree
from tracer.diagnosis.repair.draft import Draft
from tracer.document import with_edits
from tracer.record.run import record

MOST = 900  # edits of one model that are run
MOST_JUDGED = 16
LIKELIEST, SAMPLE = 120, 180  # edits that are none, by which the order is fitted
SECONDS = 7.0  # of computing
HOLD = {"before": 0.05, "after": 0.2}  # how much weights are held back
Weights = dict[str, float]

WRONG = 0.01  # of the answers that are said to be the only one


# --- collecting ---------------------------------------------------------------------------------


def examples(path: Path, runs: int) -> dict[str, Any]:
    """The repairs of one broken model that run: features, and whether each is right."""
    with tempfile.TemporaryDirectory(prefix="fit") as folder:
        judge = repairs.Judge(path, Path(folder))
        found = _begun(judge, Budget(1e12))
        if found is None:
            return {"name": path.stem, "rows": []}
        ordered = found.ordered(found.world)
        ran, further, tried = _ran(found, ordered[:runs])
        rows = [_row(found, judge, each) for each in ran]
        rows = [row for n, row in enumerate(rows) if n < MOST_JUDGED or row["right"]]
        if not any(row["right"] for row in rows):
            found.budget.left = found.budget.total = 2.0 * SEARCH
            with contextlib.suppress(OutOfBudget):
                found.several((), further)
            rows += [_row(found, judge, each) for each in found.repairs]
        return {
            "name": path.stem,
            "tried": tried,
            "ran": len(ran),
            "rows": rows,
            "drafts": _drafts(found, judge, [draft for _, draft in ordered], rows),
        }


def found_by_search(path: Path) -> dict[str, Any]:
    """The same of the repairs that a search proves before it ends."""
    with tempfile.TemporaryDirectory(prefix="fit") as folder:
        judge = repairs.Judge(path, Path(folder))
        found = _begun(judge)
        if found is None:
            return {"name": path.stem, "rows": []}
        proven = [each for each in found.search().repairs if each.proof is not None]
        rows = [_row(found, judge, each) for each in proven[:MOST_JUDGED]]
        return {"name": path.stem, "tried": found.tried, "ran": len(proven), "rows": rows}


def _begun(judge: repairs.Judge, *budget: Budget) -> search.Search | None:
    """A search for what mends the model; None where it does not fail."""
    with recording_construction():
        model = repairs.built(judge.module.build)
    torch.manual_seed(2)
    crash = record(model, judge.args, {}, values=False, build=judge.module.build).crash
    if crash is None or crash.trace.failure is None:
        return None
    finding, failure = diagnosis.understood(crash, crash.trace.failure)
    return search.Search(crash, finding, failure, fixes.known, *budget)


def _row(found: search.Search, judge: repairs.Judge, repair: search.Repair) -> dict[str, Any]:
    found.budget.left = 1e12
    fix = answers.fix_of(repair)
    proven = repair if repair.proof is not None else found.judged(repair)
    run = repair.run if proven.proof is None else proven.proof.run
    return {
        "right": judge.right(fix),
        "tempted": judge.tempted(fix),
        "kind": " + ".join(part.kind for part in repair.parts),
        "text": fix.summary,
        "key": key_of(repair.parts),
        "before": rank.before(found.world, repair.parts[0]) if len(repair.parts) == 1 else {},
        "after": rank.after(found.world, repair.parts, run, proven.proof),
        "verified": proven.verified,
        "print": run.print or [fix.summary],
    }


def key_of(parts: tuple[Draft, ...]) -> list[list[Any]]:
    """What edits do, without the names of files."""
    return [
        [e.span.line, e.span.column, e.span.end_line, e.span.end_column, e.replacement]
        for part in parts
        for e in part.edits
    ] + [list(pair) for part in parts for pair in part.inputs]


def _written_by_the_author(judge: repairs.Judge) -> set[str]:
    """The file's texts with the right change made, without their spaces."""
    found = set()
    names = vars(judge.module)
    for change in names["changes"]()[0] if "changes" in names else ():
        text = judge.text
        for old, new in change.items():
            text = text.replace(old, new, 1)
        found.add(_packed(text))
    head, _, rest = judge.text.partition("\n}\n")
    body = rest.partition("\ndef inputs()")[0]
    for call in re.finditer(r"_edited\((.*)\)", judge.text):
        with contextlib.suppress(Exception):
            pairs = eval(f"[{call[1].rstrip(']')}]", dict(names))
            text = body
            for old, new in pairs:
                text = text.replace(old, new)
            if text != body:
                found.add(_packed(f"{head}\n}}\n{text}"))
        if "wrong" in judge.text[: call.start()].rpartition("def ")[2]:
            break
    return found


def _packed(text: str) -> str:
    return "".join(text.partition("\ndef inputs()")[0].split()).replace("'", '"')


def _drafts(
    found: search.Search, judge: repairs.Judge, drafts: list[Draft], rows: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The right edits among those that were drafted, the author's own or found to be right, and a
    sample of the others: the likeliest, and some of the rest."""
    written = _written_by_the_author(judge)
    known = [row["key"] for row in rows if row["right"]]
    right, others = [], []
    for draft in drafts:
        text = ""
        if draft.edits and all(edit.file == judge.file for edit in draft.edits):
            with contextlib.suppress(ValueError):
                text = _packed(with_edits(judge.text, draft.edits))
        is_right = text in written or key_of((draft,)) in known
        (right if is_right else others).append(draft)
    rest = others[LIKELIEST:]
    sample = others[:LIKELIEST] + random.Random(0).sample(rest, min(len(rest), SAMPLE))
    return [
        {"right": group is right, "before": rank.before(found.world, draft)}
        for group in (right, sample if right else [])
        for draft in group
    ]


def _ran(
    found: search.Search, ordered: list[tuple[float, Draft]]
) -> tuple[list[search.Repair], list[search.Repair], int]:
    """The repairs that run, those that get further, and how many were tried."""
    ran, further, tried = [], [], 0
    began = time.thread_time()
    for value, draft in ordered:
        if time.thread_time() - began > SECONDS:
            break
        tried += 1
        found.budget.left = found.budget.total = SEARCH
        outcome = found.attempt((draft,), None, value)
        if outcome is not None and outcome.run.ran:
            ran.append(outcome)
        elif outcome is not None and found.farther(found.world, outcome, found.bench.plain):
            further.append(outcome)
    found.budget._computed = found.budget._clock = float("inf")
    return ran, further, tried


def _safely(path: Path, runs: int) -> dict[str, Any]:
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return examples(path, runs) if runs else found_by_search(path)
    except (Exception, OutOfBudget) as error:  # noqa: BLE001 - one file is not to end the others
        return {"name": path.stem, "error": f"{type(error).__name__}: {error}", "rows": []}


def collect(data: Path, folders: list[Path], only: str, runs: int) -> None:
    lines = data.read_text(encoding="utf-8").splitlines() if data.exists() else []
    known = {json.loads(line)["name"] for line in lines}
    paths = [
        (folder.name, path)
        for folder in folders
        for path in repairs.files_of(folder)
        if only in path.stem and path.stem not in known
    ]
    context = multiprocessing.get_context("spawn")
    with (
        concurrent.futures.ProcessPoolExecutor(2, context, repairs._prepare) as pool,
        data.open("a", encoding="utf-8") as file,
    ):
        calls = {pool.submit(_safely, path, runs): family for family, path in paths}
        for call in concurrent.futures.as_completed(calls):
            row = call.result() | {"family": calls[call]}
            file.write(json.dumps(row) + "\n")
            file.flush()
            right = [r for r in row["rows"] if r["right"]]
            print(
                f"{row['name']:46} tried {row.get('tried', 0):4} ran {row.get('ran', 0):3} "
                f"right {len(right):3} {row.get('error', '')}"
                + (f" {right[0]['text'][:110]}" if right else ""),
                flush=True,
            )


# --- fitting ------------------------------------------------------------------------------------


def _rows(model: dict[str, Any], table: str) -> list[dict[str, Any]]:
    """Before a run what is right is held against all that was drafted."""
    return (model.get("drafts") if table == "before" else None) or model["rows"]


def fitted(
    models: list[dict[str, Any]],
    table: str,
    prior: Weights,
    only: frozenset[str] = frozenset(),
    decay: float = 0.05,
) -> dict[str, float]:
    """Weights by pairs: of each model every right repair against those that are not.

    Args:
        prior: weights that stay as they are.
        only: the features that are fitted; all that have no weight where it is empty.
    """
    prior = {name: weight for name, weight in prior.items() if name not in only}
    seen: Counter[str] = Counter()
    for model in models:
        seen.update({name for row in _rows(model, table) for name in row[table]})
    names = sorted(n for n in only or set(seen) - set(prior) if seen[n] > 1)
    index = {name: n for n, name in enumerate(names)}
    at_row: list[int] = []
    at_name: list[int] = []
    values: list[float] = []
    pairs: list[tuple[int, int]] = []
    shares: list[float] = []
    generator = random.Random(0)
    count = 0
    for model in models:
        right, wrong = [], []
        for row in _rows(model, table):
            (right if row["right"] else wrong).append(count)
            for name, value in row[table].items():
                if name in index:
                    at_row.append(count)
                    at_name.append(index[name])
                    values.append(value)
            count += 1
        chosen = [(a, b) for a in right[:12] for b in wrong]
        chosen = generator.sample(chosen, 300) if len(chosen) > 300 else chosen
        pairs += chosen
        shares += [1 / max(len(chosen), 1)] * len(chosen)
    rows, columns, value = map(torch.tensor, (at_row, at_name, values))
    share = torch.tensor(shares)
    left, right_of = torch.tensor(pairs).unbind(1)
    # What was seen in few models is held back.
    hold = decay * torch.tensor([1 + 6.0 / seen[name] for name in names])
    known = torch.tensor([_score(row, prior, table) for m in models for row in _rows(m, table)])
    found = torch.zeros(len(names), requires_grad=True)
    best = torch.optim.LBFGS([found], max_iter=80, line_search_fn="strong_wolfe")

    def loss() -> Any:
        best.zero_grad()
        scores = known.index_add(0, rows, found[columns] * value)
        apart = torch.nn.functional.softplus(scores[right_of] - scores[left])
        total = (share * apart).sum() + (hold * found**2).sum()
        total.backward()
        return total

    best.step(loss)
    fresh = {n: round(float(v), 3) for n, v in zip(names, found, strict=True) if abs(v) > 0.01}
    return prior | fresh


def rated(models: list[dict[str, Any]], weights: dict[str, float], table: str) -> tuple[int, int]:
    """How often the first is right, and how often one of the first four."""
    first = among = 0
    for model in models:
        rows = sorted(
            _rows(model, table),
            key=lambda row: (
                row.get("verified", False) and table == "after",
                _score(row, weights, table),
            ),
            reverse=True,
        )
        first += any(row["right"] for row in rows[:1])
        among += any(row["right"] for row in rows[:4])
    return first, among


def fit(data: list[Path], write: bool, onto: bool, only: frozenset[str]) -> None:
    prior: dict[str, Weights] = rank.weights() if onto else {"before": {}, "after": {}}
    lines = [line for path in data for line in path.read_text(encoding="utf-8").splitlines()]
    models = list({m["name"]: m for m in map(json.loads, lines)}.values())
    known = [m for m in models if any(row["right"] for row in _rows(m, "before"))]
    print(f"{len(models)} models, of {len(known)} a right repair was generated")
    for name in sorted(m["name"] for m in models if m not in known):
        print("   none:", name)
    made = {}
    for table in ("before", "after"):
        made[table] = fitted(known, table, prior[table], only, HOLD[table])
        print(table, "on what it was fitted to:", rated(known, made[table], table))
        left_out = dict(_left_out(known, table, prior[table], only))
        for name in sorted({m["family"] for m in known}):
            pairs = [(m, left_out[m["name"]]) for m in known if m["family"] == name]
            found = [rated([model], weights, table) for model, weights in pairs]
            first, among = (sum(each) for each in zip(*found, strict=True))
            print(f"{table} on parts left out: {name} {first}, among four {among}, of {len(pairs)}")
    claim = _claim(models, dict(_left_out(known, "after", prior["after"], only)), made["after"])
    made["claim"] = rank.weights()["claim"] if onto else claim
    if write:
        text = json.dumps(made, indent=1, sort_keys=True) + "\n"
        rank.WEIGHTS.write_text(text, encoding="utf-8")


def _left_out(
    models: list[dict[str, Any]], table: str, prior: Weights, only: frozenset[str]
) -> Iterator[tuple[str, dict[str, float]]]:
    """For each model the weights that were fitted to those of other parts."""
    for part in sorted({_part(m) for m in models}):
        others = [m for m in models if _part(m) != part]
        weights = fitted(others, table, prior, only, HOLD[table])
        yield from ((m["name"], weights) for m in models if _part(m) == part)


def _claim(
    models: list[dict[str, Any]], left_out: dict[str, Any], weights: dict[str, float]
) -> dict[str, float]:
    """From which score on, and with which lead, the best answer is right but for `WRONG` of the
    models that have such a one; the limits that let most through."""
    bests: list[tuple[float, float, bool]] = []
    for model in models:
        known = left_out.get(model["name"], weights)
        passed = [(_score(row, known), row) for row in model["rows"] if row["verified"]]
        if not passed:
            continue
        best, first = max(passed, key=lambda pair: pair[0])
        others = [v for v, row in passed if not agree(row["print"], first["print"])]
        bests.append((best, best - max(others, default=-math.inf), first["right"]))
    choice, most = {"least": 99.0, "margin": 99.0}, 0
    for least, margin in itertools.product([n / 2 for n in range(0, 13)], [1, 1.5, 2, 2.5, 3, 4]):
        let = [right for best, lead, right in bests if best >= least and lead >= margin]
        if len(let) > most and sum(let) >= (1 - WRONG) * len(let):
            choice, most = {"least": least, "margin": float(margin)}, len(let)
    print(f"of {len(bests)} answers {most} are said to be the one, by {choice}")
    return choice


def _part(model: dict[str, Any]) -> int:
    """A fifth of the models."""
    return sum(map(ord, model["name"])) % 5


def _score(row: dict[str, Any], weights: dict[str, float], table: str = "after") -> float:
    return sum(weights.get(name, 0.0) * value for name, value in row[table].items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("what", choices=("collect", "fit"))
    parser.add_argument("data", type=Path)
    parser.add_argument("folders", nargs="*", type=Path, help="of models, or further data to fit")
    parser.add_argument("--only", default="")
    parser.add_argument("--runs", type=int, default=MOST, help="edits of one model that are run")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--onto", action="store_true", help="keep the weights that are there")
    parser.add_argument("--of", nargs="*", default=[], help="features that alone are fitted")
    parser.add_argument("--found", action="store_true", help="what a search finds as it is")
    asked = parser.parse_args()
    if asked.what == "collect":
        collect(asked.data, asked.folders, asked.only, 0 if asked.found else asked.runs)
    else:
        fit([asked.data, *asked.folders], asked.write, asked.onto, frozenset(asked.of))


if __name__ == "__main__":
    main()

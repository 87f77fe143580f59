"""Fits the weights by which repairs are ordered and ranked.


    python -m benchmarks.fit_repairs collect DATA FOLDER...   # `corpus`: the models of tests/broken
    python -m benchmarks.fit_repairs fit DATA [--write]

Collecting runs the grammar's edits on broken models whose right answer is known, and keeps for each
repair that ran its features and whether it is right (one JSON object a line).  The weights are
`tracer/diagnosis/repair/weights.json`.  Fitting is logistic
regression over pairs, a right repair against one that is not, of the same model; it is judged on
models that were left out, a fifth after the other.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import dataclasses
import io
import json
import multiprocessing
import random
import re
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from benchmarks import repairs
from tracer.diagnosis import rules
from tracer.diagnosis.budget import Budget
from tracer.diagnosis.repair import rank, search
from tracer.document import Fix, with_edits
from tracer.record.run import record
from tracer.sentences import said

MOST = 900  # edits of one model that are run
MOST_JUDGED = 60
SECONDS = 60.0


# --- collecting ---------------------------------------------------------------------------------


def examples(path: Path, runs: int) -> dict[str, Any]:
    """The repairs of one broken model that run: features, and whether each is right."""
    with tempfile.TemporaryDirectory(prefix="fit") as folder:
        judge = repairs.Judge(path, Path(folder))
        model = repairs.built(judge.module.build)
        torch.manual_seed(2)
        crash = record(model, judge.args, {}, values=False, build=judge.module.build).crash
        if crash is None:
            return {"name": path.stem, "rows": []}
        from tracer import diagnosis
        from tracer.diagnosis.roots import root

        finding = rules.explain(crash)
        failure = diagnosis._with_finding(crash.trace.failure, finding)
        with contextlib.suppress(Exception):
            failure = dataclasses.replace(failure, root=root(crash, finding, failure))
        budget = Budget(1e12)
        found = search.Search(crash, finding, failure, budget)
        written = _written_by_the_author(judge)
        began = time.perf_counter()
        ran, tried, drafts = _ran(found, began, runs)
        rows = []
        for number, (draft, program, run) in enumerate(ran):
            fix = Fix(said("it"), draft.edits, True, (), (), draft.inputs)
            right = judge.right(fix)
            if number >= MOST_JUDGED and not right:
                continue
            repair = search.Repair((draft,), program, run)
            proven = found.judged(repair)
            rows.append(
                {
                    "right": right,
                    "kind": draft.kind,
                    "text": str(draft.summary),
                    "before": rank.before(found.world, draft),
                    "after": rank.after(found.world, (draft,), run, proven.proof),
                    "verified": proven.proof is not None and proven.proof.verified,
                }
            )
        return {
            "name": path.stem,
            "tried": tried,
            "ran": len(ran),
            "rows": rows,
            "drafts": _drafts(found, judge, written, drafts),
        }


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
    found: search.Search, judge: repairs.Judge, written: set[str], drafts: list[Any]
) -> list[dict[str, Any]]:
    """The author's own edit among those that were drafted, and a sample of the others."""
    exact, others = [], []
    for draft in drafts:
        text = ""
        if draft.edits and all(edit.file == judge.file for edit in draft.edits):
            with contextlib.suppress(ValueError):
                text = _packed(with_edits(judge.text, draft.edits))
        (exact if text in written else others).append(draft)
    sample = random.Random(0).sample(others, min(len(others), 70)) + others[:50]
    return [
        {"right": right, "before": rank.before(found.world, draft)}
        for right, group in ((True, exact), (False, sample if exact else []))
        for draft in group
    ]


def _ran(found: search.Search, began: float, runs: int) -> tuple[list[Any], int, list[Any]]:
    ordered = search._by_score(found.scored(found.world, search.grammar.drafts(found.world)))
    run = found.bench.values if found.bench.plain.ran else found.bench.shapes
    ran, tried = [], 0
    for _, draft in ordered[:runs]:
        if time.perf_counter() - began > SECONDS:
            break
        tried += 1
        found.budget.left = found.budget.total = 2_500_000.0
        outcome = found.attempt(run, draft, None)
        if outcome is not None and outcome[1].ran:
            ran.append((draft, *outcome))
    found.budget.left = 1e12
    found.budget._end = float("inf")
    return ran, tried, [draft for _, draft in ordered]


def _safely(path: Path, runs: int) -> dict[str, Any]:
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return examples(path, runs)
    except Exception as error:  # noqa: BLE001 - one file is not to end the others
        return {"name": path.stem, "error": f"{type(error).__name__}: {error}", "rows": []}


def collect(data: Path, folders: list[Path], only: str, runs: int) -> None:
    paths: list[tuple[str, Path]] = []
    for folder in folders:
        if folder == Path("corpus"):
            folder = Path(tempfile.mkdtemp(prefix="corpus"))
            repairs.write_corpus(folder)
            paths += [("corpus", path) for path in sorted(folder.glob("*.py"))]
        else:
            found = sorted(folder.glob("*.py")) if folder.is_dir() else [folder]
            paths += [(folder.name, path) for path in found]
    paths = [(f, p) for f, p in paths if p.stem not in ("check", "__init__") and only in p.stem]
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
    """Before a run the author's own edit is held against all that was drafted."""
    return model["rows"] + (model.get("drafts", []) if table == "before" else [])


def fitted(models: list[dict[str, Any]], table: str, decay: float = 0.05) -> dict[str, float]:
    """Weights by pairs: of each model every right repair against those that are not."""
    seen: Counter[str] = Counter()
    for model in models:
        seen.update({name for row in _rows(model, table) for name in row[table]})
    names = sorted(name for name, count in seen.items() if count > 1)
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
    rows, columns = torch.tensor(at_row), torch.tensor(at_name)
    value, share = torch.tensor(values), torch.tensor(shares)
    left, right_of = torch.tensor(pairs).unbind(1)
    # What was seen in few models is held back.
    hold = decay * torch.tensor([1 + 6.0 / seen[name] for name in names])
    found = torch.zeros(len(names), requires_grad=True)
    best = torch.optim.LBFGS([found], max_iter=80, line_search_fn="strong_wolfe")

    def loss() -> Any:
        best.zero_grad()
        scores = torch.zeros(count).index_add(0, rows, found[columns] * value)
        apart = torch.nn.functional.softplus(scores[right_of] - scores[left])
        total = (share * apart).sum() + (hold * found**2).sum()
        total.backward()
        return total

    best.step(loss)
    return {n: round(float(v), 3) for n, v in zip(names, found, strict=True) if abs(v) > 0.01}


def rated(models: list[dict[str, Any]], weights: dict[str, float], table: str) -> tuple[int, int]:
    """How often the first is right, and how often one of the first four."""
    first = among = 0
    for model in models:
        rows = sorted(
            _rows(model, table),
            key=lambda row: (
                row.get("verified", False) and table == "after",
                sum(weights.get(n, 0.0) * v for n, v in row[table].items()),
            ),
            reverse=True,
        )
        first += any(row["right"] for row in rows[:1])
        among += any(row["right"] for row in rows[:4])
    return first, among


def fit(data: Path, write: bool) -> None:
    models = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    models = list({m["name"]: m for m in models}.values())
    known = [m for m in models if any(row["right"] for row in _rows(m, "before"))]
    print(f"{len(models)} models, of {len(known)} a right repair was generated")
    for name in sorted(m["name"] for m in models if m not in known):
        print("   none:", name)
    made = {}
    for table in ("before", "after"):
        made[table] = fitted(known, table)
        print(table, "on what it was fitted to:", rated(known, made[table], table))
        families = sorted({_family(m) for m in known})
        first = among = 0
        for family in families:
            rest = [m for m in known if _family(m) != family]
            held = [m for m in known if _family(m) == family]
            if rest:
                a, b = rated(held, fitted(rest, table), table)
                first, among = first + a, among + b
        print(f"{table} on families left out: {first}, among four {among}, of {len(known)}")
    if write:
        text = json.dumps(made, indent=1, sort_keys=True) + "\n"
        rank.WEIGHTS.write_text(text, encoding="utf-8")


def _family(model: dict[str, Any]) -> str:
    """A fifth of the models."""
    return str(sum(map(ord, model["name"])) % 5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("what", choices=("collect", "fit"))
    parser.add_argument("data", type=Path)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--runs", type=int, default=MOST, help="edits of one model that are run")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    if asked.what == "collect":
        collect(asked.data, asked.folders, asked.only, asked.runs)
    else:
        fit(asked.data, asked.write)


if __name__ == "__main__":
    main()

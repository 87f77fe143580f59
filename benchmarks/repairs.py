"""How often the answer to a broken model is right: place, operands, root and repairs.

    python -m benchmarks.repairs FOLDER... [--json FILE] [--only TEXT] [--fixes] [--no-build]
    python -m benchmarks.repairs corpus short   # of tests/broken, test_fixes.py, test_search.py

Each file of a folder has `build()` (the broken model, in the mode in which it fails), `inputs()`,
`fixed()` (a corrected model), and as it may be `also()` (others that are as good), `wrong()` (a
tempting change that runs and computes something else), `fixed_inputs()`, and `CASE`.

`judged.zip` has the models of judgements that are past: a fifth, a sixth, an eighth and a ninth
set of 60, a seventh of 40, and 36 that the engine was worked on with.  They are seen, and serve to
work on and to fit weights, not to judge.

A fix is right when the edited file builds a model that takes the corrected model's weights and
computes what that does, on the inputs and on a second batch size where both run.  Where the inputs
are what is wrong that is what it computes of the corrected ones, and a change of the model that
comes to the same is right as well.
"""

from __future__ import annotations

import argparse
import ast
import concurrent.futures
import contextlib
import dataclasses
import importlib.util
import inspect
import io
import itertools
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map_only

from tracer import Failure, recording_construction, trace
from tracer.document import Fix

_counter = itertools.count()


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the answer to one broken model is worth.

    `right` are the positions of right fixes among those shown.  `located`, `operands` and `root`
    are None where the file does not say what is right.
    """

    name: str
    domain: str
    where: str
    seconds: float
    located: bool | None = None
    operands: bool | None = None
    root: bool | None = None
    right: tuple[int, ...] = ()
    shown: int = 0
    verified: bool = False
    plain: bool = False  # the first is verified and carries no caveat
    tempted: bool = False
    no_fix_wanted: bool = False
    found_root: str = ""
    fixes: tuple[str, ...] = ()
    error: str = ""

    @property
    def first(self) -> bool:
        return 0 in self.right or (self.no_fix_wanted and not self.plain)

    @property
    def somewhere(self) -> bool:
        return bool(self.right) or self.first


# --- running ------------------------------------------------------------------------------------


def load(text: str, folder: Path) -> ModuleType:
    """The text as a module of its own, imported from a file in `folder`."""
    path = folder / f"broken_{next(_counter)}.py"
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


ANSWERS = ("CASE", "TEXT", "changes", "fixed", "also", "wrong", "fixed_inputs", "_made", "_edited")


def without_answers(text: str, answers: tuple[str, ...] = ANSWERS) -> str:
    """A file's text without what it says of the right answer, which edits could be read off."""
    lines = text.splitlines(keepends=True)
    kept = {
        name.id
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and node.name in ("build", "inputs")
        for name in ast.walk(node)
        if isinstance(name, ast.Name)
    }
    for node in ast.parse(text).body:
        names = [getattr(node, "name", "")]
        names += [t.id for t in getattr(node, "targets", ()) if isinstance(t, ast.Name)]
        if set(names) & set(answers) - kept:
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
            lines[first - 1 : node.end_lineno] = [""] * ((node.end_lineno or first) - first + 1)
    left = "".join(lines)
    helpers = [n for n in ast.parse(left).body if isinstance(n, ast.FunctionDef)]
    alone = {n.name for n in helpers if n.name[0] == "_" and left.count(n.name) == 1}
    return without_answers(left, (*ANSWERS, *alone)) if alone else left


def built(make: Any) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = make()
    return model


def inputs(module: ModuleType, name: str = "inputs") -> tuple[Any, ...]:
    torch.manual_seed(1)
    found = getattr(module, name)()
    return tuple(found) if isinstance(found, tuple | list) else (found,)


def repeated(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same inputs with two samples more, where the tensors' first size is the batch."""
    sizes = [t.shape[0] for t in tree_flatten(args)[0] if isinstance(t, Tensor) and t.dim()]
    batch = sizes[0] if sizes else 0

    def more(tensor: Tensor) -> Tensor:
        if not batch or not tensor.dim() or tensor.shape[0] != batch:
            return tensor
        return tensor[torch.arange(batch + 2) % batch]

    return tuple(tree_map_only(Tensor, more, args))


def computed(model: nn.Module, args: tuple[Any, ...]) -> list[Tensor] | None:
    """What the model computes; None when it raises.  Dropout is off, all else as it was built."""
    for each in model.modules():
        if isinstance(each, nn.modules.dropout._DropoutNd):
            each.training = False
    torch.manual_seed(2)
    try:
        with torch.no_grad():
            result = model(*tree_map_only(Tensor, torch.clone, args))
    except Exception:  # noqa: BLE001 - whatever a wrong edit may raise
        return None
    return [t.detach() for t in _tensors(result)]


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = vars(value)
    if isinstance(value, dict):
        value = tuple(value.values())
    return [t for item in value for t in _tensors(item)] if isinstance(value, tuple | list) else []


def same(left: list[Tensor] | None, right: list[Tensor] | None) -> bool:
    """Whether two runs gave the same tensors: shapes and numbers."""
    if left is None or right is None or len(left) != len(right):
        return False
    return all(
        a.shape == b.shape
        and torch.allclose(_numbers(a), _numbers(b), rtol=1e-4, atol=1e-6, equal_nan=True)
        for a, b in zip(left, right, strict=True)
    )


def _numbers(tensor: Tensor) -> Tensor:
    return tensor if tensor.is_complex() else tensor.double()


# --- judging ------------------------------------------------------------------------------------


class Judge:
    """One broken model with what is right, against which fixes are held."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.folder = folder
        known = path.read_text(encoding="utf-8")
        self.text = without_answers(known)
        self.answers = load(known, folder)
        self.module = load(self.text, folder)
        self.file = str(self.module.__file__)
        self.case: dict[str, Any] = getattr(self.answers, "CASE", {})
        self.args = inputs(self.module)
        self.other_inputs = hasattr(self.answers, "fixed_inputs")
        self.wanted_args = inputs(self.answers, "fixed_inputs") if self.other_inputs else self.args
        self.drawn_anew = _in_order(self.args) != _in_order(self.wanted_args)

    def models(self) -> Iterator[nn.Module]:
        """The corrected models."""
        if hasattr(self.answers, "fixed"):
            yield built(self.answers.fixed)
        if hasattr(self.answers, "also"):
            torch.manual_seed(0)
            found = self.answers.also()
            yield from found if isinstance(found, list | tuple) else [found]

    def edited(self, fix: Fix) -> ModuleType | None:
        """The file with a fix applied; None when it edits another or does not load."""
        if any(edit.file != self.file for edit in fix.edits):
            return None
        try:
            return load(fix.apply(self.text, self.file), self.folder)
        except Exception:  # noqa: BLE001 - then the fix is none
            return None

    def right(self, fix: Fix) -> bool:
        module = self.edited(fix)
        if module is None:
            return False
        args = given(fix, self.module.build, self.args)
        if args is None:
            return False
        # Inputs of a right shape are right where the author has drawn other numbers for his.
        shapes = _shapes(self.args) != _shapes(args) == _shapes(self.wanted_args)
        if not fix.edits and self.drawn_anew and shapes:
            return True
        return any(self.agrees(module.build, args, model) for model in self.models())

    def agrees(self, build: Any, args: tuple[Any, ...], wanted: nn.Module) -> bool:
        try:
            model = built(build)
            model.load_state_dict(wanted.state_dict())
        except Exception:  # noqa: BLE001 - another architecture
            return False
        if not same(computed(model, args), computed(wanted, self.wanted_args)):
            return False
        if self.other_inputs:
            return True
        mine, other = computed(model, repeated(args)), computed(wanted, repeated(self.args))
        return mine is None or other is None or same(mine, other)

    def tempted(self, fix: Fix) -> bool:
        """Whether the fix computes what the tempting change does."""
        module = self.edited(fix)
        if module is None or not hasattr(self.answers, "wrong"):
            return False
        try:
            torch.manual_seed(0)
            found = self.answers.wrong()
        except Exception:  # noqa: BLE001 - as the author wrote it
            return False
        args = given(fix, self.module.build, self.args)
        wrongs = found if isinstance(found, list | tuple) else [found]
        return args is not None and any(
            self.agrees_alone(module.build, args, wrong) for wrong in wrongs
        )

    def agrees_alone(self, build: Any, args: tuple[Any, ...], wrong: nn.Module) -> bool:
        try:
            model = built(build)
            model.load_state_dict(wrong.state_dict())
        except Exception:  # noqa: BLE001 - another architecture
            return False
        return same(computed(model, args), computed(wrong, self.args))


def _shapes(args: tuple[Any, ...]) -> list[tuple[int, ...]]:
    return [tuple(t.shape) for t in _tensors(args)]


def _in_order(args: tuple[Any, ...]) -> list[float]:
    return sorted(number for t in _tensors(args) for number in t.flatten().tolist())


def given(fix: Fix, build: Any, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """The inputs as a fix wants them: those of the failed call, but where it changes them."""
    changed = dict(getattr(fix, "inputs", ()))
    if not changed:
        return args
    bound = inspect.signature(built(build).forward).bind(*args)
    names = {"torch": torch, "nn": nn, "F": nn.functional, **bound.arguments}
    try:
        for name, text in changed.items():
            bound.arguments[name] = eval(text, dict(names))  # our own answer
    except Exception:  # noqa: BLE001 - a wrong answer
        return None
    return bound.args


def verdict(path: Path, folder: Path, with_build: bool, fixes: bool) -> Verdict:
    judge = Judge(path, folder)
    case = judge.case
    with recording_construction() if with_build else contextlib.nullcontext():
        model = built(judge.module.build)
    began = time.perf_counter()
    torch.manual_seed(2)
    build = judge.module.build if with_build else None
    failure = trace(model, *judge.args, values=False, build=build, name=path.stem).failure
    seconds = time.perf_counter() - began
    known = Verdict(path.stem, case.get("domain", ""), case.get("root_where", ""), seconds)
    if failure is None:
        return dataclasses.replace(known, error="does not fail")
    shown = failure.fixes
    right = tuple(n for n, fix in enumerate(shown) if judge.right(fix))
    first = shown[0] if shown else None
    return dataclasses.replace(
        known,
        located=_located(case, failure),
        operands=_operands(case, failure),
        root=_root(case, failure, judge.text),
        right=right,
        shown=len(shown),
        verified=first is not None and first.verified,
        plain=first is not None and first.verified and not first.caveat,
        tempted=first is not None and 0 not in right and judge.tempted(first),
        no_fix_wanted=bool(case.get("no_code_fix")),
        found_root=_place_text(failure, judge.text),
        fixes=tuple(_fix_text(fix) for fix in shown) if fixes else (),
    )


def _flat(text: str) -> str:
    return "".join(text.split())


def _located(case: dict[str, Any], failure: Failure) -> bool | None:
    if "fail_expr" not in case:
        return None
    found, wanted = _flat(failure.expression), _flat(case["fail_expr"])
    # The author may write down a larger or smaller part of the statement that fails.
    nested = found in wanted or wanted in found
    fits = found == wanted or (wanted in _flat(failure.statement) and nested)
    return fits and failure.module == case.get("fail_module", failure.module)


def _operands(case: dict[str, Any], failure: Failure) -> bool | None:
    if "operand_shapes" not in case:
        return None
    found = [list(operand.note.shape) for operand in failure.operands]
    ways = [case["operand_shapes"], case.get("operand_shapes_alt", case["operand_shapes"])]
    return any(all(list(shape) in found for shape in way) for way in ways)


def _root(case: dict[str, Any], failure: Failure, text: str) -> bool | None:
    chain = getattr(failure, "chain", ())
    places = [link.place for link in chain[:3]] or (
        [failure.root.place] if failure.root is not None else [failure.place]
    )
    histories = getattr(failure, "histories", ())
    places += [each.parting.place for each in histories if each.parting is not None]
    kinds = [getattr(link, "kind", "") for link in chain[:3]]
    if failure.root is not None:
        kinds.append(failure.root.kind)
    wanted = case.get("root_line_contains", "")
    if case.get("root_where") in ("input", "inputs") and "input" in kinds:
        return True
    if not wanted:
        return None if case.get("root_where") not in ("input", "inputs") else False
    return any(_flat(wanted) in _flat(_lines(place, text)) for place in places)


def _lines(place: Any, text: str) -> str:
    span = place.statement_span or place.span
    first, last = (span.line, span.end_line) if span is not None else (place.line, place.line)
    return "\n".join(text.splitlines()[first - 1 : last])


def _place_text(failure: Failure, text: str) -> str:
    root = failure.root
    if root is None:
        return "none"
    return f"{root.kind} {root.line}: {_lines(root.place, text).strip()[:100]}"


def _fix_text(fix: Fix) -> str:
    edits = "; ".join(f"{e.span.line}: {e.replacement!r}" for e in fix.edits)
    sign = "v" if fix.verified else "?"
    more = f" <{fix.caveat}>" if fix.caveat else ""
    return f"{sign} {fix.summary} [{edits}]{more}"


# --- the models of tests/broken ----------------------------------------------------------------

_AS_FILE = """

CASE = {case!r}
TEXT = {text!r}


def changes():  # no names of the module, which edits could use
    return {fixed!r}, {tempting!r}


def build():
    return {model}


def inputs():
    B = {batch}
    return ({inputs},)


def _made(change):
    text = TEXT
    for old, new in change.items():
        text = text.replace(old, new)
    names = {{"__name__": __name__}}
    exec(compile(text, "changed", "exec"), names)
    torch.manual_seed(0)
    return eval({model!r}, names)


def fixed():
    return _made(changes()[0][0])


def also():
    return [_made(change) for change in changes()[0][1:]]


def wrong():
    return [_made(change) for change in changes()[1]]
"""


def write_corpus(folder: Path) -> None:
    """The cases of tests/broken as files of the form that is judged here."""
    from tests.broken import CASES

    for case in CASES:
        _write(folder, case, case.root[0][1] if case.root else "")


def write_short(folder: Path) -> None:
    """The models of test_fixes.py and test_search.py as such files."""
    from tests.broken.case import Case
    from tests.tracer.diagnosis.repair.test_search import CASES
    from tests.tracer.diagnosis.test_fixes import ALL

    for case in CASES:
        _write(folder, case, "")

    for each in ALL:
        case = Case(each.name, each.source, each.inputs, "", (), "", (), each.right, each.wrong)
        _write(folder, case, "")


def _write(folder: Path, case: Any, root: str) -> None:
    known = {
        "id": case.name,
        "domain": folder.name.rstrip("_0123456789"),
        "root_line_contains": root,
        "no_code_fix": not case.fixed,
    }
    if case.expression:
        known |= {"fail_expr": case.expression, "fail_module": case.module}
    text = case.text + _AS_FILE.format(
        case=known,
        text=case.text,
        fixed=[dict(change) for change in case.fixed],
        tempting=[dict(change) for change in case.tempting],
        model=case.model,
        batch=case.batch,
        inputs=case.inputs,
    )
    if not case.fixed:
        text = text.replace("def fixed():\n    return _made(changes()[0][0])\n", "")
    (folder / f"{case.name}.py").write_text(text, encoding="utf-8")


WRITTEN = {"corpus": write_corpus, "short": write_short}
"""Collections that are written into a folder when they are asked for by name."""


def files_of(name: Path) -> list[Path]:
    """The models of a folder or of a collection of this name, or the one file."""
    write = WRITTEN.get(str(name))
    if write is not None:
        name = Path(tempfile.mkdtemp(prefix=f"{name}_"))
        write(name)
    files = sorted(name.glob("*.py")) if name.is_dir() else [name]
    return [path for path in files if path.stem not in ("check", "__init__", "conftest")]


# --- the whole ----------------------------------------------------------------------------------


def _prepare() -> None:
    """What every answer loads is loaded before the first is timed."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    trace(nn.Sequential(nn.Linear(4, 4), nn.Linear(5, 4)), torch.zeros(2, 4), values=False)


def judged(path: Path, with_build: bool = True, fixes: bool = True) -> Verdict:
    """One file's verdict; what it raises becomes the verdict's error."""
    with tempfile.TemporaryDirectory(prefix="repairs") as folder:
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                return verdict(path, Path(folder), with_build, fixes)
        except Exception as error:  # noqa: BLE001 - one file is not to end the others
            text = f"{type(error).__name__}: {error}"
            return Verdict(path.stem, "", "", 0.0, error=" ".join(text.split())[:300])


def _sign(value: bool | None) -> str:
    return "·" if value is None else "+" if value else "-"


def line(each: Verdict) -> str:
    if each.error:
        return f"{each.name:46} {each.error}"
    rank = str(each.right[0] + 1) if each.right else ("ok" if each.first else "none")
    notes = [
        "TEMPTED" if each.tempted else "",
        "nothing" if not each.shown and not each.first else "",
        "verified-wrong" if each.verified and not each.first else "",
    ]
    signs = f"{_sign(each.located)}{_sign(each.operands)}{_sign(each.root)}"
    words = " ".join(filter(None, notes))
    return f"{each.name:46} {signs} {rank:>4} of {each.shown} {each.seconds:5.1f} s {words}"


def _share(values: Iterable[bool | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known)}/{len(known)}"


def totals(name: str, group: list[Verdict]) -> str:
    ran = [each for each in group if not each.error]
    return (
        f"{name:16} {len(ran):3} located {_share(v.located for v in ran):7} "
        f"operands {_share(v.operands for v in ran):7} root {_share(v.root for v in ran):7} "
        f"first {sum(v.first for v in ran):3} any {sum(v.somewhere for v in ran):3} "
        f"nothing {sum(not v.shown and not v.first for v in ran):3} "
        f"verified-wrong {sum(v.verified and not v.first for v in ran):3} "
        f"(no caveat {sum(v.plain and not v.first for v in ran)}) "
        f"tempted {sum(v.tempted for v in ran):2}"
    )


def report(found: list[Verdict]) -> str:
    rows = [line(each) for each in found]
    by_domain: dict[str, list[Verdict]] = {}
    for each in found:
        by_domain.setdefault(each.domain or "-", []).append(each)
    rows.append("")
    if len(by_domain) > 1:
        rows += [totals(name, group) for name, group in sorted(by_domain.items())]
    rows.append(totals("all", found))
    times = [each.seconds for each in found if not each.error]
    if times:
        middle, most = statistics.median(times), max(times)
        rows.append(f"seconds: median {middle:.2f}, slowest {most:.2f}")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--json", type=Path, help="write all verdicts there")
    parser.add_argument("--only", default="", help="files whose name has this in it")
    parser.add_argument("--fixes", action="store_true", help="print the fixes too")
    parser.add_argument("--no-build", action="store_true", help="hand the model over alone")
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    files = [path for name in asked.folders for path in files_of(name) if asked.only in path.stem]
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(asked.processes, context, _prepare) as pool:
        calls = [pool.submit(judged, path, not asked.no_build) for path in files]
        found = []
        for call in calls:
            found.append(call.result())
            if asked.fixes:
                print(line(found[-1]), *(f"      {fix}" for fix in found[-1].fixes), sep="\n")
    print(report(found))
    if asked.json:
        rows = [dataclasses.asdict(each) for each in found]
        asked.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()

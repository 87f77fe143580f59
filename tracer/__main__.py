"""Command line: trace a module of a file and print its source with every shape, or run a script
and explain the module call that fails in it.

    python -m tracer FILE.py:NAME --input 2,256,100,148 --arg in_channels=256
    python -m tracer run train.py --epochs 3
    python -m tracer check
    python -m tracer snapshot

Of a failure it prints the rule that is broken, where the wrong size was born and what mends it;
`--fix` shows the best fix that was run as a diff, `--apply` writes it.  `--format json` is for
programs, `--format github` for GitHub Actions.
Exit status: 0, 1 when the forward or the script fails, 2 when the arguments are wrong.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import importlib.util
import inspect
import io
import json
import os
import shlex
import shutil
import sys
import tempfile
import traceback
import types
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn

import tracer
from tracer import api, holding, inputs
from tracer.check import ProjectError, checked, project
from tracer.document import Fix, Trace
from tracer.explaining import explain, explained, note, traced
from tracer.language import LANGUAGES, translator
from tracer.record.construction import recording_construction
from tracer.record.isolation import in_mode
from tracer.source import files
from tracer.views import github, snapshot
from tracer.views.answer import Finding, answer, at, diff, findings, shown_path, source
from tracer.views.slides import slides
from tracer.views.svg import svg
from tracer.views.text import annotated
from tracer.views.worksheet import worksheet


class UsageError(Exception):
    """The arguments are wrong; the message is one sentence for the user."""


def main(
    arguments: list[str] | None = None, prog: str = "python -m tracer", more: str | None = None
) -> int:
    """Do what these arguments say, those of the process if None, and return its exit status;
    `prog` is how the reader has called it, `more` what else that can do."""
    arguments = sys.argv[1:] if arguments is None else arguments
    command = arguments[0] if arguments and arguments[0] in _COMMANDS else ""
    make_parser, act = _COMMANDS[command]
    parser = make_parser(prog, more)
    own = arguments[1:] if command else arguments
    own, rest = _split_at_script(own) if command == "run" else (own, [])
    options = parser.parse_args(own)
    options.rest = rest
    try:
        with recording_construction():
            return act(options)
    except UsageError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        # A constructor may try its layers, a file may call its module while it is imported.
        text = (
            note(explained(error.__cause__), options.language)
            if error.__cause__ is not None
            else ""
        )
        if text:
            print(text, file=sys.stderr)
        return 2


def _trace(options: argparse.Namespace) -> int:
    """`FILE.py:NAME`: one run of a module."""
    named = (options.save, options.html, options.worksheet, options.slides, options.svg)
    for path in (Path(each) for each in named if each is not None):
        if not path.parent.is_dir():
            raise UsageError(f"There is no folder {path.parent} to write {path.name} to.")
    result = _traced_target(options)
    _write(result, options)
    if options.format == "json":
        print(json.dumps(answer(result, options.language), indent=2))
    else:
        terminal = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        width = shutil.get_terminal_size((100, 24)).columns
        translate = translator(options.language)
        try:
            text = annotated(
                result, terminal, max(width, 60), options.symbols, translate,
                module=options.module, depth=options.depth, folded=True,
            )  # fmt: skip
        except KeyError as error:
            raise UsageError(str(error.args[0])) from None
        print(text)
    _tell(result, options)
    return 0 if result.failure is None else 1


def _traced_target(options: argparse.Namespace) -> Trace:
    dtype = _dtype(options.dtype)
    found = _find(options.target)
    settings = _settings(options.arg)

    def build() -> nn.Module:
        torch.manual_seed(options.seed)
        model = _built(found, options.target, settings)
        if options.dtype is not None and dtype.is_floating_point:
            model = model.to(dtype)
        return in_mode(model, options.train)

    model = build()
    sizes = {**_whole(settings), **_sizes(options.size)}
    args, kwargs = _inputs(options.input, sizes, dtype, options.seed, model)
    anew = None if isinstance(found, nn.Module) else build
    result = _traced(model, args, kwargs, options.shapes_only, anew)
    if not options.symbols:
        return result
    # Whole numbers among the constructor's arguments are symbols as well.
    known = {} if anew is None else _whole(settings)

    def build_at(at: Mapping[str, Any]) -> nn.Module:
        own = {**settings, **{name: at[name] for name in known}}
        model: nn.Module = found(**own)
        return in_mode(model, options.train)

    from tracer.formulas.proof import named

    dims = _dims(options.input, model)
    return named(result, model, args, kwargs, dims, build_at if known else None, known)


def _run(options: argparse.Namespace) -> int:
    """`run SCRIPT`: a script as Python would run it, its failure explained."""
    explaining = explain(options.language)
    try:
        execute = _module_code(options.module) if options.module else _script_code(options.script)
        sys.argv = [sys.argv[0], *options.rest]
        with explaining:
            execute()
    except UsageError:
        raise
    except Exception as error:  # noqa: BLE001 - it is the script's own, told as Python tells it
        sys.stdout.flush()
        traceback.print_exception(type(error), error, _outside(error.__traceback__))
        if explaining.trace is None or explaining.trace.failure is None:
            return 1
        if options.format == "json":
            print(json.dumps(answer(explaining.trace, options.language), indent=2))
        _tell(explaining.trace, options)
        return 1
    return 0


def _check(options: argparse.Namespace) -> int:
    """`check`: the entries of the project, or those that are given."""
    translate = translator(options.language)
    bad = False
    for each in checked(_entries(options), _entry, translate):
        bad = bad or not each.good
        print(f"{'ok' if each.good else 'not ok':7}{each.entry}")
        if each.problem:
            print(f"       {each.problem}")
        for finding in each.findings:
            print(f"{_matched(finding)} [{finding.code}]")
        if options.format == "github":
            for finding in each.findings:
                print(github.command(finding))
            if each.trace is not None:
                _add_to_summary(github.summary(each.trace, translate))
    return int(bad)


def _snapshot(options: argparse.Namespace) -> int:
    """`snapshot`: the shapes of the entries, compared with those that were kept, or kept."""
    kept = snapshot.NAME
    runs: dict[str, Trace] = {}
    for entry in _entries(options):
        try:
            runs[entry] = _entry(entry)
        except ProjectError as error:
            raise UsageError(f"{entry}: {error}") from error
        if runs[entry].failure is not None:
            raise UsageError(f"{entry} fails: `check` says why; shapes are kept of what runs.")
    file = Path(kept)
    if options.update or not file.exists():
        file.write_text(snapshot.text(runs), encoding="utf-8")
        print(f"{kept} is written: {len(runs)} {'entry' if len(runs) == 1 else 'entries'}.")
        return 0
    before = snapshot.read(file.read_text(encoding="utf-8"))
    now = {entry: snapshot.lines(trace) for entry, trace in runs.items()}
    changed = False
    for entry in dict.fromkeys([*before, *now]):
        pairs = snapshot.changes(before.get(entry, []), now.get(entry, []))
        if pairs:
            changed = True
            print(entry)
            for old, new in pairs:
                print(f"  was  {old if old is not None else '(nothing)'}")
                print(f"  is   {new if new is not None else '(nothing)'}")
    print(f"The shapes are {'not ' if changed else ''}those of {kept}", end="")
    print("; --update keeps the new ones." if changed else ".")
    return int(changed)


def _entries(options: argparse.Namespace) -> list[str]:
    """Those that are given, or those of the project, in whose folder all that follows happens."""
    if options.entries:
        return list(options.entries)
    try:
        found = project(Path.cwd())
    except ProjectError as error:
        raise UsageError(str(error)) from error
    os.chdir(found.folder)
    return list(found.entries)


def _entry(text: str) -> Trace:
    """The run of an entry."""
    try:
        return _traced_target(parsed(text))
    except UsageError as error:
        raise ProjectError(str(error)) from error


def parsed(entry: str) -> argparse.Namespace:
    """An entry, which is written as arguments of the command line, with a value for each of them.

    Raises:
        ProjectError: it is none.
    """
    try:
        with contextlib.redirect_stderr(io.StringIO()) as told:
            return _parser("", None).parse_args(shlex.split(entry))
    except SystemExit as ended:
        why = told.getvalue().strip().removeprefix(":").partition(" (--help")[0].strip()
        raise ProjectError(f"These are no arguments of the command line: {why}.") from ended
    except ValueError as error:
        raise ProjectError(f"{error}.") from error


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (--help lists the arguments).\n")


def _parser(prog: str, more: str | None) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=prog,
        epilog=more,
        description="Run a PyTorch module once and print its source with every tensor's shape. "
        f"`{prog} run SCRIPT.py` runs a script and explains the call that fails in it; `check` and "
        "`snapshot` run the models that pyproject.toml names.",
    )
    parser.add_argument("--version", action="version", version=f"shapewalk {tracer.__version__}")
    parser.add_argument(
        "target",
        metavar="FILE.py:NAME",
        help="a file (or an importable module) and in it an nn.Module class, an instance, "
        "or a function that returns one",
    )
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="[NAME=]SIZES[:DTYPE]",
        help="an input tensor such as 2,3,224,224, B,C,H,W or mask=2,10:bool, a list "
        "[1,8,4,4; 1,8,2,2], a dictionary {x=1,8; y=1:int64}, a value k:=3; repeat for several",
    )
    parser.add_argument(
        "--size",
        action="append",
        default=[],
        metavar="NAME=N",
        help="what a letter in --input stands for, such as B=2; repeat for several",
    )
    parser.add_argument(
        "--arg",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a constructor argument such as in_channels=256; repeat for several",
    )
    parser.add_argument("--dtype", help="of the inputs and the module (default float32)")
    parser.add_argument("--train", action="store_true", help="train mode (default: eval)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and inputs (default 0)")
    parser.add_argument(
        "--shapes-only",
        action="store_true",
        help="compute shapes without values, whatever the size",
    )
    parser.add_argument(
        "--symbols",
        action="store_true",
        help="print shapes as formulas of the inputs' sizes, named as in --input B,C,H,W, with "
        "what is demanded of them",
    )
    parser.add_argument(
        "--module", default="", metavar="NAME", help="show one module alone, such as layers.0.attn"
    )
    parser.add_argument(
        "--depth", type=_depth, metavar="N", help="show modules at most N calls deep (0: the first)"
    )
    _add_files(parser)
    _add_answers(parser)
    return parser


def _depth(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("give a whole number, such as 1")
    return int(text)


def _add_files(parser: argparse.ArgumentParser) -> None:
    """What is written of a run."""
    parser.add_argument("--save", metavar="T.json", help="write the trace as JSON")
    parser.add_argument("--html", metavar="T.html", help="write the walk as one HTML page")
    parser.add_argument(
        "--worksheet", metavar="T.html", help="write the shapes as blanks, to print"
    )
    parser.add_argument("--slides", metavar="T.html", help="write a slide for each step")
    parser.add_argument("--svg", metavar="T.svg", help="write the graph as a picture")
    parser.add_argument("--open", action="store_true", help="open the HTML page in a browser")


def _run_parser(prog: str, _: str | None) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=f"{prog} run",
        description="Run a script as `python SCRIPT.py ARGUMENTS` would, at full speed, and "
        "explain the module call that fails in it.",
    )
    _add_answers(parser)
    parser.add_argument("-m", dest="module", metavar="MODULE", help="run a module, as python -m")
    parser.add_argument("script", nargs="?", metavar="SCRIPT.py")
    parser.usage = "%(prog)s [OPTIONS] (SCRIPT.py | -m MODULE) [ARGUMENTS ...]"
    return parser


def _check_parser(prog: str, _: str | None) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=f"{prog} check",
        description="Run the models that pyproject.toml names (entries under [tool.shapewalk], "
        "each written as on the command line) and say what fails and what is suspicious. A "
        "comment `# shapewalk: ignore[CODE]` at the end of a line says that it is meant.",
    )
    _add_entries(parser)
    parser.add_argument("--format", choices=("text", "github"), default=_default_format())
    parser.add_argument("--language", choices=LANGUAGES, default="en", help="of what is said")
    return parser


def _snapshot_parser(prog: str, _: str | None) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=f"{prog} snapshot",
        description=f"Compare the shapes of the models that pyproject.toml names with those in "
        f"{snapshot.NAME}, which is written where there is none.",
    )
    _add_entries(parser)
    parser.add_argument("--update", action="store_true", help="keep the shapes as they are now")
    return parser


def _add_entries(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "entries", nargs="*", metavar="ENTRY", help='such as "net.py:Net --input 2,3,8,8"'
    )


def _default_format() -> str:
    return "github" if os.environ.get("GITHUB_ACTIONS") == "true" else "text"


_COMMANDS: dict[str, tuple[Callable[..., argparse.ArgumentParser], Callable[..., int]]] = {
    "": (_parser, _trace),
    "run": (_run_parser, _run),
    "check": (_check_parser, _check),
    "snapshot": (_snapshot_parser, _snapshot),
}

_WITH_A_VALUE = ("--language", "--format")  # in `run`, before the script


def _split_at_script(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Our own arguments end with the script's name: what follows is the script's."""
    place = 0
    while place < len(arguments):
        argument = arguments[place]
        if argument == "-m":
            return arguments[: place + 2], arguments[place + 2 :]
        if not argument.startswith("-"):
            return arguments[: place + 1], arguments[place + 1 :]
        place += 2 if argument in _WITH_A_VALUE else 1
    return arguments, []


def _add_answers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--fix", action="store_true", help="show the best fix of a failure, as a diff"
    )
    parser.add_argument(
        "--apply", action="store_true", help="write that fix; the file as it was is kept as .orig"
    )
    parser.add_argument(
        "--format",
        choices=("text", "json", "github"),
        default=_default_format(),
        help="text; json: the answer alone, for programs; github: text with what GitHub Actions "
        "marks in a change, and a page in the summary of the job (on by itself there)",
    )
    parser.add_argument(
        "--json",
        action="store_const",
        dest="format",
        const="json",
        help="the same as --format json",
    )
    parser.add_argument(
        "--language", choices=LANGUAGES, default="en", help="of what is said, and of the page"
    )


def _dtype(name: str | None) -> torch.dtype:
    if name is None:
        return torch.float32
    try:
        return inputs.dtype_of(name)
    except inputs.InputError as error:
        raise UsageError(str(error)) from error


def _find(target: str) -> Any:
    place, colon, name = target.rpartition(":")
    if not colon or not place or not name:
        raise UsageError(f"{target!r} names no module: write FILE.py:NAME.")
    path = Path(place)
    try:
        if path.is_file():
            module = _imported(path)
        elif path.suffix == ".py" or os.sep in place:
            raise UsageError(f"There is no file {place}.")
        else:
            module = importlib.import_module(place)
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        where = f"line {error.lineno}: " if isinstance(error, SyntaxError) else ""
        raise UsageError(
            f"{place} cannot be imported: {where}{type(error).__name__}: {_first_line(error)}."
        ) from error
    found = module
    for part in name.split("."):
        if not hasattr(found, part):
            known = ", ".join(
                key
                for key, value in vars(module).items()
                if isinstance(value, type)
                and issubclass(value, nn.Module)
                and value.__module__ == module.__name__
            )
            raise UsageError(f"{place} has no {name}; its modules are: {known or 'none'}.")
        found = getattr(found, part)
    return found


def _imported(path: Path) -> Any:
    if path.suffix != ".py":
        raise UsageError(f"{path} is not a Python file.")
    top, dotted = files.dotted(path.resolve().as_posix(), _is_package)
    if "." in dotted or path.stem == "__init__":
        # A file of a package imports its neighbours by their relative names.
        sys.path.insert(0, top)
        return importlib.import_module(dotted)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} cannot be imported.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    sys.path.insert(0, str(path.parent.resolve()))
    spec.loader.exec_module(module)
    return module


def _is_package(folder: str) -> bool:
    return Path(folder).name.isidentifier() and Path(folder, "__init__.py").is_file()


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else "no message"


def _settings(pairs: list[str]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"--arg {pair!r} should be NAME=VALUE, such as in_channels=256.")
        try:
            settings[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            settings[name] = text
    return settings


def _built(found: Any, target: str, settings: dict[str, Any]) -> nn.Module:
    if isinstance(found, nn.Module):
        if settings:
            raise UsageError(f"{target} is already built: leave --arg out.")
        return found
    if not callable(found) or (isinstance(found, type) and not issubclass(found, nn.Module)):
        raise UsageError(
            f"{target} is of type {type(found).__name__}: give an nn.Module or a function for one."
        )
    try:
        inspect.signature(found).bind(**settings)
    except TypeError as error:
        raise UsageError(
            f"{target} cannot be built: {_first_line(error)}; give constructor arguments as "
            "--arg NAME=VALUE."
        ) from error
    except ValueError:
        pass  # no signature to check against: the call below tells
    try:
        model = found(**settings)
    except Exception as error:
        raise UsageError(
            f"{target} cannot be built: {type(error).__name__}: {_first_line(error)}."
        ) from error
    if not isinstance(model, nn.Module):
        raise UsageError(f"{target} returned a {type(model).__name__}, not an nn.Module.")
    return model


def _inputs(
    texts: list[str], sizes: dict[str, int], dtype: torch.dtype, seed: int, model: nn.Module
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if not texts:
        raise UsageError("Give the size of each input, such as --input 2,3,224,224.")
    unknown = [name for name in inputs.letters(texts) if name not in sizes]
    if unknown:
        raise UsageError(
            f"{unknown[0]} in --input has no size: add --size {unknown[0]}=2, or write numbers."
        )
    try:
        return inputs.make(texts, sizes, dtype, seed, kinds=holding.names_of(model))
    except inputs.InputError as error:
        raise UsageError(f"--input: {error}") from error


def _dims(texts: list[str], model: nn.Module) -> dict[str, str]:
    try:
        parameters = list(inspect.signature(model.forward).parameters)
    except (TypeError, ValueError):
        parameters = []
    return inputs.dims(texts, parameters)


def _whole(settings: dict[str, Any]) -> dict[str, int]:
    return {name: value for name, value in settings.items() if type(value) is int and value > 0}


def _sizes(pairs: list[str]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        if not name.isidentifier() or not text.isdecimal():
            raise UsageError(f"--size {pair!r} should be NAME=NUMBER, such as B=2.")
        sizes[name] = int(text)
    return sizes


def _traced(
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    shapes_only: bool,
    build: Callable[[], nn.Module] | None,
) -> Trace:
    with torch.no_grad():
        if not shapes_only:
            return traced(model, args, kwargs, build=build)
        result = api.traced(model, args, kwargs, values=False, device="meta")
        if result.failure is not None:
            # Code that looks at values, such as `.item()`, has none on meta: run it for real.
            real = traced(model, args, kwargs, values=False, build=build)
            if real.failure is None:
                return real
        return result


# --- scripts ------------------------------------------------------------------------------------


def _script_code(script: str | None) -> Callable[[], None]:
    """Runs a file as `__main__`, which it stays: the explanation looks into it."""
    if script is None:
        raise UsageError("Give the script to run, such as train.py.")
    path = Path(script)
    if not path.is_file():
        raise UsageError(f"There is no file {script}.")
    try:
        code = compile(path.read_bytes(), str(path.resolve()), "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        where = f"line {error.lineno}: " if isinstance(error, SyntaxError) else ""
        raise UsageError(f"{script} is not Python: {where}{_first_line(error)}.") from error
    main_module = types.ModuleType("__main__")
    main_module.__file__ = str(path.resolve())

    def execute() -> None:
        sys.argv[0] = script
        sys.path[0] = str(path.resolve().parent)
        sys.modules["__main__"] = main_module
        exec(code, main_module.__dict__)

    return execute


def _module_code(name: str) -> Callable[[], None]:
    sys.path[0] = os.getcwd()
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{name}.__main__")
        code = spec.loader.get_code(spec.name) if spec is not None else None  # type: ignore[union-attr]
    except Exception as error:
        raise UsageError(f"{name} cannot be run: {_first_line(error)}.") from error
    if spec is None or code is None:
        raise UsageError(f"There is no module {name} to run.")
    main_module = types.ModuleType("__main__")
    main_module.__file__ = spec.origin
    main_module.__spec__ = spec
    main_module.__package__ = spec.parent

    def execute() -> None:
        sys.argv[0] = spec.origin or name
        sys.modules["__main__"] = main_module
        exec(code, main_module.__dict__)

    return execute


def _outside(found: types.TracebackType | None) -> types.TracebackType | None:
    """The traceback from the script's own first frame on."""
    here = str(Path(__file__).parent)
    inner = found
    while inner is not None and inner.tb_frame.f_code.co_filename.startswith(here):
        inner = inner.tb_next
    return inner or found


# --- answers ------------------------------------------------------------------------------------


def _tell(result: Trace, options: argparse.Namespace) -> None:
    """What goes with the text: lines that an editor or GitHub finds the places by, and the fix."""
    json_alone = options.format == "json"
    if options.format == "github":
        translate = translator(options.language)
        for finding in findings(result, translate):
            print(github.command(finding))
        _add_to_summary(github.summary(result, translate))
    elif not json_alone:
        for finding in findings(result, translator(options.language)):
            print(_matched(finding))
    if result.failure is None or not (options.fix or options.apply):
        return
    fix = next((fix for fix in result.failure.fixes if fix.verified and fix.edits), None)
    out = sys.stderr if json_alone else sys.stdout
    if fix is None:
        print("No fix was found that runs and holds for a second batch size.", file=out)
        return
    if options.fix and not json_alone:
        with _readable():
            print(f"\n{fix.summary}\n{diff(fix)}", end="")
    if options.apply:
        _applied(fix, out)


def _add_to_summary(page: str) -> None:
    file = os.environ.get("GITHUB_STEP_SUMMARY")
    if not file:
        return
    try:
        with open(file, "a", encoding="utf-8") as stream:
            stream.write(page)
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}.") from error


def _matched(finding: Finding) -> str:
    """`file:line:column: level: message`, as a problem matcher reads it."""
    return f"{at(finding.place)}: {finding.level}: {' '.join(finding.message.split())}"


def _applied(fix: Fix, out: Any) -> None:
    """Write the fix.  The new text of every file is made before the first one is touched."""
    texts = {}
    for file in dict.fromkeys(edit.file for edit in fix.edits):
        with _readable():
            texts[Path(file)] = fix.apply(source(file), file)
    for path, text in texts.items():
        kept = _spare(path)
        try:
            shutil.copy2(path, kept)
            # In one step: a program that looks at the file sees the old text or the new one.
            with tempfile.NamedTemporaryFile(
                "w", encoding="utf-8", newline="", dir=path.parent, delete=False
            ) as stream:
                stream.write(text)
            shutil.copymode(path, stream.name)
            os.replace(stream.name, path)
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}.") from error
        print(
            f"{shown_path(str(path))} is changed; as it was it is {shown_path(str(kept))}.",
            file=out,
        )


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"{error.filename} cannot be read to be mended: {error.strerror}."
        ) from error
    except ValueError as error:
        raise UsageError(f"A file cannot be mended: {error}.") from error


def _spare(path: Path) -> Path:
    """`net.py.orig`, or `net.py.orig.2` where that exists: an older original is not lost."""
    kept, number = path.with_name(f"{path.name}.orig"), 1
    while kept.exists():
        number += 1
        kept = path.with_name(f"{path.name}.orig.{number}")
    return kept


def _write(result: Trace, options: argparse.Namespace) -> None:
    try:
        if options.save is not None:
            result.save(options.save)
        if options.worksheet is not None:
            sheet = worksheet(result, language=options.language)
            Path(options.worksheet).write_text(sheet, encoding="utf-8")
        if options.slides is not None:
            deck = slides(result, language=options.language)
            Path(options.slides).write_text(deck, encoding="utf-8")
        if options.svg is not None:
            Path(options.svg).write_text(svg(result), encoding="utf-8")
        page = Path(options.html) if options.html is not None else None
        if page is None and options.open:
            page = Path(tempfile.mkdtemp(prefix="shapewalk-")) / "trace.html"
        if page is not None:
            page.write_text(result.to_html(options.language), encoding="utf-8")
            if options.open:
                webbrowser.open(page.resolve().as_uri())
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be written: {error.strerror}.") from error
    except ValueError as error:  # of a graph that is too large
        raise UsageError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())

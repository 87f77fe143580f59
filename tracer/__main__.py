"""Command line: trace a module of a file and print its source with every shape.

    python -m tracer FILE.py:NAME --input 2,256,100,148 --arg in_channels=256

Exit status: 0, 1 when the forward fails, 2 when the arguments are wrong.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.util
import inspect
import os
import shutil
import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from tracer.document import Trace
from tracer.recorder import trace
from tracer.views.text import annotated


class UsageError(Exception):
    """The arguments are wrong; the message is one sentence for the user."""


def main(arguments: list[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        dtype = _dtype(options.dtype)
        found = _find(options.target)
        model = _built(found, options.target, _settings(options.arg))
        if options.dtype is not None and dtype.is_floating_point:
            model = model.to(dtype)
        model.train(options.train)
        args, kwargs = _inputs(options.input, dtype, options.seed)
        outputs = [Path(p) for p in (options.save, options.html) if p is not None]
        for path in outputs:
            if not path.parent.is_dir():
                raise UsageError(f"There is no folder {path.parent} to write {path.name} to.")
        result = _traced(model, args, kwargs, options.shapes_only)
        _write(result, options)
    except UsageError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    terminal = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    width = shutil.get_terminal_size((100, 24)).columns
    print(annotated(result, color=terminal, width=max(width, 60)))
    return 0 if result.failure is None else 1


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (--help lists the arguments).\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m tracer",
        description="Run a PyTorch module once and print its source with every tensor's shape.",
    )
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
        help="an input tensor such as 2,3,224,224 or mask=2,10:bool; repeat for several",
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
    parser.add_argument("--save", metavar="T.json", help="write the trace as JSON")
    parser.add_argument("--html", metavar="T.html", help="write the walk as one HTML page")
    parser.add_argument("--open", action="store_true", help="open the HTML page in a browser")
    return parser


def _dtype(name: str | None) -> torch.dtype:
    if name is None:
        return torch.float32
    dtype = getattr(torch, name.removeprefix("torch."), None)
    if not isinstance(dtype, torch.dtype):
        raise UsageError(f"{name!r} is no dtype of torch: give one such as float32 or int64.")
    return dtype


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
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} cannot be imported.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    sys.path.insert(0, str(path.parent.resolve()))
    spec.loader.exec_module(module)
    return module


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
    texts: list[str], dtype: torch.dtype, seed: int
) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    if not texts:
        raise UsageError("Give the size of each input, such as --input 2,3,224,224.")
    generator = torch.Generator().manual_seed(seed)
    args: list[Tensor] = []
    kwargs: dict[str, Tensor] = {}
    for text in texts:
        name, equals, rest = text.rpartition("=")
        sizes_text, _, dtype_text = rest.partition(":")
        try:
            sizes = [int(part) for part in sizes_text.split(",") if part.strip()]
        except ValueError:
            sizes = [-1]
        if any(size < 0 for size in sizes) or (equals and not name.isidentifier()):
            raise UsageError(
                f"--input {text!r} should be sizes such as 2,3,224,224, "
                "optionally NAME= before and :DTYPE behind."
            )
        try:
            tensor = _random(sizes, _dtype(dtype_text) if dtype_text else dtype, generator)
        except RuntimeError as error:
            raise UsageError(f"--input {text!r} cannot be made: {_first_line(error)}.") from error
        if equals:
            kwargs[name] = tensor
        else:
            args.append(tensor)
    return tuple(args), kwargs


def _random(sizes: list[int], dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    """Normal noise; bools at random; whole numbers 0 and 1, legal in any embedding of two rows."""
    if dtype.is_floating_point or dtype.is_complex:
        kind = dtype if dtype in (torch.float64, torch.complex64, torch.complex128) else None
        return torch.randn(sizes, generator=generator, dtype=kind).to(dtype)
    return torch.randint(0, 2, sizes, generator=generator).to(dtype)


def _traced(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], shapes_only: bool
) -> Trace:
    with torch.no_grad():
        if not shapes_only:
            return trace(model, *args, **kwargs)
        result = trace(model, *args, values=False, device="meta", **kwargs)
        if result.failure is not None:
            # Code that looks at values, such as `.item()`, has none on meta: run it for real.
            real = trace(model, *args, values=False, **kwargs)
            if real.failure is None:
                return real
        return result


def _write(result: Trace, options: argparse.Namespace) -> None:
    try:
        if options.save is not None:
            result.save(options.save)
        page = Path(options.html) if options.html is not None else None
        if page is None and options.open:
            page = Path(tempfile.mkdtemp(prefix="shapewalk-")) / "trace.html"
        if page is not None:
            page.write_text(result.to_html(), encoding="utf-8")
            if options.open:
                webbrowser.open(page.resolve().as_uri())
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be written: {error.strerror}.") from error


if __name__ == "__main__":
    sys.exit(main())

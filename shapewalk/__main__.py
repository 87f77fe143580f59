"""The command `shapewalk`: what `python -m tracer` does, `shapewalk check-fix` for a change of
one's own, `shapewalk app` for the app, `shapewalk mcp` for agents, `shapewalk lsp` for editors."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

MORE = (
    "`shapewalk check-fix` runs what fails with a change of your own and proves it. "
    "`shapewalk app` starts the app; --port chooses its port. `shapewalk mcp` serves agents over "
    "the Model Context Protocol and `shapewalk lsp` editors over the Language Server Protocol, on "
    "standard input and output."
)


def main() -> int:
    if sys.argv[1:2] == ["app"]:
        return app(sys.argv[2:])
    if sys.argv[1:2] == ["mcp"]:
        return served("mcp", "agents", "mcp", lambda found: found.run())
    if sys.argv[1:2] == ["lsp"]:
        return served("lsp", "editor", "pygls", lambda found: found.start_io())
    if sys.argv[1:2] == ["check-fix"]:
        return importlib.import_module("shapewalk.checking").main(sys.argv[2:])  # type: ignore[no-any-return]
    from tracer.__main__ import main as trace

    return trace(prog="shapewalk", more=MORE)


def app(arguments: list[str]) -> int:
    """Start the app, with its own modules on the path of this process alone."""
    missing = [name for name in ("streamlit", "plotly") if importlib.util.find_spec(name) is None]
    if missing:
        print(
            f"The app needs {' and '.join(missing)}: pip install 'shapewalk[app]'.", file=sys.stderr
        )
        return 2
    sys.path.insert(0, str(folder()))
    started: int = importlib.import_module("ui.serve").main(arguments, prog="shapewalk app")
    return started


def served(extra: str, module: str, needs: str, start: Callable[[Any], None]) -> int:
    """Serve agents or an editor on standard input and output until they hang up."""
    if importlib.util.find_spec(needs) is None:
        print(f"This needs {needs}: pip install 'shapewalk[{extra}]'.", file=sys.stderr)
        return 2
    start(importlib.import_module(f"shapewalk.{module}").server())
    return 0


def folder() -> Path:
    """Where the app is: in an installed copy it lies here as data, in a checkout around here, so
    that `ui`, `pages` and `modules` are no names that a user's own code meets."""
    here = Path(__file__).resolve().parent
    installed = here / "_app"
    return installed if installed.is_dir() else here.parent


if __name__ == "__main__":
    sys.exit(main())

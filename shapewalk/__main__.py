"""The command `shapewalk`: what `python -m tracer` does, and `shapewalk app` for the app."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path


def main() -> int:
    if sys.argv[1:2] == ["app"]:
        return app(sys.argv[2:])
    from tracer.__main__ import main as trace

    return trace(prog="shapewalk", more="`shapewalk app` starts the app; --port chooses its port.")


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


def folder() -> Path:
    """Where the app is: in an installed copy it lies here as data, in a checkout around here, so
    that `ui`, `pages` and `modules` are no names that a user's own code meets."""
    here = Path(__file__).resolve().parent
    installed = here / "_app"
    return installed if installed.is_dir() else here.parent


if __name__ == "__main__":
    sys.exit(main())

"""Checks and tests everything: `python -m tests.run`, or `python -m tests.run --deep` with many
more examples and those tests that are marked `deep`.

All parts run side by side: the tests that compute, those in the browser, which wait more than they
compute, and the checks of style and types.  Each runs to its end even when another has failed; the
status is 0 when all have passed.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from typing import IO

TESTS = ["pytest", "--dist=worksteal"]
PARTS = {
    "Tests computed": [*TESTS, "--ignore=tests/browser", "--numprocesses=auto"],
    "Tests in the browser": [*TESTS, "tests/browser", "--numprocesses=2"],
    "Style": ["ruff", "check"],
    "Format": ["ruff", "format", "--check"],
    "Types": ["mypy"],
}
"""Modules that Python runs, with their arguments."""

DEEP = "40"
"""How many times as many examples `--deep` draws; more with SHAPEWALK_TIMES=..."""


def main(arguments: list[str]) -> int:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    # What one process has compiled, the many that tests start need not compile again.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    if "--deep" in arguments:
        arguments = [*(each for each in arguments if each != "--deep"), "-m", ""]
        environment.setdefault("SHAPEWALK_TIMES", DEEP)
    failed = []
    with contextlib.ExitStack() as files:
        started: dict[str, tuple[IO[str], subprocess.Popen[bytes]]] = {}
        for name, part in PARTS.items():
            output = files.enter_context(tempfile.TemporaryFile("w+"))
            # The first is read while it runs, the others when it has ended.
            started[name] = (
                output,
                subprocess.Popen(
                    [sys.executable, "-m", *part, *(arguments if part[0] == "pytest" else [])],
                    env=environment,
                    stdout=output if started else None,
                    stderr=subprocess.STDOUT,
                ),
            )
        for name, (output, process) in started.items():
            if process.wait() != 0:
                failed.append(name)
            output.seek(0)
            print(output.read(), end="", flush=True)
    for name in PARTS:
        print(f"{name}: {'FAILED' if name in failed else 'passed'}.", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

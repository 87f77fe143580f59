"""Runs all tests: `python -m tests.run`, or `python -m tests.run --deep` with many more examples
and those marked `deep`.

Those that compute and those in the browser, which wait more than they compute, run side by side.
Both run to their end even when the other has failed; the status is 0 when both have passed.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from typing import IO

PARTS = {
    "computed": ["--ignore=tests/browser", "--numprocesses=auto", "--dist=worksteal"],
    "in the browser": ["tests/browser", "--numprocesses=2", "--dist=worksteal"],
}
DEEP = "40"
"""How many times as many examples `--deep` draws; more with SHAPEWALK_TIMES=..."""


def main(arguments: list[str]) -> int:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if "--deep" in arguments:
        arguments = [*(each for each in arguments if each != "--deep"), "-m", ""]
        environment.setdefault("SHAPEWALK_TIMES", DEEP)
    failed = []
    with contextlib.ExitStack() as files:
        started: dict[str, tuple[IO[str], subprocess.Popen[bytes]]] = {}
        for name, options in PARTS.items():
            output = files.enter_context(tempfile.TemporaryFile("w+"))
            # The first is read while it runs, the others when it has ended.
            started[name] = (
                output,
                subprocess.Popen(
                    [sys.executable, "-m", "pytest", *options, *arguments],
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
        print(f"Tests {name}: {'FAILED' if name in failed else 'passed'}.", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

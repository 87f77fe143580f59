"""Write `requirements.lock` and `build.lock`: what the container installs, each file with its hash.

    python deploy/lock.py       # in the environment that the tests run in; needs uv

All that `requirements.txt` names and needs, as it is installed here, torch apart, which comes from
an index of its own; and what builds the package.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

HERE = Path(__file__).resolve().parent
PYTHON = "3.13"


def needed(lines: Iterable[str], seen: set[str]) -> Iterator[str]:
    """`name==version` of these requirements and of all that they need."""
    for line in lines:
        requirement = Requirement(line)
        name = requirement.name.lower().replace("_", "-")
        if name in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        found = distribution(name)
        if name != "torch":
            yield f"{name}=={found.version}"
        yield from needed(found.requires or (), seen)


def locked(name: str, lines: Iterable[str]) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".in") as plain:
        plain.write("\n".join(sorted(lines)) + "\n")
        plain.flush()
        command = ["uv", "pip", "compile", "--no-deps", "--generate-hashes", "--quiet"]
        command += ["--no-header", "--no-annotate", "--python-version", PYTHON]
        subprocess.run([*command, plain.name, "-o", str(HERE / name)], check=True)


def main() -> None:
    wanted = [
        line
        for line in (HERE.parent / "requirements.txt").read_text().splitlines()
        if line.strip() and not line.startswith("#")
    ]
    locked("requirements.lock", needed(wanted, set()))
    locked("build.lock", needed(["hatchling"], set()))


if __name__ == "__main__":
    main()

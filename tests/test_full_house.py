"""Everyone asks for everything at once, in a control group of 4 GB."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.visitors import visitor
from tests.browser.conftest import free_port
from tests.effort import TIMES
from ui import run as runs
from ui import share
from ui.share import GROUPS
from ui.shipped import lesson
from ui.view import View, default_view

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 4 * 2**30
LESSONS = ("coordatt", "hacnn-soft", "non-local")
VISITORS = min(4, TIMES)
"""Of each view.  One of each already wants more memory than there is."""

pytestmark = pytest.mark.waits


@contextlib.contextmanager
def group() -> Iterator[Path]:
    """A control group within this process's own, with that limit."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    places = {names: place for _, names, place in (line.split(":", 2) for line in lines)}
    first = "memory" in places
    own = (GROUPS / "memory" if first else GROUPS) / places["memory" if first else ""].lstrip("/")
    made = own / f"shapewalk-{os.getpid()}"
    try:
        made.mkdir()
        (made / ("memory.limit_in_bytes" if first else "memory.max")).write_text(str(LIMIT))
    except OSError as error:
        if made.is_dir():
            made.rmdir()
        pytest.skip(f"no control group can be made here: {error}")
    try:
        yield made
    finally:
        while made.is_dir():  # what has ended leaves it a moment later
            with contextlib.suppress(OSError):
                made.rmdir()
            time.sleep(0.1)


def killed(made: Path) -> int:
    """How many processes of the group the kernel has killed for want of memory."""
    for name in ("memory.events", "memory.oom_control"):
        if (made / name).exists():
            found = dict(line.split() for line in (made / name).read_text().splitlines())
            return int(found["oom_kill"])
    raise AssertionError("the group does not say")


def large(key: str, part: float, beyond: bool = False) -> View:
    """The lesson at sizes of which the values take at most this part of the limit, or `beyond` it
    as little more as doubling a size gives."""
    view, fixed = default_view(key), set[str]()
    highest = {size.name: size.high for size in lesson(key).sizes}
    for name in itertools.cycle(("B", "H", "W", "C")):
        now = dict(view.settings)
        if len(fixed) == 4:
            return view
        larger = view.with_settings({name: 2 * now.get(name, 0)})
        if not 0 < 2 * now.get(name, 0) <= highest[name] or runs._needed(larger) == math.inf:
            fixed.add(name)
        elif runs._needed(larger) > part * LIMIT:
            return larger if beyond else view
        else:
            view = larger
    raise AssertionError


def figure(port: int, name: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=600) as answer:
        lines = answer.read().decode().splitlines()
    return float(next(line for line in lines if line.startswith(name)).rpartition(" ")[2])


async def everyone(port: int, views: list[View]) -> list[float]:
    """All at once; who has his shapes stays until no values are computed any more."""
    address = f"http://127.0.0.1:{port}"
    shown = asyncio.Semaphore(0)
    over = asyncio.Event()

    async def one(view: View) -> float:
        async with visitor(address) as each:
            waited = float(await each.open(view))
            shown.release()

            async def read() -> None:
                async for _ in each.socket:
                    pass

            reading = asyncio.create_task(read())
            await over.wait()
            reading.cancel()
            return waited

    visits = [asyncio.create_task(one(view)) for view in views]
    for _ in views:
        await shown.acquire()
    while await asyncio.to_thread(figure, port, "shapewalk_runs_waiting"):
        await asyncio.sleep(0.5)
    over.set()
    return await asyncio.gather(*visits)


@pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")
def test_nobody_is_killed_and_everyone_has_shapes(tmp_path: Path) -> None:
    if share.free_memory() < 2 * LIMIT:
        pytest.skip("too little memory for the group itself")
    # Some fit, some are at the edge of what one run may take, some exceed all.
    views = [large(key, part) for key in LESSONS for part in (0.1, 0.3)]
    views += [large(key, 0.5, beyond=True) for key in LESSONS]
    port, log = free_port(), tmp_path / "log.txt"
    with group() as made, log.open("w") as output:
        command = [sys.executable, "-m", "ui.serve", "--port", str(port)]
        enter = f'echo $$ > {made}/cgroup.procs && exec "$@"'
        server = subprocess.Popen(
            ["sh", "-c", enter, "sh", *command],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        try:
            for _ in range(3000):
                assert server.poll() is None, log.read_text()
                with contextlib.suppress(OSError):
                    figure(port, "shapewalk_sessions")
                    break
                time.sleep(0.1)
            assert figure(port, "shapewalk_free_bytes") < LIMIT
            waits = asyncio.run(everyone(port, views * VISITORS))
            assert len(waits) == len(views) * VISITORS
            assert killed(made) == 0
            assert server.poll() is None
            assert figure(port, 'shapewalk_runs_total{kind="values"}') > 0
            assert figure(port, 'shapewalk_runs_refused_total{kind="values"}') > 0
        finally:
            server.terminate()
            server.wait(600)
    assert "Traceback" not in log.read_text()

"""The app of a checkout, started to be measured."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Server:
    """One that was started just now, at `began` in seconds since 1970, and listens."""

    address: str
    began: float
    process: int

    def computed(self) -> float:
        """Seconds that it has computed so far, with the processes that it started."""
        ticks = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                if self.process in (int(stat.parent.name), int(fields[1])):
                    ticks += sum(map(int, fields[11:15]))  # those that have ended among them
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self, field: str) -> float:
        """MB: `VmRSS` now, `VmHWM` at most."""
        status = Path(f"/proc/{self.process}/status")
        if not status.exists():
            return 0.0
        found = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(found[field].split()[0]) / 1000


@contextlib.contextmanager
def server(folder: Path, **settings: str) -> Iterator[Server]:
    """The app of the checkout in this folder, on a free port, until the block ends; `settings` are
    environment variables."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "served.py", "--server.port", str(port)]
    began = time.time()
    with subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **settings},
    ) as process:
        try:
            while process.poll() is None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.01)
            yield Server(f"http://127.0.0.1:{port}", began, process.pid)
        finally:
            process.terminate()

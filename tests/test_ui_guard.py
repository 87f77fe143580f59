"""Who may connect to a served app, and who may frame it: asked from outside."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidHandshake
from websockets.sync.client import connect

from ui import access

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.waits


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found = int(probe.getsockname()[1])
    log = tmp_path_factory.mktemp("served") / "log.txt"
    command = [sys.executable, "-m", "ui.serve", "--port", str(found)]
    with (
        log.open("w") as output,
        subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {access.FRAMES: "https://school.example.org"},
        ) as server,
    ):
        for _ in range(3000):
            assert server.poll() is None, log.read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", found)):
                break
            time.sleep(0.1)
        yield found
        server.terminate()
    # Before it refuses, Streamlit would look its own address up on the internet.
    assert "external IP" not in log.read_text()
    assert "Traceback" not in log.read_text()


def connects(port: int, origin: str | None) -> bool:
    try:
        with connect(
            f"ws://127.0.0.1:{port}/_stcore/stream",
            origin=origin,  # type: ignore[arg-type]
            subprotocols=["streamlit"],  # type: ignore[list-item]
            open_timeout=600,
        ):
            return True
    except InvalidHandshake:
        return False


def test_a_page_connects_to_the_server_that_it_came_from(port: int) -> None:
    assert connects(port, f"http://127.0.0.1:{port}")
    assert connects(port, None)


@pytest.mark.parametrize(
    "origin",
    ["http://localhost:9812", "http://127.0.0.1:1", "https://shapes.example.org", "null"],
)
def test_no_other_page_connects(port: int, origin: str) -> None:
    assert not connects(port, origin)


def test_an_operator_reads_figures(port: int) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=600) as answer:
        lines = answer.read().decode().splitlines()
    told = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert told['shapewalk_runs_total{kind="values"}'] == "0"
    assert told["shapewalk_runs_waiting"] == "0"
    assert float(told["shapewalk_free_bytes"]) > 0
    assert len([line for line in lines if line.startswith("# TYPE")]) == 8


def test_pages_are_framed_by_who_is_named_alone(port: int) -> None:
    for path in ("", "Walkthrough", "_stcore/health"):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=600) as answer:
            policy = answer.headers["Content-Security-Policy"]
        assert policy == "frame-ancestors 'self' https://school.example.org"

"""Who may connect to a served app, and who may frame it: asked from outside."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage
from pathlib import Path

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import InvalidHandshake
from websockets.sync.client import connect

from benchmarks.visitors import visitor
from ui import access, token

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.waits


# Loaded by Python at its start: notes whom the server looks for, and to whom it connects.
WATCHED = """
import os, sys

def note(event, details):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        os.write(fd, f"{event} {details!r}\\n".encode())

fd = os.open(os.environ["ASKED"], os.O_CREAT | os.O_APPEND | os.O_WRONLY)
sys.addaudithook(note)
"""


@contextlib.contextmanager
def serving(folder: Path, **settings: str) -> Iterator[tuple[int, Path]]:
    """The app as it is served: its port, and what it prints.  At the end it must have asked no
    other machine for anything."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    log, asked = folder / "log.txt", folder / "asked.txt"
    (folder / "sitecustomize.py").write_text(WATCHED)
    settings |= {"ASKED": str(asked), "PYTHONPATH": str(folder), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "ui.serve", "--port", str(port)]
    with (
        log.open("w") as output,
        subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, token.VARIABLE: "", **settings},
        ) as server,
    ):
        for _ in range(3000):
            assert server.poll() is None, log.read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        yield port, log
        server.terminate()
    assert "Traceback" not in log.read_text()
    assert [line for line in asked.read_text().splitlines() if "127.0.0.1" not in line] == []


@pytest.fixture(scope="module")
def framed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("framed")
    with serving(folder, **{access.FRAMES: "https://school.example.org"}) as (port, _):
        yield port


@dataclass(frozen=True)
class Served:
    port: int
    token: str

    def get(self, path: str, **headers: str) -> tuple[int, HTTPMessage]:
        asked = HTTPConnection("127.0.0.1", self.port, timeout=600)
        asked.request("GET", path, headers=headers)
        answer = asked.getresponse()
        answer.read()
        asked.close()
        return answer.status, answer.msg

    @property
    def cookie(self) -> str:
        return f"{token.cookie(f'127.0.0.1:{self.port}')}={self.token}"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("served")) as (port, log):
        told = re.search(rf"http://127\.0\.0\.1:{port}/\?token=(\S+)", log.read_text())
        assert told is not None
        yield Served(port, told[1])


@pytest.fixture
def port(served: Served) -> int:
    return served.port


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


def test_pages_are_framed_by_who_is_named_alone(port: int, framed: int) -> None:
    for each, others in ((port, ""), (framed, " https://school.example.org")):
        for path in ("", "Walkthrough", "_stcore/health"):
            with urllib.request.urlopen(f"http://127.0.0.1:{each}/{path}", timeout=600) as answer:
                policy = answer.headers["Content-Security-Policy"]
            assert policy == f"frame-ancestors 'self'{others}"


# --- who runs code ----------------------------------------------------------------------------


def test_the_printed_address_gives_a_cookie_that_no_script_reads(served: Served) -> None:
    for path, place in (
        (f"/?token={served.token}", "./"),
        (f"/Your_module?class=torch.nn.ReLU&token={served.token}&lang=zh", None),
    ):
        status, headers = served.get(path)
        assert status == 303
        assert headers["Location"] == (place or "./Your_module?class=torch.nn.ReLU&lang=zh")
        assert headers["Set-Cookie"].startswith(f"{served.cookie};")
        assert {"HttpOnly", "SameSite=strict"} <= set(headers["Set-Cookie"].split("; "))


@pytest.mark.parametrize("told", ["", "token=", "token=wrong", "tokens=TOKEN"])
def test_no_cookie_without_the_token(served: Served, told: str) -> None:
    status, headers = served.get(f"/?{told.replace('TOKEN', served.token)}")
    assert status == 200
    assert "shapewalk-token" not in (headers["Set-Cookie"] or "")


async def _offers(served: Served, headers: dict[str, str]) -> bool:
    """Whether the page of one's own module lets this visitor run something."""
    async with visitor(f"http://127.0.0.1:{served.port}", headers) as each:
        asked = BackMsg()
        asked.rerun_script.page_name = "Your_module"
        await each.socket.send(asked.SerializeToString())
        buttons: list[str] = []
        while True:
            message = ForwardMsg.FromString(await each.socket.recv(decode=False))
            if message.delta.new_element.HasField("button"):
                buttons.append(message.delta.new_element.button.label)
            if message.HasField("script_finished"):
                return "Run" in buttons


def offers(served: Served, headers: dict[str, str]) -> bool:
    return asyncio.run(_offers(served, headers))


def test_code_is_run_for_who_has_the_token(served: Served) -> None:
    assert offers(served, {"Cookie": f"other=1; {served.cookie}"})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Cookie": "shapewalk-token-PORT="},
        {"Cookie": "shapewalk-token-PORT=wrong"},
        {"Cookie": "shapewalk-token-1=TOKEN"},
        # With the token, through something that passes a request on.
        {"Cookie": "shapewalk-token-PORT=TOKEN", "X-Of-Tomorrow": "203.0.113.4"},
    ],
)
def test_code_is_run_for_nobody_else(served: Served, headers: dict[str, str]) -> None:
    filled = {
        name: value.replace("PORT", str(served.port)).replace("TOKEN", served.token)
        for name, value in headers.items()
    }
    assert not offers(served, filled)


def test_another_page_does_not_connect_even_with_the_token(served: Served) -> None:
    with pytest.raises(InvalidHandshake):
        connect(
            f"ws://127.0.0.1:{served.port}/_stcore/stream",
            origin="http://127.0.0.1:1",  # type: ignore[arg-type]
            subprotocols=["streamlit"],  # type: ignore[list-item]
            additional_headers={"Cookie": served.cookie},
            open_timeout=600,
        )


@pytest.mark.parametrize("host", ["shapes.example.org", "127.0.0.1.example.org:80", "192.0.2.7"])
def test_other_names_that_lead_here_are_not_answered_to(served: Served, host: str) -> None:
    status, _ = served.get(f"/?token={served.token}", Host=host)
    assert status == 421
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    upgrade |= {"Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==", "Host": host}
    status, _ = served.get("/_stcore/stream", **upgrade)
    assert status == 403
    assert served.get("/", Host=f"localhost:{served.port}")[0] == 200


def test_a_reader_who_has_left_runs_no_code() -> None:
    """Of whoever hangs up before the page is drawn nothing is known, not even a proxy."""
    code = """
import streamlit as st
from streamlit.runtime import Runtime
from ui import access, token

token.made()
left = Runtime.__new__(Runtime)
left.get_client = lambda session: None
Runtime._instance = left
assert st.context.headers.to_dict() == {} and access.would_run_code()
assert not access.runs_code()
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)

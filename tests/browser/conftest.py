"""One Chromium and one app for all browser tests, which hand their pages on to each other."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser import chromium
from ui import token
from ui.loading import VARIABLE

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "of these tests"
FAILURES = Path(__file__).parent / "failures"
ONCE = "--js-flags=--no-turbofan --always-sparkplug --min-semi-space-size=32"
"""Every page is left before it pays that V8 compiles it a second time: a tenth of what it costs."""
PATIENCE = 120_000
"""Milliseconds that a test waits for something to appear, on a slow and busy machine."""


expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = chromium.find()
    assert path is not None, "no Chromium: run `python -m tests.browser.chromium`"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*chromium.FLAGS, ONCE])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def app(readers: BrowserContext, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the running app, for which the browser has the token."""
    folder = tmp_path_factory.getbasetemp()
    # Processes that share a run of tests have folders of their own in one of the run.
    with shared(folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) as port:
        readers.request.get(f"http://127.0.0.1:{port}/", params={"token": TOKEN})
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def shared(folder: Path) -> Iterator[int]:
    """The port of the one app of all processes that test: what a lesson's formulas are it finds
    once.  Who comes first starts it, and ends it when all others have left."""
    with (
        (folder / "app.start").open("w") as start,
        (folder / "app.use").open("w") as use,
        contextlib.ExitStack() as stack,
    ):
        fcntl.flock(start, fcntl.LOCK_EX)
        known = folder / "app.port"
        first = not known.exists()
        if first:
            port = free_port()
            stack.enter_context(serving(port, folder / "app.log"))
            known.write_text(str(port))
        fcntl.flock(use, fcntl.LOCK_SH)
        fcntl.flock(start, fcntl.LOCK_UN)
        yield int(known.read_text())
        if first:
            fcntl.flock(start, fcntl.LOCK_EX)  # nobody comes any more
            fcntl.flock(use, fcntl.LOCK_EX)  # and all others have left
            known.unlink()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(
    port: int,
    log: Path,
    command: Sequence[str] = (),
    folder: Path = ROOT,
    secret: str = TOKEN,
) -> Iterator[subprocess.Popen[bytes]]:
    """The app in a process of its own, which may not report an error; started by `command`, if
    that is given."""
    here = [sys.executable, "-m", "streamlit", "run", "served.py", "--server.port", str(port)]
    here += ["--server.fileWatcherType", "none"]
    with log.open("w") as output:
        server = subprocess.Popen(
            command or here,
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OMP_NUM_THREADS": "1", VARIABLE: "asked", token.VARIABLE: secret},
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/_stcore/health", server, log)
        yield server
    finally:
        server.terminate()
        server.wait(timeout=600)
    assert "Traceback" not in log.read_text(), log.read_text()


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(3_000):
        assert server.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(address, timeout=60)
            return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.2)
    raise AssertionError(f"the app does not answer:\n{log.read_text()}")


BEEN_HERE = """try {
  if (!sessionStorage.getItem("newcomer")) localStorage.setItem("shapewalk.tour", "left");
} catch {
  // A page without an address keeps nothing.
}"""
"""A test of a first visit says `newcomer` in the page's session."""


@pytest.fixture(scope="session")
def readers(browser: Browser) -> Iterator[BrowserContext]:
    """A browser that has been here before: the app's scripts come out of its cache.  Its reader
    wants nothing to move: drawing what Streamlit fades and spins costs as much as all the rest."""
    context = browser.new_context(reduced_motion="reduce")
    context.set_default_timeout(PATIENCE)
    # Who has been here before has left the tour.
    context.add_init_script(BEEN_HERE)
    # A window goes with its last page, and a new one costs a browser more than most pages do.
    context.new_page()
    yield context
    context.close()


@pytest.fixture(scope="session")
def idle() -> list[Page]:
    """Pages that tests have left as they found them.  A page that was never used is a process that
    reads and compiles every script anew, which costs as much as all that a test does in it."""
    return []


LEAVE = """() => {
  // Nothing writes after this, which a script of the page may still do until it is gone.
  Storage.prototype.setItem = () => {};
  try {
    sessionStorage.clear();
    localStorage.clear();
  } catch {
    // A page without an address has none.
  }
}"""


def leave(page: Page) -> None:
    """The page is empty, remembers nothing and has the pointer nowhere."""
    page.evaluate(LEAVE)
    page.goto("about:blank")
    page.mouse.move(-1, -1)


@pytest.fixture
def open_page(
    readers: BrowserContext, idle: list[Page], request: pytest.FixtureRequest
) -> Iterator[Callable[..., Page]]:
    """Opens pages, `open_page(width=390, color_scheme="dark")`; on one with `motion` things may
    move, and one that `loses` its server may complain of files that did not come.

    At the end of the test no page may have asked another machine for anything or have reported an
    error; a failing test leaves a picture of each page in `failures/`.
    """
    pages: list[Page] = []
    heard: list[tuple[Page, dict[str, Callable[[Any], None]]]] = []
    complaints: list[str] = []

    def on_request(address: str) -> None:
        local = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:", "file:", "about:")
        if not address.startswith(local):
            complaints.append(f"asked for {address}")

    def on_console(message: Any, loses: bool) -> None:
        # On a page below the root Streamlit's client first looks for its server there, in vain.
        # A server that is away is complained of likewise.
        told = (message.location or {}).get("url", "") + message.text
        looking = "/_stcore/" in told or "server is not responding" in told
        lost = loses and "net::ERR_" in told
        if message.type == "error" and not looking and not lost:
            complaints.append(f"console: {message.text}")

    def open_one(
        width: int = 1400,
        height: int = 850,
        *,
        motion: bool = False,
        loses: bool = False,
        **media: Any,
    ) -> Page:
        page = idle.pop() if idle else readers.new_page()
        pages.append(page)
        page.set_viewport_size({"width": width, "height": height})
        moves = "no-preference" if motion else "reduce"
        page.emulate_media(**{"color_scheme": "light", "reduced_motion": moves, **media})
        listeners: dict[str, Callable[[Any], None]] = {
            "request": lambda asked: on_request(asked.url),
            "websocket": lambda socket: on_request(socket.url),
            "console": lambda message: on_console(message, loses),
            "pageerror": lambda error: complaints.append(f"uncaught: {error}"),
        }
        for event, listener in listeners.items():
            page.on(event, listener)
        heard.append((page, listeners))
        return page

    before = request.session.testsfailed
    yield open_one
    failed = request.session.testsfailed > before
    for number, page in enumerate(pages):
        if failed or complaints:
            FAILURES.mkdir(exist_ok=True)
            page.screenshot(path=FAILURES / f"{request.node.name}-{number}.png")
    for page, listeners in heard:
        if failed or complaints:
            page.close()
            continue
        leave(page)
        for event, listener in listeners.items():
            page.remove_listener(event, listener)
        idle.append(page)
    assert not complaints, "\n".join(complaints)

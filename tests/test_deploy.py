"""What `deploy/` promises: nginx before two replicas, as an operator starts them, and pinned
packages."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.cookies import SimpleCookie
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from benchmarks.visitors import visitor
from deploy import lock
from tests.browser.conftest import free_port
from tests.effort import TIMES
from ui.view import View, default_view

ROOT = Path(__file__).parents[1]
LONGEST = 180.0


def answers(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=10) as found:
        return bool(found.status == 200)
    return False


def until(condition: object, what: str) -> None:
    end = time.monotonic() + LONGEST
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, what
        time.sleep(0.1)


@dataclass
class Replica:
    port: int
    process: subprocess.Popen[bytes]

    @classmethod
    def started(cls, port: int) -> Replica:
        command = [sys.executable, "-m", "ui.serve", "--port", str(port)]
        environment = {**os.environ, "STREAMLIT_SERVER_COOKIE_SECRET": "0f" * 32}
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        return cls(port, process)

    def ready(self) -> None:
        until(lambda: answers(f"http://127.0.0.1:{self.port}/_stcore/health"), "no replica")

    def end(self, how: signal.Signals = signal.SIGKILL) -> None:
        self.process.send_signal(how)
        self.process.wait(60)


@dataclass
class Site:
    """nginx before replicas, which are known by their addresses."""

    address: str
    replicas: dict[str, Replica]
    log: Path

    def seen(self) -> list[str]:
        """Who has answered, request by request; of a request that was passed on, the last."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line.split('"')[0].split()[-2] for line in lines]

    def asked(self, path: str, cookie: str = "") -> tuple[str, str]:
        """The visitor's cookie after a request, and which replica has answered it."""
        before = len(self.seen())
        request = urllib.request.Request(self.address + path, headers={"Cookie": cookie})
        with urllib.request.urlopen(request, timeout=60) as found:
            assert found.status == 200
            found.read()
            cookies = found.headers.get_all("Set-Cookie") or []
        until(lambda: len(self.seen()) > before, "no line in the log")
        kept = next(each for each in cookies if each.startswith("shapewalk="))
        return f"shapewalk={SimpleCookie(kept)['shapewalk'].value}", self.seen()[before]


def configured(folder: Path, port: int, replicas: list[int]) -> Path:
    """The configuration of `deploy/` with this machine's ports and folders, else as it is."""
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    listed = "\n".join(f"server 127.0.0.1:{each} max_fails=1 fail_timeout=5s;" for each in replicas)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "\n".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    for old, new in (
        ("server app:8501 max_fails=1 fail_timeout=5s;", listed),
        ("listen 8080;", f"listen 127.0.0.1:{port};"),
        ("access_log /dev/stdout visits;", f"access_log {folder}/access.log visits;\n{folders}"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    file = folder / "nginx.conf"
    file.write_text(f"pid {folder}/nginx.pid;\nerror_log {folder}/error.log;\n{text}")
    return file


def nginx() -> str:
    """Debian's nginx, installed where that is allowed: the test does not pass without."""
    if shutil.which("nginx") is None and shutil.which("apt-get") and os.geteuid() == 0:
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], env=quiet, check=False)
        wanted = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", "nginx-light"]
        subprocess.run(wanted, env=quiet, check=False, stdout=subprocess.DEVNULL)
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        pytest.skip("nginx is not installed, and only root may install it")
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    program = nginx()
    folder = tmp_path_factory.mktemp("nginx")
    port, *ports = free_port(), free_port(), free_port()
    replicas = {f"127.0.0.1:{each}": Replica.started(each) for each in ports}
    file = configured(folder, port, ports)
    front = subprocess.Popen([program, "-p", str(folder), "-c", str(file), "-g", "daemon off;"])
    found = Site(f"http://127.0.0.1:{port}", replicas, folder / "access.log")
    try:
        for replica in replicas.values():
            replica.ready()
        until(lambda: answers(f"{found.address}/_stcore/health"), "no nginx")
        yield found
    finally:
        front.terminate()
        front.wait(60)
        for replica in replicas.values():
            replica.end()


def shown(site: Site, cookie: str, view: View) -> None:
    """A visit over the websocket ends when the player has the data of this very view."""

    async def visited() -> None:
        async with visitor(site.address, {"Cookie": cookie}) as each:
            await each.open(view)

    asyncio.run(visited())


@pytest.mark.waits
def test_a_visitor_stays_with_a_replica_and_all_replicas_have_visitors(site: Site) -> None:
    homes = {}
    for _ in range(12):
        cookie, home = site.asked("/")
        for path in ("/", "/Walkthrough", "/_stcore/health", "/_stcore/host-config"):
            assert site.asked(path, cookie) == (cookie, home)
        homes[cookie] = home
    assert len(homes) == 12
    assert set(homes.values()) == site.replicas.keys()


@pytest.mark.waits
@pytest.mark.parametrize("told", ["shapewalk=1", "shapewalk=" + "g" * 32, "shapewalk=a; other=b"])
def test_a_cookie_that_is_not_ours_is_not_believed(site: Site, told: str) -> None:
    assert re.fullmatch(r"shapewalk=[0-9a-f]{32}", site.asked("/", told)[0])


@pytest.mark.waits
def test_who_loses_a_replica_finds_lesson_and_sizes_with_another(site: Site) -> None:
    """As a replica is killed and comes back, nobody's view is lost; where much is tried, each does
    so, one after the other."""
    view = default_view("non-local").with_settings({"B": 3})
    cookie, home = site.asked("/")
    shown(site, cookie, view)
    assert site.seen()[-1] == home  # the websocket stays there as well
    both = [home, *(each for each in site.replicas if each != home)]
    for lost in both[:TIMES]:
        site.replicas[lost].end(signal.SIGKILL if lost == home else signal.SIGTERM)
        assert site.asked("/", cookie)[1] != lost
        shown(site, cookie, view)
        assert site.seen()[-1] != lost
        again = site.replicas[lost] = Replica.started(site.replicas[lost].port)
        again.ready()
        until(lambda: site.asked("/")[1] == lost, "nobody comes to a replica that is back")  # noqa: B023


def test_the_container_installs_what_is_tested() -> None:
    pins = dict(
        re.findall(
            r"^([\w.-]+)==(\S+) \\$",
            (ROOT / "deploy" / "requirements.lock").read_text(),
            re.MULTILINE,
        )
    )
    text = (ROOT / "requirements.txt").read_text()
    wanted = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    needed = dict(each.split("==") for each in lock.needed(wanted, set()))
    assert pins.keys() == needed.keys()
    asked = dict(line.split("==") for line in wanted)
    for name, pin in asked.items():
        assert name == "torch" or pins[name] == pin
    assert f"torch=={asked['torch']}" in (ROOT / "deploy" / "Dockerfile").read_text()
    assert version("hatchling") in (ROOT / "deploy" / "build.lock").read_text()


def test_the_package_names_all_that_the_app_needs() -> None:
    """What `requirements.txt` pins, the package asks for within a range that the pin is in."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*table["dependencies"], *table["optional-dependencies"]["app"]]
    ranges = {each.name: each.specifier for each in map(Requirement, asked)}
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    for pin in pins:
        assert pin.name in ranges, f"{pin.name} is missing in pyproject.toml"
        assert str(pin.specifier).removeprefix("==") in ranges[pin.name]

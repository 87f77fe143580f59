"""How long visitors wait who come together, without browsers: what the server sends is read from
its websocket.

    python benchmarks/visitors.py [--runs 3] [--only NAME ...] [--json FILE] [CHECKOUT ...]

A checkout is a folder with the app, this one if none is named; several are measured in turns, and
after them a page that says one word, below which no page of Streamlit comes.  Printed are the
median and the 95th percentile in seconds and how both compare with the first checkout's; beside
them, on Linux, what the server itself computed for one visit, which a busy machine changes little,
and its memory.  A visit ends when the player has its data: what the browser draws then is measured
by `opening.py` and `stepping.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.serving import Server, server
from ui import shipped
from ui.view import View, default_view, to_query

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 180.0
LESSON = "non-local"
THINK = 2.0
ACTIONS = 5
BARE = "one word"

# --- a visitor --------------------------------------------------------------------------------


class Visitor:
    """One browser: it asks as Streamlit's does, and reads what it is sent."""

    def __init__(self, address: str, socket: ClientConnection) -> None:
        self.address = address
        self.socket = socket
        self.view: View | None = None
        self.script = ""
        self.controls: dict[str, str] = {}
        self.values: dict[str, WidgetState] = {}
        self.players: dict[str, dict[str, str]] = {}
        """What the browser keeps of the player's data, by the message's hash."""

    async def open(self, view: View | None, by_history: bool = False) -> float:
        """Goes to a lesson, or home. Seconds until the player has its data, or the page ends."""
        self.view = view
        self.values.clear()
        asked = BackMsg()
        asked.rerun_script.page_name = "" if view is None else "Walkthrough"
        asked.rerun_script.is_history_navigation = by_history
        return await self._ask(asked)

    async def choose(self, size: str, value: int) -> float:
        """Changes a size of the lesson. Seconds until the player has its data."""
        assert self.view is not None
        self.view = self.view.with_settings({size: value})
        state = WidgetState(id=self.controls[size], int_value=value)
        self.values[state.id] = state
        asked = BackMsg()
        asked.rerun_script.page_script_hash = self.script
        asked.rerun_script.widget_states.widgets.extend(self.values.values())
        return await self._ask(asked)

    async def _ask(self, asked: BackMsg) -> float:
        wanted = {} if self.view is None else to_query(self.view)
        asked.rerun_script.query_string = urlencode(wanted)
        asked.rerun_script.context_info.url = f"{self.address}/{'Walkthrough' if wanted else ''}"
        asked.rerun_script.context_info.locale = "en"
        asked.rerun_script.cached_message_hashes.extend(self.players)
        began = time.perf_counter()
        await self.socket.send(asked.SerializeToString())
        while True:
            data = await asyncio.wait_for(self.socket.recv(decode=False), LONGEST)
            message = ForwardMsg.FromString(data)
            # What is still on its way belongs to what was asked before.
            if self._shows(message) == wanted if wanted else message.HasField("script_finished"):
                return time.perf_counter() - began

    def _shows(self, message: ForwardMsg) -> dict[str, str] | None:
        """What the player is to show by this message, if it is one for the player."""
        if message.HasField("navigation"):
            self.script = message.navigation.page_script_hash
        if message.HasField("ref_hash"):
            return self.players.get(message.ref_hash)
        element = message.delta.new_element
        if element.HasField("exception"):
            raise AssertionError(element.exception.message)
        if element.HasField("number_input"):
            self.controls[element.number_input.label] = element.number_input.id
        if element.bidi_component.component_name != "shapewalk.player":
            return None
        head = json.loads(element.bidi_component.bytes.partition(b"\n")[0])
        self.players[message.hash] = head["query"]
        return dict(head["query"])


@contextlib.asynccontextmanager
async def visitor(address: str, headers: dict[str, str] | None = None) -> Any:
    stream = address.replace("http", "ws", 1) + "/_stcore/stream"
    async with connect(
        stream,
        origin=address,  # type: ignore[arg-type]
        subprotocols=["streamlit"],  # type: ignore[list-item]
        max_size=None,
        open_timeout=LONGEST,
        additional_headers=headers,
        ping_interval=None,
        close_timeout=1,
    ) as opened:
        yield Visitor(address, opened)


# --- what visitors do -------------------------------------------------------------------------


async def together(address: str, count: int, view: View | None) -> list[float]:
    """All come at once to one address; connecting is part of it."""

    async def one() -> float:
        began = time.perf_counter()
        async with visitor(address) as each:
            before = time.perf_counter() - began
            return before + float(await each.open(view))

    return await asyncio.gather(*(one() for _ in range(count)))


def somewhere(draw: random.Random) -> View:
    """A lesson at its defaults, at one of its presets, or with one of its sizes changed."""
    lesson = draw.choice(shipped.LESSONS)
    view = default_view(lesson.key)
    size = draw.choice(lesson.sizes)
    now = dict(view.settings)[size.name]
    allowed = shipped.legal(lesson.key).get(size.name)
    near = [v for v in allowed or range(size.low, size.high + 1) if now / 2 <= v <= now]
    return draw.choice((view, view.with_settings({size.name: draw.choice(near or [now])})))


async def wandering(address: str, count: int) -> list[float]:
    """Each opens lessons at random sizes and looks at each for a moment."""

    async def one(number: int) -> list[float]:
        draw = random.Random(number)
        found = []
        async with visitor(address) as each:
            for action in range(ACTIONS):
                await asyncio.sleep(draw.uniform(0, THINK))
                found.append(await each.open(somewhere(draw), action > 0))
        return found

    return [time for each in await asyncio.gather(*map(one, range(count))) for time in each]


async def resizing(address: str) -> list[float]:
    """One changes sizes, again and again."""
    found = []
    async with visitor(address) as each:
        await each.open(default_view(LESSON))
        for batch in range(3, 23):
            found.append(await each.choose("B", batch))
            await asyncio.sleep(0.3)  # what goes on behind is not the next one's
    return found


@dataclass(frozen=True)
class Scene:
    """What is measured. `visits` of how many visits the server computes; a `fresh` one is counted
    from the start of the server."""

    run: Callable[[str], Coroutine[Any, Any, list[float]]]
    fresh: bool = False


def scenes(view: View | None) -> dict[str, Scene]:
    def crowd(count: int) -> Scene:
        return Scene(lambda address: together(address, count, view))

    found = {
        "server start → home": Scene(lambda address: together(address, 1, None), fresh=True),
        "server start → a lesson": Scene(lambda a: together(a, 1, view), fresh=True),
        "1 alone, same lesson": crowd(1),
        "30 at once, same lesson": crowd(30),
        "100 at once, same lesson": crowd(100),
        "30 wander, random lessons and sizes": Scene(lambda address: wandering(address, 30)),
        "a size changed → its shapes": Scene(resizing),
    }
    return found


# --- measuring --------------------------------------------------------------------------------


@dataclass
class Found:
    """Of one scene: each visit's seconds, what the server computed for one, its memory after."""

    waits: list[float] = field(default_factory=list)
    computed: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    failed: int = 0

    def at(self, share: float) -> float:
        ordered = sorted(self.waits)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def attempt(scene: Scene, app: Server, found: Found) -> None:
    before = 0.0 if scene.fresh else app.computed()
    late = time.time() - app.began if scene.fresh else 0.0
    try:
        waits = asyncio.run(scene.run(app.address))
    except (OSError, AssertionError, TimeoutError) as error:
        print(f"failed: {error!r}", file=sys.stderr)
        found.failed += 1
        return
    found.waits += [late + each for each in waits]
    found.computed.append((app.computed() - before) / len(waits))
    found.memory.append(app.memory("VmRSS"))


def measure(folder: Path, chosen: dict[str, Scene], into: dict[str, Found]) -> None:
    for name, scene in chosen.items():
        if scene.fresh:
            with server(folder) as app:
                attempt(scene, app, into.setdefault(name, Found()))
    if not all(scene.fresh for scene in chosen.values()):
        with server(folder) as app:
            # Whoever comes first waits for what is loaded once.
            asyncio.run(together(app.address, 1, None))
            for name, scene in chosen.items():
                if not scene.fresh:
                    attempt(scene, app, into.setdefault(name, Found()))
                    time.sleep(2)


def table(measured: dict[str, dict[str, Found]]) -> str:
    first = next(iter(measured.values()))
    lines = [f"{'':62}{'p50':>8}{'p95':>8}{'computed':>10}{'memory':>9}{'failed':>8}   p50, p95 ×"]
    for scene, base in first.items():
        for name, found in measured.items():
            each = found.get(scene)
            if each is None or not each.waits:
                continue
            computed = statistics.median(each.computed)
            line = f"{scene:38}{name[-23:]:24}{each.at(0.5):8.2f}{each.at(0.95):8.2f}"
            line += f"{1000 * computed:7.0f} ms{each.memory[-1]:6.0f} MB{each.failed:8}"
            if each is not base and base.waits:
                line += f"{each.at(0.5) / base.at(0.5):9.2f}{each.at(0.95) / base.at(0.95):7.2f}"
            lines.append(line)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkouts", nargs="*", type=Path, default=[ROOT])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[], help="parts of scenes' names")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()

    def wanted(found: dict[str, Scene]) -> dict[str, Scene]:
        only = asked.only or [""]
        return {name: s for name, s in found.items() if any(part in name for part in only)}

    folders = [path.resolve() for path in asked.checkouts]
    measured: dict[str, dict[str, Found]] = {str(path): {} for path in folders}
    with tempfile.TemporaryDirectory() as made:
        bare = Path(made)
        (bare / "app.py").write_text("import streamlit as st\n\nst.write('word')\n")
        shutil.copytree(ROOT / ".streamlit", bare / ".streamlit")
        measured[BARE] = {}
        alike = {n: s for n, s in scenes(None).items() if "same" in n or "→ home" in n}
        for run in range(asked.runs):
            for folder in folders:
                everything = scenes(default_view(LESSON))
                measure(folder, wanted(everything), measured[str(folder)])
            measure(bare, wanted(alike), measured[BARE])
            print(f"{run + 1} of {asked.runs}", file=sys.stderr)
    print(table(measured))
    if asked.json is not None:
        figures = {n: {s: vars(f) for s, f in each.items()} for n, each in measured.items()}
        asked.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()

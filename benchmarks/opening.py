"""How long a reader waits for the first page: home and a lesson, of a server that has just been
started and of one that is warm, in a browser that was never here.

    python benchmarks/opening.py [--runs 5] [--json FILE] [CHECKOUT ...]

A checkout is a folder with the app, this one if none is named; several are measured in turns, so
that their figures come from one run.  Printed are medians in milliseconds, with the least and the
most, and how they compare with the first checkout's.  The clock starts where the server is started,
or where the warm page is asked for; beside it stands what the browser computed and, on Linux, what
the server did, which a busy machine changes little.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.serving import server
from tests.browser import chromium

ROOT = Path(__file__).resolve().parent.parent
LESSONS = ("fbkd-student", "eca-image", "non-local", "hacnn-harmonious", "evc")
LONGEST = 120_000

# When each thing was first seen, in milliseconds since 1970.
WATCH = """pictures => {
    const seen = window.seen = {};
    const first = (name, there) => {
        if (there && !(name in seen)) seen[name] = performance.timeOrigin + performance.now();
    };
    const look = () => {
        const paint = performance.getEntriesByName("first-contentful-paint")[0];
        if (paint) seen.paint = performance.timeOrigin + paint.startTime;
        const all = (selector) => [...document.querySelectorAll(selector)];
        const cards = all(".card > a, [class*=st-key-card-] a");
        first("card", cards.length > 0);
        first("cards", cards.length >= pictures);
        const images = all(".card img, [class*=st-key-picture-] img");
        const loaded = images.filter(each => each.complete && each.naturalWidth > 0);
        first("pictures", loaded.length >= pictures);
        // The player stands in a shadow tree of its own.
        const player = all("[data-testid=stBidiComponentIsolated]")
            .map(each => each.shadowRoot?.querySelector(".shapewalk")).find(each => each);
        const visible = (selector) => player?.querySelector(selector)?.offsetParent;
        first("player", visible(".transport"));
        first("values", visible(".figures canvas"));
        first("formulas", visible(".faces"));
        requestAnimationFrame(look);
    };
    look();
}"""


@dataclass
class Checkout:
    """What was measured of it, in milliseconds, by what was waited for."""

    path: Path
    found: dict[str, list[float]] = field(default_factory=dict)

    def note(self, name: str, milliseconds: float) -> None:
        self.found.setdefault(name, []).append(milliseconds)

    @property
    def lessons(self) -> int:
        folders = (self.path / "ui" / "shipped", self.path / "ui" / "pictures")
        return max(len(list(folder.glob("*.png"))) for folder in folders)


def opened(browser: Browser, address: str, wanted: str, pictures: int) -> dict[str, float]:
    """When each thing was first seen by a browser that was never here, until `wanted` was; with
    `asked`, when it began to ask, and `browser`, the milliseconds that it computed meanwhile."""
    context = browser.new_context(viewport={"width": 1400, "height": 850})
    page = context.new_page()
    page.add_init_script(f"({WATCH})({pictures})")
    before = _computed(browser)
    asked = time.time() * 1000
    page.goto(address, wait_until="commit")
    page.wait_for_function("wanted => wanted in window.seen", arg=wanted, timeout=LONGEST)
    seen: dict[str, float] = page.evaluate("window.seen")
    computed = _computed(browser) - before
    context.close()
    return {**seen, "asked": asked, "browser": computed}


def _computed(browser: Browser) -> float:
    """Milliseconds that all processes of the browser have computed."""
    session = browser.new_browser_cdp_session()
    found = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    return 1000 * sum(float(each["cpuTime"]) for each in found)


def measure(browser: Browser, checkout: Checkout) -> None:
    count = checkout.lessons
    with server(checkout.path, OMP_NUM_THREADS="1") as app:
        seen = opened(browser, app.address, "pictures", count)
        checkout.note("server start → every card of home", seen["cards"] - 1000 * app.began)
        checkout.note("server start → all pictures", seen["pictures"] - 1000 * app.began)
        checkout.note("server start → all pictures, computed", 1000 * app.computed())
        time.sleep(4)  # what a server does after its first page is not the next one's
        seen = opened(browser, app.address, "pictures", count)
        checkout.note("home, warm → every card", seen["cards"] - seen["asked"])
        checkout.note("home, warm: first paint → all pictures", seen["pictures"] - seen["paint"])
        checkout.note("home, warm: first card → all pictures", seen["pictures"] - seen["card"])
        checkout.note("home, warm, computed by the browser", seen["browser"])
    with server(checkout.path, OMP_NUM_THREADS="1") as app:
        lesson = f"{app.address}/Walkthrough?lesson="
        seen = opened(browser, lesson + LESSONS[0], "formulas", count)
        for name in ("player", "values", "formulas"):
            checkout.note(f"server start → lesson, {name}", seen[name] - 1000 * app.began)
        checkout.note("server start → lesson, computed", 1000 * app.computed())
        time.sleep(4)
        for words in ("the first time", "again"):
            for key in LESSONS[1:]:
                before = 1000 * app.computed()
                seen = opened(browser, lesson + key, "formulas", count)
                for name in ("player", "values", "formulas"):
                    checkout.note(f"lesson, warm, {words} → {name}", seen[name] - seen["asked"])
                checkout.note(f"lesson, warm, {words}, computed", 1000 * app.computed() - before)


def table(checkouts: list[Checkout]) -> str:
    lines = []
    for name, first in checkouts[0].found.items():
        cells = []
        for each in checkouts:
            times = each.found[name]
            middle, least, most = statistics.median(times), min(times), max(times)
            cells.append(f"{middle:7.0f} ({least:.0f} to {most:.0f})")
            if each is not checkouts[0]:
                cells[-1] += f" × {middle / (statistics.median(first) or 1):.2f}"
        lines.append(f"{name:45}" + "".join(f"{cell:>32}" for cell in cells))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkouts", nargs="*", type=Path, default=[ROOT])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    checkouts = [Checkout(path.resolve()) for path in asked.checkouts]
    with sync_playwright() as playwright:
        path = chromium.find()
        browser = playwright.chromium.launch(executable_path=path, args=list(chromium.FLAGS))
        for run in range(asked.runs + 1):
            for checkout in checkouts:
                if run == 0:
                    # Reads from the disk what all later runs find in memory.
                    measure(browser, Checkout(checkout.path))
                else:
                    measure(browser, checkout)
            print(f"{run} of {asked.runs}", file=sys.stderr)
        browser.close()
    print(f"{'':45}" + "".join(f"{each.path.name:>32}" for each in checkouts))
    print(table(checkouts))
    if asked.json is not None:
        everything: dict[str, Any] = {str(each.path): each.found for each in checkouts}
        asked.json.write_text(json.dumps(everything, indent=1))


if __name__ == "__main__":
    main()

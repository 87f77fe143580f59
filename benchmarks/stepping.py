"""How long a step of the player takes: 16.7 ms are a frame.

    python benchmarks/stepping.py

Printed for each page are medians of 100 steps in milliseconds, of the best of six rounds: the work
of handler, style and layout, and the time from the key until the step is painted.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

import torch
from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.browser import chromium
from tests.browser.test_player import LOOP, straight, student
from tests.cells import forward_cell
from tracer import Trace, trace
from tracer.views import html

STEPPING = """async () => {
    const frame = () => new Promise(done => requestAnimationFrame(done));
    const painted = () => new Promise(done => {
        const channel = new MessageChannel();
        channel.port1.onmessage = done;
        requestAnimationFrame(() => channel.port2.postMessage(null));
    });
    const shapewalk = document.querySelector('.shapewalk');
    const work = [], paint = [];
    for (let index = 0; index < 100; index += 1) {
        const began = performance.now();
        document.dispatchEvent(new KeyboardEvent('keydown', {
            key: index === 60 ? 'End' : index > 60 ? 'ArrowLeft' : 'ArrowRight', bubbles: true,
        }));
        shapewalk.getBoundingClientRect();
        document.querySelector('.detail').scrollHeight;
        work.push(performance.now() - began);
        await painted();
        paint.push(performance.now() - began);
        await frame();
    }
    return [work, paint];
}"""


def runs() -> dict[str, Trace]:
    looped, long = forward_cell("x", LOOP), straight(5_000)
    return {
        "a lesson": student(),
        "5,000 steps of a loop": trace(looped, torch.rand(24, 24)),
        "5,000 statements": trace(long, torch.rand(24, 24)),
    }


def cost(page: Page) -> tuple[float, float]:
    rounds = []
    for _ in range(6):
        page.keyboard.press("Home")
        rounds.append([statistics.median(times) for times in page.evaluate(STEPPING)])
    work, paint = (min(column) for column in zip(*rounds, strict=True))
    return work, paint


def main() -> None:
    torch.set_num_threads(1)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        path = chromium.find()
        browser = playwright.chromium.launch(executable_path=path, args=list(chromium.FLAGS))
        for name, run in runs().items():
            file = Path(folder) / "page.html"
            file.write_text(html.page(run), encoding="utf-8")
            page = browser.new_page(viewport={"width": 1400, "height": 850})
            page.goto(file.as_uri())
            page.wait_for_selector(".shapewalk .count")
            work, paint = cost(page)
            print(f"{work:8.1f} ms of work, painted after {paint:5.1f} ms  {name}")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()

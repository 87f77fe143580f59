"""Makes the pictures of README, of the app as it stands: `python -m docs.pictures [NAME ...]`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from tests.browser import chromium
from tests.browser.conftest import BEEN_HERE, TOKEN, free_port, serving

HERE = Path(__file__).resolve().parent
LONGEST = 240_000


@dataclass(frozen=True)
class Picture:
    """What the browser shows at `address`, once `shows` has done the rest."""

    address: str
    shows: Callable[[Page], None]
    size: tuple[int, int] = (1400, 860)
    scheme: str = "light"


def _complete(page: Page) -> None:
    expect(page.locator(".shapewalk .faces")).to_be_visible()
    expect(page.locator(".shapewalk .figures canvas").first).to_be_visible()


def _cards(page: Page) -> None:
    expect(page.locator(".card img").nth(20)).to_be_visible()


def _predicted(page: Page) -> None:
    _complete(page)
    page.keyboard.press("p")
    fields = page.locator(".shapewalk .stage input")
    expect(fields).to_have_count(1)
    page.keyboard.type("B")
    page.locator(".shapewalk .stage").get_by_text("+", exact=True).click()
    fields.nth(1).fill("H+W")
    page.keyboard.press("Enter")
    expect(page.locator(".shapewalk .stage")).to_contain_text("248")


def _presented(page: Page) -> None:
    expect(page.locator(".shapewalk .stage")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".shapewalk .stage")).to_contain_text("divided")


def _failed(page: Page) -> None:
    page.locator(".st-key-cards-broken button").first.click()
    expect(page.locator(".shapewalk .failure").first).to_be_visible()
    expect(page.get_by_test_id("stBaseButton-primary")).to_have_count(2)
    page.wait_for_timeout(3000)  # the page has gone to its answer
    page.evaluate("document.querySelector('.stMain').scrollTo(0, 0)")


def _walked(page: Page) -> None:
    page.get_by_test_id("stBaseButton-primary").click()
    _complete(page)
    page.locator(".st-key-verdict").evaluate("each => each.scrollIntoView({ block: 'start' })")


def _slide(page: Page) -> None:
    _complete(page)
    page.get_by_role("button", name="Take away").click()
    with page.expect_download() as saved:
        page.get_by_test_id("stPopoverBody").get_by_role("button", name="Slides").click()
    deck = saved.value.path().rename(saved.value.path().with_suffix(".html"))
    page.goto(deck.as_uri())
    for _ in range(7):
        page.keyboard.press("ArrowRight")


def _linked(page: Page) -> None:
    _complete(page)
    page.locator(".st-key-downloads").get_by_role("button", name="Link").click()
    expect(page.get_by_role("img", name="QR code of the link")).to_be_visible()


def _of_channels(page: Page) -> None:
    _complete(page)
    page.get_by_role("radio", name="Inspector").click()
    page.get_by_role("radio", name="All channels").click()
    expect(page.locator(".st-key-montage .main-svg").first).to_be_visible()
    page.locator("[data-testid=stMain]").evaluate("each => each.scrollTo(0, 99999)")


LESSON = "/Walkthrough?lang=en&lesson="
PICTURES = {
    "walkthrough": Picture(f"{LESSON}fbkd-student&step=21", _complete),
    "gallery": Picture("/?lang=en", _cards),
    "dark": Picture(f"{LESSON}fbkd-student&step=33", _complete, scheme="dark"),
    "chinese": Picture("/Walkthrough?lang=zh&lesson=coordatt", _complete),
    "formulas": Picture(f"{LESSON}non-local&step=8&dims=formulas", _complete, (1400, 900)),
    "predict": Picture(f"{LESSON}fbkd-student&step=3", _predicted, (1200, 675)),
    "present": Picture(f"{LESSON}fbkd-student&step=4&present=1", _presented, (1200, 675), "dark"),
    "slides": Picture(f"{LESSON}fbkd-student&step=4", _slide, (1200, 675)),
    "link": Picture(f"{LESSON}fbkd-student&step=4", _linked, (1200, 675)),
    "operations": Picture("/Operations?lang=en&op=matmul", _complete, (1400, 900)),
    "channels": Picture(f"{LESSON}squeeze-excite&step=9", _of_channels, (1400, 900)),
    "debug": Picture("/Your_module?lang=en", _failed, (1400, 900)),
    "own": Picture("/Your_module?lang=en&class=torch.nn.MultiheadAttention", _walked, (1400, 900)),
}


def main() -> None:
    expect.set_options(timeout=LONGEST)
    wanted = sys.argv[1:] or list(PICTURES)
    port = free_port()
    app = f"http://127.0.0.1:{port}"
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(port, Path(folder) / "log.txt"),
        sync_playwright() as playwright,
    ):
        arguments = list(chromium.FLAGS)
        browser = playwright.chromium.launch(executable_path=chromium.find(), args=arguments)
        for name in wanted:
            picture = PICTURES[name]
            width, height = picture.size
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=picture.scheme
            )
            context.set_default_timeout(LONGEST)
            context.add_init_script(BEEN_HERE)
            context.request.get(f"{app}/", params={"token": TOKEN})
            page = context.new_page()
            page.goto(app + picture.address)
            picture.shows(page)
            page.wait_for_timeout(1500)  # what comes in by itself has come
            page.screenshot(path=HERE / f"{name}.png")
            context.close()
            print(name, flush=True)
        browser.close()


if __name__ == "__main__":
    main()

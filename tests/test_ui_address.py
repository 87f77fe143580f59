"""The link of what is on screen, as a picture that a camera reads."""

from __future__ import annotations

from urllib.parse import unquote

import segno

from ui import handed
from ui.address import qr_code


def test_it_is_black_on_white_with_its_margin() -> None:
    address = "https://course.example.org/Walkthrough?lesson=coordatt&lang=zh&step=12"
    picture = qr_code(address)
    assert picture is not None
    kind, _, drawn = unquote(picture).partition(",")
    assert kind.startswith("data:image/svg+xml")
    side = segno.make(address, error="l", micro=False).symbol_size(border=4)[0]
    assert f"0 0 {side} {side}" in drawn.replace("'", '"')
    assert "#fff" in drawn
    assert "#000" in drawn


def test_what_is_too_long_has_none() -> None:
    assert qr_code("h" * 2953) is not None
    # An address may be longer than what a code holds.
    assert handed.LONGEST_LINK > 2953
    assert qr_code("h" * handed.LONGEST_LINK) is None

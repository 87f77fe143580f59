"""Files of tensors that somebody gives, by the endings of their names; without torch."""

from __future__ import annotations

import re
from pathlib import Path

PICTURES = (".png", ".jpg", ".jpeg")
ARRAYS = (".npy", ".npz")
STATES = (".safetensors", ".pt", ".pth")

LARGEST = 100_000_000
"""Bytes of all files that a run is given."""


def is_picture(name: str) -> bool:
    return name.casefold().endswith(PICTURES)


def is_state(name: str) -> bool:
    """Whether it may hold weights."""
    return name.casefold().endswith(STATES)


def safe_name(name: str) -> str:
    """The name without spaces and signs, as inputs speak of it (`@cat.png`)."""
    return re.sub(r"[^\w.-]", "_", Path(name).name).lstrip(".")[-80:] or "file"

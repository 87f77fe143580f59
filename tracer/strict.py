"""Whether what goes wrong inside an explanation is shown.

An explanation must never take the place of what it explains: a rule, a repair or a warning that
fails has nothing to say, and the rest of the answer stands.  For those who work on Shapewalk this
would hide mistakes: with the environment variable `SHAPEWALK_STRICT` set to 1, as in the tests,
they are raised.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import TypeVar

SWITCH = "SHAPEWALK_STRICT"

T = TypeVar("T")


@contextlib.contextmanager
def tolerant() -> Iterator[None]:
    """Whatever is raised inside costs this part of an answer alone."""
    try:
        yield
    except Exception:
        if os.environ.get(SWITCH) == "1":
            raise


def tolerated(source: Iterable[T]) -> Iterator[T]:
    """What the source yields until it fails: one that cannot read what it finds does not end the
    others."""
    iterator = iter(source)
    while True:
        each = None
        with tolerant():
            each = next(iterator, None)
        if each is None:
            return
        yield each

"""The lessons: real attention modules, written to be read beside their papers.

They need torch, which takes seconds to load: `LESSONS` loads it when it is first asked for.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from modules.lesson import Lesson

if TYPE_CHECKING:
    LESSONS: tuple[Lesson, ...]
else:

    def __getattr__(name: str) -> tuple[Lesson, ...]:
        if name != "LESSONS":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return _lessons()


@functools.cache
def _lessons() -> tuple[Lesson, ...]:
    """In the posts' order."""
    from modules import coordinate, eca, evc, fbkd, hacnn, non_local, squeeze_excite

    return (
        fbkd.STUDENT,
        fbkd.TEACHER,
        fbkd.LOSS,
        eca.SEQUENCE,
        eca.IMAGE,
        squeeze_excite.LESSON,
        *hacnn.LESSONS,
        coordinate.COORDATT,
        coordinate.DYCACONV,
        coordinate.DYCACONV_MAX,
        non_local.NON_LOCAL,
        non_local.NON_LOCAL_1D,
        non_local.NON_LOCAL_3D,
        evc.ENCODING,
        evc.LVC,
        evc.LIGHT_MLP,
        evc.EVC,
    )


def lesson(key: str) -> Lesson:
    """The lesson of this key.

    Raises:
        LookupError: there is none.
    """
    for found in _lessons():
        if found.key == key:
            return found
    known = ", ".join(found.key for found in _lessons())
    raise LookupError(f"There is no lesson {key!r}: choose one of {known}.")

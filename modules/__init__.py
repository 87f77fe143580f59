"""The lessons: real attention modules, written to be read beside their papers."""

from modules import coordinate, eca, evc, fbkd, hacnn, non_local, squeeze_excite
from modules.lesson import Lesson

# In the posts' order.
LESSONS: tuple[Lesson, ...] = (
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
    for found in LESSONS:
        if found.key == key:
            return found
    known = ", ".join(found.key for found in LESSONS)
    raise LookupError(f"There is no lesson {key!r}: choose one of {known}.")

"""The lessons: real attention modules, written to be read beside their papers."""

from modules import eca, fbkd
from modules.lesson import Lesson

LESSONS: tuple[Lesson, ...] = (fbkd.STUDENT, fbkd.TEACHER, eca.SEQUENCE, eca.IMAGE)


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

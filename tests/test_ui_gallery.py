"""Finding lessons."""

from __future__ import annotations

from modules import LESSONS
from tests.together import together
from ui.gallery import matching


@together("each", LESSONS, ids=lambda each: each.key)
def test_a_lesson_is_found_by_title_family_paper_and_author(each) -> None:
    for words in (
        each.title,
        each.title.upper(),
        each.family,
        each.paper.title[:30],
        each.paper.authors.split(",")[0],
        f"{each.paper.year} {each.paper.venue}",
        "  ",
    ):
        assert each.key in found(words, None)
    assert each.key in found("", each.family)


def found(words: str, family: str | None) -> list[str]:
    return [each.key for each in matching(words, family)]


def test_what_no_lesson_mentions_finds_none() -> None:
    assert matching("zebra crossing", None) == []
    assert matching(LESSONS[0].title, "no family") == []
    assert {each.family for each in matching("", LESSONS[-1].family)} == {LESSONS[-1].family}

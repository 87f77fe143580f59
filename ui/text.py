"""Words from elsewhere in Streamlit's Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable

from modules.posts import Post
from ui.language import say

_MEANT = frozenset("\\`*_{}[]<>#+-.!|$~:&^=()")


def escaped(words: str) -> str:
    """Text that shall be read as it is, on one line: no emphasis, link, formula, icon or HTML."""
    line = " ".join(words.split())
    return "".join(f"\\{letter}" if letter in _MEANT else letter for letter in line)


def label(name: str) -> str:
    """A name as the label of a field, which is also read aloud as it is written here: underscores
    within a word mean nothing to Markdown."""
    return name if name.isidentifier() and name.strip("_") == name else escaped(name)


def post_name(post: Post, written: Callable[[str], str] = escaped) -> str:
    """How a post is called in a sentence: by its title, and by its author where it names one.
    `written` puts names into the markup of the place, which is Streamlit's Markdown."""
    title, author = written(say(post.title)), written(post.author)
    if not author:
        return say("the post “{title}”", title=title)
    return say("the post “{title}” by {author}", title=title, author=author)


def shown(quote: str) -> str:
    """A line of a post as its readers see it: without the marks of Markdown and LaTeX."""
    bare = quote.replace(r"\cdot", "·")
    bare = re.sub(r"\\text\{([^}]*)\}", r"\1", bare.removeprefix("- "))
    return re.sub(r"\$+|\\(?:left|right)\b", "", bare)


def code(words: str) -> str:
    """Code within a line of Markdown."""
    line = " ".join(words.split())
    fence = "`"
    while fence in line:
        fence += "`"
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def prose(words: str) -> str:
    """Text that shall be read as it is, but for `code`."""
    parts = re.split(r"`([^`]+)`", words)
    # Empty code would be two marks that stand for themselves.
    return "".join(
        code(part) if place % 2 and part.strip() else _spaced(part)
        for place, part in enumerate(parts)
    )


def _spaced(part: str) -> str:
    """Escaped, with the spaces at its ends, which part it from code."""
    before = " " if part[:1].isspace() else ""
    behind = " " if part.strip() and part[-1:].isspace() else ""
    return f"{before}{escaped(part)}{behind}"

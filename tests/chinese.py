"""Whether a text in Chinese holds English that is neither code nor a name."""

from __future__ import annotations

import re
from collections.abc import Iterable

TERMS = frozenset(
    word
    for line in (
        "bool dtype float int complex True False NaN Inf None ms cpu meta",
        "sigmoid tanh softmax softplus softsign swish hard GELU SiLU Mish log exp sin Cholesky",
        "nearest bilinear bicubic trilinear area",
    )
    for word in line.split()
)
"""Names of functions, types and modes, which are the same in both languages."""

_WORD = re.compile(r"[A-Za-z_]{2,}")


def words(text: str) -> set[str]:
    return set(_WORD.findall(text))


def english(texts: Iterable[str], known: Iterable[str]) -> dict[str, list[str]]:
    """Of each text the words that are in none of `known` (source, arguments, names) and no term."""
    allowed = TERMS.union(*map(words, known))
    found = {text: sorted(words(re.sub(r"`[^`]*`", " ", text)) - allowed) for text in texts}
    return {text: left for text, left in found.items() if left}

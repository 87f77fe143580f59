"""Many small cases in one test: what pytest does about a test costs more than each of them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import pytest

Test = Callable[..., None]


def together(names: str | tuple[str, ...], cases: Iterable[Any], ids: Any = None) -> Any:
    """As `pytest.mark.parametrize`, with one test for all cases, which share its fixtures; the
    error of the first that fails says which it was.  A case has no marks of its own."""
    wanted = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    listed = [_case(case, ids, number, len(wanted)) for number, case in enumerate(cases)]
    assert listed, "no case"

    def joined(test: Test) -> Test:
        @functools.wraps(test)
        def every(*args: Any, **fixtures: Any) -> None:
            for name, values in listed:
                try:
                    test(*args, **fixtures, **dict(zip(wanted, values, strict=True)))
                except BaseException as error:
                    error.add_note(f"in the case {name}")
                    raise

        signature = inspect.signature(test)
        left = [each for name, each in signature.parameters.items() if name not in wanted]
        assert len(left) + len(wanted) == len(signature.parameters), "it does not take these"
        every.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]
        return every

    return joined


def _case(case: Any, ids: Any, number: int, count: int) -> tuple[str, tuple[Any, ...]]:
    """Its name and its values."""
    if isinstance(case, type(pytest.param())):
        assert not case.marks
        return case.id or repr(case.values), case.values
    values = (case,) if count == 1 else tuple(case)
    if callable(ids):
        return "-".join(str(ids(value) or value) for value in values), values
    return repr(case) if ids is None else list(ids)[number], values

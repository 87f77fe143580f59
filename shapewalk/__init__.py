"""What `tracer` offers, under the name by which it is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tracer

if TYPE_CHECKING:
    from tracer import *  # noqa: F403

__all__ = tracer.__all__
__version__ = tracer.__version__


def __getattr__(name: str) -> Any:
    # What torch is needed for is loaded when it is asked for, as `tracer` does.
    if name in __all__:
        return getattr(tracer, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

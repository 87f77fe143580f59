"""Figures of a server for its operator, in Prometheus' text form: `/metrics` of `served.py`."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator

import streamlit as st
from starlette.requests import Request
from starlette.responses import PlainTextResponse

KINDS = ("shapes", "values", "formulas", "repairs")
MEANINGS = {
    "shapewalk_runs_total": "Runs that were computed, by what they gave.",
    "shapewalk_run_seconds_total": "Seconds that these took by the clock.",
    "shapewalk_runs_failed_total": "Runs that raised, were left or were cancelled.",
    "shapewalk_runs_refused_total": "Runs of which shapes alone were shown, for want of memory.",
    "shapewalk_runs_waiting": "Runs with values that wait or are computed now.",
    "shapewalk_kept_bytes": "What is kept for the next who asks.",
    "shapewalk_free_bytes": "Memory that the process could still take.",
    "shapewalk_sessions": "Browsers that are connected.",
}

_counts: Counter[tuple[str, str]] = Counter()
_lock = threading.Lock()


def count(name: str, kind: str, amount: float = 1) -> None:
    with _lock:
        _counts[name, kind] += amount  # type: ignore[assignment]


@contextlib.contextmanager
def timed(kind: str) -> Iterator[None]:
    """Counts a run of one of `KINDS` with the time that it takes."""
    began = time.monotonic()
    try:
        yield
    except BaseException:
        count("shapewalk_runs_failed_total", kind)
        raise
    count("shapewalk_runs_total", kind)
    count("shapewalk_run_seconds_total", kind, time.monotonic() - began)


def figures() -> dict[str, dict[str, float]]:
    """Each figure by its name, and in it by kind; `""` where there is one alone."""
    from ui import run, share

    with _lock:
        counted = dict(_counts)
    found: dict[str, dict[str, float]] = {}
    for name in MEANINGS:
        if name.endswith("_total"):
            found[name] = {kind: counted.get((name, kind), 0) for kind in KINDS}
    sessions = 0
    if st.runtime.exists():
        sessions = len(st.runtime.get_instance()._session_mgr.list_active_sessions())
    found["shapewalk_runs_waiting"] = {"": run.waiting()}
    found["shapewalk_kept_bytes"] = run.kept_bytes()
    found["shapewalk_free_bytes"] = {"": share.free_memory()}
    found["shapewalk_sessions"] = {"": sessions}
    return found


def text() -> str:
    lines = []
    for name, kinds in figures().items():
        sort = "counter" if name.endswith("_total") else "gauge"
        lines += [f"# HELP {name} {MEANINGS[name]}", f"# TYPE {name} {sort}"]
        for kind, value in kinds.items():
            lines.append(f'{name}{{kind="{kind}"}} {value}' if kind else f"{name} {value}")
    return "\n".join(lines) + "\n"


async def metrics(_: Request) -> PlainTextResponse:
    return PlainTextResponse(text(), media_type="text/plain; version=0.0.4")

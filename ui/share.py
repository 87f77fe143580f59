"""What all visitors share: results that are made once and kept within bytes, the line in which runs
wait, and the memory that there is."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

LOOK = 0.1
"""Seconds between two looks whether whoever waits in line is still there."""


class Kept(Generic[Key, Value]):
    """The most recently used results that together take at most `limit`, by what `size` says of
    each; a larger one is not kept."""

    def __init__(self, limit: int, size: Callable[[Value], int]) -> None:
        self.limit = limit
        self.size = size
        self.items: OrderedDict[Key, Value] = OrderedDict()
        self.taken = 0
        self._making: dict[Key, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: Key) -> Value | None:
        with self._lock:
            if key in self.items:
                self.items.move_to_end(key)
            return self.items.get(key)

    def put(self, key: Key, value: Value) -> Value:
        size = self.size(value)
        with self._lock:
            if key in self.items:
                self.taken -= self.size(self.items.pop(key))
            if size <= self.limit:
                self.items[key] = value
                self.taken += size
            while self.taken > self.limit:
                _, oldest = self.items.popitem(last=False)
                self.taken -= self.size(oldest)
            return value

    def made(self, key: Key, make: Callable[[], Value]) -> Value:
        """The result of this key: whoever asks while it is made waits for it.

        Raises:
            Exception: what `make` raises; the next who asks tries again.
        """
        kept = self.get(key)
        if kept is not None:
            return kept
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        try:
            with making:
                kept = self.get(key)
                return self.put(key, make()) if kept is None else kept
        finally:
            with self._lock:
                self._making.pop(key, None)


class Line:
    """One at a time, in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: deque[object] = deque()
        self._moved = threading.Condition()

    @property
    def empty(self) -> bool:
        return len(self) == 0

    def __len__(self) -> int:
        return len(self._waiting)

    @contextlib.contextmanager
    def turn(self, watch: Callable[[int], None] | None = None) -> Iterator[None]:
        """Waits until it is this one's turn, and gives it back at the end.  `watch` is told again
        and again how many come first; what it raises leaves the line."""
        ticket = object()
        with self._moved:
            self._waiting.append(ticket)
        try:
            while True:
                with self._moved:
                    before = self._waiting.index(ticket)
                    if before == 0:
                        break
                if watch is not None:
                    watch(before)
                with self._moved:
                    self._moved.wait_for(lambda: self._waiting[0] is ticket, LOOK)
            yield
        finally:
            with self._moved:
                self._waiting.remove(ticket)
                self._moved.notify_all()


# --- memory -----------------------------------------------------------------------------------

PROCESS = Path("/proc/self")
GROUPS = Path("/sys/fs/cgroup")


def free_memory() -> int:
    """Bytes that this process could still take: of the machine, of every control group that it is
    in, and of its own limit (`ulimit -v`)."""
    return max(0, min([_of_the_machine(), *_of_groups(), *_of_the_process()]))


def _of_the_machine() -> int:
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return int(fields["MemAvailable"].split()[0]) * 1024
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return 2 * 2**30


def _of_groups() -> Iterator[int]:
    """Of each control group, of either version, from this process's up: its limit without what it
    uses and the kernel cannot take back."""
    try:
        lines = (PROCESS / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if controllers == "":
            yield from _up(GROUPS, place, ("memory.max", "memory.current", "inactive_file"))
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            yield from _up(GROUPS / "memory", place, names)


def _up(top: Path, place: str, names: tuple[str, str, str]) -> Iterator[int]:
    limit, used, spare = names
    own = top / place.lstrip("/")
    for folder in (own, *own.parents):
        with contextlib.suppress(OSError, ValueError):
            allowed = int((folder / limit).read_text())  # "max" where there is none
            taken = int((folder / used).read_text())
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            yield allowed - taken + int(stat.get(spare, 0))
        if folder == top:
            return


def _of_the_process() -> Iterator[int]:
    try:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        pages = int((PROCESS / "statm").read_text().split()[0])
    except (ImportError, OSError):
        return
    if limit != resource.RLIM_INFINITY:
        yield limit - pages * resource.getpagesize()

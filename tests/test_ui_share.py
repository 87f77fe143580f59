"""What all visitors share: what is kept, the line, and the memory that there is."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ui import share
from ui.share import Kept, Line


def test_what_is_kept_is_bounded_by_its_size() -> None:
    kept: Kept[int, str] = Kept(10, len)
    for number in range(5):
        kept.put(number, "four")
        kept.get(2)
    assert sorted(kept.items) == [2, 4]
    kept.put(4, "sixsix")
    assert kept.taken == 10
    kept.put(9, "larger than all")
    assert sorted(kept.items) == [2, 4]


def test_what_many_ask_for_at_once_is_made_once() -> None:
    kept: Kept[str, list[int]] = Kept(10, len)
    made: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    def make() -> list[int]:
        begun.set()
        go_on.wait(600)
        made.append(1)
        return made

    found: list[list[int]] = []
    threads = [threading.Thread(target=lambda: found.append(kept.made("a", make))) for _ in "12345"]
    for thread in threads:
        thread.start()
    assert begun.wait(600)
    assert kept.made("another", list) == []
    go_on.set()
    for thread in threads:
        thread.join(600)
    assert found == [[1]] * 5


def test_what_fails_is_tried_again_by_the_next() -> None:
    kept: Kept[str, str] = Kept(10, len)

    def fails() -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        kept.made("a", fails)
    assert kept.made("a", lambda: "made") == "made"


def test_a_line_keeps_its_order_and_says_how_many_come_first() -> None:
    line, order, places = Line(), list[int](), dict[int, list[int]]()
    threads = []

    def one(number: int) -> None:
        with line.turn(places.setdefault(number, []).append):
            order.append(number)

    with line.turn():
        for number in range(4):
            threads.append(threading.Thread(target=one, args=(number,)))
            threads[-1].start()
            while not places.get(number):
                pass
    for thread in threads:
        thread.join(600)
    assert order == [0, 1, 2, 3]
    assert [places[number][0] for number in range(4)] == [1, 2, 3, 4]
    assert line.empty


def test_who_leaves_the_line_is_not_waited_for() -> None:
    line = Line()

    def leaves(before: int) -> None:
        raise LookupError(before)

    with line.turn(), pytest.raises(LookupError), line.turn(leaves):
        raise AssertionError
    with line.turn():
        assert not line.empty
    assert line.empty


# --- memory -----------------------------------------------------------------------------------


def test_free_memory_is_some_but_not_more_than_there_is() -> None:
    assert 2**20 < share.free_memory() < 2**50


def test_the_limit_of_any_group_around_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, inner = tmp_path / "process", tmp_path / "groups" / "outer" / "inner"
    process.mkdir()
    inner.mkdir(parents=True)
    (process / "cgroup").write_text("1:name=systemd:/\n0::/outer/inner\n")
    monkeypatch.setattr(share, "PROCESS", process)
    monkeypatch.setattr(share, "GROUPS", tmp_path / "groups")
    for folder, limit in ((inner, "max"), (inner.parent, "9000000")):
        (folder / "memory.max").write_text(limit)
        (folder / "memory.current").write_text("5000000")
        (folder / "memory.stat").write_text("anon 1\ninactive_file 1000000\n")
    # What is read of files can be read again.
    assert share.free_memory() == 5_000_000
    (inner / "memory.max").write_text("4000000")
    assert share.free_memory() == 0


def test_the_limit_of_a_group_of_the_first_version_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, group = tmp_path / "process", tmp_path / "groups" / "memory" / "inner"
    process.mkdir()
    group.mkdir(parents=True)
    (process / "cgroup").write_text("2:cpu:/other\n1:memory:/inner\n0::/\n")
    monkeypatch.setattr(share, "PROCESS", process)
    monkeypatch.setattr(share, "GROUPS", tmp_path / "groups")
    (group / "memory.limit_in_bytes").write_text("9000000")
    (group / "memory.usage_in_bytes").write_text("5000000")
    (group / "memory.stat").write_text("inactive_file 7\ntotal_inactive_file 1000000\n")
    assert share.free_memory() == 5_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system does not keep to it")
def test_the_limit_that_the_server_was_started_with_counts() -> None:
    command = f'ulimit -v 2000000; exec {sys.executable} -c "$0"'
    program = "from ui.share import free_memory; print(free_memory())"
    done = subprocess.run(
        ["sh", "-c", command, program], capture_output=True, text=True, check=True
    )
    assert 0 < int(done.stdout) < 2_000_000 * 1024

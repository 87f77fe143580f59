"""Where the app listens."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.together import together
from ui import serve


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as other:
        other.bind((serve.ADDRESS, 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_taken_port_is_told_in_one_sentence(
    taken: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert serve.main(["--port", str(taken)]) == 2
    said = capsys.readouterr().err
    assert f"Port {taken} is taken" in said
    assert said.count("\n") == 1


@together("port", ["80", "0", "70000", "abc", "-1", "8501x"])
def test_what_is_no_port(port: str) -> None:
    with pytest.raises(ValueError, match=f"PORT={port} is no port: use a number from 1024"):
        serve.choose_port(port)


def test_without_a_wish_a_taken_port_is_passed_over(
    taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "PORT", taken)
    chosen = serve.choose_port("")
    assert taken < chosen < taken + serve.TRIED


def test_a_free_port_is_taken_as_asked(taken: int) -> None:
    with socket.socket() as probe:
        probe.bind((serve.ADDRESS, 0))
        free = probe.getsockname()[1]
    assert serve.choose_port(str(free)) == free


@pytest.mark.parametrize("address", ["192.0.2.7", "no such name"])
def test_what_is_no_address_of_this_machine(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert serve.main(["--address", address]) == 2
    said = capsys.readouterr().err
    assert f"{address} is no address of this machine" in said
    assert said.count("\n") == 1

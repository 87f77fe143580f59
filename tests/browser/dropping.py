"""Ways to the app that lose the connection: a proxy that cuts the first websocket in mid-run, and
one behind which the server goes away and comes back."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def dropping(address: str, after: int) -> Iterator[str]:
    """The address at which the app at `address` is reached by way of the proxy.  It cuts the first
    websocket when `after` messages of the server have passed, without any goodbye; the next ones
    live."""
    host, port = address.removeprefix("http://").split(":")
    listener = socket.create_server(("127.0.0.1", 0))
    proxy = _Proxy(listener, (host, int(port)), after)
    threading.Thread(target=proxy.serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        proxy.close()
    assert proxy.cut, "the connection was never cut"


@contextlib.contextmanager
def leaving(address: str) -> Iterator[tuple[str, threading.Event]]:
    """The address at which the app at `address` is reached by way of the proxy, and what to set
    so that nobody answers there, and to clear so that the server is back."""
    host, port = address.removeprefix("http://").split(":")
    listener = socket.create_server(("127.0.0.1", 0))
    proxy = _Leaving(listener, (host, int(port)))
    threading.Thread(target=proxy.serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", proxy.away
    finally:
        proxy.close()


class _Away(threading.Event):
    def __init__(self, leave: Callable[[], None]) -> None:
        super().__init__()
        self.leave = leave

    def set(self) -> None:
        super().set()
        self.leave()


class _Proxy:
    def __init__(self, listener: socket.socket, server: tuple[str, int], after: int) -> None:
        self.listener, self.server, self.left = listener, server, after
        self.cut = False
        self.away = _Away(self.leave)
        self.pipes: list[socket.socket] = []

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                browser, _ = self.listener.accept()
                if self.away.is_set():
                    _reset(browser)
                    continue
                server = socket.create_connection(self.server)
                self.pipes += [browser, server]
                for pipe in (self._up, self._down):
                    threading.Thread(target=pipe, args=(browser, server), daemon=True).start()

    def close(self) -> None:
        self.listener.close()
        self.leave()

    def leave(self) -> None:
        for pipe in self.pipes:
            _reset(pipe)

    def _up(self, browser: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := browser.recv(65536):
                server.sendall(data)
        _reset(server)

    def _down(self, browser: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError):
            head = _until(server, b"\r\n\r\n")
            browser.sendall(head)
            if b" 101 " in head.split(b"\r\n")[0] and not self.cut:
                while not self._counted():
                    browser.sendall(_frame(server))
            while data := server.recv(65536):
                browser.sendall(data)
        _reset(browser)

    def _counted(self) -> bool:
        """Whether all messages of the first connection have passed: then it is cut here."""
        if self.cut:
            return True
        if self.left > 0:
            self.left -= 1
            return False
        self.cut = True
        raise EOFError


class _Leaving(_Proxy):
    """Cuts no message off: only `away` does."""

    def __init__(self, listener: socket.socket, server: tuple[str, int]) -> None:
        super().__init__(listener, server, 0)
        self.cut = True


def _until(pipe: socket.socket, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        data += _exactly(pipe, 1)
    return data


def _exactly(pipe: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = pipe.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _frame(server: socket.socket) -> bytes:
    """One frame of a websocket as the server sends it, RFC 6455 section 5.2."""
    head = _exactly(server, 2)
    length = head[1] & 127
    if length >= 126:
        more = _exactly(server, 2 if length == 126 else 8)
        head += more
        (length,) = struct.unpack(">H" if len(more) == 2 else ">Q", more)
    return head + _exactly(server, length)


def _reset(pipe: socket.socket) -> None:
    with contextlib.suppress(OSError):
        pipe.shutdown(socket.SHUT_RDWR)
        pipe.close()

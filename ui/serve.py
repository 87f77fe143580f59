"""Start the app: `python -m ui.serve [--port 8501] [--edit]`, or `shapewalk app` of an installed
copy.

It listens to this machine alone, and runs code for who opens the address that it prints, which
holds a token of this start.  Started otherwise on an address that others reach, or behind a proxy,
it runs no code but its own examples; the environment variable SHAPEWALK_RUN_CODE=1 lets it run what
readers with the token paste, 0 forbids it everywhere.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from pathlib import Path

from ui import token

ADDRESS = "127.0.0.1"
PORT = 8501
TRIED = 50

EDIT = "SHAPEWALK_EDIT"
"""The environment variable that is 1 where the app has a key that reads its code anew."""

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str] | None = None, prog: str = "python -m ui.serve") -> int:
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument(
        "--port", default="", help=f"on which the app listens; a free one from {PORT} on if empty"
    )
    parser.add_argument(
        "--address",
        default=ADDRESS,
        help="on which it listens; 0.0.0.0 for all that reach this machine, where readers may then "
        "run no code of theirs",
    )
    parser.add_argument(
        "--edit", action="store_true", help="with a key that reads lessons and pages anew"
    )
    asked = parser.parse_args(arguments)
    try:
        port = choose_port(asked.port, asked.address)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    address = f"http://{asked.address}:{port}/?token={token.made()}"
    print(f"\n  Shapewalk is at {address} (end it with Ctrl-C)\n", flush=True)
    os.chdir(ROOT)
    if asked.edit:
        os.environ[EDIT] = "1"
    command = ["-m", "streamlit", "run", "served.py"]
    command += ["--server.address", asked.address, "--server.port", str(port)]
    os.execv(sys.executable, [sys.executable, *command])


def choose_port(asked: str, address: str = ADDRESS) -> int:
    """The port that was asked for, or the first free one when none was.

    Raises:
        ValueError: it is no port, or it is taken, or the address is none of this machine.
    """
    if not is_free(0, address):
        raise ValueError(f"{address} is no address of this machine: use 127.0.0.1 or 0.0.0.0.")
    if not asked:
        for port in range(PORT, PORT + TRIED):
            if is_free(port, address):
                return port
        raise ValueError(
            f"The ports {PORT} to {PORT + TRIED - 1} are all taken: name a free one, "
            "as in `make run PORT=9000` or `shapewalk app --port 9000`."
        )
    if not asked.isdecimal() or not 1024 <= int(asked) <= 65535:
        raise ValueError(f"PORT={asked} is no port: use a number from 1024 to 65535.")
    if not is_free(int(asked), address):
        raise ValueError(
            f"Port {asked} is taken by another program: name another, or leave it out and a free "
            "one is found."
        )
    return int(asked)


def is_free(port: int, address: str = ADDRESS) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the server itself does: a port that was just closed may be taken again at once.
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


if __name__ == "__main__":
    sys.exit(main())

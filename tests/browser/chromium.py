"""Which Chromium the browser tests drive; `python -m tests.browser.chromium` installs one.

A machine without a browser fails the tests: it never skips them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

SHELL = "chromium-headless-shell"
NAMES = (SHELL, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
"""First the one without windows: the others draw their own around each page that no one sees."""

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""A browser that speaks to nobody but the page under test, in a container and as root too."""


class NoChromiumError(RuntimeError):
    pass


def find() -> str | None:
    """The path of a Chromium: $CHROMIUM, one on the PATH, or Playwright's own.

    Raises:
        NoChromiumError: $CHROMIUM names no program.
    """
    named = os.environ.get("CHROMIUM")
    if named:
        found = shutil.which(named)
        if found is None:
            raise NoChromiumError(f"CHROMIUM={named} is no program that can be run.")
        return found
    for name in NAMES:
        found = shutil.which(name)
        if found is not None:
            return found
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


def install() -> None:
    """By apt where this is Debian and we may; else Playwright fetches its own."""
    if shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], env=quiet, check=False)
        wanted = ["apt-get", "install", "-qq", "-y", "--no-install-recommends"]
        for name in (SHELL, "chromium"):  # older releases have no shell of its own
            if subprocess.run([*wanted, name], env=quiet, check=False).returncode == 0:
                return
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)


def main() -> int:
    try:
        found = find()
        if found is None:
            print("There is no Chromium here for the browser tests: installing one.", flush=True)
            install()
            found = find()
    except NoChromiumError as error:
        print(error, file=sys.stderr)
        return 1
    if found is None:
        print(
            "The browser tests need Chromium, and it could not be installed: install it, or name "
            "it with CHROMIUM=/path/to/chromium.",
            file=sys.stderr,
        )
        return 1
    print(f"Browser tests use {found}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

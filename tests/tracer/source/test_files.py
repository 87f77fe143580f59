"""Several files of one program: taken within limits, and imported as they are where they come
from."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.together import together
from tracer.source import files
from tracer.source.files import FilesError, dotted, taken, unpacked

PACKAGE = {
    "net/__init__.py": "",
    "net/blocks/__init__.py": "from .gate import GATE\n",
    "net/blocks/gate.py": "from ..sizes import WIDTH\nGATE = WIDTH + 1\n",
    "net/sizes.py": "WIDTH = 8\n",
    "net/model.py": "from .blocks import GATE\nfrom net.sizes import WIDTH\nFOUND = GATE, WIDTH\n",
}


def archive(texts: dict[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as written:
        for path, text in texts.items():
            written.writestr(path, text)
    return packed.getvalue()


def zeros(files: int, length: int) -> bytes:
    return archive({f"{number}.py": "0" * length for number in range(files)})


def under(folder: str, texts: dict[str, str]) -> dict[str, str | bytes]:
    return {f"{folder}/{path}": text for path, text in texts.items()}


def test_folders_around_a_package_are_left_out() -> None:
    found = unpacked("r.zip", archive(under("repo-1.2/src", PACKAGE) | {"repo-1.2/.git/a.py": ""}))
    assert found == PACKAGE
    assert unpacked("r.zip", archive({"./net.py": "1", "./.git/a.py": ""})) == {"net.py": "1"}


def test_files_whose_imports_go_up_are_in_a_folder_of_the_name_of_the_whole() -> None:
    flat = {"model.py": "from .parts import A\n", "parts.py": "A = 1\n"}
    found = unpacked("my-net.zip", archive({**flat}))
    assert set(found) == {"my_net/model.py", "my_net/parts.py"}


def test_files_that_import_each_other_plainly_stay_where_they_are() -> None:
    flat = {"model.py": "from parts import A\n", "parts.py": "A = 1\n", "notes.md": "no"}
    assert set(taken("What", [(path, text.encode()) for path, text in flat.items()])) == {
        "model.py",
        "parts.py",
    }


@together(
    ("path", "up", "name"),
    [
        ("model.py", 0, ("", "model")),
        ("net/model.py", 1, ("", "net.model")),
        ("src/net/blocks/gate.py", 2, ("src", "net.blocks.gate")),
        ("src/net/__init__.py", 1, ("src", "net")),
        ("plain/model.py", 0, ("plain", "model")),
        ("plain/model.py", 1, ("", "plain.model")),
    ],
)
def test_a_file_has_the_name_that_its_package_gives_it(
    path: str, up: int, name: tuple[str, str]
) -> None:
    assert dotted(path, {"net", "src/net", "src/net/blocks"}.__contains__, up) == name


@pytest.mark.parametrize(
    ("texts", "main", "expression", "value"),
    [
        (PACKAGE, "net/model.py", "FOUND", "(9, 8)"),
        (
            {"a/model.py": "import parts\nfrom b import other\nX = parts.A, other.B\n",
             "a/parts.py": "A = 1\n", "b/other.py": "B = 2\n"},
            "a/model.py", "X", "(1, 2)",
        ),
        ({"p/m.py": "from .n import A\n", "p/n.py": "A = 3\n"}, "p/m.py", "A", "3"),
        ({"json/m.py": "import json\nA = json.dumps([1])\n"}, "json/m.py", "A", "[1]"),
    ],
    ids=["a package", "folders on the path", "no __init__", "a folder with an installed name"],
)  # fmt: skip
def test_files_import_each_other(
    texts: dict[str, str], main: str, expression: str, value: str
) -> None:
    code = (
        "from tracer.source.files import imported\n"
        f"print(imported({texts!r}, {main!r}).{expression})"
    )
    root = Path(files.__file__).parents[2]
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert (ran.stdout.strip(), ran.stderr) == (value, "")


def encrypted() -> bytes:
    packed = bytearray(archive({"a.py": "A = 1\n"}, zipfile.ZIP_STORED))
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        packed[packed.index(signature) + flags] |= 1
    return bytes(packed)


def linked() -> bytes:
    entry = zipfile.ZipInfo("net/a.py")
    entry.external_attr = 0o120777 << 16
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as written:
        written.writestr(entry, "/etc/passwd")
    return packed.getvalue()


def cut(content: bytes) -> bytes:
    """With its directory, and its middle overwritten."""
    middle = len(content) // 3
    return content[:middle] + b"\xff" * 40 + content[middle + 40 :]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"PK no archive", "x.zip is damaged, or no zip archive."),
        (b"", "x.zip is damaged, or no zip archive."),
        (cut(archive({"a.py": "".join(map(str, range(2000)))})), "x.zip is damaged, or no zip"),
        (encrypted(), "x.zip cannot be unpacked: make a plain zip of it, without a password."),
        (linked(), "x.zip has a link, net/a.py: give the file itself."),
        (archive({"../a.py": "1"}), "x.zip has a path that leads out of it, ../a.py."),
        (archive({"/a.py": "1"}), "x.zip has a path that leads out of it, /a.py."),
        (
            archive({"b/a.py": "1", "b/a.py/c.py": "1"}),
            "x.zip has b/a.py as a file and as a folder.",
        ),
        (archive({"c:/a.py": "1"}), "x.zip has a path that leads out of it, c:/a.py."),
        (archive({"a/" * 30 + "a.py": "1"}), "x.zip has folders more than 20 deep"),
        (
            lambda: zeros(1, 30_000_000),
            "0.py has more than 1 MB, the limit of one file.",
        ),
        (
            lambda: zeros(6, 900_000),
            "x.zip has more than 1,000 files",
        ),
        (
            lambda: zeros(1001, 0),
            "x.zip has more than 1,000 files or 5 MB",
        ),
        (
            lambda: zeros(20_001, 0),
            "x.zip has 20,001 entries, more than",
        ),
        (archive({"a.py": b"\xff\xfe"}), "a.py is no text in UTF-8: open files of Python."),
        (archive({"a.txt": "1"}), "x.zip has no file of Python."),
    ],
)
def test_a_bad_archive_is_one_sentence(content: bytes | Callable[[], bytes], sentence: str) -> None:
    with pytest.raises(FilesError) as raised:
        unpacked("x.zip", content() if callable(content) else content)
    assert str(raised.value).startswith(sentence)

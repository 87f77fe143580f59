"""Several files of one program: taken out of an archive within limits, and imported by the names
that they have in their packages."""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import io
import re
import stat
import sys
import types
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from tracer.sentences import Said, ToldError, said
from tracer.syntax import parsed

MOST_FILES = 1_000
MOST_ENTRIES = 20_000
"""Of an archive, whatever they are: those that are no text of a program are passed over."""

LARGEST_FILE = 1_000_000
LARGEST = 5_000_000
"""Bytes of all files together, unpacked."""

DEEPEST = 20
"""Folders within folders."""

_TEXTS = (".py", ".json", ".yaml", ".yml", ".toml", ".txt", ".cfg", ".ini")
_APART = frozenset(("__pycache__", "__MACOSX", "node_modules", "site-packages"))


class FilesError(ToldError):
    """The files cannot be taken; the message is one sentence for the user."""


# --- taken --------------------------------------------------------------------------------------


def unpacked(name: str, content: bytes) -> dict[str, str]:
    """The texts of an archive's files by their paths, without the folders that all have in common.

    Raises:
        FilesError: it is damaged, hostile, too large, or has no file of Python.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            if len(entries) > MOST_ENTRIES:
                raise FilesError(
                    said(
                        "{name} has {count} entries, more than the {most} that are looked at.",
                        name=name,
                        count=f"{len(entries):,}",
                        most=f"{MOST_ENTRIES:,}",
                    )
                )
            return taken(name, _members(name, archive, entries))
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, OSError, ValueError) as error:
        if isinstance(error, FilesError):
            raise
        raise FilesError(said("{name} is damaged, or no zip archive.", name=name)) from error
    except (NotImplementedError, RuntimeError) as error:  # a method or a password
        raise FilesError(
            said(
                "{name} cannot be unpacked: make a plain zip of it, without a password.", name=name
            )
        ) from error
    except Exception as error:  # zlib and lzma have errors of their own
        if not type(error).__module__.startswith(("zlib", "lzma", "_lzma", "bz2")):
            raise
        raise FilesError(said("{name} is damaged, or no zip archive.", name=name)) from error


def _members(
    name: str, archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]
) -> Iterator[tuple[str, bytes]]:
    for entry in entries:
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise FilesError(
                said(
                    "{name} has a link, {path}: give the file itself.",
                    name=name,
                    path=entry.filename,
                )
            )
        _must_stay(name, entry.filename)
        if not entry.is_dir() and _is_wanted(entry.filename):
            with archive.open(entry) as member:
                yield entry.filename, member.read(LARGEST_FILE + 1)


def taken(name: str, files: Iterable[tuple[str, bytes]], whole: bool = False) -> dict[str, str]:
    """The texts of these files by their paths, without the folders that all have in common where
    they are not the `whole` folder; `name` is what they are called together.

    Raises:
        FilesError: they are too many or too large, or none is a file of Python.
    """
    found: dict[str, str] = {}
    total = 0
    for path, content in files:
        _must_stay(name, path)
        if not _is_wanted(path):
            continue
        total += len(content)
        if len(content) > LARGEST_FILE or total > LARGEST or len(found) >= MOST_FILES:
            raise FilesError(_too_large(name, path, len(content)))
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            if not path.endswith(".py"):
                continue
            raise FilesError(
                said("{path} is no text in UTF-8: open files of Python.", path=path)
            ) from error
        found[PurePosixPath(path).as_posix()] = plain(text)
    folders = {str(above) for path in found for above in PurePosixPath(path).parents}
    if both := folders & found.keys():
        raise FilesError(
            said("{name} has {path} as a file and as a folder.", name=name, path=min(both))
        )
    if not any(path.endswith(".py") for path in found):
        raise FilesError(said("{name} has no file of Python.", name=name))
    return found if whole else _placed(name, found)


def plain(text: str) -> str:
    """The text with the ends of lines that Python has, and without the mark of an encoding before
    it."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _too_large(name: str, path: str, size: int) -> Said:
    if size > LARGEST_FILE:
        return said(
            "{path} has more than {most} MB, the limit of one file.",
            path=path,
            most=f"{LARGEST_FILE / 1e6:g}",
        )
    return said(
        "{name} has more than {files} files or {most} MB of text: give the package alone.",
        name=name,
        files=f"{MOST_FILES:,}",
        most=f"{LARGEST / 1e6:g}",
    )


def _must_stay(name: str, path: str) -> None:
    """A path that leads out of the folder, or too deep into it, is refused."""
    parts = path.replace("\\", "/").split("/")
    if path.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in path:
        raise FilesError(
            said("{name} has a path that leads out of it, {path}.", name=name, path=path)
        )
    if len(parts) > DEEPEST:
        raise FilesError(
            said(
                "{name} has folders more than {most} deep: give the package alone.",
                name=name,
                most=DEEPEST,
            )
        )


def _is_wanted(path: str) -> bool:
    parts = PurePosixPath(path).parts  # `./net.py` is no hidden file
    hidden = any(part.startswith(".") or part in _APART for part in parts)
    return path.endswith(_TEXTS) and not hidden


def _placed(name: str, files: dict[str, str]) -> dict[str, str]:
    """Without the folders around all that are no packages; in one again, called as the whole is,
    where imports are relative to it."""
    while True:
        head = next(iter(files)).partition("/")[0]
        around = all(path.startswith(f"{head}/") for path in files)
        if not around or f"{head}/__init__.py" in files:
            break
        files = {path.partition("/")[2]: text for path, text in files.items()}
    if not _climbs(files):
        return files
    stem = re.sub(r"\W", "_", PurePosixPath(name).stem) or "package"
    return {f"{stem}/{path}": text for path, text in files.items()}


def _climbs(files: Mapping[str, str]) -> bool:
    """Whether some file's relative imports lead above all folders."""
    return any(
        levels(text) > path.count("/") for path, text in files.items() if path.endswith(".py")
    )


# --- named --------------------------------------------------------------------------------------


def levels(text: str) -> int:
    """How many folders up the relative imports of a file go: 1 for `from .layers import Block`."""
    try:
        tree = parsed(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return 0
    found = [node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return max(found, default=0)


def dotted(path: str, is_package: Callable[[str], bool], up: int = 0) -> tuple[str, str]:
    """The folder that a file is imported from, and the name by which it is: from the first folder
    above that has no `__init__.py` (`is_package` says which have), or further up where its
    imports go `up` so many levels.  Folders are paths with `/`, the top is empty.

    >>> dotted("repo/net/blocks.py", {"repo/net"}.__contains__)
    ('repo', 'net.blocks')
    """
    parts = path.removesuffix(".py").split("/")
    count = len(parts) - 1
    while count > 0 and (is_package("/".join(parts[:count])) or len(parts) - 1 - count < up):
        count -= 1
    inner = parts[count:-1] if parts[-1] == "__init__" else parts[count:]
    return "/".join(parts[:count]), ".".join(inner)


# --- imported -----------------------------------------------------------------------------------


class Texts(importlib.abc.MetaPathFinder, importlib.abc.ExecutionLoader):
    """Imports from texts by their paths, under which tracebacks and traces name them."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = {path: text for path, text in files.items() if path.endswith(".py")}
        self.modules: dict[str, str] = {}
        self.folders: set[str] = set()
        starts: dict[str, None] = {}
        for path in sorted(self.files, key=lambda path: (path.count("/"), path)):
            start, _ = self.name(path)
            starts[start] = None
        for start in ("", *starts):
            self._offer(start)

    def name(self, path: str) -> tuple[str, str]:
        """The folder that a file of these is imported from, and its name."""
        return dotted(path, self._is_package, levels(self.files[path]))

    def _is_package(self, folder: str) -> bool:
        return f"{folder}/__init__.py" in self.files

    def _offer(self, start: str) -> None:
        """What can be imported with this folder on the path."""
        for path in self.files:
            if not path.startswith(start and start + "/"):
                continue
            inner = path[len(start and start + "/") :].removesuffix(".py").split("/")
            if inner[-1] == "__init__":
                del inner[-1]
            if inner:
                self.modules.setdefault(".".join(inner), path)
            self.folders |= {".".join(inner[:count]) for count in range(1, len(inner))}

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname in self.modules:
            spec = importlib.util.spec_from_loader(fullname, self, is_package=None)
            if spec is not None:
                spec.origin, spec.has_location = self.modules[fullname], True
            return spec
        if fullname in self.folders and not _elsewhere(fullname, path):
            folder = importlib.machinery.ModuleSpec(fullname, None, is_package=True)
            folder.submodule_search_locations = []
            return folder
        return None

    def get_filename(self, fullname: str) -> str:
        return self.modules[fullname]

    def get_source(self, fullname: str) -> str:
        return self.files[self.modules[fullname]]

    def is_package(self, fullname: str) -> bool:
        return self.modules[fullname].rpartition("/")[2] == "__init__.py"


def _elsewhere(name: str, path: Sequence[str] | None) -> bool:
    """Whether an installed package has the name of a folder that is no package."""
    return "." not in name and importlib.machinery.PathFinder.find_spec(name, path) is not None


def imported(files: Mapping[str, str], path: str) -> types.ModuleType:
    """The file at the path, imported with all that it imports of these files.  For a process that
    runs nothing else."""
    texts = Texts(files)
    sys.meta_path.insert(0, texts)
    _, name = texts.name(path)
    texts.modules[name] = path  # whatever else has that name
    return importlib.import_module(name)

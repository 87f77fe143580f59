"""Runs code that is not ours in a process of its own, and brings back a Trace.

A fork server keeps torch loaded, so that a run begins within milliseconds.  Each run has a
supervisor, which holds it to its limits and ends it with all that it started, and a process that is
shut in (see `tracer.sandbox`).  What comes back is JSON, checked as a trace file of a stranger is;
nothing is unpickled.
"""

from __future__ import annotations

import ast
import atexit
import base64
import contextlib
import dataclasses
import functools
import io
import json
import math
import os
import re
import secrets
import select
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np

from tracer import inputs, outline, patches
from tracer.document import Trace, TraceFileError, said_from_json, said_to_json
from tracer.endings import LARGEST, safe_name
from tracer.outline import Argument, ModuleClass
from tracer.sentences import Count, Filling, Said, as_written, said
from tracer.syntax import parsed

if TYPE_CHECKING:
    from torch import Tensor

    from tracer.fitting import Fitted
    from tracer.record.crash import Mend

SCRIPT = "__main__"
_INHERITED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
LARGEST_ARCHIVE = 20_000_000
"""Bytes of an archive of files."""

_GRACE = 2.0  # seconds of computing that a run has, after its time, to say where it was
_PATIENCE = 5.0  # seconds of waiting that it has for the same
_LARGEST_REQUEST = 8_000_000
_LARGEST_ANSWER = 64_000_000
_LARGEST_TENSOR = 10_000_000
_MOST_FILES = 10_000
_MOST_THREADS = 512
_MOST_CAUSES = 20
_LONGEST_QUOTED = 80
_MOST_DIGITS = 10_000
_LONGEST_PATH = 4_000  # beyond, the kernel does not find what it names
_LOOK = 0.2  # seconds between two looks at what a run takes, and whether its process lives


@dataclass(frozen=True)
class Limits:
    """What one run may take: seconds of computing, seconds by the clock in which it waits, bytes of
    memory, bytes it may print, bytes of one file and of all files in its scratch folder.  It may
    start no process.

    Neither is more on a busy machine: to be ready and to have no processor is not to wait."""

    seconds: float = 20.0
    clock: float = 60.0
    memory: int = 4_000_000_000
    output: int = 1_000_000
    file: int = 64_000_000
    files: int = 256_000_000


@dataclass(frozen=True)
class Job:
    """What to run.

    `name` is a class, an instance or a function of `source` that gives a module; empty to run the
    text as a script, whose first failing module is what is traced.  Without a source it is the
    dotted name of an installed class (`torch.nn.LSTM`).  `arguments` are those of its constructor,
    each as Python text evaluated among the names of `source`, or of the file that the class is
    written in (`{"width": "64"}`), or a letter of `sizes`; `literal` allows plain values alone.
    `inputs` and `sizes` are as in `tracer.inputs.make`.  Arguments and inputs that are needed and
    not given are found by trying (`tracer.arguments`, `tracer.fitting`).  With `formulas` the sizes
    of the inputs are symbols as well; with `tensor` the run is made again for the one that a trace
    of it notes under that number.
    `data` are files that the run is given, by names without spaces and signs: inputs speak of them
    (`@cat.png`), and `weights` is the name of the one that the module's weights are taken from.
    `file` is what the text is called, and `files` are the others of its program, by their paths
    beside it: they import each other as they do where they come from (`tracer.source.files`).
    `diff` is a change of these texts (`tracer.patches`): the changed program runs, or with `prove`
    the one that is there, whose failure the change has to mend.
    """

    source: str
    name: str = ""
    arguments: dict[str, str] = dataclasses.field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    sizes: dict[str, int] = dataclasses.field(default_factory=dict)
    dtype: str = "float32"
    training: bool = False
    values: bool = True
    seed: int = 0
    file: str = "model.py"
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    data: dict[str, bytes] = dataclasses.field(default_factory=dict, repr=False)
    weights: str = ""
    formulas: bool = False
    tensor: int | None = None
    literal: bool = False
    diff: str = ""
    prove: bool = False


@dataclass(frozen=True)
class Problem:
    """What came in the way, in one sentence.  `kind` is one of `parse`, `module` (there is none of
    that name), `import`, `constructor`, `arguments`, `inputs`, `diff`, `time`, `memory`, `output`,
    `files`, `refused` (it tried what it may not), `exit`, `crash`, `nothing` (it ran, without a
    step), `worker` (ours).  `line` and `column` (from 1) are of the source, `text` is that line."""

    kind: str
    says: Said
    line: int | None = None
    column: int | None = None
    text: str | None = None

    @property
    def sentence(self) -> str:
        """What came in the way, in English."""
        return str(self.says)

    @property
    def caret(self) -> str:
        """The line with a caret under the place, or nothing."""
        return outline.caret(self.text, self.column)


@dataclass(frozen=True)
class Answer:
    """`trace` is None when the code did not come as far as a run, `problem` None when nothing came
    in the way: a forward that fails is a trace with a failure.  `printed` is the beginning of what
    the code printed.

    `notes` is what was done to the files that the run was given, and what was made up; `tensor` the
    one that was asked for, as real numbers of 32 bits.
    `form` is what the module takes, and `used` the job with all arguments and inputs that were
    used, those that were found among them; both None when it did not come so far."""

    trace: Trace | None
    problem: Problem | None
    printed: str
    seconds: float
    form: ModuleClass | None = None
    used: Job | None = None
    notes: tuple[Said, ...] = ()
    tensor: np.ndarray | None = None
    checked: patches.Checked | None = None


def run(job: Job, limits: Limits | None = None, wanted: Callable[[], bool] | None = None) -> Answer:
    """Run a job in a process of its own, which is ended as soon as it is no longer `wanted`.  Never
    raises for anything that the code does; may be called from several threads at once."""
    limits = limits or Limits()
    began = time.perf_counter()
    try:
        outline.parse(job.source, job.file)
        if not available():
            nowhere = Problem("worker", said("Code can be run apart on Linux and macOS only."))
            return Answer(None, nowhere, "", 0.0)
    except outline.SourceError as error:
        unread = Problem("parse", error.sentence, error.line, error.column, error.text)
        return Answer(None, unread, "", time.perf_counter() - began)
    answer = _asked(job, limits, wanted or (lambda: True))
    return dataclasses.replace(answer, seconds=time.perf_counter() - began)


def unpacked(name: str, content: bytes) -> dict[str, str] | Problem:
    """The texts of an archive's files by their paths (`tracer.source.files.unpacked`), read in a
    process of its own."""
    if len(content) > LARGEST_ARCHIVE:
        sentence = said(
            "{name} has more than {most}: give the package alone.",
            name=name,
            most=_bytes(LARGEST_ARCHIVE),
        )
        return Problem("files", sentence)
    job = Job("", safe_name(name), data={safe_name(name): content})
    report = _reported(job, Limits(), lambda: True, ("unpack", name))
    if isinstance(report, Problem):
        return report
    told, parts = report
    try:
        if b"texts" in parts:
            texts = json.loads(parts[b"texts"])
            return {str(path): str(text) for path, text in texts.items()}
        if b"answer" in parts:
            return _problem_read(json.loads(parts[b"answer"]))
    except (ValueError, TypeError, LookupError, AttributeError):
        pass
    return _verdict(told["ended"], _STAGES["import"], Limits())


def tensors(
    name: str, content: bytes, picture: tuple[int, int] | None = None, weights: bool = False
) -> dict[str, Tensor] | Problem:
    """What a file of tensors holds (`tracer.given`), read in a process of its own: of a `picture`,
    which gets this height and width, its `pixels` and the `size` that it had; of `weights` all by
    their names; of another its `array`."""
    if len(content) > LARGEST:
        return _too_much()
    job = Job("", data={name: content}, weights=name if weights else "")
    report = _reported(job, Limits(), lambda: True, ("tensors", picture))
    if isinstance(report, Problem):
        return report
    told, parts = report
    try:
        if b"tensors" in parts:
            from safetensors.torch import load

            return load(base64.b64decode(parts[b"tensors"]))
        if b"answer" in parts:
            return _problem_read(json.loads(parts[b"answer"]))
    except Exception:  # noqa: BLE001 - where a file has taken over its reader it may say anything
        return Problem("worker", said("The code disturbed its own result."))
    return _verdict(told["ended"], _STAGES["inputs"], Limits())


def available() -> bool:
    """Whether this system can run code apart at all."""
    return hasattr(os, "fork") and hasattr(socket, "send_fds")


def warm() -> None:
    """Start the fork server, so that the first run need not wait for torch to load, and no run for
    what finds formulas."""
    if available():
        with contextlib.suppress(_WorkerLost, OSError):
            _server(formulas=True)


def stop() -> None:
    """End the fork server with all its runs; the next run starts a new one."""
    global _running
    with _guard:
        server, _running = _running, None
    if server is not None:
        server.close()


# --- the caller's side ------------------------------------------------------------------------


class _WorkerLost(Exception):  # noqa: N818 - says what happened
    """The fork server does not answer."""


class _Server:
    """The fork server as its starter sees it: a process, and a socket that hands it jobs."""

    def __init__(self, formulas: bool) -> None:
        self.lock = threading.Lock()
        self.control, theirs = socket.socketpair()
        path = [os.path.abspath(entry) for entry in sys.path]
        code = (
            "import json, sys; sys.path[:] = json.loads(sys.argv[1]);"
            "from tracer.worker import _serve; _serve(int(sys.argv[2]), *sys.argv[3:])"
        )
        self.folder = Path(tempfile.mkdtemp(prefix="shapewalk-")).resolve()
        own = [json.dumps(path), str(theirs.fileno()), str(self.folder)]
        own += ["formulas"] * formulas
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-B", "-c", code, *own],
            env=environment | threads | {"CUDA_VISIBLE_DEVICES": "", "PYTHONUTF8": "1"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
        )
        theirs.close()
        if not self._comes_up():
            self.close()
            raise _WorkerLost
        self.control.settimeout(10)

    def _comes_up(self) -> bool:
        """Waits for the process to say that it is ready, for as long as it lives."""
        self.control.settimeout(_LOOK)
        while True:
            try:
                return bool(self.control.recv(1))
            except TimeoutError:
                if self.process.poll() is not None:
                    return False
            except OSError:
                return False

    def hand_over(self, job: socket.socket) -> None:
        try:
            with self.lock:
                socket.send_fds(self.control, [b"j"], [job.fileno()])
        except OSError as error:
            raise _WorkerLost from error

    def close(self) -> None:
        self.control.close()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        _removed(self.folder)  # where it was killed before it could


_guard = threading.Lock()
_running: _Server | None = None
atexit.register(stop)


def _server(formulas: bool = False) -> _Server:
    """The one that runs, or a new one, which has loaded what finds `formulas`."""
    global _running
    with _guard:
        if _running is not None and _running.process.poll() is not None:
            gone, _running = _running, None
            gone.close()
        if _running is None:
            _running = _Server(formulas)
        return _running


def _asked(job: Job, limits: Limits, wanted: Callable[[], bool]) -> Answer:
    if sum(map(len, job.data.values())) > LARGEST:
        return Answer(None, _too_much(), "", 0.0)
    report = _reported(job, limits, wanted)
    if isinstance(report, Problem):
        return Answer(None, report, "", 0.0)
    return _read(*report, job, limits)


def _too_much() -> Problem:
    sentence = said(
        "The files have more than {most} together: give smaller ones.", most=_bytes(LARGEST)
    )
    return Problem("files", sentence)


def _reported(
    job: Job,
    limits: Limits,
    wanted: Callable[[], bool],
    errand: tuple[str, Any] = ("run", None),
) -> tuple[dict[str, Any], dict[bytes, bytes]] | Problem:
    """How a job's process ended, and the lines that it said by what they begin with.  Instead of
    to `run` it, the errand may be to `unpack` its data, an archive of that name, or to read its
    `tensors`, a picture of that height and width."""
    head = {
        "job": dataclasses.asdict(dataclasses.replace(job, data={})),
        "limits": dataclasses.asdict(limits),
        "data": [[name, len(content)] for name, content in job.data.items()],
        "errand": errand,
    }
    request = b"".join((json.dumps(head).encode(), b"\n", *job.data.values()))
    for _ in range(2):  # a server that died since the last run is started anew
        try:
            server = _server()
            reply = _exchange(server, request, wanted)
        except (_WorkerLost, OSError):  # the disk is full, or there are no descriptors left
            continue
        except _Left:
            return Problem("worker", said("Nobody waits for this run any more."))
        if reply or server.process.poll() is None:
            break
    else:
        return Problem("worker", said("The process that runs code could not be started."))
    first, _, body = reply.partition(b"\n")
    try:
        report = json.loads(first)
    except ValueError:
        return Problem("worker", said("The process that runs code gave no answer."))
    parts = {}
    for line in body.split(b"\n"):
        kind, _, rest = line.partition(b" ")
        parts[kind] = rest
    return report, parts


def _lost(sentence: Said, printed: str = "") -> Answer:
    return Answer(None, Problem("worker", sentence), printed, 0.0)


class _Left(Exception):  # noqa: N818 - says what happened
    """The caller does not want the answer any more."""


def _exchange(server: _Server, request: bytes, wanted: Callable[[], bool]) -> bytes:
    """The supervisor's reply; empty when it ended without one.  Hanging up ends the run."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            server.hand_over(theirs)
        received = bytearray()
        try:
            ours.settimeout(10)
            ours.sendall(request)
            ours.shutdown(socket.SHUT_WR)
            ours.settimeout(_LOOK)
            while True:  # the supervisor ends what it runs, and itself with this process
                if not wanted():
                    raise _Left
                with contextlib.suppress(TimeoutError):
                    part = ours.recv(1 << 20)
                    if not part:
                        return bytes(received)
                    received += part
        except OSError:
            pass
    return b""


def _read(report: dict[str, Any], parts: dict[bytes, bytes], job: Job, limits: Limits) -> Answer:
    stage = _STAGES.get(parts.get(b"stage", b"").decode("ascii", "replace"))
    printed = str(report["printed"])
    problem = trace = form = used = checked = None
    notes: tuple[Said, ...] = ()
    tensor = None
    try:
        if b"answer" not in parts:
            problem = _verdict(report["ended"], stage, limits)
        elif (told := json.loads(parts[b"answer"])) is not None:
            problem = _problem_read(told)
            if problem.line is not None and not job.diff:
                problem = dataclasses.replace(problem, text=_line(job.source, problem.line))
        if b"form" in parts:
            form = _form_read(json.loads(parts[b"form"]))
        if b"used" in parts:
            used = _used_read(job, json.loads(parts[b"used"]))
        if b"notes" in parts:
            notes = tuple(map(said_from_json, json.loads(parts[b"notes"])))
        if b"tensor" in parts:
            shape, values = json.loads(parts[b"tensor"])
            tensor = np.frombuffer(base64.b64decode(values), np.float32).reshape(shape).copy()
        if b"checked" in parts:
            checked = _checked_read(json.loads(parts[b"checked"]))
        if b"trace" in parts:
            trace = Trace.from_json(parts[b"trace"])
    except (ValueError, TypeError, LookupError, AttributeError, TraceFileError):
        return _lost(said("The code disturbed its own result."), printed)
    return Answer(trace, problem, printed, 0.0, form, used, notes, tensor, checked)


def _problem_read(told: dict[str, Any]) -> Problem:
    return Problem(**{**told, "says": said_from_json(told["says"])})


def _checked_told(found: patches.Checked) -> dict[str, Any]:
    def plain(sentence: Said | None) -> Any:
        return None if sentence is None else said_to_json(sentence)

    return {
        "ran": found.ran,
        "verified": found.verified,
        "unproven": plain(found.unproven),
        "outcomes": [
            [each.name, plain(each.words), each.passed, plain(each.why)] for each in found.outcomes
        ],
    }


def _checked_read(told: dict[str, Any]) -> patches.Checked:
    def sentence(value: Any) -> Said | None:
        return None if value is None else said_from_json(value)

    outcomes = (
        patches.Outcome(
            str(name),
            said_from_json(words),
            None if passed is None else bool(passed),
            sentence(why),
        )
        for name, words, passed, why in told["outcomes"]
    )
    unproven = sentence(told["unproven"])
    return patches.Checked(bool(told["ran"]), bool(told["verified"]), tuple(outcomes), unproven)


def _form_read(told: dict[str, Any]) -> ModuleClass:
    def arguments(each: list[Any]) -> tuple[Argument, ...]:
        return tuple(
            Argument(
                str(name), str(annotation), None if default is None else str(default), str(kind)
            )
            for name, annotation, default, kind in each
        )

    return ModuleClass(
        str(told["name"]), 0, arguments(told["constructor"]), arguments(told["forward"]), False
    )


def _used_read(job: Job, told: dict[str, Any]) -> Job:
    return dataclasses.replace(
        job,
        arguments={str(name): str(text) for name, text in told["arguments"].items()},
        inputs=tuple(map(str, told["inputs"])),
        sizes={str(name): int(size) for name, size in told["sizes"].items()},
    )


_STAGES = {
    "import": said(" while being read in"),
    "build": said(" while the module was built"),
    "inputs": said(" while the inputs were made"),
    "trying": said(" in the forward, which was run to find what it takes"),
    "forward": said(" in the forward"),
}


# long: one sentence for each way in which a process ends
def _verdict(ended: str, stage: Said | None, limits: Limits) -> Problem:
    """Why there is no answer."""
    where = stage or ""
    if stage is None and ended not in ("output", "computing", "clock", "files", "answer"):
        return Problem(
            "worker", said("The process that runs code could not be set up ({ended}).", ended=ended)
        )
    if ended in ("computing", "clock"):
        return Problem("time", _out_of_time(ended, limits, where))
    if ended == "output":
        return Problem(
            "output",
            said(
                "The code printed more than {bytes}{where} and was stopped: print less.",
                bytes=_bytes(limits.output),
                where=where,
            ),
        )
    if ended == "files":
        return Problem(
            "files",
            said(
                "The code wrote more than {bytes}, or {count} files, or folders within folders "
                "without end, into its scratch folder{where} and was stopped: write less.",
                bytes=_bytes(limits.files),
                count=f"{_MOST_FILES:,}",
                where=where,
            ),
        )
    if ended == "threads":
        return Problem(
            "refused",
            said(
                "The code started more than {count} threads{where} and was stopped: start fewer.",
                count=_MOST_THREADS,
                where=where,
            ),
        )
    if ended == "answer":
        return Problem(
            "worker",
            said(
                "The trace is larger than {bytes}: use smaller inputs, or fewer layers.",
                bytes=_bytes(_LARGEST_ANSWER),
            ),
        )
    if ended.startswith("signal "):
        number = int(ended.removeprefix("signal "))
        name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
        killed = number == signal.SIGKILL
        return Problem(
            "crash",
            said(
                "The code ended its Python process with {name}{where}: it may need more memory "
                "than there is."
                if killed
                else "The code ended its Python process with {name}{where}.",
                name=name,
                where=where,
            ),
        )
    return Problem(
        "exit",
        said(
            "The code ended its own process (with status {ended}){where}, before there was a "
            "result: leave the call that does so out.",
            ended=ended,
            where=where,
        ),
    )


def _out_of_time(ended: str, limits: Limits, where: Filling, at: Filling = "") -> Said:
    """`ended` is `computing` or `clock`."""
    if ended == "clock":
        return said(
            "The code has waited for {seconds} s{where}{at}, and was stopped: look for what it "
            "waits for.",
            seconds=f"{limits.clock:g}",
            where=where,
            at=at,
        )
    return said(
        "The code was still running after {seconds} s of computing{where}{at}, and was stopped: "
        "look for a loop that does not end, or use smaller inputs.",
        seconds=f"{limits.seconds:g}",
        where=where,
        at=at,
    )


def _bytes(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.0f} PB"


def _line(source: str, number: int) -> str | None:
    lines = source.splitlines()
    return lines[number - 1] if 0 < number <= len(lines) else None


# --- the fork server ----------------------------------------------------------------------------


def _serve(descriptor: int, folder: str, formulas: str = "") -> None:
    """Load torch, and with `formulas` what finds these, then fork a supervisor for each job until
    the caller is gone.  `folder` is where the scratch folders are made; it goes with the server."""
    import gc

    import torch

    from tracer import arguments, fitting, given  # noqa: F401
    from tracer.explaining import traced
    from tracer.source import files  # noqa: F401

    if formulas:
        import tracer.formulas.proof  # noqa: F401

    torch.set_num_threads(1)
    # What is imported at the first failing run is imported here, once for all runs.
    for device in ("cpu", "meta"):
        model = torch.nn.Linear(2, 2, device=device)
        for width in (2, 3):
            traced(model, (torch.ones(1, width, device=device).relu(),), {})
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    control = socket.socket(fileno=descriptor)
    control.sendall(b"r")
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            for pid in _children():
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)  # which ends what it supervises
            time.sleep(0.05)
            _removed(Path(folder))
            return
        for job in descriptors:
            if os.fork() == 0:
                status = 1
                try:
                    control.close()
                    _supervise(socket.socket(fileno=job), folder)
                    status = 0
                except BaseException:  # noqa: BLE001 - a fork must never return into the server
                    traceback.print_exc()
                finally:
                    os._exit(status)
            os.close(job)


def _supervise(caller: socket.socket, folder: str) -> None:
    """Run one job in a child, hold it to its limits, send what it said, leave nothing behind."""
    from tracer import sandbox

    sandbox.dies_with_its_parent()
    sandbox.adopts_orphans()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request = bytearray()
    while part := caller.recv(1 << 20):
        request += part
        if len(request) > _LARGEST_REQUEST + LARGEST:
            return
    told, _, contents = bytes(request).partition(b"\n")
    asked = json.loads(told)
    limits = Limits(**asked["limits"])
    job = Job(**(asked["job"] | {"inputs": tuple(asked["job"]["inputs"])}))
    scratch = Path(tempfile.mkdtemp(prefix="run-", dir=folder))
    try:
        _lay_out(scratch / _GIVEN, asked["data"], contents)
        result, result_end = os.pipe()
        printed, printed_end = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                _shut_in(scratch, result_end, printed_end, limits)
                _run(job, limits, *asked["errand"])
            except BaseException:  # noqa: BLE001 - a fork must never return into the supervisor
                traceback.print_exc()
            finally:
                os._exit(1)
        os.close(result_end)
        os.close(printed_end)
        ended, said, text = _watched(child, result, printed, caller, scratch, limits, len(contents))
        _end_all(child)
    finally:
        _removed(scratch)
    shown = text[: min(limits.output, 100_000)].decode("utf-8", "replace")
    head = json.dumps({"ended": ended, "printed": shown}).encode()
    with contextlib.suppress(OSError):
        caller.sendall(head + b"\n" + said)


def _lay_out(folder: Path, data: list[list[Any]], contents: bytes) -> None:
    """Write the files that a run is given, whose sizes are told, one after the other."""
    folder.mkdir()
    start = 0
    for name, size in data:
        (folder / safe_name(name)).write_bytes(contents[start : start + size])
        start += size


def _watched(
    child: int,
    result: int,
    printed: int,
    caller: socket.socket,
    scratch: Path,
    limits: Limits,
    given: int,
) -> tuple[str, bytes, bytes]:
    """Until the child ends or breaks a limit: how it ended, its answer, what it printed.  `given`
    are the bytes that were in its folder from the beginning."""
    said, text = bytearray(), bytearray()
    waiting = _Waiting(child)
    look = 0.0
    ended: str | None = None
    open_pipes = {result: said, printed: text}
    poll = select.poll()
    for descriptor in open_pipes:
        poll.register(descriptor, select.POLLIN)
    poll.register(caller, 0)  # hung up: nobody waits any longer
    while True:
        for descriptor, event in poll.poll(50):
            if descriptor == caller.fileno():
                return "gone", b"", b""
            if event & (select.POLLIN | select.POLLHUP):
                part = os.read(descriptor, 1 << 16)
                if part:
                    open_pipes[descriptor] += part
                else:
                    poll.unregister(descriptor)
                    del open_pipes[descriptor]
        if ended is None:
            ended = _ended(child, limits)
        if ended is not None:
            for descriptor, received in open_pipes.items():
                received += _rest(descriptor)
        if len(text) > limits.output:
            return "output", bytes(said), bytes(text)
        if len(said) > _LARGEST_ANSWER:
            return "answer", b"", bytes(text)
        if ended is not None:
            return ended, bytes(said), bytes(text)
        if time.monotonic() > look:
            look = time.monotonic() + _LOOK
            if waiting.ends(limits.clock):
                return "clock", bytes(said), bytes(text)
            if not _within(scratch, limits.files + given - _deleted(child)):
                return "files", bytes(said), bytes(text)
            if _threads(child) > _MOST_THREADS:
                return "threads", bytes(said), bytes(text)


class _Waiting:
    """How long a process has waited: neither computed nor been ready to."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.seconds = 0.0
        self.told = False
        self.clock, self.worked = time.monotonic(), _worked(pid)

    def ends(self, most: float) -> bool:
        """Whether it is to be ended: it has waited for so many seconds, was told so by a signal,
        and did not end."""
        clock, worked = time.monotonic(), _worked(self.pid)
        passed, did = clock - self.clock, worked - self.worked  # less than 0 where a thread ends
        self.seconds += max(0.0, passed - max(0.0, did))
        self.clock, self.worked = clock, worked
        if self.seconds > most and not self.told:
            self.told = True
            with contextlib.suppress(OSError):
                os.kill(self.pid, signal.SIGALRM)
        return self.seconds > most + _PATIENCE


def _worked(pid: int) -> float:
    """Seconds that the threads of a process have computed or been ready to; 0 where the system does
    not say."""
    total = 0
    with contextlib.suppress(OSError, ValueError), os.scandir(f"/proc/{pid}/task") as threads:
        for thread in threads:
            with contextlib.suppress(OSError):
                ran, ready, _ = Path(thread.path, "schedstat").read_text().split()
                total += int(ran) + int(ready)
    return total / 1e9


def _ended(child: int, limits: Limits) -> str | None:
    """How the child ended, None while it runs."""
    pid, status, used = os.wait4(child, os.WNOHANG)
    if not pid:
        return None
    code = os.waitstatus_to_exitcode(status)
    # The kernel says that a process has computed for too long by the signal that ends any.
    computed = used.ru_utime + used.ru_stime >= limits.seconds
    if computed and -code in (signal.SIGXCPU, signal.SIGKILL):
        return "computing"
    return f"signal {-code}" if code < 0 else str(code)


def _rest(descriptor: int) -> bytes:
    """What is in a pipe whose writer has ended; another process may hold it open."""
    os.set_blocking(descriptor, False)
    found = bytearray()
    with contextlib.suppress(BlockingIOError):
        while len(found) <= _LARGEST_ANSWER and (part := os.read(descriptor, 1 << 16)):
            found += part
    return bytes(found)


def _within(folder: Path, limit: int) -> bool:
    """Whether what lies in the folder, by its name, is no more than that."""
    count = total = 0
    pending = [str(folder)]
    while pending:
        path = pending.pop()
        if len(os.fsencode(path)) >= _LONGEST_PATH:
            return False
        with contextlib.suppress(OSError), os.scandir(path) as entries:
            for entry in entries:
                count += 1
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
                if count > _MOST_FILES or total > limit:
                    return False
    return True


def _deleted(pid: int) -> int:
    """Bytes of the files that a process has open and that have no name any more; 0 where the system
    does not say."""
    total = 0
    with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as descriptors:
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                found = os.stat(descriptor.path)
                if stat.S_ISREG(found.st_mode) and found.st_nlink == 0:
                    total += found.st_size
    return total


def _threads(pid: int) -> int:
    with contextlib.suppress(OSError):
        return len(os.listdir(f"/proc/{pid}/task"))
    return 0


def _end_all(child: int) -> None:
    """Kill the child, its process group, and whatever else became a child of this process."""
    for _ in range(200):
        with contextlib.suppress(OSError):
            os.killpg(child, signal.SIGKILL)
        for pid in {child, *_children()}:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.005)


def _children() -> list[int]:
    with contextlib.suppress(OSError, ValueError):
        text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
        return [int(word) for word in text.split()]
    return []


def _removed(folder: Path) -> None:
    """However deep it is: folders in folders are moved to the top, where each has a short name."""
    with contextlib.suppress(OSError):
        while entries := list(os.scandir(folder)):
            left = len(entries)
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        _emptied(Path(entry.path), folder)
                        os.rmdir(entry.path)
                    else:
                        os.unlink(entry.path)
                    left -= 1
            if left == len(entries):
                return  # nothing of it can be removed
        os.rmdir(folder)


def _emptied(folder: Path, top: Path) -> None:
    os.chmod(folder, 0o700)
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                os.chmod(entry.path, 0o700)
                os.rename(entry.path, top / f"moved-{secrets.token_hex(8)}")
            else:
                os.unlink(entry.path)


# --- the process of the code --------------------------------------------------------------------

_ANSWERS = 3
_GIVEN = "given"
"""The folder of the files that a run is given, within its own."""


def _shut_in(scratch: Path, result: int, printed: int, limits: Limits) -> None:
    from tracer import sandbox

    os.setsid()
    sandbox.dies_with_its_parent()
    nothing = os.open(os.devnull, os.O_RDWR)
    # Out of the way first: a pipe's own number may be one that is written over.
    result, printed = (_above(descriptor) for descriptor in (result, printed))
    for number, descriptor in ((0, nothing), (1, printed), (2, printed), (_ANSWERS, result)):
        os.dup2(descriptor, number, inheritable=True)
    os.closerange(_ANSWERS + 1, 65536)
    os.chdir(scratch)
    home = {name: str(scratch) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "TORCH_HOME")}
    os.environ.update(home)
    tempfile.tempdir = str(scratch)
    # By lines: in the order in which it is printed, and nothing lost should the process crash.
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for the rest of this process
    sys.stdout = open(1, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115
    sys.argv = ["model.py"]
    sys.dont_write_bytecode = True
    sandbox.confine(
        scratch,
        memory=limits.memory,
        file_size=limits.file,
        cpu_seconds=math.ceil(limits.seconds + _GRACE),
    )


def _above(descriptor: int) -> int:
    import fcntl

    return fcntl.fcntl(descriptor, fcntl.F_DUPFD, 100)


class _TimeUp(BaseException):
    """The run's time is over, that of `computing` or that of the `clock`; raised where the code
    is."""


class _Stopped(Exception):  # noqa: N818 - says what happened
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.sentence)
        self.problem = problem


def _run(job: Job, limits: Limits, errand: str, of: Any) -> None:
    """Do the job, or the errand (`_reported`), write the answer, end this process."""

    def time_up(number: int, _frame: FrameType | None) -> None:
        raise _TimeUp("computing" if number == signal.SIGPROF else "clock")

    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, time_up)
    signal.setitimer(signal.ITIMER_PROF, limits.seconds)
    stage = _Stage()
    trace = problem = None
    try:
        if errand == "unpack":
            problem = _unpack(of, job.name)
        elif errand == "tensors":
            problem = _read_in(job, of)
        elif job.tensor is not None:
            problem = _computed(job, job.tensor, stage)
        else:
            trace, problem = _outcome(job, limits, stage)
    except BaseException as error:  # noqa: BLE001 - all that the code raises becomes a sentence
        trace, problem = None, _of_error(error, stage.now, job, limits)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGALRM, signal.SIG_IGN)  # which the supervisor sends
    told = None if problem is None else {**vars(problem), "says": said_to_json(problem.says)}
    _say(b"answer " + json.dumps(told).encode())
    if trace is not None:
        _say(b"trace " + trace.to_json().encode())
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(0)


def _unpack(name: str, given: str) -> Problem | None:
    """Say the texts of an archive, which is called so; `given` is its file."""
    from tracer.source import files

    try:
        texts = files.unpacked(name, Path(_GIVEN, given).read_bytes())
    except files.FilesError as error:
        return Problem("files", error.sentence)
    _say(b"texts " + json.dumps(texts).encode())
    return None


def _read_in(job: Job, picture: list[int] | None) -> Problem | None:
    """Say the tensors of the one file that there is."""
    import torch
    from safetensors.torch import save

    from tracer import given

    (path,) = Path(_GIVEN).iterdir()
    try:
        if picture is not None:
            pixels, size = given.pixels(path, *picture)
            found = {"pixels": pixels, "size": torch.tensor(size)}
        else:
            found = given.state(path) if job.weights else {"array": given.array(path)}
    except given.GivenError as error:
        return Problem("inputs", error.sentence)
    plain = {name: each.contiguous().clone() for name, each in found.items()}
    packed = base64.b64encode(save(plain))
    if len(packed) > _LARGEST_ANSWER - 1_000:
        sentence = said(
            "{name} holds more than {most} of tensors: give those alone that are needed.",
            name=path.name,
            most=_bytes(_LARGEST_ANSWER * 3 / 4),
        )
        return Problem("inputs", sentence)
    _say(b"tensors " + packed)
    return None


def _outcome(job: Job, limits: Limits, stage: _Stage) -> tuple[Trace | None, Problem | None]:
    try:
        changed = patches.applied(job.diff, job.files | {job.file: job.source}) if job.diff else {}
    except patches.PatchError as error:
        return None, Problem("diff", error.sentence)
    if not job.prove:
        files = {path: text for path, text in changed.items() if path != job.file}
        source = changed.get(job.file, job.source)
        # What somebody else has changed is run, and not changed further.
        mend = bool(job.source) and not job.diff
        return _recorded(
            dataclasses.replace(job, source=source, files=job.files | files), limits, stage, mend
        )
    from tracer.diagnosis.repair.proposed import Proposed

    proposed = Proposed(changed)
    found = _recorded(job, limits, stage, proposed)
    if proposed.checked is not None:
        _say(b"checked " + json.dumps(_checked_told(proposed.checked)).encode())
    return found


def _recorded(
    job: Job, limits: Limits, stage: _Stage, mend: Mend
) -> tuple[Trace | None, Problem | None]:
    from tracer.explaining import explained
    from tracer.record.construction import recording_construction

    try:
        with recording_construction():
            trace, nothing = _traced(job, stage, mend)
    except _Stopped as stopped:
        return None, stopped.problem
    except Exception as error:  # noqa: BLE001 - the code's own
        problem = _of_error(error, stage.now, job, limits)
        # A module may have failed in a script, or in a constructor that tries its layers.
        outside = problem.kind in ("import", "constructor")
        inner = explained(error, mend) if outside else None
        return inner, (problem if inner is None or job.name else None)
    return trace, _of_failure(trace, job, limits) or nothing


class _Stage:
    """How far the job has come; told to the supervisor as well, should the code not return."""

    def __init__(self) -> None:
        self.now = ""

    def enter(self, name: str) -> None:
        self.now = name
        _say(b"stage " + name.encode())


def _say(line: bytes) -> None:
    line += b"\n"
    while line:
        line = line[os.write(_ANSWERS, line) :]


@dataclass(frozen=True)
class _Ready:
    """A module with what it is called with; `build` makes it anew, `dims` names the inputs'
    dimensions."""

    model: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    build: Callable[[], Any] | None
    dims: dict[str, str]


def _traced(job: Job, stage: _Stage, mend: Mend) -> tuple[Trace, Problem | None]:
    """The run, and why there is nothing of it to see.  What is installed is not edited."""
    import torch

    from tracer.explaining import traced

    ready = _ready(job, stage)
    with torch.no_grad():
        trace = traced(
            ready.model,
            ready.args,
            ready.kwargs,
            values=job.values,
            build=ready.build,
            mend=mend,
            dims=ready.dims if job.formulas else None,
        )
    return trace, _of_nothing(trace, ready.model, job.name)


def _of_nothing(trace: Trace, model: Any, name: str) -> Problem | None:
    """Why a run has no steps, if it has none and did not fail."""
    import inspect

    if trace.steps or trace.failure is not None:
        return None
    flags = getattr(getattr(model.forward, "__code__", None), "co_flags", 0)
    if flags & (inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
        sentence = said(
            "The forward of {name} has `yield` or is `async`, so that nothing in it runs until "
            "somebody asks for its values: write one that returns them.",
            name=name,
        )
    elif hasattr(type(model), "__len__") and not any(True for _ in model.children()):
        sentence = said(
            "{name} runs and computes nothing, since it holds no layers: give it some, such as "
            "`model = nn.Sequential(nn.Linear(8, 4), nn.ReLU())` as code.",
            name=name,
        )
    else:
        sentence = said(
            "{name} runs and computes nothing: no operation of torch makes a tensor in it, so "
            "there is no step to see.",
            name=name,
        )
    return Problem("nothing", sentence)


def _computed(job: Job, tensor: int, stage: _Stage) -> Problem | None:
    """Say one tensor of the run, which is made again."""
    import torch

    from tracer.api import compute

    try:
        ready = _ready(job, stage)
        with torch.no_grad():
            found = compute(tensor, ready.model, *ready.args, **ready.kwargs)
    except _Stopped as stopped:
        return stopped.problem
    if found.numel() > _LARGEST_TENSOR:
        sentence = said(
            "The tensor has {count} elements, more than the {most} that are looked into.",
            count=f"{found.numel():,}",
            most=f"{_LARGEST_TENSOR:,}",
        )
        return Problem("worker", sentence)
    real = found.abs() if found.is_complex() else found
    content = base64.b64encode(real.to(torch.float32).contiguous().numpy().tobytes()).decode()
    _say(b"tensor " + json.dumps([list(found.shape), content]).encode())
    return None


def _ready(job: Job, stage: _Stage) -> _Ready:
    import torch

    from tracer import arguments, fitting, given, holding

    stage.enter("import")
    torch.manual_seed(job.seed)
    if job.source or not job.name:
        names = _imported(job)
        if not job.name:
            raise _Stopped(
                Problem(
                    "module",
                    said(
                        "The code ran to its end without a failure: choose one of its "
                        "modules to see a run of it."
                    ),
                )
            )
        found = _found(names, job.name)
    else:
        found = _installed(job.name)
        names = arguments.names_beside(found)
    stage.enter("build")
    model, build, texts_of = _built(job, found, names)
    form = arguments.form_of(found if build else type(found), model.forward)
    _say(b"form " + json.dumps(_form_told(form)).encode())
    stage.enter("inputs")
    files = given.Files(Path(_GIVEN))
    try:
        dtype = inputs.dtype_of(job.dtype)
        if dtype.is_floating_point:
            model = model.to(dtype)
        plain, taken = files.apart(job.inputs, [each.name for each in form.inputs])
        stage.enter("trying")
        with _Aside():
            fitted = fitting.fitted(model, plain, job.sizes)
            shown = texts_of
            if build is not None and fitted is not None:
                sought = _sought(job, found, build, plain, model, fitted, texts_of)
                model, fitted, texts_of, shown = sought
        stage.enter("inputs")
        if job.weights:
            files.notes.append(given.load_weights(model, files.path(job.weights)))
        texts = given.joined(fitted.texts if fitted is not None else plain, taken)
        sizes = (fitted.sizes if fitted is not None else {}) | job.sizes
        kinds = holding.names_of(model)
        args, kwargs = inputs.make(texts, sizes, dtype, job.seed, files.tensor, kinds)
    except (inputs.InputError, given.GivenError) as error:
        if _MEMORY.search(str(error)):
            raise  # against a limit, which has words of its own
        raise _Stopped(Problem("inputs", error.sentence)) from error
    notes = [*files.notes, *_made_up(job, shown, texts)]
    _say(b"notes " + json.dumps([said_to_json(each) for each in notes]).encode())
    _say(b"used " + json.dumps({"arguments": shown, "inputs": texts, "sizes": sizes}).encode())
    _takes(model, args, kwargs, job.name)
    stage.enter("forward")
    dims = inputs.dims(texts, [each.name for each in form.inputs])
    again = None if build is None else functools.partial(build, texts_of)
    return _Ready(model, args, kwargs, again, dims)


class _Aside(io.TextIOBase):
    """Keeps what is printed and warned of while something is only tried, as long as it is not more
    than may be printed."""

    def __init__(self) -> None:
        self.text = ""
        self.most = Limits().output
        self.around = contextlib.ExitStack()

    def __enter__(self) -> _Aside:
        self.out = sys.stdout
        self.around.enter_context(contextlib.redirect_stdout(self))
        self.around.enter_context(contextlib.redirect_stderr(self))
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.around.close()
        if kind is not None:
            self.out.write(self.text)

    def write(self, text: str) -> int:
        self.text += text
        if len(self.text) > self.most:
            self.out.write(self.text)
            self.text = ""
        return len(text)


def _made_up(job: Job, texts: Mapping[str, str], given: Sequence[str]) -> Iterator[Said]:
    """What is said of arguments and inputs that were made of what is read of them."""
    from tracer import settings

    for name, text in texts.items():
        if name not in job.arguments and settings.is_made_up(text):
            yield said(
                "Nothing says what {name} is, so it is made of what is read of it: `{text}`.",
                name=name,
                text=text,
            )
    for text in given:
        if text not in job.inputs and inputs.is_holding(text):
            yield said(
                "{name} holds the tensors that the forward reads of it: `{text}`.",
                name=text.partition("=")[0],
                text=text.partition("=")[2],
            )


def _sought(
    job: Job,
    found: Any,
    build: Callable[[Mapping[str, str]], Any],
    plain: tuple[str, ...],
    model: Any,
    fitted: Fitted,
    texts_of: dict[str, str],
) -> tuple[Any, Fitted, dict[str, str], dict[str, str]]:
    """The module with other arguments than those that were found, where its forward runs with
    these alone; what it is made of, and the same with letters of the inputs."""
    from tracer import fitting

    if not fitted.runs:
        model, fitted, texts_of = _otherwise(job, found, build, plain, model, fitted, texts_of)
    if not fitted.runs:
        return model, fitted, texts_of, texts_of
    return model, fitted, texts_of, fitting.shared(build, texts_of, job.arguments, fitted)


def _otherwise(
    job: Job,
    found: Any,
    build: Callable[[Mapping[str, str]], Any],
    plain: tuple[str, ...],
    model: Any,
    fitted: Fitted,
    texts_of: dict[str, str],
) -> tuple[Any, Fitted, dict[str, str]]:
    """The module with other arguments than those that were found, where its forward runs with
    them, as long as there is work left for it; else as it was."""
    from tracer import arguments, fitting

    work = fitted.work
    for texts in arguments.others(found, texts_of, job.arguments, fitted.odds):
        if work >= fitting.MOST_WORK:
            break
        if arguments.elements(build, texts) > arguments.LARGEST_MODEL:
            continue
        try:
            other = build(texts)
            work += fitting.built(other)
            again = fitting.fitted(other, plain, job.sizes, fitting.FEW_RUNS, fitted)
        except Exception:  # noqa: BLE001 - it was a guess
            continue
        work += again.work if again is not None else 0
        if again is not None and again.runs:
            return other, again, texts
    return model, fitted, texts_of


def _built(
    job: Job, found: Any, names: dict[str, Any]
) -> tuple[Any, Callable[[Mapping[str, str]], Any] | None, dict[str, str]]:
    """The module, what makes it of other arguments, and those that it is made with."""
    import torch
    from torch import nn

    from tracer import arguments
    from tracer.record.isolation import in_mode

    if isinstance(found, nn.Module):
        if job.arguments:
            raise _Stopped(
                Problem(
                    "arguments",
                    said("{name} is built already: it takes no arguments.", name=job.name),
                )
            )
        return in_mode(found, job.training), None, {}
    given = {
        key: job.sizes[text]
        if text in job.sizes
        else _setting(key, text, job.sizes | names, job.literal)
        for key, text in job.arguments.items()
    }

    def built(settings: dict[str, Any]) -> Any:
        torch.manual_seed(job.seed)
        made = found(**settings)
        if not isinstance(made, nn.Module):
            raise _Stopped(
                Problem(
                    "module",
                    said(
                        "{name} gives a {type}, not an nn.Module.",
                        name=job.name,
                        type=type(made).__name__,
                    ),
                )
            )
        return in_mode(made, job.training)

    def build(texts: Mapping[str, str]) -> Any:
        if isinstance(sys.stdout, _Aside):
            sys.stdout.text = ""  # what an attempt has printed that came to nothing
        more = {key: text for key, text in texts.items() if key not in given}
        settings = given | {key: _setting(key, text, names) for key, text in more.items()}
        _may_be_called(found, settings, job.name)
        return built(settings)

    with _Aside() as aside:
        small = not job.source or arguments.is_large(found, job.arguments, build)
        model, texts = arguments.built(found, job.arguments, build, small=small)
    print(aside.text, end="")
    return model, build, texts


def _form_told(form: ModuleClass) -> dict[str, Any]:
    def told(arguments: tuple[Argument, ...]) -> list[Any]:
        return [(each.name, each.annotation, each.default, each.kind) for each in arguments]

    return {
        "name": form.name,
        "constructor": told(form.constructor),
        "forward": told(form.forward),
    }


def _needs(path: str, other: str) -> Problem:
    """A class is there, and something that its file imports is not."""
    package = other.partition(".")[0]
    return Problem(
        "import",
        said(
            "{path} imports the package {package}, which is not installed here: it can be walked "
            "once {package} is installed beside this program.",
            path=path,
            package=package,
        ),
    )


def _installed(name: str) -> Any:
    """The class of this dotted name, with what must be imported for it."""
    import importlib

    from torch import nn

    parts = name.split(".")
    module: Any = None
    for count in range(len(parts) - 1, 0, -1):
        path = ".".join(parts[:count])
        try:
            module = importlib.import_module(path)
        except ModuleNotFoundError as error:
            if error.name is None:
                raise
            if not f"{path}.".startswith(f"{error.name}."):
                raise _Stopped(_needs(path, error.name)) from error
            continue
        break
    if module is None:
        raise _Stopped(
            Problem("module", said("No package {package} is installed here.", package=parts[0]))
        )
    found = module
    for part in parts[count:]:
        if not hasattr(found, part):
            near = _nearest(module, part)
            raise _Stopped(
                Problem(
                    "module",
                    said(
                        "{path} has no {part}; there is {near}."
                        if near
                        else "{path} has no {part}.",
                        path=path,
                        part=part,
                        near=", ".join(near),
                    ),
                )
            )
        found = getattr(found, part)
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise _Stopped(Problem("module", said("{name} is no class of modules.", name=name)))
    return found


def _nearest(module: Any, name: str) -> list[str]:
    import difflib

    from torch import nn

    known = [
        each
        for each, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, nn.Module)
    ]
    return difflib.get_close_matches(name, known, 3, 0.5)


def _imported(job: Job) -> dict[str, Any]:
    import linecache

    from tracer.source import files

    texts = job.files | {job.file: job.source}
    for path, text in texts.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text, encoding="utf-8")
        lines = text.splitlines(keepends=True)
        # Kept as it is: without a time of change nobody looks whether the file is newer.
        linecache.cache[path] = (len(text), None, lines, path)
    if job.files:
        return files.imported(texts, job.file).__dict__
    name = Path(job.file).stem if job.name else SCRIPT
    module = types.ModuleType(name)
    module.__file__ = job.file
    sys.modules[name] = module
    exec(compile(job.source, job.file, "exec", dont_inherit=True), module.__dict__)
    return module.__dict__


def _found(names: dict[str, Any], name: str) -> Any:
    found: Any = types.SimpleNamespace(**names)
    for part in name.split("."):
        if not hasattr(found, part):
            from torch import nn

            known = [
                key
                for key, value in names.items()
                if isinstance(value, type)
                and issubclass(value, nn.Module)
                and value.__module__ == names["__name__"]
            ]
            if not known:
                raise _Stopped(
                    Problem(
                        "module",
                        said(
                            "The code has no {name} and no class of modules at all: write one that "
                            "inherits from nn.Module.",
                            name=name,
                        ),
                    )
                )
            raise _Stopped(
                Problem(
                    "module",
                    said(
                        "The code has no {name}; its modules are {texts}.",
                        name=name,
                        texts=", ".join(known),
                    ),
                )
            )
        found = getattr(found, part)
    from torch import nn

    if not isinstance(found, nn.Module) and (
        not callable(found) or (isinstance(found, type) and not issubclass(found, nn.Module))
    ):
        sentence = said(
            "{name} is a class, but no nn.Module: choose a class that is one."
            if isinstance(found, type)
            else "{name} is of type {type}, but no nn.Module: choose a class that is one.",
            name=name,
            type=type(found).__name__,
        )
        raise _Stopped(Problem("module", sentence))
    return found


def _setting(key: str, text: str, names: dict[str, Any], literal: bool = False) -> Any:
    if literal:
        try:
            return ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            if text.strip().isidentifier():
                return text.strip()
            raise _Stopped(
                _bad_setting(key, text, said("only plain values may be given here"))
            ) from None
    if _digits(text) > _MOST_DIGITS:
        reason = said("it is a number of more than {most} digits", most=f"{_MOST_DIGITS:,}")
        raise _Stopped(_bad_setting(key, text, reason))
    try:
        # What stands for an object of settings has no name in most texts.
        known = {"SimpleNamespace": types.SimpleNamespace, **names}
        return eval(compile(text.strip(), "<argument>", "eval"), known)
    except NameError:
        if text.strip().isidentifier():
            return text.strip()  # bilinear, for "bilinear"
        raise _Stopped(
            _bad_setting(key, text, said("it uses a name that the code has not"))
        ) from None
    except SyntaxError:
        raise _Stopped(_bad_setting(key, text, said("it is not Python"))) from None
    except Exception as error:
        raise _Stopped(_bad_setting(key, text, f"{type(error).__name__}: {error}")) from error


def _digits(text: str) -> float:
    """How many digits the largest number has that a text works out, as far as it is written there:
    a power that fills the memory cannot be stopped once it has begun."""
    try:
        nodes = [node for node in ast.walk(parsed(text.strip())) if isinstance(node, ast.BinOp)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return 0
    return max(map(_power_of_ten, nodes), default=0)


def _power_of_ten(node: ast.expr) -> float:
    """The logarithm of an arithmetic expression, 0 of what it is not."""
    match node:
        case ast.Constant(value=int() | float() as number):
            return math.log10(abs(number)) if number else 0
        case ast.UnaryOp(operand=inner):
            return _power_of_ten(inner)
        case ast.BinOp(left=left, op=ast.Pow() | ast.LShift() as op, right=right):
            times = 10 ** min(_power_of_ten(right), 100)
            one = _power_of_ten(left)
            return one * times if isinstance(op, ast.Pow) else one + times * math.log10(2)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _power_of_ten(left) + _power_of_ten(right)
        case ast.BinOp(left=left, right=right):
            return max(_power_of_ten(left), _power_of_ten(right))
    return 0


def _bad_setting(key: str, text: str, reason: Filling) -> Problem:
    if len(text) > _LONGEST_QUOTED:
        text = f"{text[:_LONGEST_QUOTED]}…"
    return Problem(
        "arguments",
        said("{key} = {text} cannot be used: {reason}.", key=key, text=text, reason=reason),
    )


def _may_be_called(found: Any, settings: dict[str, Any], name: str) -> None:
    import inspect

    try:
        signature = inspect.signature(found)
    except ValueError:
        return
    missing = [
        each.name
        for each in signature.parameters.values()
        if each.default is each.empty
        and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
        and each.name not in settings
    ]
    if missing and settings.keys() <= signature.parameters.keys():
        raise _Stopped(
            Problem(
                "arguments",
                said(
                    "{name} needs {missing}, and nothing says what that could be: type it into its "
                    "field, as Python.",
                    name=name,
                    missing=", ".join(f"`{each}`" for each in missing),
                ),
            )
        )
    try:
        signature.bind(**settings)
    except TypeError as error:
        raise _Stopped(
            Problem(
                "arguments",
                said(
                    "{call} cannot be built: {error}.",
                    call=f"{name}{signature}",
                    error=str(error),
                ),
            )
        ) from error


def _takes(model: Any, args: tuple[Any, ...], kwargs: dict[str, Any], name: str) -> None:
    """Refuses inputs that the forward's signature has no place for."""
    import inspect

    try:
        signature = inspect.signature(model.forward)
        signature.bind(*args, **kwargs)
    except ValueError:
        return
    except TypeError as error:
        given = len(args) + len(kwargs)
        raise _Stopped(
            Problem(
                "inputs",
                said(
                    "{call} cannot take {inputs}: {error}.",
                    call=f"{name}.forward{signature}",
                    inputs=Count(given, "input"),
                    error=str(error),
                ),
            )
        ) from error


def _of_failure(trace: Trace, job: Job, limits: Limits) -> Problem | None:
    """A forward that failed against a limit: a sentence beside the trace."""
    failure = trace.failure
    if failure is None:
        return None
    line = failure.line if failure.file == job.file else None
    return _against_a_limit(failure.type, failure.message, line, limits)


_MEMORY = re.compile(r"(?i)can't allocate memory|unable to allocate|out of memory|std::bad_alloc")
_DENIED = re.compile(r"(?i)permission denied|operation not permitted|errno:? ?(13|1|30)\b")
_FULL = re.compile(r"(?i)file too large|errno:? ?27\b")
_ASKED = re.compile(r"(?i)allocate ([\d.]+) ?(bytes|[KMGTP]iB)")
_UNITS = {"bytes": 1.0, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50}
_NOISE = re.compile(r"\[(enforce fail at [^\]]*|Errno \d+)\] (\. )?")


def _against_a_limit(
    type_name: str, message: str, line: int | None, limits: Limits, refused: Said | None = None
) -> Problem | None:
    """`refused` is what the sandbox said, where that is known as a sentence."""
    if type_name == "MemoryError" or _MEMORY.search(message):
        asked = _ASKED.search(message)
        sentence = said(
            "The code asked for {bytes} of memory at once, more than is left of the {most} that a "
            "run may take: use smaller sizes."
            if asked
            else "The code asked for more memory than the {most} that a run may take: use smaller "
            "sizes.",
            bytes=_bytes(float(asked[1]) * _UNITS[asked[2]]) if asked else "",
            most=_bytes(limits.memory),
        )
        return Problem("memory", sentence, line)
    if type_name == "Refused":
        return Problem("refused", as_written(message) if refused is None else refused, line)
    if type_name == "PermissionError" or _DENIED.search(message):
        return Problem(
            "refused",
            said(
                "The code tried what it may not here (it may write to its "
                "scratch folder alone, start no process and use no network): "
                "{first}.",
                first=_first(message),
            ),
            line,
        )
    if _FULL.search(message):
        return Problem(
            "files",
            said(
                "The code wrote a file of more than {bytes}, the limit of one file: write less.",
                bytes=_bytes(limits.file),
            ),
            line,
        )
    return None


def _first(message: str) -> str:
    lines = _NOISE.sub("", message.strip()).splitlines()
    return lines[0].strip().rstrip(".") if lines else ""


_DOING = {
    "import": said("The code cannot be read in"),
    "inputs": said("The inputs cannot be made"),
}


def _doing(stage: str, name: str) -> Said:
    if stage == "build":
        return said("{name} cannot be built", name=name)
    if stage in ("trying", "forward"):
        return said("{name} cannot be run", name=name)
    return _DOING.get(stage, said("The code failed"))


def _of_error(error: BaseException, stage: str, job: Job, limits: Limits) -> Problem:
    """What was raised outside the forward, or is no ordinary exception, as one sentence."""
    from tracer import sandbox

    line = _where(error, job.file)
    at = said(" at line {line}", line=line) if line is not None else ""
    if isinstance(error, _TimeUp):
        return Problem("time", _out_of_time(str(error), limits, _STAGES.get(stage, ""), at), line)
    if isinstance(error, SystemExit):
        return Problem(
            "exit",
            said(
                "The code called exit{at}, before there was a result: leave that call out.", at=at
            ),
            line,
        )
    cause = next((each for each in _causes(error) if _is_denied(each)), error)
    refused = cause.sentence if isinstance(cause, sandbox.Refused) else None
    limited = _against_a_limit(type(cause).__name__, _text_of(cause), line, limits, refused)
    if limited is not None:
        return limited
    return Problem(
        {"build": "constructor", "inputs": "inputs", "trying": "inputs"}.get(stage, "import"),
        _told_of(error, _doing(stage, job.name), at, job, line),
        line,
    )


def _told_of(error: BaseException, doing: Said, at: Filling, job: Job, line: int | None) -> Said:
    """What is said of what is raised that comes against no limit."""
    from tracer import unbuilt

    first = _first(_text_of(error))
    found = unbuilt.Unbuilt(error, first, job.source, line, job.arguments)
    if (wanted := unbuilt.wanted(found)) is not None:
        return said("{doing}{at}: {wanted}.", doing=doing, at=at, wanted=wanted)
    words = f"{type(error).__name__}: {first}" if first else type(error).__name__
    if isinstance(error, ImportError) and "no known parent package" in first:
        return said(
            "{doing}{at}: it imports from a file beside it, so open the whole package, as a folder "
            "or as a zip.",
            doing=doing,
            at=at,
        )
    if isinstance(error, EOFError) and first == "EOF when reading a line":
        return said(
            "{doing}{at}: it waits for something to be typed, and here nobody types: write the "
            "value itself in that place.",
            doing=doing,
            at=at,
        )
    return said(
        "{doing}{at}: {error}; only what is installed beside this program can be imported."
        if isinstance(error, ModuleNotFoundError)
        else "{doing}{at}: {error}.",
        doing=doing,
        at=at,
        error=words,
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """What was raised, and what it was raised in the handling of."""
    cause: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or cause.__context__


def _is_denied(error: BaseException) -> bool:
    from tracer import sandbox

    return isinstance(error, sandbox.Refused | PermissionError)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)[:4000]
    except Exception:  # noqa: BLE001 - its __str__ is the code's own
        return ""


def _where(error: BaseException, file: str) -> int | None:
    """The innermost line of the source that the exception passed."""
    return next(reversed(list(_lines(error, file))), None)


def _lines(error: BaseException, file: str) -> Iterator[int]:
    for frame, line in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename == file:
            yield line

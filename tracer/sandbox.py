"""Shuts the running process in, for good: what it may write, read, start and reach.

Linux gives this to any process without privileges: Landlock (files, signals, TCP), a seccomp filter
(processes, sockets, changes of files' modes) and resource limits.  Where the first two are missing
Python's audit hook stands in, which stops mistakes and no attacker: `protections` says which holds.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import struct
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tracer.sentences import Said, said


class Refused(PermissionError):  # noqa: N818 - says what happened
    """The code tried what it may not."""

    def __init__(self, sentence: Said) -> None:
        super().__init__(sentence)
        self.sentence = sentence


def protections() -> tuple[Said, ...]:
    """What this machine guarantees of code that runs shut in, one sentence each."""
    found = []
    if _landlock_version() > 0:
        found.append(
            said(
                "The kernel (Landlock) refuses writes outside the scratch "
                "folder, and reads outside Python's own folders."
            )
        )
    else:
        found.append(
            said(
                "Writes outside the scratch folder are refused by Python alone "
                "(this kernel has no Landlock): that stops mistakes, not "
                "malice."
            )
        )
    if _seccomp_available():
        found.append(
            said(
                "The kernel (seccomp) refuses new processes, network sockets and signals to others."
            )
        )
    else:
        found.append(
            said(
                "New processes and sockets are refused by Python alone (no "
                "seccomp filter here): that stops mistakes, not malice."
            )
        )
    return tuple(found)


def confine(scratch: Path, *, memory: int, file_size: int, cpu_seconds: int) -> None:
    """Shut this process in: it cannot be undone.

    Args:
        scratch: the one folder that it may write to.
        memory: bytes that it may take beyond what it has now.
        file_size: of the largest file that it may write, in bytes.
        cpu_seconds: of computing; the kernel ends it then.
    """
    _limit(memory, file_size, cpu_seconds)
    sys.addaudithook(_Watch(scratch))
    if sys.platform == "linux":
        filtered = _seccomp_available()
        _without_privileges()
        _landlock(scratch)
        if filtered:
            _seccomp()
            return
    _limit_processes()


# --- limits -----------------------------------------------------------------------------------


def _limit(memory: int, file_size: int, cpu_seconds: int) -> None:
    import resource

    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_CPU, cpu_seconds)
    _lower(resource.RLIMIT_FSIZE, file_size)
    _lower(resource.RLIMIT_NOFILE, 256)
    if sys.platform == "linux":  # elsewhere the system does not keep to it
        _lower(resource.RLIMIT_AS, _taken() + memory)
        _lower(resource.RLIMIT_MEMLOCK, 0)
        with contextlib.suppress(OSError):
            # Should the machine run out of memory all the same, this process goes first.
            Path("/proc/self/oom_score_adj").write_text("1000")


def _lower(limit: int, value: int) -> None:
    import resource

    hard = resource.getrlimit(limit)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(limit, (value, value))


def _limit_processes() -> None:
    """Without a filter: no process more, and so on Linux no thread either.  It does not hold for
    the administrator."""
    import resource

    _lower(resource.RLIMIT_NPROC, 0)


def _taken() -> int:
    """Bytes of address space that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * os.sysconf("SC_PAGESIZE")


# --- Python's audit hook: a clear sentence, and all there is where the kernel has nothing -----

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Which of an event's arguments are paths that would be changed.
_CHANGES: dict[str, tuple[int, ...]] = {
    "os.remove": (0,),
    "os.rename": (0, 1),
    "os.rmdir": (0,),
    "os.mkdir": (0,),
    "os.link": (1,),
    "os.symlink": (1,),
    "os.truncate": (0,),
    "os.chmod": (0,),
    "os.chown": (0,),
    "os.utime": (0,),
    "os.setxattr": (0,),
    "os.removexattr": (0,),
}
_STARTS = ("os.fork", "os.forkpty", "os.system", "os.exec", "os.posix_spawn", "os.spawn")
_REACHES = ("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo")


class _Watch:
    """Refuses with a sentence what the kernel would refuse with a number."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = os.path.realpath(scratch)
        self.inside = self.scratch + os.sep
        self.pid = os.getpid()

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITES:
                self._may_write(path)
        elif event in _CHANGES:
            for position in _CHANGES[event]:
                self._may_write(arguments[position])
        elif event in _STARTS or event == "subprocess.Popen":
            raise Refused(
                said("The code tried to start another process: only its own one may run.")
            )
        elif event in _REACHES:
            raise Refused(said("The code tried to reach the network: it has none."))
        elif event == "os.kill" and arguments[0] != self.pid:
            raise Refused(said("The code tried to send a signal to another process."))

    def _may_write(self, path: object) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return  # a file that is open already
        name = os.fsdecode(path)
        real = os.path.realpath(name)
        if real not in (self.scratch, os.devnull) and not real.startswith(self.inside):
            raise Refused(
                said(
                    "The code tried to write to {name}: it may write to its scratch folder alone.",
                    name=name,
                )
            )


# --- Linux --------------------------------------------------------------------------------------

_PR_CAPBSET_DROP, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 24, 22, 38
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER = 1, 4, 36


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, *values: int) -> int:
    words = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    return int(_libc().prctl(option, *words))


def dies_with_its_parent() -> None:
    if sys.platform == "linux":
        _prctl(_PR_SET_PDEATHSIG, 9)


def adopts_orphans() -> None:
    """Processes that this one's descendants leave behind become its children."""
    if sys.platform == "linux":
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _without_privileges() -> None:
    """No set-user-id program helps, and the administrator's own rights are given up."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    for capability in range(64):
        _prctl(_PR_CAPBSET_DROP, capability)
    column = _column()
    if column is not None:
        header = struct.pack("II", 0x20080522, 0)
        _libc().syscall(ctypes.c_long(_number("capset", column)), header, bytes(24))


# Landlock (linux/landlock.h): numbers are the same on every architecture.

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_READ_FILE, _READ_DIR, _WRITE_FILE, _TRUNCATE = 1 << 2, 1 << 3, 1 << 1, 1 << 14
_RIGHTS_SINCE = {1: (1 << 13) - 1, 2: 1 << 13, 3: _TRUNCATE, 5: 1 << 15}
_DEVICES_AND_SOCKETS = (1 << 0) | (1 << 6) | (1 << 9) | (1 << 11) | (1 << 15)
_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/opt", "/etc/ld.so.cache", "/etc/localtime")
_KERNEL = ("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/sys/devices/system")
_SOURCES = ("/dev/urandom", "/dev/random", "/dev/zero")


def _landlock_version() -> int:
    """0 where the kernel has no Landlock or does not let us use it."""
    if sys.platform != "linux":
        return 0
    found = _libc().syscall(
        ctypes.c_long(_CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint(1)
    )
    return max(0, int(found))


def _landlock(scratch: Path) -> None:
    version = _landlock_version()
    if version < 1:
        return
    rights = 0
    for since, bits in _RIGHTS_SINCE.items():
        if version >= since:
            rights |= bits
    # From version 4 also TCP (bind, connect), from 6 abstract sockets and signals.
    attributes = struct.pack("QQQ", rights, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    libc = _libc()
    ruleset = libc.syscall(
        ctypes.c_long(_CREATE_RULESET), attributes, ctypes.c_size_t(size), ctypes.c_uint(0)
    )
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "Landlock's rules cannot be made")

    def allow(path: str | Path, wanted: int) -> None:
        try:
            folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return
        if not os.path.isdir(path):
            wanted &= _READ_FILE | _WRITE_FILE | _TRUNCATE
        rule = struct.pack("=Qi", wanted & rights, folder)
        libc.syscall(
            ctypes.c_long(_ADD_RULE),
            ctypes.c_int(ruleset),
            ctypes.c_int(1),
            rule,
            ctypes.c_uint(0),
        )
        os.close(folder)

    for path in readable():
        allow(path, _READ_FILE | _READ_DIR)
    allow(os.devnull, _READ_FILE | _WRITE_FILE | _TRUNCATE)
    allow(scratch, rights & ~_DEVICES_AND_SOCKETS)
    if libc.syscall(ctypes.c_long(_RESTRICT_SELF), ctypes.c_int(ruleset), ctypes.c_uint(0)) != 0:
        raise OSError(ctypes.get_errno(), "Landlock's rules cannot be put in force")
    os.close(ruleset)


def readable() -> tuple[str, ...]:
    """What Python needs to read: the system's libraries, its own, the installed packages, and this
    package, but not the folder around it, where an operator may keep secrets."""
    here = Path(__file__).resolve().parent
    installed = {Path(path).resolve() for path in sysconfig.get_paths().values()}
    own = [
        path
        for path in (Path(entry).resolve() for entry in sys.path if entry)
        if path in installed or not (here.is_relative_to(path) or Path.home() == path)
    ]
    own += [here, Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve(), *installed]
    names = [*_SYSTEM, *_KERNEL, *_SOURCES, *(str(path) for path in own)]
    return tuple(dict.fromkeys(name for name in names if name != "/"))


# seccomp: the numbers of system calls on x86-64 and on ARM64.

_CALLS: dict[str, tuple[int | None, int | None]] = {
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "mount": (165, 40),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "setns": (308, 268),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "userfaultfd": (323, 282),
    "memfd_create": (319, 279),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "truncate": (76, 45),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "lchown": (94, None),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "setpriority": (141, 140),
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    # Not refused outright:
    "capset": (126, 91),
    "clone": (56, 220),
    "clone3": (435, 435),
    "kill": (62, 129),
    "tgkill": (234, 131),
    "prlimit64": (302, 261),
    "prctl": (157, 167),
}
_CONDITIONAL = ("capset", "clone", "clone3", "kill", "tgkill", "prlimit64", "prctl")
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_CLONE_THREAD = 0x10000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCHITECTURE, _FIRST = 0, 4, 16  # offsets in seccomp_data


def _column() -> int | None:
    machine = _MACHINES.get(platform.machine())
    return machine[0] if machine is not None and sys.maxsize > 2**32 else None


def _number(name: str, column: int) -> int:
    number = _CALLS[name][column]
    if number is None:
        raise LookupError(name)
    return number


def _seccomp_available() -> bool:
    if sys.platform != "linux" or _column() is None:
        return False
    # An address that is none: EFAULT where filters exist, EINVAL where not.
    _libc().prctl(_PR_SET_SECCOMP, ctypes.c_ulong(2), None, None, None)
    return ctypes.get_errno() == errno.EFAULT


def _program(pid: int) -> Iterator[tuple[int, int, int, int]]:
    """The filter, in instructions (code, jump if true, jump if false, operand)."""
    column, architecture = _MACHINES[platform.machine()]
    refuse = _ERRNO | errno.EPERM
    yield _LOAD, 0, 0, _ARCHITECTURE
    yield _EQUAL, 1, 0, architecture
    yield _RETURN, 0, 0, _KILL
    yield _LOAD, 0, 0, _NUMBER
    if column == 0:  # the x32 numbers of the same calls
        yield _AT_LEAST, 0, 1, 0x40000000
        yield _RETURN, 0, 0, refuse
    for name, numbers in _CALLS.items():
        number = numbers[column]
        if number is not None and name not in _CONDITIONAL:
            yield _EQUAL, 0, 1, number
            yield _RETURN, 0, 0, refuse

    # glibc asks for threads by clone3 first and, where that does not exist, by clone.
    yield _EQUAL, 0, 1, _number("clone3", column)
    yield _RETURN, 0, 0, _ERRNO | errno.ENOSYS
    yield _EQUAL, 0, 4, _number("clone", column)
    yield _LOAD, 0, 0, _FIRST
    yield _ANY_BIT, 1, 0, _CLONE_THREAD
    yield _RETURN, 0, 0, refuse
    yield _RETURN, 0, 0, _ALLOW
    # It may neither outlive its supervisor nor hide its files from it.
    yield _EQUAL, 0, 5, _number("prctl", column)
    yield _LOAD, 0, 0, _FIRST
    yield _EQUAL, 1, 0, _PR_SET_PDEATHSIG
    yield _EQUAL, 0, 1, _PR_SET_DUMPABLE
    yield _RETURN, 0, 0, refuse
    yield _RETURN, 0, 0, _ALLOW
    for name in ("kill", "tgkill", "prlimit64"):
        # To itself alone; 0 is oneself for prlimit64, one's process group for kill.
        yield _EQUAL, 0, 5, _number(name, column)
        yield _LOAD, 0, 0, _FIRST
        yield _EQUAL, 2, 0, pid
        yield _EQUAL, 1, 0, 0
        yield _RETURN, 0, 0, refuse
        yield _RETURN, 0, 0, _ALLOW
    yield _RETURN, 0, 0, _ALLOW


def _seccomp() -> None:
    instructions = list(_program(os.getpid()))
    code = ctypes.create_string_buffer(_assembled(instructions))
    program = struct.pack("HxxxxxxP", len(instructions), ctypes.addressof(code))
    if _libc().prctl(_PR_SET_SECCOMP, ctypes.c_ulong(2), program) != 0:
        raise OSError(ctypes.get_errno(), "the filter of system calls cannot be put in force")


def _assembled(instructions: Iterable[tuple[int, int, int, int]]) -> bytes:
    return b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)

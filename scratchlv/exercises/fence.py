"""What Linux itself refuses a learner's process, native code included: files with Landlock, processes and sockets with seccomp.

Another system, an old kernel or a container may have neither: the guard and the limits are left then. The file needs Python
alone: the learner's process loads it without the package.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterator, Sequence
from typing import Any

# --- files ------------------------------------------------------------------------------------------------------------

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # system calls, the same on every processor
_EXECUTE, _WRITE, _READ, _LIST = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_FOLDER, _REMOVE, _MAKE_FOLDER, _MAKE, _REFER, _TRUNCATE = 1 << 4, 1 << 5, 1 << 7, 1 << 8, 1 << 13, 1 << 14
_CHANGES = _WRITE | _REMOVE_FOLDER | _REMOVE | _MAKE_FOLDER | _MAKE | _REFER | _TRUNCATE
_OF_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE
_ABSTRACT_SOCKETS, _SIGNALS = 1, 2
_MOST = 50_000  # entries of the folders on the way to what is hidden


def fence_files(hidden: Sequence[str], readable: Sequence[str], writable: Sequence[str], *, programs: bool) -> bool:
    """All can be read but what is ``hidden`` (and not ``readable``), nothing changed but what is below ``writable``.

    Signals go to this process's own children alone. False where the kernel has no Landlock.
    """
    version = _call(_CREATE_RULESET, None, 0, 1)
    if version < 1:
        return False
    known = (1 << 13) - 1 | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    attributes = struct.pack("QQQ", known, 0, _ABSTRACT_SOCKETS | _SIGNALS)
    ruleset = _call(_CREATE_RULESET, attributes, 24 if version >= 6 else 8, 0)
    if ruleset < 0:
        return False
    read = _READ | _LIST | (_EXECUTE if programs else 0)
    rules = [("/", _LIST), *((path, read) for path in _around([os.path.realpath(each) for each in hidden]))]
    rules += [*((path, read) for path in readable), *((path, read | _CHANGES) for path in writable)]
    rules.append((os.devnull, _READ | _WRITE))
    for path, rights in rules:
        _allow(ruleset, path, rights & known)
    _no_new_privileges()
    done = _call(_RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return done


def _around(hidden: Sequence[str]) -> Iterator[str]:
    """Folders and files that together hold all but what is hidden."""
    above = {path[: i or 1] for path in hidden for i, letter in enumerate(path) if letter == os.sep}
    left, todo = _MOST, ["/"] if hidden else []
    if not hidden:
        yield "/"
    while todo:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    left -= 1
                    if left < 0:
                        return
                    if entry.path in above and entry.path not in hidden:
                        todo.append(entry.path)
                    elif entry.path not in hidden and not entry.is_symlink():  # whose end has its own place
                        yield entry.path
        except OSError:
            continue


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    is_folder = os.path.isdir(path)
    _call(_ADD_RULE, ruleset, 1, struct.pack("=Qi", rights if is_folder else rights & _OF_FILES, place), 0)
    os.close(place)


# --- system calls -----------------------------------------------------------------------------------------------------

_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # the column below, and what seccomp calls it
#: By name, the numbers on x86_64 and aarch64; -1 where there is none.
_NEVER = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_send_signal": (424, 424), "pidfd_getfd": (438, 438), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "socket": (41, 198), "io_uring_setup": (425, 425), "setsid": (112, 157), "setpgid": (109, 154),
    "chmod": (90, -1), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, -1), "fchown": (93, 55), "lchown": (94, -1), "fchownat": (260, 54),
    "utime": (132, -1), "utimes": (235, -1), "futimesat": (261, -1), "utimensat": (280, 88),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "unshare": (272, 97),
    "setns": (308, 268), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225), "sethostname": (170, 161),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "kexec_load": (246, 104),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "keyctl": (250, 219), "add_key": (248, 217),
    "quotactl": (179, 60), "acct": (163, 89), "setpriority": (141, 140),
}  # fmt: skip
_PROGRAMS = {"execve": (59, 221), "execveat": (322, 281)}
_PROCESSES = {"fork": (57, -1), "vfork": (58, -1), "kill": (62, 129), "tkill": (200, 130)}
_CLONE, _CLONE3, _LIMIT = (56, 220), (435, 435), (302, 261)
_SAME_PROCESS = 0x10000  # of the flags of clone: a thread
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000  # and an error's number
_NUMBER, _MACHINE, _FIRST_ARGUMENT = 0, 4, 16  # where seccomp's data have them


def fence_calls(*, processes: bool, programs: bool) -> bool:
    """No sockets, no tracing, no way out of the session, no change of a file's owner or rights; False where seccomp is not there.

    Args:
        processes: whether the process may fork and send signals.
        programs: whether it may run programs.
    """
    if platform.machine() not in _MACHINES or struct.calcsize("P") != 8:
        return False
    column, machine = _MACHINES[platform.machine()]
    refused = _NEVER | ({} if programs else _PROGRAMS) | ({} if processes else _PROCESSES)
    numbers = [each[column] for each in refused.values() if each[column] >= 0]
    program = _filter(machine, numbers, _LIMIT[column], None if processes else (_CLONE[column], _CLONE3[column]))
    data = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    _no_new_privileges()
    made = Program(len(program) // 8, ctypes.addressof(data))
    return _libc().prctl(22, 2, ctypes.byref(made), 0, 0) == 0


def _filter(machine: int, numbers: Sequence[int], limit: int, clones: tuple[int, int] | None) -> bytes:
    """A program for the kernel: jumps are counted in instructions, forward."""
    load, equal, at_least, has_bit, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    refuse, allow = (answer, 0, 0, _REFUSE | errno.EPERM), (answer, 0, 0, _ALLOW)
    steps = [(load, 0, 0, _MACHINE), (equal, 1, 0, machine), refuse, (load, 0, 0, _NUMBER)]
    steps += [(at_least, 0, 1, 0x40000000), refuse]  # the calls of x32
    for number in numbers:
        steps += [(equal, 0, 1, number), refuse]
    # Of another process no limit is changed: its number, the first argument, is 0 for this one.
    steps += [(equal, 0, 4, limit), (load, 0, 0, _FIRST_ARGUMENT), (equal, 1, 0, 0), refuse, allow]
    if clones is not None:
        clone, clone3 = clones  # the C library takes clone where clone3 is missing: its flags can be seen
        steps += [(equal, 0, 1, clone3), (answer, 0, 0, _REFUSE | errno.ENOSYS)]
        steps += [(equal, 0, 4, clone), (load, 0, 0, _FIRST_ARGUMENT), (has_bit, 1, 0, _SAME_PROCESS), refuse, allow]
    return b"".join(struct.pack("=HBBI", *step) for step in [*steps, allow])


# --- helpers ----------------------------------------------------------------------------------------------------------


def die_with_parent() -> None:
    """Where the grader is killed, its learner's process goes with it."""
    _libc().prctl(1, 9, 0, 0, 0)


def _no_new_privileges() -> None:
    _libc().prctl(38, 1, 0, 0, 0)


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: Any) -> int:
    wide = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return int(_libc().syscall(ctypes.c_long(number), *wide))

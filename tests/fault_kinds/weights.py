"""Weights made to do harm: each is refused before anything in it is carried out, or memory is taken for it."""

from __future__ import annotations

import pickle
import shutil
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from scratchlv.errors import UserError
from scratchlv.vision.weights import read_weights
from tests.fault_kinds.report import Report
from tests.vision import test_weights as parts
from tests.vision.test_weights import Call, Name, Persistent, code, pickled, tensor

_MEMORY = 96 << 20  # bytes, beside the file
_SUSPECT = (
    "os.",
    "subprocess.",
    "exec",
    "compile",
    "import",
    "pickle.",
    "socket.",
    "ctypes.",
    "shutil.",
    "marshal.",
    "sys.",
)
_LIBRARIES = ("os.listdir", "os.scandir", "os.fstat", "sys._getframe")


class Audit:
    """Notes what Python says it does while a file is read."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.on = False
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple) -> None:
        if self.on and event.startswith(_SUSPECT) and event not in _LIBRARIES:
            self.events.append(f"{event} {arguments!r:.100}")


def pickles(marker: Path) -> dict[str, bytes]:
    """Instructions that would make ``marker``, or take memory or time without end."""
    command = f"touch {marker}"
    name = code(Name("os system"))
    by_parts = code("os") + code("system") + pickle.STACK_GLOBAL
    reduced = code((command,)) + pickle.REDUCE
    memoed = code("os") + pickle.BINPUT + b"\1" + code("system") + pickle.BINPUT + b"\2" + pickle.POP + pickle.POP
    memoed += pickle.BINGET + b"\1" + pickle.BINGET + b"\2" + pickle.STACK_GLOBAL + reduced
    return parts.evil(marker) | {
        "posix.system": code(Call((Name("posix system"), (command,)))),
        "builtins.exec": code(Call((Name("builtins exec"), (f"open({str(marker)!r}, 'w')",)))),
        "builtins.__import__": code(Call((Name("builtins __import__"), ("os",)))),
        "builtins.getattr": code(Call((Name("builtins getattr"), (Name("builtins dict"), "__class__")))),
        "subprocess.Popen": code(Call((Name("subprocess Popen"), (["touch", str(marker)],)))),
        "importlib": code(Call((Name("importlib import_module"), ("os",)))),
        "copyreg": code(
            Call((Name("copyreg _reconstructor"), (Name("builtins object"), Name("builtins object"), None)))
        ),
        "functools.partial": code(Call((Name("functools partial"), (Name("os system"), command)))),
        "numpy's reconstruct": code(
            Call((Name("numpy.core.multiarray _reconstruct"), (Name("numpy ndarray"), (0,), "b")))
        ),
        "torch.hub": code(Call((Name("torch.hub load"), ("x", "y")))),
        "nested in a list in a tuple": code(([{"w": Call((Name("os system"), (command,)))}],)),
        "reduced twice": name + reduced + code(()) + pickle.REDUCE,
        "memo, then STACK_GLOBAL": memoed,
        "STACK_GLOBAL with a dotted name": code("torch._utils")
        + code("_rebuild_tensor_v2.__globals__")
        + pickle.STACK_GLOBAL,
        "STACK_GLOBAL with a name that is no text": code(("os",)) + code(1) + pickle.STACK_GLOBAL,
        "STACK_GLOBAL behind a frame": pickle.FRAME + (99).to_bytes(8, "little") + by_parts + reduced,
        "NEWOBJ_EX": code(Name("os system")) + code((command,)) + code({}) + pickle.NEWOBJ_EX,
        "an extension's number": pickle.EXT1 + b"\1",
        "BUILD of attributes": code(Call((Name("collections OrderedDict"), ())))
        + code({"__class__": 1})
        + pickle.BUILD
        + reduced,
        "BUILD of a permitted name": code(Name("torch FloatStorage")) + code({"__call__": 1}) + pickle.BUILD,
        "a permitted name that is called": code(Call((Name("torch FloatStorage"), (10**12,)))),
        "a persistent identity that is a call": code(Call((Name("os system"), (command,)))) + pickle.BINPERSID,
        "a persistent identity in text": pickle.PERSID + command.encode() + b"\n",
        "a persistent identity of a module": code(
            {"w": Persistent(("module", Name("torch FloatStorage"), "0", "cpu", 1))}
        ),
        "a text of four gigabytes": pickle.BINUNICODE + b"\xff\xff\xff\xff" + b"x",
        "a text of exabytes": pickle.BINUNICODE8 + b"\xff" * 7 + b"\x7f",
        "bytes of exabytes": pickle.BINBYTES8 + b"\xff" * 7 + b"\x7f",
        "a whole number of gigabytes": pickle.LONG4 + b"\xff\xff\xff\x7f",
        "a memo of gigabytes": code([]) + pickle.LONG_BINPUT + b"\xff\xff\xff\xff" + code({"w": 1}),
        "a list that holds itself": pickle.EMPTY_LIST + pickle.BINPUT + b"\0" + pickle.BINGET + b"\0" + pickle.APPEND,
        "marks without end": pickle.MARK * 1_000_000,
        **parts.SLOW,
    }


def states() -> dict[str, Any]:
    """State dictionaries of tensors that cannot be."""
    huge = 1 << 40
    return {
        "a tensor larger than its block": {"w": tensor(shape=(huge,), strides=(1,))},
        "a tensor larger than the machine": {"w": tensor(shape=(huge,), strides=(1,), count=huge)},
        "strides of zero": {"w": tensor(shape=(huge, huge), strides=(0, 0))},
        "negative strides": {"w": tensor(shape=(4,), strides=(-1,), offset=3, count=4)},
        "a negative offset": {"w": tensor(shape=(1,), strides=(1,), offset=-1)},
        "a negative shape": {"w": tensor(shape=(-4,), strides=(1,))},
        "an offset beyond the block": {"w": tensor(shape=(1,), strides=(1,), offset=1 << 62)},
        "elements that overlap": {"w": tensor(shape=(4, 4), strides=(1, 1), count=7)},
        "a block in two ways": {"w": tensor(count=1), "v": tensor(count=2)},
        "a block that is not there": {"w": tensor("nowhere")},
        "a block outside of the archive": {"w": tensor("../../../etc/passwd")},
        "a thousand axes": {"w": tensor(shape=(1,) * 1000, strides=(1,) * 1000)},
        "an empty tensor of enormous axes": {"w": tensor(shape=(0, 1 << 62), strides=(1, 1))},
        "thousands of views of one block": {f"w{k}": tensor(shape=(1,), strides=(1,)) for k in range(3000)},
    }


def archives(folder: Path) -> dict[str, Callable[[Path], None]]:
    """Zip files that lie."""
    good = pickled({"w": tensor(shape=(4,), strides=(1,), count=4)})
    numbers = np.zeros(4, np.float32).tobytes()

    def zipped(*members: tuple[str, bytes], how: int = zipfile.ZIP_STORED) -> Callable[[Path], None]:
        def write(path: Path) -> None:
            with zipfile.ZipFile(path, "w", how) as archive:
                for name, content in members:
                    archive.writestr(name, content)

        return write

    def lying(at_signature: bytes, offset: int, value: bytes) -> Callable[[Path], None]:
        def write(path: Path) -> None:
            zipped(("a/data.pkl", good), ("a/data/0", numbers))(path)
            content = bytearray(path.read_bytes())
            at = content.rindex(at_signature) + offset
            content[at : at + len(value)] = value
            path.write_bytes(content)

        return write

    bomb = pickled({"w": tensor(shape=(1 << 28,), strides=(1,), count=1 << 28)})
    return {
        "a bomb": zipped(("a/data.pkl", bomb), ("a/data/0", bytes(1 << 24)), how=zipfile.ZIP_DEFLATED),
        "a pickle that is a bomb": zipped(("a/data.pkl", b"\0" * (64 << 20)), how=zipfile.ZIP_LZMA),
        "a pickle of 64 MB": zipped(("a/data.pkl", b"\0" * (64 << 20))),
        "two pickles": zipped(("a/data.pkl", good), ("b/data.pkl", good)),
        "paths that lead out, with a call": zipped(("../../../data.pkl", pickled(Name("os system")))),
        "an absolute path, with a call": zipped(("/tmp/x/data.pkl", pickled(Name("os system")))),
        "a size of 4 GB in its list": lying(b"PK\1\2", 24, b"\xff\xff\xff\x7f"),
        "an offset beyond its end": lying(b"PK\1\2", 42, b"\xff\xff\xff\x7f"),
        "a list of 4 GB": lying(b"PK\5\6", 12, b"\xff\xff\xff\x7f"),
        "an encrypted member": lying(b"PK\1\2", 8, b"\1\0"),
        "very many members": zipped(*((f"{k:01000d}", b"") for k in range(3000))),
    }


def run(root: Path) -> Report:
    """All of them, pickles and states in both formats."""
    report, folder, audit = Report("weights made to do harm"), root / "weights", Audit()
    folder.mkdir()
    marker = folder / "carried out"
    files: dict[str, Callable[[], Path]] = {}
    for form in ("zip", "legacy"):
        for name, instructions in pickles(marker).items():
            files[f"{name}, {form}"] = lambda i=instructions, f=form: parts.write(
                folder / "w.pth", i, {"0": np.zeros(1, np.float32)}, f
            )
        for name, state in states().items():
            files[f"{name}, {form}"] = lambda s=state, f=form: parts.write(
                folder / "w.pth", _of(s, f), {"0": np.zeros(8, np.float32)}, f
            )
    for name, write in archives(folder).items():
        files[name] = lambda w=write: (w(folder / "w.pth"), folder / "w.pth")[1]
    for name, header in parts.LYING.items():
        files[f"safetensors {name}"] = lambda h=header: parts.safetensors_file(folder, h)
    for length in (0, 1 << 30, (1 << 64) - 1):
        files[f"safetensors of length {length}"] = lambda n=length: parts.safetensors_file(
            folder, {"w": parts.described()}, length=n
        )
    right = {"w": tensor(shape=(1,), strides=(1,))}
    for form in ("zip", "legacy"):  # what is imported for a file that is right is no harm
        read_weights(parts.write(folder / "w.pth", _of(right, form), {"0": np.zeros(1, np.float32)}, form))
    for name, make in files.items():
        path = make()
        report.note(*_judged(path, name, audit, marker))
    shutil.rmtree(folder)
    return report


def _of(state: dict[str, Any], form: str) -> Any:
    """The state with blocks as the legacy format names them, if that is the form."""
    if form == "zip":
        return state

    def legacy(found: Any) -> Any:
        if isinstance(found, Persistent):
            return Persistent((*found, None))
        if isinstance(found, tuple):
            return type(found)(legacy(each) for each in found)
        return {name: legacy(each) for name, each in found.items()} if isinstance(found, dict) else found

    return legacy(state)


def _judged(path: Path, name: str, audit: Audit, marker: Path) -> tuple[str, str | None]:
    audit.events.clear()
    tracemalloc.start()
    audit.on = True
    refused, said = False, ""
    try:
        read_weights(path)
    except UserError as error:
        refused, said = True, str(error)
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"[:500]
    finally:
        audit.on = False
        memory = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    if audit.events or marker.exists():
        return "broken", f"{name}: carried out: {audit.events[:3]}"
    if not refused:
        return "broken", f"{name}: {said or 'read'}"
    if memory > _MEMORY + path.stat().st_size:
        return "broken", f"{name}: took {memory / 1e6:.0f} MB"
    return "refused", None if len(said) < 900 else f"{name}: a sentence of {len(said)} characters"

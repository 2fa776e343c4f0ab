"""A learner's CUDA C file in the learner's process: compiled by g++, run in every order of its threads, watched at its edges.

    functions = load(Path("37_reduction_cuda.cu"), Path(".../reduction_cuda/launch.py"))
    functions["block_sums"](x)

What ``launch.py`` gets is :class:`Kernels`. Whatever goes wrong is one sentence with the learner's line: :class:`KernelError`.
"""

from __future__ import annotations

import functools
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from scratchlv.cuda import emulator
from scratchlv.cuda.emulator import LaunchError, turns, without_barrier
from scratchlv.cuda.launch import Module
from scratchlv.cuda.signature import DTYPES, Parameter
from scratchlv.exercises import launching
from scratchlv.exercises.launching import KernelError

__all__ = ["ORDERS", "KernelError", "Kernels", "load"]

#: name, order and seed; the results of the first are the ones that count, and the others must be the same
ORDERS = (
    ("forward", "forward", 0),
    ("in reverse", "reverse", 0),
    ("warp by warp", "warp by warp", 0),
    ("shuffled", "shuffled", 1),
    ("shuffled again", "shuffled", 2),
)
_MARGIN = 1 << 16  # bytes on each side of an array
_READ, _WRITTEN = (
    0xFF,
    0xF1,
)  # the bytes of its margins: NaN, and in an array that may be written -2.4e30, which no NaN hides
_NEVER = {2: 0x7EAD, 4: 0x7FC0DEAD, 8: 0x7FF80000C0DEDEAD}  # what no thread has written, by the size of a number: NaN
_SHOWN = 4  # orders, numbers


def load(path: Path, launch: Path) -> dict[str, Callable]:
    """The functions of ``launch.py``, each of which runs the learner's kernels in every order of their threads.

    Raises:
        KernelError: the file does not compile, or holds what no exercise needs.
    """
    kernels = Kernels(path)
    made = launching.functions(launch, kernels)
    return {name: functools.partial(kernels.in_every_order, function) for name, function in made.items()}


class Kernels:
    """The learner's kernels, as attributes: ``kernels.scale(grid, block, x, y, n, 2.0)``. Numbers become what the source takes.

    An array that is launched on stands between margins: what a thread writes there is an error, and what it reads is NaN.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._module = _compiled(path)
        self._names: dict[int, str] = {}  # of arrays, after the parameters they were given for
        self._fresh: list[np.ndarray] = []

    def empty(self, shape: int | Sequence[int], dtype: Any = np.float32) -> np.ndarray:
        """An array to be written: every number that no thread writes is an error in the end."""
        array = np.empty(shape, dtype)
        array.view(f"u{array.itemsize}")[...] = _NEVER[array.itemsize]
        self._fresh.append(array)
        return array

    def refuse(self, sentence: str, line: int = 0, stage: str = "value") -> NoReturn:
        """Tells the learner what is wrong."""
        raise KernelError(sentence, line, stage)

    def superfluous(self, function: Callable, *inputs: Any) -> list[int]:
        """The lines of barriers that ``function(kernels, *inputs)`` comes to, and does without in every order of its threads."""
        function = functools.partial(function, self)
        engine: Any = self._module.engine(on_gpu=False)
        engine.barriers_met()
        expected = _bits(self._run(function, inputs))
        found = []
        for file, line in sorted(engine.barriers_met()):
            with without_barrier(file, line):
                if all(self._is(expected, function, inputs, order) for order in ORDERS):
                    found.append(line)
        return found

    def __getattr__(self, name: str) -> Callable:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._module:
            there = ", ".join(self._module) or 'none that begins with extern "C" __global__ void'
            raise KernelError(
                f"there is no kernel {name} in the file (it has {there}): keep the names that it came with"
            )
        return functools.partial(self._launch, name)

    # --- in every order ---

    def in_every_order(self, function: Callable, *inputs: Any) -> Any:
        """What ``function`` returns, which must be the same, to the bit, in every order of the threads."""
        result = self._run(function, inputs, ORDERS[0])
        results, names, never = {ORDERS[0][0]: result}, self._names_of(result), [self._never_written()]
        for order in ORDERS[1:]:
            results[order[0]] = self._run(function, inputs, order)
            never.append(self._never_written())
        if all(never):
            raise KernelError(f"{never[0]} given a value (a thread that adds to it finds NaN there)", stage="value")
        if len({_bits(each) for each in results.values()}) > 1:
            raise KernelError(_differences(results, names), stage="order")
        return result

    def _run(self, function: Callable, inputs: Sequence[Any], order: tuple[str, str, int] = ORDERS[0]) -> Any:
        self._fresh, self._names = [], {}
        with turns(order[1], order[2]):
            return function(*(each.copy() if isinstance(each, np.ndarray) else each for each in inputs))

    def _is(self, expected: bytes, function: Callable, inputs: Sequence[Any], order: tuple[str, str, int]) -> bool:
        try:
            return _bits(self._run(function, inputs, order)) == expected
        except KernelError:
            return False

    def _names_of(self, result: Any) -> list[str]:
        return [self._names.get(id(each), "the result") for each in _parts(result)]

    def _never_written(self) -> str:
        """Which numbers of fresh arrays no thread has written; empty if there are none."""
        for array in self._fresh:
            never = np.flatnonzero(array.view(f"u{array.itemsize}").ravel() == _NEVER[array.itemsize])
            if never.size:
                name = self._names.get(id(array), "the result")
                if never.size == array.size:
                    return f"no number of {name} was"
                return f"{_range(name, never)} {'was' if never.size == 1 else 'were'} never"
        return ""

    # --- one launch ---

    def _launch(
        self, name: str, grid: Any, block: Any, *arguments: Any, shared: int = 0, cooperative: bool = False
    ) -> None:
        kernel = self._module[name]
        given, guards = [], []
        for parameter, argument in zip(kernel.signature.parameters, arguments, strict=False):
            if parameter.pointer and isinstance(argument, np.ndarray):
                self._names[id(argument)] = parameter.name
                guards.append(_Guarded(parameter, argument))
                given.append(guards[-1].array)
            else:
                given.append(_number(parameter, argument))
        given += arguments[len(kernel.signature.parameters) :]
        try:
            kernel(_tuple(grid), _tuple(block), *given, shared=shared, cooperative=cooperative)
        except LaunchError as error:
            raise KernelError(_told(str(error)), _line(str(error), self.path.name)) from None
        except (TypeError, ValueError) as error:
            raise KernelError(f"{error} (the parameters of a kernel stay as they came)") from None
        for guard in guards:
            guard.check(name)
        for guard in guards:
            guard.write_back()


class _Guarded:
    """A copy of an array between two margins."""

    def __init__(self, parameter: Parameter, original: np.ndarray) -> None:
        self.name, self.original, self.written = parameter.name, original, parameter.written
        size = original.nbytes
        self.byte = _WRITTEN if parameter.written else _READ
        self.memory = np.full(2 * _MARGIN + size, self.byte, np.uint8)
        first = _MARGIN - self.memory.ctypes.data % 64
        self.before, self.after = self.memory[:first], self.memory[first + size :]
        self.array = self.memory[first : first + size].view(original.dtype).reshape(original.shape)
        self.array[...] = original

    def check(self, kernel: str) -> None:
        """
        Raises:
            KernelError: something was written to a margin.
        """
        n, size = self.original.size, self.original.itemsize
        behind = np.flatnonzero(self.after != self.byte)
        if behind.size:
            where = _range(self.name, n + behind // size)
            where += f" ({_there_are(self.original)})"
            raise KernelError(f"{kernel} writes past the end of {self.name}: {where}", stage="bounds")
        ahead = np.flatnonzero(self.before != self.byte)
        if ahead.size:
            where = _range(self.name, -((self.before.size - ahead + size - 1) // size))
            raise KernelError(f"{kernel} writes before the beginning of {self.name}: {where}", stage="bounds")

    def write_back(self) -> None:
        if self.written:
            self.original[...] = self.array


# --- compiling -------------------------------------------------------------------------------------------------------

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_DIRECTIVE = re.compile(r"^[ \t]*(?:#|%:|\?\?=)[ \t]*(\w*)", re.MULTILINE)
_ALLOWED = {"define", "undef", "if", "ifdef", "ifndef", "else", "elif", "endif", "pragma", ""}
_NATIVE = re.compile(r"\b(asm|__asm|__asm__|__attribute__|__has_include\w*|_Pragma|extern\s+(?!\"C\"\s+__global__))")


def _compiled(path: Path) -> Module:
    why_not = emulator.why_not()
    if why_not:
        raise KernelError(why_not, stage="compile")
    text = path.read_text("utf-8")
    _refuse_strange(text)
    with tempfile.TemporaryDirectory(prefix="scratchlv-kernels-") as folder:
        made = Path(folder) / path.name
        made.write_text(f'#include "cuda_on_cpu.h"\n#line 1 "{path.name}"\n{text}\n', "utf-8", "surrogateescape")
        try:
            module = Module(made)
            module.engine(on_gpu=False)
        except ValueError as error:
            raise KernelError(str(error), stage="compile") from None
        except LaunchError as error:
            raise KernelError(*_of_the_compiler(str(error), path.name), stage="compile") from None
        return module


def _refuse_strange(text: str) -> None:
    """What an exercise has no use for, and what could read files or leave the kernel, as far as a glance can tell."""
    code = _COMMENT.sub(lambda found: "\n" * found[0].count("\n"), text.replace("\\\n", ""))
    for found in _DIRECTIVE.finditer(code):
        if found[1] not in _ALLOWED:
            line = code[: found.start()].count("\n") + 1
            sentence = f"line {line}: #{found[1]} is not for an exercise: all that a kernel needs is there"
            raise KernelError(sentence, line, "compile")
    strange = _NATIVE.search(code)
    if strange:
        line, word = code[: strange.start()].count("\n") + 1, strange[1].split()[0]
        more = ": give a __shared__ array its size" if word == "extern" else ": an exercise does without it"
        raise KernelError(f"line {line}: {word} cannot stand here{more}", line, "compile")


def _of_the_compiler(message: str, name: str) -> tuple[str, int]:
    """One sentence of g++'s, and the learner's line."""
    errors = re.findall(r"^([^:\n]+):(\d+)(?::\d+)?: (?:fatal )?error: (.*)$", message, re.MULTILINE)
    own = [(int(line), what) for file, line, what in errors if Path(file).name == name]
    if own:
        line, what = own[0]
        return f"line {line} does not compile: {what}", line
    what = errors[0][2] if errors else message.strip().splitlines()[-1]
    return f"the file does not compile: {what}", 0


# --- sentences -------------------------------------------------------------------------------------------------------


def _line(message: str, name: str) -> int:
    found = re.search(rf"{re.escape(name)}:(\d+)", message)
    return int(found[1]) if found else 0


def _told(message: str) -> str:
    """What the emulator says, with ``line 12`` for ``file.cu:12``."""
    told = re.sub(r"\(?\b[\w.-]+\.cu:(\d+)\)?", r"in line \1", message).replace("(__", "__")
    if "deadlock" in told:
        told += ": all threads of a block must come to each barrier"
    return told


_RACE = ". So one thread reads or writes what another one writes, with no barrier in between"


def _differences(results: dict[str, Any], names: list[str]) -> str:
    """What each order gives for the first number that is not the same in all of them."""
    parts = {order: _parts(result) for order, result in results.items()}
    for at, name in enumerate(names):
        arrays = {order: np.ascontiguousarray(each[at]) for order, each in parts.items()}
        first = next(iter(arrays.values()))
        differs = np.zeros(first.size, bool)
        for array in arrays.values():
            if array.shape != first.shape:
                return f"the shape of {name} depends on the order in which the threads run"
            differs |= array.ravel().view(f"u{array.itemsize}") != first.ravel().view(f"u{first.itemsize}")
        if differs.any():
            index = int(np.flatnonzero(differs)[0])
            shown = name if first.ndim == 0 else f"{name}[{', '.join(map(str, np.unravel_index(index, first.shape)))}]"
            said = ", ".join(f"{_number_text(array.ravel()[index])} {order}" for order, array in arrays.items())
            return f"the result depends on the order in which the threads run: {shown} is {said}{_RACE}"
    return f"the result depends on the order in which the threads run{_RACE}"


def _number_text(value: Any) -> str:
    if value.dtype.kind == "f" and value.view(f"u{value.itemsize}") == _NEVER[value.itemsize]:
        return "never written"
    return f"{value:.9g}" if value.dtype.kind == "f" else str(value)


def _range(name: str, indices: np.ndarray) -> str:
    found = np.unique(indices).tolist()
    if len(found) == 1:
        return f"{name}[{found[0]}]"
    if found[-1] - found[0] + 1 == len(found):
        return f"{name}[{found[0]}] to {name}[{found[-1]}]"
    shown = ", ".join(f"{name}[{i}]" for i in found[:_SHOWN])
    return shown if len(found) <= _SHOWN else f"{shown} and {len(found) - _SHOWN} more"


def _there_are(array: np.ndarray) -> str:
    sizes = " x ".join(map(str, array.shape))
    more = f" = {array.size}" if array.ndim > 1 else ""
    return f"it has {sizes}{more} numbers, the last is [{array.size - 1}]"


def _parts(result: Any) -> list[Any]:
    """The arrays that are returned, alone, in a tuple or in a dict."""
    result = list(result.values()) if isinstance(result, dict) else result
    return [np.asarray(each) for each in result] if isinstance(result, tuple | list) else [result]


def _bits(result: Any) -> bytes:
    return b"|".join(np.ascontiguousarray(each).tobytes() for each in _parts(result))


def _number(parameter: Parameter, argument: Any) -> Any:
    if parameter.pointer or isinstance(argument, np.ndarray):
        return argument
    return DTYPES[parameter.c_type][0].type(argument)


def _tuple(sizes: int | Sequence[int]) -> tuple[int, ...]:
    return (int(sizes),) if isinstance(sizes, int | np.integer) else tuple(int(n) for n in sizes)

"""A file with a kernel of one's own, as a module with the room's contract."""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from scratchlv import ops
from scratchlv.cuda import emulator
from scratchlv.cuda.availability import what_is_wrong
from scratchlv.cuda.launch import in_place_of
from scratchlv.cuda.versions import use_version
from scratchlv.errors import UserError
from scratchlv.gradcheck.calls import where_and_what
from scratchlv.gradcheck.files import beside, load


class Refused(Exception):
    """Why a kernel does not take part: one sentence."""


class Own:
    """Somebody's kernel. ``forward`` and ``backward``, or ``step``, are called with care: what they raise is told with its
    line, and what they print is kept apart."""

    def __init__(self, path: Path, operation: str, module: Any) -> None:
        self.path, self.operation = path, operation
        self._module, self._printed = module, io.StringIO()
        self.passes = "step" if hasattr(_reference(operation), "step") else "forward and backward"
        for name in self.passes.split(" and "):
            if not callable(getattr(module, name, None)):
                raise UserError(
                    f"{path} has no function {name}: {operation} needs {self.passes}, with the arguments of "
                    f"`scratchlv bench {operation} --show reference`"
                )

    def limits(self, **inputs: Any) -> str | None:
        """What the file says that it cannot serve; without a function ``limits``, all that its function has settings for."""
        missing = self._settings_it_lacks(inputs)
        if missing:
            return f"it takes no {' and no '.join(missing)}"
        limits = getattr(self._module, "limits", None)
        return None if limits is None else self._call(limits, (), inputs)

    def forward(self, **inputs: Any) -> Any:
        returned = self._call(self._module.forward, (), inputs)
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise Refused(f"forward returns {_kind(returned)}, and should return two things: y and a cache")
        return returned

    def backward(self, dy: Any, cache: Any) -> Any:
        returned = self._call(self._module.backward, (dy, cache), {})
        if not isinstance(returned, tuple | list):
            raise Refused(f"backward returns {_kind(returned)}, and should return a tuple: a gradient for each input")
        return returned

    def step(self, **inputs: Any) -> Any:
        return self._call(self._module.step, (), inputs)

    def _settings_it_lacks(self, inputs: dict[str, Any]) -> list[str]:
        """Those of ``inputs`` that may be left out in the room, and that the file, maybe older than they are, does not take."""
        name = self.passes.split(" and ")[0]
        try:
            taken = inspect.signature(getattr(self._module, name)).parameters
        except (TypeError, ValueError):  # a function that cannot be asked
            return []
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
            return []
        in_the_room = inspect.signature(getattr(_reference(self.operation), name)).parameters
        optional = [key for key, parameter in in_the_room.items() if parameter.default is not parameter.empty]
        return [key for key in optional if key in inputs and key not in taken]

    def bare(self, name: str) -> Callable[..., Any]:
        """A function as it is in the file, to be timed; inside of :meth:`quiet`."""
        return getattr(self._module, name)

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Inside, what the file prints goes where :meth:`printed` finds it."""
        with contextlib.redirect_stdout(self._printed):
            yield

    def printed(self) -> str:
        """The first line that the file has printed; empty if it has said nothing."""
        return next((line for line in self._printed.getvalue().splitlines() if line.strip()), "")

    def _call(self, function: Callable[..., Any], arguments: tuple, named: dict[str, Any]) -> Any:
        try:
            with self.quiet():
                return function(*arguments, **named)
        except SystemExit:
            raise Refused(f"{function.__name__} ends the program: take that line out") from None
        except Exception as error:
            raise Refused(f"{function.__name__} raises {where_and_what(error)}") from error


@contextlib.contextmanager
def entered(path: Path, operation: str, number: int | None = None) -> Iterator[Own]:
    """The kernel in ``path``: a Python module, or CUDA C in place of the room's own file, launched by the room's wrapper.

    ``number`` is that of the version whose kernels a CUDA C file has.

    Raises:
        UserError: the file cannot be read or run, or has not what the room needs.
    """
    if path.suffix == ".py":
        if number is not None:
            raise UserError(f"--version {number} is of CUDA C files, and {path} is Python: leave it out")
        printed = io.StringIO()
        with beside(path):
            with contextlib.redirect_stdout(printed):
                loaded = load(path)
            own = Own(path, operation, loaded.module)
            own._printed.write(printed.getvalue())
            yield own
        return
    if path.suffix != ".cu":
        raise UserError(f"--with {path}: give a Python file (.py) or one of CUDA C (.cu)")
    with _cuda(path, operation, number) as own:
        yield own


@contextlib.contextmanager
def _cuda(path: Path, operation: str, number: int | None) -> Iterator[Own]:
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; check the path")
    room = getattr(ops, operation)
    if "cuda" not in room.room.VARIANTS:
        raise UserError(f"{operation} has no CUDA kernels whose place {path} could take")
    if what_is_wrong() is not None and emulator.why_not() is not None:
        raise UserError(f"{path} cannot be compiled: {emulator.why_not()}")
    wrapper = room.variant("cuda")
    with in_place_of(f"{operation}.cu", path), use_version(number):
        yield Own(path, operation, _Launched(wrapper, path))


class _Launched:
    """The room's wrapper, which launches the kernels of another file."""

    def __init__(self, wrapper: Any, path: Path) -> None:
        self._path = path
        for name in ("forward", "backward", "step", "limits"):
            if hasattr(wrapper, name):
                setattr(self, name, self._told(getattr(wrapper, name)))

    def _told(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            try:
                return function(*arguments, **named)
            except KeyError as error:  # the launcher's, which names the kernels that are there
                raise ValueError(f"{error.args[0]}; the wrapper of the room launches it") from None
            except emulator.LaunchError as error:
                raise ValueError(_first_error(str(error))) from None

        return call


def _first_error(told: str) -> str:
    """The compiler's first error, or what the launch did."""
    errors = [line for line in told.splitlines() if "error: " in line]
    return errors[0] if errors else told.splitlines()[0]


def _reference(operation: str) -> Any:
    return getattr(ops, operation).variant("reference")


def _kind(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"{len(value)} things" if len(value) != 1 else "one thing"
    return "nothing" if value is None else f"a {type(value).__name__}"

"""A forward and a backward in somebody's file: the file is run as a module, and the two are found in it by name."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import linecache
import re
import sys
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from scratchlv.errors import UserError
from scratchlv.gradcheck.calls import where_and_what
from scratchlv.gradcheck.layers import pair_of
from scratchlv.shell import path_of

_INSTALLED = ("site-packages", "dist-packages")


@dataclass(frozen=True)
class Target:
    """``FILE.py``, ``FILE.py:forward,backward`` or ``FILE.py:Layer``."""

    path: Path
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.path}:{','.join(self.names)}" if self.names else str(self.path)


def is_target(text: str) -> bool:
    """Whether an argument names a file rather than an operation."""
    return re.search(r"\.py($|:)", text) is not None or Path(text).suffix != "" or "/" in text or "\\" in text


def parse_target(text: str) -> Target:
    """
    Raises:
        UserError: it is no Python file, or names more than two functions.
    """
    found = re.fullmatch(r"(?P<path>.+\.py)(?::(?P<names>.*))?", text)
    if found is None:
        raise UserError(f"{text} is no Python file: give one that ends in .py, with forward and backward in it")
    names = tuple(name.strip() for name in (found["names"] or "").split(",") if name.strip())
    if len(names) > 2:
        raise UserError(f"{text} names {len(names)} functions: give two, as in {found['path']}:forward,backward")
    return Target(path_of(found["path"]), names)


# --- running the file ------------------------------------------------------------------------------------------------


@dataclass
class Loaded:
    """A file that was run as a module, and the files beside it that it imported."""

    path: Path
    module: ModuleType
    files: set[Path] = field(default_factory=set)


def _home(path: Path) -> tuple[Path, str]:
    """The folder from which the file is imported, and under which name: of a package, the folder that holds it."""
    folder, names = path.resolve().parent, [path.stem]
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    return folder, ".".join(names)


@contextlib.contextmanager
def beside(path: Path) -> Iterator[None]:
    """Modules beside the file can be imported, as if Python ran it; afterwards they are forgotten, and left no trace."""
    before, wrote = dict(sys.modules), sys.dont_write_bytecode
    folder = str(_home(path)[0])
    sys.path.insert(0, folder)
    sys.dont_write_bytecode = True  # the folder is the user's
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.dont_write_bytecode = wrote
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)
        for name in [name for name, module in sys.modules.items() if name not in before and _file_of(module, folder)]:
            del sys.modules[name]


def neighbours(path: Path) -> set[Path]:
    """The files below the folder of ``path``, or of its package, that are imported now."""
    folder = str(_home(path)[0])
    return {found for module in list(sys.modules.values()) if (found := _file_of(module, folder))}


def _file_of(module: Any, folder: str) -> Path | None:
    """The module's file, if it lies below the folder and is the user's own."""
    name = getattr(module, "__file__", None)
    if not isinstance(name, str) or (module.__name__ or "").partition(".")[0] == "scratchlv":
        return None
    path = Path(name)
    return path if path.is_relative_to(folder) and not set(_INSTALLED) & set(path.parts) else None


def load(path: Path) -> Loaded:
    """Run a file as a module, inside of :func:`beside`.

    Raises:
        UserError: it cannot be read, is no Python, or raises.
    """
    source = _source(path)
    full = str(path.resolve())
    linecache.cache[full] = (len(source), None, source.splitlines(keepends=True), full)
    name = _home(path)[1]
    package = name.rpartition(".")[0]
    try:
        if package:
            importlib.import_module(package)  # which may import the file itself
        name = "checked_by_scratchlv" if name in sys.modules else name
        module = ModuleType(name)
        module.__file__, module.__package__ = full, package
        sys.modules[name] = module
        exec(compile(source, full, "exec", dont_inherit=True), module.__dict__)
    except SyntaxError as error:
        raise UserError(syntax_error(error, path)) from None
    except SystemExit:
        raise UserError(
            f'{path} ends the program while it is imported: put what is to run as a script below if __name__ == "__main__":'
        ) from None
    except Exception as error:
        raise UserError(f"{path} cannot be imported: {where_and_what(error)}; mend that line") from error
    return Loaded(path, module, neighbours(path))


def _source(path: Path) -> str:
    if not path.exists():
        raise UserError(f"{path}: there is no such file; check the path")
    if path.is_dir():
        raise UserError(f"{path} is a folder: give a file in it")
    try:
        with tokenize.open(path) as file:
            return file.read()
    except SyntaxError as error:
        raise UserError(f"{path} is not in the encoding it should be ({error}): save it as UTF-8") from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8 text (byte {error.start} cannot be read): save it as UTF-8, or name its encoding in its "
            "first line"
        ) from None


def syntax_error(error: SyntaxError, path: Path) -> str:
    """One sentence with the user's own line."""
    line = f": `{error.text.strip()}`" if error.text else ""
    folder = path.resolve().parent
    file = Path(error.filename) if error.filename else path.resolve()
    shown = path.parent / file.relative_to(folder) if file.is_relative_to(folder) else file
    return f"{shown} is no valid Python: {error.msg} (line {error.lineno}{line}); mend that line"


# --- finding the two -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Functions:
    """What is to be checked; ``owner`` is the layer whose methods they are, if they are."""

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    owner: Any = None


def functions_of(loaded: Loaded, names: tuple[str, ...] = ()) -> Functions:
    """The two functions of those names, or the two methods of a layer; without names, ``forward`` and ``backward``.

    Raises:
        UserError: they are not there, or are no functions.
    """
    if len(names) == 1:
        return _methods(loaded, names[0])
    forward, backward = (_function(loaded, name) for name in names or ("forward", "backward"))
    return Functions(forward, backward)


def _function(loaded: Loaded, name: str) -> Callable[..., Any]:
    value = getattr(loaded.module, name, None)
    if value is None:
        raise UserError(f"{loaded.path} has no {name}: {_instead(loaded)}")
    if not callable(value):
        raise UserError(f"{name} in {loaded.path} is a {type(value).__name__}, and should be a function")
    return value


def _instead(loaded: Loaded) -> str:
    """What to name, seeing what is there."""
    own = {
        name: value
        for name, value in vars(loaded.module).items()
        if getattr(value, "__module__", None) == loaded.module.__name__ and callable(value)
    }
    pairs = [(name, other) for name in own if "forward" in name and (other := _partner(name)) in own]
    if pairs:
        return f"name the two, as in {loaded.path}:{','.join(pairs[0])}" + (
            f" (there are {len(pairs)} such pairs: {', '.join(name for name, _ in pairs)})" if len(pairs) > 1 else ""
        )
    layers = [name for name, value in own.items() if hasattr(value, "forward") and hasattr(value, "backward")]
    if layers:
        return f"name the layer, as in {loaded.path}:{layers[0]}"
    there = ", ".join(own) or "none"
    return f"its functions are {there}; name the two, as in {loaded.path}:forward,backward"


def _partner(name: str) -> str:
    return name.replace("forward", "backward")


def _methods(loaded: Loaded, name: str) -> Functions:
    layer = getattr(loaded.module, name, None)
    if layer is None:
        raise UserError(f"{loaded.path} has no {name}: {_instead(loaded)}")
    if not (hasattr(layer, "forward") and hasattr(layer, "backward")):
        partner = _partner(name) if "forward" in name else "backward"
        raise UserError(
            f"{name} in {loaded.path} is no layer with forward and backward: of functions name both, as in "
            f"{loaded.path}:{name},{partner}"
        )
    if inspect.isclass(layer):
        layer = _made(layer, name, loaded.path)
    return Functions(*pair_of(layer), layer)


def _made(layer: type, name: str, path: Path) -> Any:
    try:
        return layer()
    except TypeError as error:
        raise UserError(
            f"{name} in {path} cannot be made without arguments ({error}): make one in the file, such as layer = {name}(…), and "
            f"give {path}:layer"
        ) from None
    except Exception as error:
        raise UserError(f"{name}() in {path} raises {where_and_what(error)}; mend that line") from error

"""What a run may change behind our back, kept as it is: arrays are made read-only, containers are put back."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

MANY = 5000  # objects that are looked at


class State:
    """Arrays, lists, dicts and attributes that can be reached from the roots, also through closures."""

    def __init__(self, roots: Iterable[Any]) -> None:
        self._containers: list[tuple[Any, Any]] = []
        arrays = self._reached(roots)
        self._before = [(array, array.copy()) for array in arrays]
        self._changing: list[tuple[np.ndarray, np.ndarray]] = []
        self._frozen: list[np.ndarray] = []

    def freeze(self, run: Callable[[], Any]) -> None:
        """What ``run`` does not change becomes read-only, the rest is put back by :meth:`restore`."""
        run()
        for array, held in self._before:
            if not np.array_equal(array, held, equal_nan=array.dtype.kind in "fc"):
                self._changing.append((array, held))
            elif array.flags.writeable:
                array.flags.writeable = False
                self._frozen.append(array)
        self.restore()

    def release(self) -> None:
        for array in reversed(self._frozen):
            array.flags.writeable = True
        self._frozen.clear()
        self.restore()

    def restore(self) -> None:
        for array, held in self._changing:
            array[...] = held
        for container, held in self._containers:
            if isinstance(container, list):
                container[:] = held
            elif container.keys() != held.keys() or any(container[key] is not value for key, value in held.items()):
                container.clear()
                container.update(held)

    def _reached(self, roots: Iterable[Any]) -> list[np.ndarray]:
        arrays: dict[int, np.ndarray] = {}
        seen: dict[int, Any] = {}
        todo = list(roots)
        while todo and len(seen) < MANY:
            each = todo.pop()
            if id(each) in seen or isinstance(each, str | bytes | int | float | type | ModuleType | None):
                continue
            seen[id(each)] = each
            if isinstance(each, np.ndarray):
                if each.dtype != object:
                    arrays[id(each)] = each
            else:
                todo += self._inside(each)
        return list(arrays.values())

    def _inside(self, each: Any) -> list[Any]:
        if isinstance(each, dict):
            self._containers.append((each, dict(each)))
            return list(each.values())
        if isinstance(each, list):
            self._containers.append((each, list(each)))
            return list(each)
        if isinstance(each, tuple | set | frozenset):
            return list(each)
        if isinstance(each, functools.partial):
            return [each.func, *each.args, *each.keywords.values()]
        if isinstance(each, MethodType):
            return [each.__self__, each.__func__]
        if isinstance(each, FunctionType):
            return [*(each.__closure__ or ()), *(each.__defaults__ or ()), *(each.__kwdefaults__ or {}).values()]
        if isinstance(each, CellType):
            try:
                return [each.cell_contents]
            except ValueError:
                return []
        held = getattr(each, "__dict__", None)
        return [held] if isinstance(held, dict) else []

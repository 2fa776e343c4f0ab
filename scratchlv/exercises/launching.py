"""``launch.py`` of a kernel's exercise: the author's Python functions, which call the learner's in the learner's process.

    def total(learner, x):                     a case calls it by name, with x
        sums = np.zeros(1, x.dtype)
        learner.block_sums[1, 32](x, sums)     the learner's own
        return sums

The file needs Python alone: the learner's process loads it without the package.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any, NoReturn


class KernelError(Exception):
    """What is wrong with a learner's kernel.

    Args:
        sentence: to the learner.
        line: in the learner's file; 0 if it is not known.
        stage: ``"compile"``, ``"launch"``, ``"bounds"``, ``"order"`` …
    """

    def __init__(self, sentence: str, line: int = 0, stage: str = "launch") -> None:
        super().__init__(sentence)
        self.sentence, self.line, self.stage = sentence, line, stage


class Functions:
    """The learner's functions, as attributes."""

    def __init__(self, functions: Mapping[str, Any]) -> None:
        self._functions = dict(functions)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in self._functions:
            raise KernelError(f"there is no {name} in the file: keep the names that it came with")
        return self._functions[name]

    def refuse(self, sentence: str, line: int = 0, stage: str = "value") -> NoReturn:
        """Tells the learner what is wrong."""
        raise KernelError(sentence, line, stage)


def functions(launch: Path, learner: Any) -> dict[str, Callable]:
    """The functions of ``launch.py`` that have no underscore, each with ``learner`` as its first argument."""
    namespace: dict[str, Any] = {"__name__": "launch", "__file__": str(launch)}
    exec(compile(launch.read_text("utf-8"), str(launch), "exec", dont_inherit=True), namespace)
    own = {name: made for name, made in namespace.items() if isinstance(made, FunctionType) and name[0] != "_"}
    return {
        name: functools.partial(made, learner) for name, made in own.items() if made.__code__.co_filename == str(launch)
    }


_NOISE = re.compile(
    r"^(?:Failed in \w+ mode pipeline|During: |File \"|\s|$|Known signatures|\* \(|There are \d+ candidate|"
    r"No match\.?|<source|All templates|Overload|Rejected|Enable |This |Unknown attribute is)"
)


def of_numba(message: str, path: str) -> tuple[str, int]:
    """The sentence in what Numba says when it cannot compile a file's function, and the file's line (0 if it says none)."""
    lines = [int(n) for n in re.findall(rf'File "[^"]*{re.escape(Path(path).name)}", line (\d+)', message)]
    lines += [int(n) for n in re.findall(rf"{re.escape(Path(path).name)} \((\d+)\)", message)]
    plain = re.sub(r"\x1b\[[0-9;]*m", "", message)
    sentences = [line.strip() for line in plain.splitlines() if not _NOISE.match(line)]
    call = re.search(r"^ >>> (.*)$", plain, re.MULTILINE)  # what it finds no implementation for
    sentence = (sentences[0] if sentences else plain.strip()[:200]) + (f" {call[1]}" if call else "")
    return f"Numba cannot compile it: {sentence}", lines[0] if lines else 0

"""The page: a recording with its words, in one file that needs nothing else."""

from __future__ import annotations

import html
import json
from importlib import resources
from types import FunctionType
from typing import Any

import numpy as np

from scratchlv import __version__, ops
from scratchlv.errors import UserError
from scratchlv.show.explain.pages import SUBJECTS, Subject
from scratchlv.show.explain.recording import Recording, Step, Variable, record
from scratchlv.show.explain.tape import NAMES, Tape

MOST_BYTES = 1_000_000
_H = 1e-5  # of a slope
_AGREE = 1e-6  # a gradient that backward names and a slope, of the largest


def explain(name: str, sizes: dict[str, int], seed: int = 0) -> str:
    """The page of one of :data:`SUBJECTS`, as HTML.

    Raises:
        UserError: there is no page of that name, or the sizes make none that can be read.
    """
    if name not in SUBJECTS:
        raise UserError(f"there is no page of {name!r}; there are {', '.join(SUBJECTS)}")
    subject = SUBJECTS[name]
    chosen = subject.sizes | sizes
    _check(name, subject, sizes)
    rng = np.random.default_rng(seed)
    inputs, dy = subject.make(lambda *shape: np.round(rng.standard_normal(shape), 2), chosen)
    found = recorded(subject, inputs, dy)
    said = " ".join(f"{size}={number}" for size, number in chosen.items())
    document = _document(subject, found, f"scratchlv explain {name}, {said}, seed {seed}")
    page = _fill(subject.title, document)
    if len(page.encode()) > MOST_BYTES:
        raise UserError(
            f"explain {name}: of {said} there would be a page of {len(page) >> 10} KiB; make a size smaller"
        )
    return page


def recorded(subject: Subject, inputs: dict[str, Any], dy: Any) -> Recording:
    """The reference of the subject, run on its inputs."""
    reference: Any = getattr(ops, subject.operation).variant("reference")
    helpers = [_function(*each.split(".")) for each in subject.helpers]
    return record(reference.forward, reference.backward, inputs, dy, [*subject.gradients], helpers)


def _function(room: str, name: str) -> FunctionType:
    """Of a room's reference."""
    return getattr(getattr(ops, room).variant("reference"), name)


def _check(name: str, subject: Subject, sizes: dict[str, int]) -> None:
    for size, number in sizes.items():
        if size not in subject.sizes:
            raise UserError(f"--{size}: the page of {name} has the sizes {', '.join(subject.sizes)}")
        if not 1 <= number <= subject.most[size]:
            raise UserError(
                f"--{size} {number}: a page of {name} can be read with {size} from 1 to {subject.most[size]}"
            )
    window, side = (sizes.get(each, subject.sizes.get(each, 0)) for each in "KS")
    if "S" in subject.sizes and window > side:
        raise UserError(
            f"--K {window}: the window is larger than the picture, {side} × {side}; make one of the two fit"
        )


def _document(subject: Subject, found: Recording, command: str) -> dict[str, Any]:
    known = analytic(found)
    return {
        "command": command,
        "version": __version__,
        "functions": [
            _lines(subject, each.text) | {"name": each.name, "ran": sorted(each.ran)} for each in found.functions
        ],
        "steps": [_step(each) for each in found.steps],
        "forward": found.n_forward,
        "tape": _tape(found.tape),
        "inputs": {name: {"shape": shape, "at": at} for name, (shape, at) in found.inputs.items()},
        "gradients": {name: {"shape": shape, "at": at} for name, (shape, at) in found.gradients.items()},
        "outputs": found.outputs,
        "dy": found.dy,
        "analytic": sorted(known.items()),
        "states": _states(found, known) if subject.over_time else [],
        "weight": subject.over_time,
    }


def _lines(subject: Subject, text: str) -> dict[str, Any]:
    lines = text.rstrip("\n").split("\n")
    return {"lines": lines, "equations": [equation(subject, line) for line in lines]}


def equation(subject: Subject, line: str) -> str:
    """What a line says; empty for one of which nothing is said."""
    bare = line.strip()
    found = [start for start in subject.equations if bare.startswith(start)]
    return subject.equations[max(found, key=len)] if found else ""


def _step(step: Step) -> list[Any]:
    return [step.function, step.line, step.t, step.reads, [[v.name, v.shape, v.places, v.written] for v in step.writes]]


def _tape(tape: Tape) -> dict[str, Any]:
    computed = [(k, operation, *tape.operands[k]) for k, operation in enumerate(tape.operations) if operation >= 0]
    given = [(k, tape.values[k]) for k, operation in enumerate(tape.operations) if operation < 0]
    return {"names": NAMES, "n": len(tape.values), "given": given, "computed": [x for each in computed for x in each]}


# --- which gradient is whose -----------------------------------------------------------------------------------------


def analytic(found: Recording) -> dict[int, int]:
    """For places of the forward pass, the place where backward has the gradient.

    The inputs' are known. For what is computed on the way it is the variable that is called d and its name, at the same time
    step, if that is what the slopes are.
    """
    known: dict[int, int] = {}
    for name, (_, gradients) in found.gradients.items():
        known.update(zip(found.inputs[name][1], gradients, strict=True))
    backward = [(step, variable) for step in found.steps[found.n_forward :] for variable in step.writes]
    for step in found.steps[: found.n_forward]:
        for variable in step.writes:
            written = [variable.places[k] for k in variable.written]
            if any(place in known for place in written):
                continue
            named = [v for other, v in backward if other.t == step.t and v.name.startswith(f"d{variable.name}")]
            known.update(_whose_slopes_these_are(found, written, [v for v in named if len(v.places) == len(written)]))
    return known


def _whose_slopes_these_are(found: Recording, written: list[int], named: list[Variable]) -> dict[int, int]:
    if not named:
        return {}
    exact = slopes(found, written)
    for gradient in named:
        values = np.array([found.tape.values[place] for place in gradient.places])
        if np.abs(exact - values).max() <= _AGREE * max(np.abs(exact).max(), 1e-3):
            return dict(zip(written, gradient.places, strict=True))
    return {}


def slopes(found: Recording, at: list[int]) -> np.ndarray:
    """Of L = Σ dy y with respect to the numbers at some places: central differences."""
    pairs = [*zip(found.outputs, found.dy, strict=False)]
    end = max(found.outputs) + 1

    def loss(shift: float) -> np.ndarray:
        values = found.tape.play(shifted=at, by=shift, end=end)
        return sum(values[y] * found.tape.values[dy] for y, dy in pairs)

    return (loss(_H) - loss(-_H)) / (2 * _H)


def _states(found: Recording, known: dict[int, int]) -> list[dict[str, Any]]:
    """The state after each step, and where backward has its gradient."""
    states = []
    for step in found.steps[: found.n_forward]:
        for variable in step.writes:
            written = [variable.places[k] for k in variable.written]
            if variable.name == "h" and step.t >= 0 and all(place in known for place in written):
                states.append({"t": step.t + 1, "gradient": [known[place] for place in written]})
    return states


# --- HTML ------------------------------------------------------------------------------------------------------------


def _fill(title: str, document: dict[str, Any]) -> str:
    parts = {name: _read(name) for name in ("page.html", "page.css", "page.js")}
    data = json.dumps(document, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    filled = parts["page.html"].replace("{{title}}", html.escape(title)).replace("{{style}}", parts["page.css"])
    return filled.replace("{{data}}", data).replace("{{script}}", parts["page.js"])


def _read(name: str) -> str:
    return resources.files("scratchlv.show.explain").joinpath(name).read_text("utf-8")

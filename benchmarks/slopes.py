"""How exact are numerical slopes? Of a tanh RNN's loss, by step, in float64 and float32, against the gradient by hand.

    python benchmarks/slopes.py

Prints a table for docs/gradcheck.md: the largest error of a slope, as a share of the gradient's largest element.
"""

from __future__ import annotations

import numpy as np

from scratchlv import ops

T, N, D, H = 5, 3, 4, 6
STEPS = [10.0**-k for k in range(1, 13)]


def inputs(dtype: type) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {"x": (T, N, D), "h0": (N, H), "Wx": (D, H), "Wh": (H, H), "b": (H,)}
    return {name: (0.5 * rng.standard_normal(shape)).astype(dtype) for name, shape in shapes.items()}


def loss(values: dict[str, np.ndarray], dy: np.ndarray) -> np.number:
    """Σ dy·y, in the precision of the inputs."""
    h, total = values["h0"], 0
    for x, dh in zip(values["x"], dy, strict=True):
        h = np.tanh(x @ values["Wx"] + h @ values["Wh"] + values["b"])
        total = total + (dh * h).sum()
    return total


def slopes(step: float, how: str, dtype: type, dy: np.ndarray) -> np.ndarray:
    """The slope along every element of Wh."""
    values, found = inputs(dtype), np.zeros((H, H))
    for place in np.ndindex(H, H):

        def at(move: complex, place: tuple[int, ...] = place) -> np.number:
            moved = values["Wh"].astype(complex) if isinstance(move, complex) else values["Wh"].copy()
            moved[place] += move
            return loss({**values, "Wh": moved}, dy)

        if how == "complex":
            found[place] = at(1j * step).imag / step
        elif how == "forward":
            found[place] = (at(step) - at(0.0)) / step
        elif how == "Richardson":
            wide, narrow = ((at(h) - at(-h)) / (2 * h) for h in (step, step / 8))
            found[place] = (64 * narrow - wide) / 63
        else:
            found[place] = (at(step) - at(-step)) / (2 * step)
    return found


def main() -> None:
    exact = inputs(np.float64)
    reference = ops.rnn.variant("reference")
    y, cache = reference.forward(**exact)
    dy = np.random.default_rng(1).standard_normal(y.shape)
    dWh = reference.backward(dy, cache)[3]
    columns = [
        ("float32, central", "central", np.float32),
        ("float64, forward", "forward", np.float64),
        ("float64, central", "central", np.float64),
        ("float64, Richardson", "Richardson", np.float64),
        ("float64, complex", "complex", np.float64),
    ]
    print("| step | " + " | ".join(title for title, *_ in columns) + " |")
    print("|---|" + "---|" * len(columns))
    for step in STEPS:
        errors = [
            np.abs(slopes(step, how, dtype, dy.astype(dtype)) - dWh).max() / np.abs(dWh).max()
            for _, how, dtype in columns
        ]
        print(f"| {step:.0e} | " + " | ".join(f"{error:.0e}" for error in errors) + " |")


if __name__ == "__main__":
    main()

"""How weights begin. All draw float32 numbers from a NumPy generator."""

import numpy as np


def uniform(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """(in, out) weights, uniform in ±1/sqrt(in): sums of ``in`` terms keep the size of their terms (LeCun et al. 1998)."""
    bound = shape[0] ** -0.5
    return rng.uniform(-bound, bound, shape).astype(np.float32)


def normal(rng: np.random.Generator, *shape: int, scale: float) -> np.ndarray:
    """Normal with standard deviation ``scale``."""
    return (scale * rng.standard_normal(shape)).astype(np.float32)


def he(rng: np.random.Generator, kh: int, kw: int, c_in: int, c_out: int) -> np.ndarray:
    """Conv weights in front of a ReLU, which halves the variance (He et al. 2015)."""
    return normal(rng, kh, kw, c_in, c_out, scale=(2 / (kh * kw * c_in)) ** 0.5)


def lstm_bias(hidden: int) -> np.ndarray:
    """Zeros, and ones for the forget gate: at first the cell remembers (Gers et al. 2000, Jozefowicz et al. 2015)."""
    b = np.zeros(4 * hidden, np.float32)
    b[hidden : 2 * hidden] = 1
    return b

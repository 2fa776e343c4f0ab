"""How scheduled sampling comes in over a training (Bengio et al. 2015, section 2.4): the probability of the model's own word.

    linear            p i / n                                at step i of n
    inverse-sigmoid   p (1 - k / (k + e^{i/k}))              k ln k = n / 2: half of p is reached at half of the training
    constant          p

At first the model knows nothing, and its own words would teach it nothing; at last it shall meet what it will meet in use.
"""

from __future__ import annotations

import math

SCHEDULES = ("linear", "inverse-sigmoid", "constant")


def own_word_probability(step: int, steps: int, most: float, schedule: str) -> float:
    """The probability at ``step``, from 0, of ``steps``; ``most`` is p."""
    if schedule == "linear":
        return most * min(1.0, step / steps)
    if schedule == "inverse-sigmoid":
        log_k = _log_k(steps / 2)
        return most / (1 + math.exp(log_k * (1 - 2 * step / steps)))  # 1 - k / (k + e^{i/k}), and i/k = 2 i/n ln k
    return most


def _log_k(half: float) -> float:
    """ln k of k ln k = ``half``, by Newton's steps on x e^x."""
    x = math.log1p(half)
    for _ in range(50):
        x -= (x - half * math.exp(-x)) / (1 + x)
    return x

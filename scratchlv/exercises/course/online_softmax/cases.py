import math

import numpy as np

from scratchlv.exercises import call


def truth(x):
    m = x.max()
    return float(m), float(np.exp(x - m).sum()) if m > -math.inf else 0.0


def wrong(x, change):
    """The running maximum and sum, with ``change(s, old, new)`` for the sum when a larger score comes."""
    m, s = -math.inf, 0.0
    for score in x.tolist():
        if score > m:
            s, m = float(change(s, m, score)), score
        elif score > -math.inf:
            s += float(np.exp(score - m))
    return m, s


def max_and_sum(case, x):
    m, _ = truth(x)
    with np.errstate(all="ignore"):
        kept = wrong(x, lambda s, old, new: s + 1)
        anew = wrong(x, lambda s, old, new: 1.0)
        without_own = wrong(x, lambda s, old, new: s * np.exp(old - new))
        upside_down = wrong(x, lambda s, old, new: (s * np.exp(new - old) if s else 0) + 1)
        unscaled = float(np.exp(x).sum())
    known = {
        "the sum so far keeps the old maximum: it is not rescaled when a larger score comes": kept,
        "the sum begins anew when a larger score comes: what was added before is lost": anew,
        "when a larger score comes the sum is rescaled, but the score's own exp(0) = 1 is missing": without_own,
        "the factor is upside down: exp(m_new − m_old)": upside_down,
        "no maximum is taken off: s is Σ exp(x)": (m, unscaled),
    }
    if x[0] == -math.inf:
        known["NaN, from −∞ − (−∞): there is no maximum yet, and a score of −∞ comes"] = (m, math.nan)
    return call("max_and_sum", case=case, expect=truth(x), known=known, x=x)


def merge(case, one, two):
    (m1, s1), (m2, s2) = truth(one), truth(two)
    m, s = truth(np.concatenate([one, two]))
    known = {}
    if m == -math.inf:
        known["NaN, from −∞ − (−∞): both pieces hold nothing but −∞"] = (m, math.nan)
    if math.isfinite(m1) and math.isfinite(m2):
        smaller = min(m1, m2)
        known["the sums are brought to the smaller maximum, not to the larger"] = (
            smaller,
            float(s1 * np.exp(min(m1 - smaller, 700)) + s2 * np.exp(min(m2 - smaller, 700))),
        )
        if m2 > m1:
            known["the two sums are added as they are, though each has a maximum of its own"] = (m, s1 + s2)
        known["the second sum is not rescaled: the second maximum may be the smaller one"] = (
            m,
            float(s1 * np.exp(m1 - m) + s2),
        )
    return call("merge", case=case, expect=(m, s), known=known, m1=m1, s1=s1, m2=m2, s2=s2)


def cases(rng, N, D):
    low = np.array([-math.inf, -math.inf, 0.5, 2.0, -math.inf, 1.0])
    yield max_and_sum("2, 4 and 8, as logarithms", np.log(np.array([2.0, 4.0, 8.0])))
    yield max_and_sum("scores that fall", np.array([3.0, 1.0, 0.0, -2.0]))
    yield max_and_sum("scores in any order", rng.standard_normal(D))
    yield max_and_sum("scores of a thousand", 1000 * rng.standard_normal(D))
    yield max_and_sum("the largest score comes twice", np.array([1.0, 3.0, 2.0, 3.0]))
    yield max_and_sum("the first scores are −∞", low)
    yield max_and_sum("all scores are −∞", low[:2])
    yield max_and_sum("one score", np.array([-7.0]))
    yield merge("the second piece has the larger maximum", np.log(np.array([1.0, 2.0])), np.log(np.array([4.0])))
    yield merge("the first piece has the larger maximum", rng.standard_normal(D) + 2, rng.standard_normal(D) - 2)
    yield merge("maxima that lie a thousand apart", np.array([-500.0, -501.0]), np.array([500.0, 499.0]))
    yield merge("the first piece is all −∞", low[:2], low)
    yield merge("the second piece is all −∞", low, low[:2])
    yield merge("both are all −∞", low[:2], low[:1])
    x = rng.standard_normal((N, D))
    e = np.exp(x - x.max(1, keepdims=True))
    yield call("softmax", expect=e / e.sum(1, keepdims=True), x=x)


def grade(learner, rng, N, D):
    """That each score is read once."""
    x = np.concatenate([rng.standard_normal(D), np.sort(rng.standard_normal(D))])
    reads = learner.call("reads", x)
    if (reads != 1).any():
        j = int(np.argmax(reads != 1))
        learner.refuse(
            "the numbers are right, but max_and_sum reads scores more than once",
            stage="reads",
            expected="each score is read once",
            came=f"x[{j}] is read {reads[j]} times",
        )

import numpy as np
import pytest

from scratchlv.gradcheck.evidence import Evidence
from scratchlv.gradcheck.repair.residual import missing_terms


def normal(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).standard_normal(shape)


def two_paths(missing):
    """y = tanh(x W1) W2 + x W3, without one path in backward."""

    def backward(dy, cache):
        x, h, W1, W2, W3 = cache
        dz = dy @ W2.T * (1 - h**2)
        dx = dz @ W1.T if missing == "dx" else dz @ W1.T + dy @ W3.T
        dW1 = x.T @ dz if missing != "dW1" else 2 * x.T @ dz
        dW3 = np.zeros_like(W3) if missing == "dW3" else x.T @ dy
        return dx, dW1, h.T @ dy, dW3

    inputs = {"x": normal(5, 3), "W1": normal(3, 4), "W2": normal(4, 2), "W3": normal(3, 2)}
    h = np.tanh(inputs["x"] @ inputs["W1"])
    return evidence_of(
        backward, two_paths_right, inputs, (inputs["x"], h, *list(inputs.values())[1:]), normal(5, 2, seed=1)
    )


def two_paths_right(dy, cache):
    x, h, W1, W2, W3 = cache
    dz = dy @ W2.T * (1 - h**2)
    return dz @ W1.T + dy @ W3.T, x.T @ dz, h.T @ dy, x.T @ dy


def evidence_of(backward, right, inputs, cache, dy):
    analytic = dict(zip(inputs, backward(dy, cache), strict=True))
    numeric = dict(zip(inputs, right(dy, cache), strict=True))
    wrong = [name for name in inputs if not np.allclose(analytic[name], numeric[name])]
    evidence = Evidence(inputs, analytic, numeric, wrong, dy=dy, cache=cache)
    evidence.backward = lambda dy: dict(zip(inputs, backward(dy, cache), strict=True))
    return evidence, backward


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("dx", "what is missing from dx is `dy @ W3.T`: consistent with a path that is missing"),
        ("dW3", "what is missing from dW3 is `x.T @ dy`: consistent with a path that is missing"),
        ("dW1", "what dW1 has too much is `x.T @ dz`: consistent with a term that does not belong there"),
    ],
)
def test_a_missing_path_is_named(missing, sentence):
    assert missing_terms(*two_paths(missing)) == [sentence]


def test_unknown_slopes_are_left_out():
    evidence, backward = two_paths("dx")
    evidence.numeric["x"][::2, 1] = np.nan
    assert missing_terms(evidence, backward) == [
        "what is missing from dx is `dy @ W3.T`: consistent with a path that is missing"
    ]


def test_what_is_summed_over_time_is_named():
    def right(dy, cache):
        x, W = cache
        dx, dW, db = np.zeros_like(x), np.zeros_like(W), np.zeros(4)
        for t in range(len(x)):
            da = dy[t] * 2
            dx[t] = da @ W.T
            dW += x[t].T @ da
            db += da.sum(0)
        return dx, dW, db

    def backward(dy, cache):
        x, W = cache
        dx, dW, db = np.zeros_like(x), np.zeros_like(W), np.zeros(4)
        for t in range(len(x)):
            da = dy[t] * 2
            dx[t] = da @ W.T
        return dx, dW, db

    inputs = {"x": normal(3, 2, 5), "W": normal(5, 4), "b": normal(4)}
    evidence, backward = evidence_of(backward, right, inputs, (inputs["x"], inputs["W"]), normal(3, 2, 4, seed=1))
    said = missing_terms(evidence, backward)
    assert said == [
        "what is missing from db is `da.sum(0)` summed over the steps: consistent with a path that is missing"
    ] or (len(said) == 2 and any("dW is `x[t].T @ da` summed over the steps" in each for each in said))


def test_exchanged_gradients_are_named():
    def right(dy, cache):
        return dy * cache[1], dy * cache[0]

    inputs = {"a": normal(3, 4), "b": normal(3, 4, seed=2)}
    cache = (inputs["a"], inputs["b"])
    evidence, backward = evidence_of(lambda dy, c: right(dy, c)[::-1], right, inputs, cache, normal(3, 4, seed=1))
    assert missing_terms(evidence, backward) == [
        "da is what db should be, and db is what da should be: consistent with gradients that are returned in the wrong order"
    ]
    evidence, backward = evidence_of(lambda dy, c: right(dy, c)[:1] * 2, right, inputs, cache, normal(3, 4, seed=1))
    assert missing_terms(evidence, backward) == ["db is what da should be: consistent with the gradient of da"]


def test_few_numbers_fit_by_chance():
    """Three numbers, of which two are the same, are not enough to guess by."""
    inputs = {"x": normal(3)}
    evidence, backward = evidence_of(
        lambda dy, c: (dy * 0,), lambda dy, c: (dy,), inputs, None, np.array([1.0, 2.0, 2.0])
    )
    assert missing_terms(evidence, backward) == []


def test_nothing_is_guessed_where_nothing_fits():
    evidence, backward = two_paths("dx")
    evidence.numeric["x"] = evidence.numeric["x"] * (1 + 1e-4 * normal(5, 3, seed=3))
    assert missing_terms(evidence, backward) == []


def test_a_backward_that_hangs_takes_its_time_and_no_more():
    evidence, _ = two_paths("dx")

    def backward(dy, cache):
        while True:
            pass

    evidence.backward = lambda dy: backward(dy, None)
    assert missing_terms(evidence, backward, seconds=0.5) == []

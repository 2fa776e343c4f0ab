"""The pointer-generator's loss: its equation, its gradients, and words that only the source has."""

import numpy as np
import pytest

import scratchlv
from scratchlv.gradcheck import check
from scratchlv.models import copying

T, N, L, V = 4, 3, 5, 7


def inputs(rng):
    alphas = rng.random((T, N, L)) + 0.1
    return {
        "logits": rng.standard_normal((T, N, V)),
        "gate": rng.standard_normal((T, N)),
        "alphas": alphas / alphas.sum(axis=2, keepdims=True),
    }


def problem(rng):
    """A source with words that the vocabulary lacks, a repeated one, and an end; targets known, copied, and both."""
    source = np.array([[4, V, 5, 4, -1], [V, V + 1, V, 6, 5], [6, 6, 6, 4, 5]])
    targets = np.array([[4, V + 1, 6], [V, 6, 3], [3, V, 4], [2, 2, 2]])
    counts = np.array([[True] * 3, [True] * 3, [True, True, False], [True, False, False]])
    return source, targets, counts


def probability(logits, gate, alphas, source, extended):
    """P (T, N, extended), by its definition."""
    p = np.exp(logits - logits.max(axis=2, keepdims=True))
    p /= p.sum(axis=2, keepdims=True)
    g = 1 / (1 + np.exp(-gate))
    P = np.zeros((T, N, extended))
    P[:, :, :V] = g[:, :, None] * p
    for n in range(N):
        for place in range(L):
            if source[n, place] >= 0:
                P[:, n, source[n, place]] += (1 - g[:, n]) * alphas[:, n, place]
    return P


def test_it_is_the_mean_of_log_p_over_the_words_that_count():
    rng = np.random.default_rng(0)
    given, (source, targets, counts) = inputs(rng), problem(rng)
    P = probability(**given, source=source, extended=V + 2)
    wanted = -np.mean([np.log(P[t, n, targets[t, n]]) for t, n in np.argwhere(counts)])
    with scratchlv.use("reference"):
        loss, _ = copying.forward(**given, source=source, targets=targets, counts=counts)
    assert loss == pytest.approx(wanted, rel=1e-12)


def test_its_gradients():
    rng = np.random.default_rng(1)
    source, targets, counts = problem(rng)

    def forward(logits, gate, alphas):
        return copying.forward(logits.copy(), gate, alphas, source, targets, counts)

    def backward(dloss, cache):
        return tuple(dloss * grad for grad in copying.backward(cache))

    with scratchlv.use("reference"):
        report = check(forward, backward, inputs(rng))
    assert report.ok, str(report)


def test_gradients_of_coverage():
    rng = np.random.default_rng(2)
    _, _, counts = problem(rng)

    def forward(alphas):
        return copying.coverage_loss(alphas, counts, 1.7)

    def backward(dloss, cache):
        return (dloss * copying.coverage_loss_backward(cache),)

    report = check(forward, backward, {"alphas": inputs(rng)["alphas"]})
    assert report.ok, str(report)


def test_attention_that_never_looks_twice_at_a_place_has_no_coverage_loss():
    looks = np.zeros((3, 1, 4))
    looks[0, 0, 1] = looks[1, 0, 2] = looks[2, 0, 0] = 1
    everywhere = np.ones((3, 1), bool)
    assert copying.coverage_loss(looks, everywhere, 1.0)[0] == 0
    looks[2, 0] = looks[0, 0]
    assert copying.coverage_loss(looks, everywhere, 1.0)[0] == pytest.approx(1 / 3)


def test_a_word_that_can_be_neither_said_nor_copied_costs_much_and_breaks_nothing():
    rng = np.random.default_rng(3)
    given, (source, targets, counts) = inputs(rng), problem(rng)
    targets[0, 0] = V + 5  # no such word
    given = {name: value.astype(np.float32) for name, value in given.items()}
    loss, cache = copying.forward(**given, source=source, targets=targets, counts=counts)
    assert np.isfinite(loss)
    assert all(np.isfinite(grad).all() for grad in copying.backward(cache))


@pytest.mark.parametrize("extreme", [-1e4, 1e4])
def test_a_gate_that_is_shut_or_open_is_stable(extreme):
    rng = np.random.default_rng(4)
    given, (source, targets, counts) = inputs(rng), problem(rng)
    given = {name: value.astype(np.float32) for name, value in given.items()}
    given["gate"][...] = extreme
    loss, cache = copying.forward(**given, source=source, targets=targets, counts=counts)
    assert np.isfinite(loss)
    assert loss.dtype == np.float32
    for grad in copying.backward(cache):
        assert np.isfinite(grad).all()
        assert grad.dtype == np.float32

"""Hard attention: its estimate of the gradient, averaged over every way to look, is the gradient of what is to be learned."""

import copy
import itertools
from types import SimpleNamespace

import numpy as np
import pytest

import scratchlv
from scratchlv.batches import CaptionBatch
from scratchlv.gradcheck import check_model
from scratchlv.kernels.attention_lstm import numba_cpu, reference
from scratchlv.models import decoder, hard_attention
from scratchlv.models.captioner import Captioner, CaptionerConfig
from scratchlv.models.decoder import BASELINE
from scratchlv.models.hard_attention import HardAttention

from ..slow import one_of
from .helpers import in_float64, sentences

V, L = 6, 2
LENGTHS = np.array([3, 1])


def captioner(hard=None, **more) -> Captioner:
    widths = {"embedding": 3, "hidden": 4, "attention": 3, "feature_channels": 2}
    hard = HardAttention(drawn=1.0, entropy=0.3) if hard is None else hard
    return Captioner(CaptionerConfig(vocabulary=V, model="hard-attention", hard=hard, **widths, **more), seed=1)


def batch(lengths=LENGTHS, **more) -> CaptionBatch:
    rng = np.random.default_rng(0)
    pictures = 2 * rng.standard_normal((len(lengths), 1, L, 2))
    return CaptionBatch(pictures, sentences(rng, V, lengths), lengths, dropout_seed=5, **more)


# --- against exact enumeration ---------------------------------------------------------------------------------------


class Paths:
    """Every way in which the sentences of a batch may be looked at; ``looks[n]`` is False for one that sees the expectation."""

    def __init__(self, monkeypatch, model, data, looks, baseline=1.7):
        self.model, self.data, self.baseline = model, data, baseline
        self.path = self.alphas = None
        T = len(data.tokens) - 1
        free = [(t, n) for n, drawn in enumerate(looks) if drawn for t in range(T) if t < data.lengths[n]]
        self.paths = []
        for regions in itertools.product(range(L), repeat=len(free)):
            path = np.where(looks, 0, -1) * np.ones((T, 1), int)
            for place, region in zip(free, regions, strict=True):
                path[place] = region
            self.paths.append(path)
        self.free = free
        monkeypatch.setattr(hard_attention, "draw", lambda how, seed, T, N, window: self.path)
        one_hot = np.eye(L)
        monkeypatch.setattr(reference, "pick", lambda alpha, l: np.where(l[:, None] >= 0, one_hot[l], alpha))
        forward = hard_attention.forward

        def recorded(how, run, *rest):
            self.alphas = run.alpha
            return forward(how, run, *rest)

        monkeypatch.setattr(hard_attention, "forward", recorded)

    def look(self, path):
        """The loss, the probability of looking so, and the cache; the baseline is always the same."""
        self.path = path
        self.model.buffers[BASELINE] = np.array([self.baseline])
        loss, cache = self.model.forward(self.data)
        p = np.prod([self.alphas[t, n, path[t, n]] for t, n in self.free])
        return float(loss), p, cache

    def objective(self, params):
        """Σ_s p(s) L(s), summed over all of them."""
        self.model.params = params
        found = [self.look(path)[:2] for path in self.paths]
        assert sum(p for _, p in found) == pytest.approx(1, rel=1e-12)
        return sum(loss * p for loss, p in found)

    def estimate(self, params):
        """Σ_s p(s) g(s), g being what ``backward`` gives."""
        self.model.params, total, expected = params, 0.0, {}
        for path in self.paths:
            loss, p, cache = self.look(path)
            total += p * loss
            for name, g in self.model.backward(cache).items():
                expected[name] = expected.get(name, 0) + p * g
        return total, expected

    def error_of_v(self, step=1e-5):
        """How far the estimate of ``dv`` is from central differences, as a share of it: all in a few seconds."""
        params = self.model.params

        def objective(change):
            return self.objective(params | {"attention.v": params["attention.v"] + change})

        with scratchlv.use("reference"):
            dv = self.estimate(params)[1]["attention.v"]
            slopes = [(objective(step * e) - objective(-step * e)) / (2 * step) for e in np.eye(len(dv))]
        return np.abs(dv - slopes).max() / np.abs(slopes).max()

    def report(self):
        with scratchlv.use("reference"):
            return check_model(self.model.params, self.estimate, loss=self.objective, seed=1)


@pytest.mark.parametrize(
    ("looks", "more"),
    one_of(
        2,
        [
            ([True, True], {}),
            ([True, False], {"gate": True, "init_state": "mean"}),
            ([False, True], {"dropout": 0.4, "label_smoothing": 0.1}),
            ([True, False], {"query": "current"}),
        ],
    ),
    ids=["all drawn", "one drawn, with gate and first state", "the other, with dropout and smoothing", "current query"],
)
def test_the_expected_estimate_is_the_gradient_of_the_bound(looks, more, monkeypatch):
    """All L^T paths, weighted by their probabilities: what is left is rounding, and nothing of Monte Carlo."""
    report = Paths(monkeypatch, in_float64(captioner(**more), 2), batch(), looks).report()
    assert report.ok, str(report)


def test_the_expected_estimate_with_rewards_of_sentences(monkeypatch):
    """As in self-critical training: then the regions are to blame for the weighted losses."""
    data = batch(word_weights=np.array([-0.7, 1.6]))
    assert Paths(monkeypatch, in_float64(captioner(), 2), data, [True, True]).error_of_v() < 1e-7


@pytest.mark.parametrize("bug", ["none", "not its own word", "the entropy to come", "the scale", "a half of λ_r"])
def test_an_estimate_that_is_biased_is_found(bug, monkeypatch):
    """The checks above can fail."""
    how = HardAttention(drawn=1.0, entropy=0.3, reinforce=0.5 if bug == "a half of λ_r" else 1.0)
    paths = Paths(monkeypatch, in_float64(captioner(how), 2), batch(), [True, True])
    right = hard_attention.forward

    def biased(how, run, draws, losses, counts, baseline, share):
        b, alphas = baseline.copy(), run.alpha
        loss, dalphas = right(how, run, draws, losses, counts, baseline, share)
        if bug == "the scale":
            dalphas = 1.01 * dalphas
        drawn = (run.looked / alphas) * counts[:, :, None] / counts.sum()
        if bug == "not its own word":
            dalphas = dalphas - drawn * (losses - b)[:, :, None]
        if bug == "the entropy to come":
            entropies = -(alphas * np.log(alphas)).sum(axis=2) * counts
            to_come = np.cumsum(entropies[::-1], axis=0)[::-1] - entropies
            dalphas = dalphas + 0.3 * drawn * to_come[:, :, None]
        return loss, dalphas

    monkeypatch.setattr(hard_attention, "forward", biased)
    assert paths.error_of_v() < 1e-7 if bug == "none" else paths.error_of_v() > 5e-3


def test_any_baseline_gives_the_same_expectation(monkeypatch):
    model, found = in_float64(captioner(), 2), []
    for b in (0.0, 40.0):
        paths = Paths(monkeypatch, model, batch(), [True, True], baseline=b)
        with scratchlv.use("reference"):
            found.append(paths.estimate(model.params)[1])
    for name, g in found[0].items():
        np.testing.assert_allclose(found[1][name], g, atol=40e-13, err_msg=name)


# --- what is drawn ---------------------------------------------------------------------------------------------------


def test_draws_are_a_function_of_the_seed_and_the_place():
    how = HardAttention()
    draws = hard_attention.draw(how, 7, 5, 100)
    np.testing.assert_array_equal(draws, hard_attention.draw(how, 7, 5, 100))
    np.testing.assert_array_equal(
        draws, hard_attention.draw(how, 7, 9, 100)[:5]
    )  # a longer sentence stands beside them
    assert (draws != hard_attention.draw(how, 8, 5, 100)).any()
    columns = (draws >= 0).mean(axis=0)
    assert set(columns) == {0.0, 1.0}  # of a sentence all regions are drawn, or none
    assert 0.3 < columns.mean() < 0.7
    assert (hard_attention.draw(HardAttention(drawn=1.0), 7, 5, 100) >= 0).all()
    assert (hard_attention.draw(HardAttention(drawn=0.0), 7, 5, 100) == -1).all()


@pytest.mark.parametrize("which", ["reference", "numba_cpu"])
def test_a_region_is_drawn_as_often_as_its_weight_says(which):
    """Of a thousand draws side by side from 0 to the last, which is exact but for the two at each edge."""
    alpha = np.float32([0.2, 0.0, 0.45, 0.3, 0.05, 0.0])
    draws = np.linspace(0, reference.DRAWS - 1, 1000).astype(np.int64)
    looked = np.empty((1000, 6), np.float32)
    if which == "reference":
        looked = reference.pick(np.tile(alpha, (1000, 1)), draws)
    else:
        for draw, row in zip(draws, looked, strict=True):
            numba_cpu.pick(alpha, draw, row)
    assert ((looked == 0) | (looked == 1)).all()
    assert (looked.sum(axis=1) == 1).all()
    np.testing.assert_allclose(looked.mean(axis=0), alpha, atol=2e-3)
    assert not looked[:, alpha == 0].any()


@pytest.mark.parametrize("which", ["reference", "numba_cpu"])
def test_nothing_is_drawn_of_nothing_and_nan_stays_nan(which):
    alphas = np.float32([[0, 0, 0], [0.5, np.nan, 0.5], [0.5, 0.25, 0.25]])
    draws = np.array([5, 5, -1])
    if which == "reference":
        looked = reference.pick(alphas, draws)
    else:
        looked = np.empty_like(alphas)
        for alpha, draw, row in zip(alphas, draws, looked, strict=True):
            numba_cpu.pick(alpha, draw, row)
    assert not looked[0].any()
    assert np.isnan(looked[1]).any()
    np.testing.assert_array_equal(looked[2], alphas[2])


# --- in training, and in use -----------------------------------------------------------------------------------------


def test_the_baseline_is_a_moving_average_of_the_loss_of_a_word_that_was_drawn():
    model = captioner(HardAttention(drawn=1.0, entropy=0.0))
    assert model.buffers[BASELINE] == pytest.approx(np.log(V))
    loss, _ = model.forward(batch())
    assert model.buffers[BASELINE] == pytest.approx(0.9 * np.log(V) + 0.1 * loss, rel=1e-6)
    moved = model.buffers[BASELINE].copy()
    model.forward(batch(), train=False)
    captioner_that_never_draws = captioner(HardAttention(drawn=0.0))
    captioner_that_never_draws.forward(batch())
    assert model.buffers[BASELINE] == moved
    assert captioner_that_never_draws.buffers[BASELINE] == pytest.approx(np.log(V))


def test_the_baseline_of_a_step_is_that_of_the_step_before():
    """One that had seen the sample would depend on it, and the estimate would be biased."""
    found = []
    for b in (np.log(V), 0.0):
        model = captioner()
        model.buffers[BASELINE][...] = b
        _, cache = model.forward(batch())
        model.buffers[BASELINE][...] = 0.5  # whatever it becomes later
        found.append(model.backward(cache)["attention.v"])
    how, draws = HardAttention(drawn=1.0, entropy=0.0), np.zeros((1, 1), int)
    run = SimpleNamespace(alpha=np.array([[[0.25, 0.75]]]), looked=np.array([[[1.0, 0]]]))
    _, cache = hard_attention.forward(how, run, draws, np.array([[3.0]]), draws == 0, np.array([1.0]))
    np.testing.assert_allclose(hard_attention.backward(cache), [[[(3 - 1) / 0.25, 0]]])
    assert np.abs(found[0] - found[1]).max() > 1e-4


def test_without_draws_it_is_the_captioner_with_soft_attention():
    hard = captioner(HardAttention(drawn=0.0, entropy=0.0))
    soft = Captioner(CaptionerConfig(**{**vars(hard.config), "model": "attention"}), seed=1)
    (loss, cache), (soft_loss, soft_cache) = (m.forward(batch()) for m in (hard, soft))
    assert loss == pytest.approx(soft_loss, rel=1e-6)
    soft_grads = soft.backward(soft_cache)
    for name, g in hard.backward(cache).items():
        np.testing.assert_allclose(g, soft_grads[name], atol=1e-7, err_msg=name)


def test_what_is_said_and_validated_is_the_expectation():
    hard = captioner()
    soft = Captioner(CaptionerConfig(**{**vars(hard.config), "model": "attention"}), seed=1)
    assert hard.forward(batch())[0] != soft.forward(batch())[0]
    assert hard.forward(batch(), train=False)[0] == soft.forward(batch(), train=False)[0]
    (said, _), (soft_said, _) = (m.step(m.start(batch().pictures), batch().tokens[0]) for m in (hard, soft))
    np.testing.assert_array_equal(said, soft_said)


def test_the_same_step_has_the_same_bits():
    model = captioner(dropout=0.3)
    again = copy.deepcopy(model)
    (loss, cache), (same, same_cache) = model.forward(batch()), again.forward(batch())
    assert loss.tobytes() == same.tobytes()
    same_grads = again.backward(same_cache)
    for name, g in model.backward(cache).items():
        assert g.tobytes() == same_grads[name].tobytes()
    assert decoder.BASELINE in model.buffers

"""Self-critical training: its estimate against the true gradient by all captions there are, and what draws and rewards them."""

import itertools

import numpy as np
import pytest

from scratchlv import decode
from scratchlv.decode import Generated
from scratchlv.models.captioner import Captioner, CaptionerConfig
from scratchlv.models.hard_attention import HardAttention
from scratchlv.tasks import self_critical
from scratchlv.tasks.self_critical import PictureBatch, SelfCritical, mean_of_others, weighted
from scratchlv.tokens import END, START

from ..slow import one_of

MODELS = ("attention", "hard-attention", "naive", "shortcut", "uniform")
V, LONGEST = 5, 2  # the four symbols and a word: 1 + 4 · 5 captions
CAPTIONS = [[END], *([first, second] for first in range(V) if first != END for second in range(V))]
TWO = np.random.default_rng(0).standard_normal((2, 2, 2, 3))  # pictures, of four regions


def captioner(model="attention", **more):
    """In float64, untrained, on features."""
    widths = {"vocabulary": V, "embedding": 3, "hidden": 4, "attention": 3, "feature_channels": 3} | more
    widths["hard"] = HardAttention(drawn=0.0, entropy=0.0)
    made = Captioner(CaptionerConfig(model=model, **widths), seed=1)
    rng = np.random.default_rng(2)
    for name, array in made.params.items():
        made.params[name] = array.astype(np.float64) + 0.3 * rng.standard_normal(array.shape)
    for name, array in made.buffers.items():
        made.buffers[name] = array.astype(np.float64)
    return made


def said(tokens):
    return Generated(np.array(tokens), np.ones(len(tokens)), None, 0.0)


def worth(captions, pictures):
    """A reward that depends on all of a caption, and on the picture."""
    sums = (sum((i + 2) * t for i, t in enumerate(c.tokens)) for c in captions)
    return np.array([(7 * n + 3 * p) % 11 for n, p in zip(sums, pictures, strict=True)])


def probabilities(model, pictures):
    """p(w) of all captions, of each picture, with the batch as training sees it: (captions, pictures)."""
    found = np.zeros((len(CAPTIONS), len(pictures)))
    for k, caption in enumerate(CAPTIONS):
        state, before = model.start(pictures, train=True), np.full(len(pictures), START)
        for token in caption:
            log_p, state = model.step(state, before)
            found[k] += log_p[:, token]
            before = np.full(len(pictures), token)
    return np.exp(found)


def expected_reward(model, pictures):
    """The mean over the pictures of Σ_w p(w) r(w)."""
    r = np.array([worth([said(c)] * len(pictures), range(len(pictures))) for c in CAPTIONS])
    return (probabilities(model, pictures) * r).sum(axis=0).mean()


def estimate(model, monkeypatch, pictures, drawn, greedy=()):
    """What the gradient is taken for when just these captions are drawn."""
    monkeypatch.setattr(
        self_critical, "explore", lambda *_, **__: ([said(c) for c in greedy], [said(c) for c in drawn])
    )
    learner = SelfCritical(model, worth, samples=len(drawn) // len(pictures), longest=LONGEST)
    _, cache = learner.forward(PictureBatch(pictures, np.arange(len(pictures)), (0,)))
    return learner.backward(cache)


def on_average(model, monkeypatch, pictures, greedy=()):
    """The estimate for each pair of captions, times its probability: no chance is left. A pair is of two pictures, or of one."""
    p = probabilities(model, pictures)
    np.testing.assert_allclose(p.sum(axis=0), 1, rtol=1e-12)
    total = dict.fromkeys(model.params, 0.0)
    for one, other in itertools.product(range(len(CAPTIONS)), repeat=2):
        grads = estimate(model, monkeypatch, pictures, [CAPTIONS[one], CAPTIONS[other]], greedy)
        for name in total:
            total[name] = total[name] + p[one, 0] * p[other, -1] * grads[name]
    return total


def assert_is_the_gradient(model, pictures, grads):
    """Of minus the expected reward: beside its slope along a random direction of each parameter, in float64."""
    rng, eps, slopes = np.random.default_rng(5), 1e-5, []
    for name, array in model.params.items():
        direction, there = rng.standard_normal(array.shape), []
        for sign in (1, -1):
            model.params[name] = array + sign * eps * direction
            there.append(expected_reward(model, pictures))
        model.params[name] = array
        slopes.append((there[0] - there[1]) / (2 * eps))
        # the difference errs by rounding, 1e-16 · 10 / eps, and by eps² times a third derivative
        assert -(grads[name] * direction).sum() == pytest.approx(slopes[-1], rel=1e-6, abs=1e-8), name
    assert max(map(abs, slopes)) > 0.1


@pytest.mark.parametrize(("model",), one_of(2, zip(MODELS)))
def test_on_average_it_is_the_gradient_of_the_expected_reward(monkeypatch, model):
    made = captioner(model)
    grads = on_average(made, monkeypatch, TWO, greedy=[CAPTIONS[3], CAPTIONS[8]])
    assert_is_the_gradient(made, TWO, grads)


def test_two_captions_of_a_picture_are_each_the_baseline_of_the_other(monkeypatch):
    made = captioner()
    assert_is_the_gradient(made, TWO[:1], on_average(made, monkeypatch, TWO[:1]))


def test_a_batch_without_a_mistake_to_learn_from_teaches_nothing(monkeypatch):
    """Who says what the greedy one says has its reward."""
    grads = estimate(captioner(), monkeypatch, TWO, [CAPTIONS[3], CAPTIONS[8]], greedy=[CAPTIONS[3], CAPTIONS[8]])
    assert not any(g.any() for g in grads.values())


def test_the_mean_of_the_others():
    rewards = np.array([[1.0, 10], [2, 20], [6, 90]])
    assert mean_of_others(rewards).tolist() == [[4, 55], [3.5, 50], [1.5, 15]]


def test_the_loss_is_minus_the_mean_reward_and_the_same_seed_draws_the_same():
    made = captioner("attention")
    learner = SelfCritical(made, worth, samples=3, longest=LONGEST)
    batches = [PictureBatch(TWO, np.arange(2), (0, 3, step)) for step in (1, 1, 2)]
    losses = [float(learner.forward(batch)[0]) for batch in batches]
    assert losses[0] == losses[1] and -10 <= losses[0] <= 0
    _, drawn = decode.explore(learner, TWO, seed=(0, 3, 1), samples=3, beside=False, max_length=LONGEST)
    assert losses[0] == -worth(drawn, [0, 1] * 3).mean()


@pytest.mark.parametrize("model", MODELS)
def test_what_is_drawn_is_as_likely_as_the_pass_that_learns_from_it_says(model):
    """So it is the p that is differentiated, normalised over this batch; and a loss with weights of 1 is the mean of −log p."""
    made = captioner(model)
    learner = SelfCritical(made, worth, samples=2, longest=LONGEST)
    _, drawn = decode.explore(learner, TWO, seed=0, samples=2, beside=False, max_length=LONGEST)
    loss, _ = made.forward(weighted(TWO, drawn, np.ones(4)))
    assert float(loss) == pytest.approx(-np.mean([g.log_probability for g in drawn]), rel=1e-12)


def test_statistics_of_a_batch_are_taken_in_once():
    """Drawing looks at the batch as training does; only the forward pass that learns from it remembers it."""
    made = captioner("naive")
    before = {name: array.copy() for name, array in made.buffers.items()}
    made.start(TWO, train=True)
    assert all((before[name] == array).all() for name, array in made.buffers.items())
    SelfCritical(made, worth, longest=LONGEST).forward(PictureBatch(TWO, np.arange(2), (0,)))
    assert any((before[name] != array).any() for name, array in made.buffers.items())

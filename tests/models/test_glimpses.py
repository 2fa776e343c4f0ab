"""Glimpses: every gradient of the whole model, and that they are what their lines say."""

from itertools import product

import numpy as np
import pytest

import scratchlv

from ..slow import one_of
from .helpers import check_gradients, in_float64
from .test_question_answerer import answerer, batch, lstm_state


@pytest.mark.parametrize(("glimpses", "hops"), one_of(3, product([1, 3], [1, 3])))
def test_every_gradient_of_glimpses(glimpses, hops):
    exact = moving(in_float64(answerer("glimpses", hops, glimpses=glimpses, grid=(2, 3))))
    report = check_gradients(exact, batch(), max_elements=6)
    assert report.ok, str(report)


def moving(model):
    """The model, with hops that move in ways of their own, and not yet about where they were."""
    for name, value in model.params.items():
        if name.endswith(".Wr"):
            value[...] = np.random.default_rng(len(name)).standard_normal(value.shape)
    return model


def test_glimpses_are_what_their_lines_give():
    model, data = moving(in_float64(answerer("glimpses", 2, glimpses=2, grid=(2, 3)))), batch()
    p = model.params
    with scratchlv.use("reference"):
        probabilities, alphas = model.answer(data)
    across, down = np.meshgrid([-1, 0, 1], [-1, 1])
    for n in range(4):
        words = data.tokens[: data.lengths[n], n]
        read = lstm_state(p, words), lstm_state(p, words[::-1], "backwards")
        picture = data.pictures[data.picture_of[n]]
        picture = (picture / np.sqrt((picture**2).mean())).reshape(6, 7)
        x = np.concatenate([picture, across.reshape(6, 1), down.reshape(6, 1)], axis=1)
        x = np.tanh(x @ p["regions.W"] + p["regions.b"])
        found, counts = [], []
        for g, u in enumerate(read, 1):
            first, second = (
                np.exp(np.tanh(x @ p[f"{hop}.Wx"] + p[f"{hop}.b"] + u @ p[f"{hop}.Wu"]) @ p[f"{hop}.v"])
                for hop in (f"glimpse{g}.hop1", f"glimpse{g}.hop2")
            )
            first /= first.sum()
            r = (u @ p[f"glimpse{g}.hop2.Wr"] + p[f"glimpse{g}.hop2.br"]).reshape(3, 5)
            for to in range(6):
                second[to] *= sum(np.exp(r[to // 3 - k // 3 + 1, to % 3 - k % 3 + 2]) * first[k] for k in range(6))
            second /= second.sum()
            np.testing.assert_allclose(alphas[n, 2 * g - 2 : 2 * g], [first, second], rtol=1e-6)
            found.append(second @ x)
            gate = u @ p[f"glimpse{g}.Wn"] + p[f"glimpse{g}.bn"]
            counts.append((1 / (1 + np.exp(-(x @ gate[:6] + gate[6])))).sum())
        y = np.concatenate([*read, *found, found[0] * found[1], counts])
        a = np.maximum(y @ p["answer.W1"] + p["answer.b1"], 0) @ p["answer.W2"] + p["answer.b2"]
        np.testing.assert_allclose(probabilities[n], np.exp(a) / np.exp(a).sum(), rtol=1e-6)


def test_a_curriculum_from_one_hop_to_two():
    """With one hop made the second learns nothing; made afterwards, it looks about where the first did."""
    model, data = in_float64(answerer("glimpses", 2, glimpses=2, grid=(2, 3))), batch()
    one = data._replace(hops=1)
    report = check_gradients(model, one, max_elements=6)
    assert report.ok, str(report)
    with scratchlv.use("reference"):
        _, cache = model.forward(one)
        grads = model.backward(cache)
        assert grads.keys() == model.params.keys()
        assert all(grads[name].any() != (".hop2." in name) for name in grads if name.startswith("glimpse"))
        assert model.answer(one)[1].shape == (4, 2, 6)
        model.params["glimpse1.hop2.v"][...] = 0  # whatever lies there
        first, second = model.answer(data)[1][:, :2].swapaxes(0, 1)
    row, column = np.divmod(np.arange(6), 3)
    near = np.exp(-np.hypot(row[:, None] - row, column[:, None] - column))
    expected = first @ near
    np.testing.assert_allclose(second, expected / expected.sum(axis=1, keepdims=True), rtol=1e-6)


@pytest.mark.parametrize(
    ("more", "message"),
    [({"glimpses": 0, "grid": (2, 3)}, "glimpses must be 1 or more"), ({}, "give its rows and columns")],
)
def test_glimpses_that_cannot_be(more, message):
    with pytest.raises(ValueError, match=message):
        answerer("glimpses", **more)

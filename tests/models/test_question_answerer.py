"""The question answerer's backward pass, whole, against numerical derivatives; its forward pass against the paper's lines."""

import itertools

import numpy as np
import pytest

import scratchlv
from scratchlv.batches import QuestionBatch
from scratchlv.models import hop as one_hop
from scratchlv.models.question_answerer import QuestionAnswerer, QuestionAnswererConfig

from .helpers import check_gradients, check_kernels, check_same, in_float64, replace_backward, wrong

V, ANSWERS = 11, 5
CASES = [
    ("blind", 1, None, 0.0),
    ("naive", 1, None, 0.0),
    ("naive", 1, 7, 0.4),
    ("attention", 1, None, 0.0),
    ("attention", 3, 7, 0.4),
]


def answerer(model="attention", hops=2, feature_channels=7, dropout=0.0, **more) -> QuestionAnswerer:
    config = QuestionAnswererConfig(
        vocabulary=V,
        answers=ANSWERS,
        model=model,
        hops=hops,
        embedding=3,
        hidden=6,
        attention=4,
        channels=(3, 4, 5),
        feature_channels=feature_channels,
        dropout=dropout,
        **more,
    )
    return QuestionAnswerer(config, seed=3)


PAIRS = {"pairs": tuple(sorted({a * V + b for a in (0, 4, 5, 7, 9) for b in (0, 4, 6, 8, 10)}))}  # a third of all or so


def batch(feature_channels=7, seed=0) -> QuestionBatch:
    """Four questions about three pictures; one picture has two of them, one has none."""
    rng = np.random.default_rng(seed)
    if feature_channels is None:
        pictures = rng.integers(0, 256, (3, 64, 64, 3)).astype(np.uint8)
    else:
        pictures = rng.standard_normal((3, 2, 3, feature_channels))
    lengths = np.array([5, 2, 4, 3])
    tokens = rng.integers(4, V, (5, 4)) * (np.arange(5)[:, None] < lengths)
    return QuestionBatch(pictures, np.array([0, 0, 2, 1]), tokens, lengths, np.array([3, 0, -1, 4]), dropout_seed=5)


@pytest.mark.parametrize(("model", "hops", "feature_channels", "dropout"), CASES)
def test_every_gradient_of_the_whole_model(model, hops, feature_channels, dropout):
    exact = in_float64(answerer(model, hops, feature_channels, dropout))
    report = check_gradients(exact, batch(feature_channels), max_elements=6)
    assert report.ok, str(report)


DROPPED = {"dropout": 0.4, "input_dropout": 0.3, "question_dropout": 0.3, "feature_dropout": 0.4}


@pytest.mark.parametrize(
    ("model", "feature_channels"), [("attention", 7), ("attention", None), ("glimpses", 7), ("naive", 7)]
)
def test_every_gradient_with_all_that_can_be_dropped(model, feature_channels):
    more = {"glimpses": 2, "grid": (2, 3)} if model == "glimpses" else {}
    exact = in_float64(answerer(model, 2, feature_channels, label_smoothing=0.2, **DROPPED, **more))
    report = check_gradients(exact, batch(feature_channels), max_elements=6)
    assert report.ok, str(report)


@pytest.mark.parametrize("model", ["attention", "glimpses", "naive", "blind"])
def test_every_gradient_with_pairs_of_words(model):
    more = {"glimpses": 2, "grid": (2, 3)} if model == "glimpses" else {}
    exact = in_float64(answerer(model, 2, question_dropout=0.3, **PAIRS, **more))
    report = check_gradients(exact, batch(), max_elements=6)
    assert report.ok, str(report)
    assert exact.backward(exact.forward(batch())[1])["pairs.P"].any()


def test_pairs_of_words_are_read_beside_the_words():
    """Without their vectors it is the model without them."""
    model, plain = answerer(**PAIRS), answerer()
    assert model.params["pairs.P"].shape == (25, 6)
    model.params.update(plain.params)
    assert model.forward(batch(), train=False)[0] != plain.forward(batch(), train=False)[0]
    model.params["pairs.P"][:] = 0
    assert model.forward(batch(), train=False)[0] == plain.forward(batch(), train=False)[0]


@pytest.mark.parametrize("share", ["input_dropout", "question_dropout", "feature_dropout"])
def test_what_is_dropped_is_another_in_each_step_and_nothing_in_use(share):
    model, data = answerer(**{share: 0.5}), batch()
    losses = {float(model.forward(data._replace(dropout_seed=seed))[0]) for seed in range(4)}
    assert len(losses) > 2
    assert model.forward(data, train=False)[0] == answerer().forward(data, train=False)[0]


def test_channels_are_dropped_for_a_whole_batch_and_places_never():
    model = in_float64(answerer(feature_dropout=0.5))
    kept = [model._kept_channels(np.zeros((3, 6, 7 + 2)), seed) for seed in range(200)]
    assert all((one[7:] == 1).all() and set(one[:7]) <= {0, 2} for one in kept)
    assert np.mean(kept, axis=0)[:7] == pytest.approx(1, abs=0.25)


def test_smoothed_labels_are_learned_from_and_not_reported():
    smoothed, plain = answerer(label_smoothing=0.3), answerer()
    assert smoothed.forward(batch())[0] != plain.forward(batch())[0]
    assert smoothed.forward(batch(), train=False)[0] == plain.forward(batch(), train=False)[0]


def test_every_gradient_where_the_attention_is_supervised():
    exact, data = in_float64(answerer(attention_loss=0.7)), batch()
    where = np.random.default_rng(2).random((4, 2, 6)) < 0.4
    where[1, 0] = False  # nothing is known of this look
    data = data._replace(attention_target=where)
    report = check_gradients(exact, data, max_elements=6)
    assert report.ok, str(report)
    with scratchlv.use("reference"):
        untaught, _ = exact.forward(data._replace(attention_target=None))
        _, alphas = exact.answer(data)
        taught, _ = exact.forward(data)
    inside = [alphas[n, k][where[n, k]].sum() for n in range(4) for k in range(2) if where[n, k].any()]
    assert taught - untaught == pytest.approx(-0.7 * np.mean(np.log(inside)), rel=1e-9)


QUESTION = {"embedding.W", "question.Wx", "question.Wh", "question.b"}
REGIONS = {"regions.W", "regions.b"}


@pytest.mark.parametrize(
    ("input_of_attention", "hop", "reached"),
    [
        ("x", 2, REGIONS),  # what is looked at in the second hop
        ("keys", 1, {"hop1.Wx", "hop1.b"} | REGIONS),
        ("query", 2, {"hop2.Wu", "hop1.v", "hop1.Wx", "hop1.Wu", "hop1.b"} | REGIONS | QUESTION),
        ("query", 1, {"hop1.Wu"} | QUESTION),
        ("v", 1, {"hop1.v"}),
    ],
)
def test_a_way_of_the_gradient_that_is_missing_is_found(input_of_attention, hop, reached, monkeypatch):
    """The check above can fail: what goes back from one hop to one input of its attention is left out."""
    place, hops = ("x", "keys", "query", "v").index(input_of_attention), itertools.cycle([2, 1])

    def without(grads):
        return [0 * grad if i == place else grad for i, grad in enumerate(grads)] if next(hops) == hop else grads

    replace_backward(monkeypatch, one_hop, "additive_attention", without)
    report = check_gradients(in_float64(answerer()), batch(), max_elements=6)
    assert not report.ok
    assert wrong(report) == reached


def lstm_state(p, tokens, name="question"):
    h = c = np.zeros(6)
    for word in tokens:
        a = p["embedding.W"][word] @ p[f"{name}.Wx"] + h @ p[f"{name}.Wh"] + p[f"{name}.b"]
        i, f, g, o = np.split(a, 4)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
    return h


def test_the_answers_are_what_the_papers_lines_give():
    """Stacked attention, written out once more: one question and one region at a time."""
    model, data = in_float64(answerer()), batch()
    p = model.params
    across, down = np.meshgrid([-1, 0, 1], [-1, 1])
    with scratchlv.use("reference"):
        probabilities, alphas = model.answer(data)
        loss, _ = model.forward(data, train=False)
    pictures = data.pictures / np.sqrt((data.pictures**2).mean(axis=(1, 2, 3), keepdims=True))
    for n in range(4):
        picture = pictures[data.picture_of[n]].reshape(6, 7)
        regions = np.concatenate([picture, across.reshape(6, 1), down.reshape(6, 1)], axis=1)
        x = [np.tanh(r @ p["regions.W"] + p["regions.b"]) for r in regions]
        u = lstm_state(p, data.tokens[: data.lengths[n], n])
        for k, hop in enumerate(("hop1", "hop2")):
            e = [p[f"{hop}.v"] @ np.tanh(xl @ p[f"{hop}.Wx"] + p[f"{hop}.b"] + u @ p[f"{hop}.Wu"]) for xl in x]
            alpha = np.exp(e) / np.exp(e).sum()
            np.testing.assert_allclose(alphas[n, k], alpha, rtol=1e-9)
            u = u + sum(a * xl for a, xl in zip(alpha, x, strict=True))
        scores = np.maximum(u @ p["answer.W1"] + p["answer.b1"], 0) @ p["answer.W2"] + p["answer.b2"]
        np.testing.assert_allclose(probabilities[n], np.exp(scores) / np.exp(scores).sum(), rtol=1e-9)
    known = probabilities[[0, 1, 3], [3, 0, 4]]  # the third has no answer that could be given
    assert loss == pytest.approx(-np.log(known).mean(), rel=1e-9)


def test_the_naive_model_joins_a_vector_of_the_picture_and_the_question():
    model, data = in_float64(answerer("naive")), batch()
    p, b = model.params, model.buffers
    b["image.mean"], b["image.var"] = b["image.mean"] + 0.3, b["image.var"] * 2.0
    with scratchlv.use("reference"):
        probabilities, alphas = model.answer(data)
    assert alphas is None
    pictures = data.pictures / np.sqrt((data.pictures**2).mean(axis=(1, 2, 3), keepdims=True))
    for n in range(4):
        mean = np.append(pictures[data.picture_of[n]].mean(axis=(0, 1)), [0, 0])  # places cancel
        a = (mean @ p["image.W"] - b["image.mean"]) / np.sqrt(b["image.var"] + 1e-5)
        v = np.maximum(a * p["image.gamma"] + p["image.beta"], 0)
        u = np.concatenate([v, lstm_state(p, data.tokens[: data.lengths[n], n])])
        scores = np.maximum(u @ p["answer.W1"] + p["answer.b1"], 0) @ p["answer.W2"] + p["answer.b2"]
        np.testing.assert_allclose(probabilities[n], np.exp(scores) / np.exp(scores).sum(), rtol=1e-9)


def test_a_question_is_about_its_own_picture():
    for model in ("naive", "attention"):
        asked, data = answerer(model), batch()
        together, _ = asked.answer(data)
        for n in range(4):
            picture = data.picture_of[n : n + 1]
            alone = QuestionBatch(
                data.pictures[picture], np.array([0]), data.tokens[:, [n]], data.lengths[[n]], data.answers[[n]]
            )
            np.testing.assert_allclose(asked.answer(alone)[0][0], together[n], atol=1e-6)
    blind = answerer("blind")
    other = batch()._replace(pictures=batch().pictures[::-1])
    np.testing.assert_array_equal(blind.answer(batch())[0], blind.answer(other)[0])


@pytest.mark.parametrize("model", ["naive", "attention", "blind"])
def test_the_kernels_give_the_gradients_of_the_reference(model):
    check_kernels(lambda: answerer(model, 2, None), batch(None))


@pytest.mark.parametrize("model", ["naive", "attention", "blind"])
def test_padding_changes_nothing(model):
    data = batch()
    longer = data._replace(tokens=np.concatenate([data.tokens, np.full((3, 4), 7)]))  # whatever stands there
    check_same(answerer(model), data, longer, 1e-6)


def test_evaluation_drops_nothing_and_keeps_no_cache():
    model, data = answerer(dropout=0.5), batch()
    other = data._replace(dropout_seed=6)
    assert model.forward(data)[0] != model.forward(other)[0]
    assert model.forward(data, train=False)[0] == model.forward(other, train=False)[0]
    probabilities, alphas = model.answer(data)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(alphas.sum(axis=2), 1, rtol=1e-5)
    assert alphas.shape == (4, 2, 6)


@pytest.mark.parametrize("wrong", [{"model": "clever"}, {"hops": 0}])
def test_what_there_is_no_model_for(wrong):
    with pytest.raises(ValueError, match="model|hops"):
        QuestionAnswererConfig(vocabulary=V, answers=ANSWERS, **wrong)

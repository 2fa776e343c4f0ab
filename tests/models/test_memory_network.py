"""The memory network's backward pass, whole, against numerical derivatives; its forward pass against the paper's lines."""

import itertools

import numpy as np
import pytest

import scratchlv
from scratchlv.batches import QuestionBatch, StoryBatch
from scratchlv.data.question_set import StorySet
from scratchlv.data.vocabulary import Vocabulary
from scratchlv.models import memory_network as memory_network_module
from scratchlv.models.memory_network import MemoryNetwork, MemoryNetworkConfig, position_encoding

from .helpers import check_gradients, check_kernels, check_same, in_float64, replace_backward, wrong

V, ANSWERS, D = 11, 5, 6
CASES = [("adjacent", "sentences"), ("layer-wise", "sentences"), ("adjacent", "features"), ("layer-wise", "pictures")]


def memory_network(tying="adjacent", over="sentences", hops=3, **more) -> MemoryNetwork:
    memories = {"sentences": 8, "features": 6, "pictures": 6}[over]
    feature_channels = 7 if over == "features" else None
    config = MemoryNetworkConfig(
        vocabulary=V,
        answers=ANSWERS,
        memories=memories,
        pictures=over != "sentences",
        hops=hops,
        width=D,
        tying=tying,
        channels=(3, 4, 5),
        feature_channels=feature_channels,
        **more,
    )
    return MemoryNetwork(config, seed=3)


def exact(*args, **more) -> MemoryNetwork:
    """With memories large enough to make a difference."""
    return in_float64(memory_network(*args, **more), scale=3)


def batch(over="sentences", seed=0) -> StoryBatch | QuestionBatch:
    rng = np.random.default_rng(seed)
    lengths = np.array([3, 1, 4, 2])
    tokens = rng.integers(4, V, (4, 4)) * (np.arange(4)[:, None] < lengths)
    answers = np.array([3, 0, -1, 4])
    if over == "sentences":
        n_sentences, n_words = np.array([5, 2, 1, 4]), rng.integers(1, 6, 8)
        sentences = rng.integers(4, V, (8, 5)) * (np.arange(5) < n_words[:, None])
        sentences[0] = 0
        told = rng.integers(1, 8, (4, 5)) * (np.arange(5) < n_sentences[:, None])
        return StoryBatch(sentences, told, tokens, lengths, answers)
    pictures = (
        rng.standard_normal((3, 2, 3, 7)) if over == "features" else rng.integers(0, 256, (3, 16, 24, 3), np.uint8)
    )
    return QuestionBatch(pictures, np.array([0, 0, 2, 1]), tokens, lengths, answers)


@pytest.mark.parametrize(("tying", "over"), CASES)
def test_every_gradient_of_the_whole_model(tying, over):
    report = check_gradients(exact(tying, over), batch(over), max_elements=6)
    assert report.ok, str(report)


def test_every_gradient_where_the_attention_is_supervised():
    data = batch("features")._replace(attention_target=np.random.default_rng(2).random((4, 3, 6)) < 0.4)
    report = check_gradients(exact("adjacent", "features", attention_loss=0.7), data, max_elements=6)
    assert report.ok, str(report)


@pytest.mark.parametrize(
    ("tying", "forgotten", "hop", "reached"),
    [
        ("adjacent", "values", 0, {"memory1.W", "memory1.T"}),  # which are the keys of the next hop: one use forgotten
        ("adjacent", "keys", 1, {"memory1.W", "memory1.T"}),
        ("adjacent", "question", 0, {"memory0.W"}),
        ("layer-wise", "values", 2, {"values.W", "values.T"}),
        ("layer-wise", "question", 2, {"question.W", "hop.H", "keys.W", "keys.T", "values.W", "values.T"}),
    ],
)
def test_a_way_of_the_gradient_that_is_missing_is_found(tying, forgotten, hop, reached, monkeypatch):
    """The check above can fail: what goes back from one hop to its values, its keys or its question is left out."""
    place, hops = ("values", "keys", "question").index(forgotten), itertools.cycle([2, 1, 0])

    def without(grads):
        return [0 * grad if i == place else grad for i, grad in enumerate(grads)] if next(hops) == hop else grads

    replace_backward(monkeypatch, memory_network_module, "dot_product_attention", without)
    report = check_gradients(exact(tying), batch(), max_elements=6)
    assert not report.ok
    assert wrong(report) == reached


def bag(words, W):
    """Position encoding, number by number, as the paper has it."""
    J, d = len(words), W.shape[1]
    total = np.zeros(d)
    for j, word in enumerate(words, 1):
        for k in range(1, d + 1):
            total[k - 1] += ((1 - j / J) - (k / d) * (1 - 2 * j / J)) * W[word, k - 1]
    return total


@pytest.mark.parametrize("tying", ["adjacent", "layer-wise"])
def test_the_answers_are_what_the_papers_lines_give(tying):
    model, data = exact(tying), batch()
    p = model.params
    with scratchlv.use("reference"):
        probabilities, alphas = model.answer(data)
    B = p["memory0.W"] if tying == "adjacent" else p["question.W"]
    for n in range(4):
        story = [[w for w in data.sentences[s] if w] for s in data.told[n] if s]
        u = bag(data.tokens[: data.lengths[n], n], B)
        for k in range(3):
            key, value = (f"memory{k}", f"memory{k + 1}") if tying == "adjacent" else ("keys", "values")
            m, c = (
                np.array([bag(s, p[f"{name}.W"]) + p[f"{name}.T"][i] for i, s in enumerate(story)])
                for name in (key, value)
            )
            alpha = np.exp(m @ u) / np.exp(m @ u).sum()
            np.testing.assert_allclose(alphas[n, k, : len(story)], alpha, rtol=1e-9)
            np.testing.assert_array_equal(alphas[n, k, len(story) :], 0)
            u = (u @ p["hop.H"] if tying == "layer-wise" else u) + alpha @ c
        scores = u @ p["answer.W"] + p["answer.b"]
        np.testing.assert_allclose(probabilities[n], np.exp(scores) / np.exp(scores).sum(), rtol=1e-9)


def test_over_a_picture_the_regions_are_remembered_each_with_its_place():
    model, data = exact("adjacent", "features", 1), batch("features")
    p = model.params
    across, down = np.meshgrid([-1, 0, 1], [-1, 1])
    pictures = data.pictures / np.sqrt((data.pictures**2).mean(axis=(1, 2, 3), keepdims=True))
    with scratchlv.use("reference"):
        probabilities, alphas = model.answer(data)
    for n in range(4):
        picture = pictures[data.picture_of[n]].reshape(6, 7)
        x = np.concatenate([picture, across.reshape(6, 1), down.reshape(6, 1)], axis=1)
        u = bag(data.tokens[: data.lengths[n], n], p["question.W"])
        e = (x @ p["memory0.W"] + p["memory0.T"]) @ u
        alpha = np.exp(e) / np.exp(e).sum()
        np.testing.assert_allclose(alphas[n, 0], alpha, rtol=1e-9)
        scores = (u + alpha @ (x @ p["memory1.W"] + p["memory1.T"])) @ p["answer.W"] + p["answer.b"]
        np.testing.assert_allclose(probabilities[n], np.exp(scores) / np.exp(scores).sum(), rtol=1e-9)


def test_position_encoding_tells_the_order_of_words():
    l = position_encoding(np.array([[5, 6, 7, 0]]), 2)[0]
    #             j = 1 of 3            2 of 3                     3 of 3        padding
    expected = [[2 / 3 - 1 / 6, 1 / 3], [1 / 3 + 1 / 6, 2 / 3], [0.5, 1], [0, 0]]
    np.testing.assert_allclose(l, expected)


@pytest.mark.parametrize(("tying", "over"), CASES)
def test_the_kernels_give_the_gradients_of_the_reference(tying, over):
    check_kernels(lambda: memory_network(tying, over), batch(over))


@pytest.mark.parametrize("tying", ["adjacent", "layer-wise"])
def test_padding_changes_nothing(tying):
    """More words in the longest sentence, more sentences, a longer question: what is not there is not seen."""
    data = batch()
    longer = data._replace(
        sentences=np.pad(data.sentences, ((0, 1), (0, 3))),
        told=np.pad(data.told, ((0, 0), (0, 2))),
        tokens=np.pad(data.tokens, ((0, 2), (0, 0))),
    )
    check_same(memory_network(tying), data, longer, 1e-6)


def test_adjacent_hops_share_and_layer_wise_hops_do_too():
    """The matrices that there are: the values of a hop are the keys of the next; or one pair for all, and H."""
    adjacent, layer_wise = (set(memory_network(tying).params) for tying in ("adjacent", "layer-wise"))
    assert {name for name in adjacent if name.endswith(".W")} == {"answer.W", *(f"memory{k}.W" for k in range(4))}
    assert {name for name in layer_wise if name.endswith((".W", ".H"))} == {
        "answer.W",
        "hop.H",
        "keys.W",
        "question.W",
        "values.W",
    }


@pytest.mark.parametrize("wrong", [{"tying": "loose"}, {"hops": 0}])
def test_what_there_is_no_network_for(wrong):
    with pytest.raises(ValueError, match="tying|hops"):
        MemoryNetworkConfig(vocabulary=V, answers=ANSWERS, memories=6, **wrong)


def test_a_question_before_any_sentence_is_answered_from_itself():
    """Alone in its batch, or beside a question with a story, where it had a loss of NaN."""
    config = MemoryNetworkConfig(vocabulary=9, answers=3, memories=5, pictures=False, hops=2, width=4)
    model = MemoryNetwork(config)
    stories = [[], [[4, 5], [6]], []]
    data = StorySet(stories, [[7, 8], [7], [8]], np.array([0, 1, 2]), Vocabulary("abcde"), ("x", "y", "z"), 5)
    loss, cache = model.forward(data.batch(np.arange(3)))
    assert np.isfinite(loss)
    assert all(np.isfinite(gradient).all() for gradient in model.backward(cache).values())
    together, alphas = model.answer(data.batch(np.arange(3)))
    assert not alphas[[0, 2]].any()
    np.testing.assert_allclose(model.answer(data.batch(np.array([0])))[0][0], together[0], rtol=1e-5)


BABI = {"tied_answers": True, "empty_memories": True, "encoding": 2.0}


def babi_network():
    config = MemoryNetworkConfig(vocabulary=V, answers=5, memories=8, pictures=False, hops=3, width=D, **BABI)
    return in_float64(MemoryNetwork(config, seed=3), scale=3)


@pytest.mark.parametrize("linear", [False, True])
def test_every_gradient_of_the_papers_recipe(linear):
    model = babi_network()
    model.linear = linear
    report = check_gradients(model, batch(), max_elements=6)
    assert report.ok, str(report)


def test_the_answers_of_the_papers_recipe():
    """An answer is a word of the last values; the memories that hold nothing are zeros, and take their share of the attention."""
    model, data = babi_network(), batch()
    p = model.params
    with scratchlv.use("reference"):
        probabilities, alphas = model.answer(data)
    assert alphas.shape == (4, 3, 5)
    for n in range(4):
        story = [[w for w in data.sentences[s] if w] for s in data.told[n] if s]
        u = 2 * bag(data.tokens[: data.lengths[n], n], p["memory0.W"])
        for k in range(3):
            m, c = np.zeros((8, D)), np.zeros((8, D))
            for i, sentence in enumerate(story):
                m[i], c[i] = (2 * bag(sentence, p[f"memory{h}.W"]) + p[f"memory{h}.T"][i] for h in (k, k + 1))
            alpha = np.exp(m @ u) / np.exp(m @ u).sum()
            np.testing.assert_allclose(alphas[n, k, : len(story)], alpha[: len(story)], rtol=1e-9)
            np.testing.assert_array_equal(alphas[n, k, len(story) :], 0)
            u = u + alpha @ c
        scores = p["memory3.W"][4:9] @ u
        np.testing.assert_allclose(probabilities[n], np.exp(scores) / np.exp(scores).sum(), rtol=1e-9)


@pytest.mark.parametrize("wrong", [{"pictures": True}, {"tying": "layer-wise"}, {"answers": V}])
def test_tied_answers_need_words_and_adjacent_hops(wrong):
    sizes = {"vocabulary": V, "answers": 5, "memories": 8, "pictures": False, "tied_answers": True}
    with pytest.raises(ValueError, match="tied answers are words of the vocabulary"):
        MemoryNetworkConfig(**(sizes | wrong))


def test_a_sentence_of_ten_thousand_words():
    """The encoding is made for the lengths that there are, and not for all up to the longest."""
    long = np.full((1, 10_000), 5)
    assert position_encoding(np.append(long, long * 0, axis=0), 20).shape == (2, 10_000, 20)

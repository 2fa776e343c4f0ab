"""WUPS: answers that may be sets, judged by how near words are."""

import math

import numpy as np
import pytest

from scratchlv.metrics import wups as module
from scratchlv.metrics.wups import wu_palmer, wups

NEAR = {("chair", "stool"): 0.95, ("chair", "table"): 0.6}


def similarity(a, b):
    return NEAR.get((a, b), NEAR.get((b, a), 0.0))


def test_by_hand():
    predicted = [["chair"], ["stool"], ["table"], ["chair"], ["chair", "stool"], [""]]
    truth = [["chair"], ["chair"], ["chair"], ["chair", "table"], ["chair"], ["chair"]]
    # of the fourth, the table is only as near as the chair that was said; of the fifth, the stool was said besides
    np.testing.assert_allclose(wups(predicted, truth, 0.9, similarity), [1, 0.95, 0.06, 0.06, 0.95, 0])
    np.testing.assert_allclose(wups(predicted, truth, 0.0, similarity), [1, 0.95, 0.6, 0.6, 0.95, 0])


def test_a_set_has_no_order_and_every_answer_counts():
    for given in (["a", "b"], ["b", "a"]):
        assert wups([given], [["a", "b"]], 0.9, similarity) == 1
    assert wups([["a", "b", "c"]], [["a", "b"]], 0.9, similarity) == 0
    with pytest.raises(ValueError, match="zip"):
        wups([["a"]], [], 0.9, similarity)


class Meaning:
    """A meaning of a word, below others."""

    def __init__(self, name, *above):
        self._name, self._above = name, above

    def hypernyms(self):
        return list(self._above)

    def instance_hypernyms(self):
        return []

    def name(self):
        return self._name


def test_the_similarity_of_wu_and_palmer():
    root = Meaning("entity")
    thing = Meaning("thing", root)
    seat = Meaning("seat", thing)
    chair, stool = Meaning("chair", seat), Meaning("stool", seat)
    colour = Meaning("colour", root)
    assert wu_palmer(chair, chair) == 1
    assert wu_palmer(chair, stool) == 2 * 3 / (2 * 3 + 1 + 1)  # seat is the third from the root
    assert wu_palmer(chair, colour) == 2 * 1 / (2 * 1 + 3 + 1)
    assert wu_palmer(chair, Meaning("alone")) == 0


def test_as_nltk_has_it():
    pytest.importorskip("nltk")
    if module.wordnet_similarity() is None:
        pytest.skip("nltk's WordNet is not installed")
    from nltk.corpus import wordnet

    words = ("chair", "table", "lamp", "bed", "window", "red", "book")
    for a in words:
        for b in words:
            pairs = [(x, y) for x in wordnet.synsets(a, pos="n") for y in wordnet.synsets(b, pos="n")]
            for x, y in pairs:
                assert math.isclose(wu_palmer(x, y), x.wup_similarity(y) or 0.0, rel_tol=1e-9), (x, y)


def test_without_wordnet(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "nltk.corpus", None)
    assert module.wordnet_similarity() is None

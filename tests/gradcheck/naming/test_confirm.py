"""A cause that other numbers or other shapes do not bear out is not claimed."""

import numpy as np

from scratchlv.gradcheck import check
from scratchlv.gradcheck.causes import cause
from scratchlv.gradcheck.evidence import Evidence
from scratchlv.gradcheck.naming.confirm import confirmed
from scratchlv.gradcheck.naming.findings import Finding

from ..operations import linear, normal

SIGN, HALF = Finding(("x",), "is wrong", cause("sign")), Finding(("x",), "is half", cause("doubled"))

HERE = Evidence({})


def others(*wrong):
    return [Evidence({}, wrong=list(names)) for names in wrong]


def test_a_cause_that_is_found_again_stays():
    assert confirmed([SIGN, HALF], HERE, others("x", "x"), lambda other: [HALF, SIGN]) == [SIGN, HALF]


def test_a_cause_that_is_not_found_again_goes_and_what_is_measured_stays():
    (found,) = confirmed([HALF], HERE, others("x"), lambda other: [SIGN])
    assert (found.what, found.cause) == ("is half", "")
    assert found.sentence(Evidence({}, analytic={})) == "dx is half"


def test_where_nothing_is_wrong_or_told_nothing_is_learnt():
    assert confirmed([SIGN], HERE, others("", "x"), lambda other: []) == [SIGN]


def test_a_length_that_is_another_elsewhere_is_none():
    found = [Finding(("x",), f"is {rows} times", cause("mean missing", number="x.shape[0]")) for rows in (5, 4)]
    here, there = (Evidence({"x": np.zeros((rows, 3)), "y": np.zeros(rows)}, wrong=["x"]) for rows in (5, 4))
    assert confirmed(found[:1], here, [there], lambda other: [found[1]]) == found[:1]
    other = Finding(("x",), "is 3 times", cause("mean missing", number="x.shape[1]"))
    assert confirmed(found[:1], here, [there], lambda _: [other])[0].cause == ""


def test_a_number_that_is_a_length_by_chance():
    """dW / 5, where there are five rows: of four rows it is still a fifth."""

    def by(rows):
        return lambda dy, cache: (dy @ cache[1].T, cache[0].T @ dy / rows(cache[0]))

    inputs = {"x": normal(5, 3), "W": normal(3, 4)}
    (by_chance, *_) = check(linear, by(lambda x: 5), inputs, repair=False).diagnosis
    assert "0.2 times what it should be" in by_chance
    assert "division by x.shape[0]" not in by_chance
    (mean, *_) = check(linear, by(len), inputs, repair=False).diagnosis
    assert "a division by x.shape[0] too many" in mean


def test_one_length_for_another():
    """A scale of 1/√d with the wrong d, which is no factor of two and no scale that is missing."""

    def forward(q, k):
        e = np.exp(q @ k.T / np.sqrt(q.shape[1]))
        p = e / e.sum(1, keepdims=True)
        return p, (q, k, p)

    def backward(dp, cache):
        q, k, p = cache
        ds = p * (dp - (dp * p).sum(1, keepdims=True)) / np.sqrt(len(q))
        return ds @ k, ds.T @ q

    (sentence, *_) = check(forward, backward, {"q": normal(5, 3), "k": normal(4, 3)}, repair=False).diagnosis
    assert "a scale of 1/√d with the wrong d: q.shape[0] for q.shape[1]" in sentence

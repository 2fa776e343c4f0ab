"""Softmax and cross-entropy: what is particular to it."""

import numpy as np
import pytest

from scratchlv.cuda.arrays import MOST_UNASKED
from scratchlv.cuda.emulator import why_not
from scratchlv.ops import softmax_cross_entropy

rng = np.random.default_rng(0)
variants = pytest.mark.parametrize("variant", ["reference", "numba_cpu"])


def run(variant, logits, targets, dloss=1.0, **settings):
    module = softmax_cross_entropy.variant(variant)
    loss, cache = module.forward(np.asarray(logits, np.float32), np.asarray(targets), **settings)
    return loss, module.backward(dloss, cache)[0]


@variants
def test_equal_logits_cost_the_logarithm_of_the_number_of_classes(variant):
    loss, dlogits = run(variant, np.zeros((3, 7)), [0, 3, 6])
    assert loss == pytest.approx(np.log(7), rel=1e-6)
    np.testing.assert_allclose(dlogits, (1 / 7 - np.eye(7)[[0, 3, 6]]) / 3, atol=1e-7)


@variants
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_it_is_stable_at_1e4(variant, size):
    loss, dlogits = run(variant, [[size, 0.0, 0.0], [0.0, size, 0.0]], [0, 0])
    right, wrong = (0.0, 1e4) if size > 0 else (1e4 + np.log(2), np.log(2))
    assert loss == pytest.approx((right + wrong) / 2, rel=1e-6)
    assert np.isfinite(dlogits).all()


@variants
def test_a_constant_on_all_logits_changes_nothing(variant):
    logits, targets = rng.integers(-8, 8, (5, 4)), [3, 1, 0, 2, 2]
    loss, dlogits = run(variant, logits, targets)
    shifted_loss, shifted_dlogits = run(variant, logits + 4096, targets)
    assert loss == shifted_loss
    np.testing.assert_array_equal(dlogits, shifted_dlogits)


@variants
def test_rows_of_the_gradient_add_up_to_zero(variant):
    _, dlogits = run(variant, rng.standard_normal((4, 3, 11)), rng.integers(0, 11, (4, 3)))
    np.testing.assert_allclose(dlogits.sum(-1), 0, atol=1e-7)


@variants
def test_a_masked_place_is_not_read(variant):
    """Neither its target, which may be padding, nor its logits."""
    logits, targets, mask = rng.standard_normal((4, 3, 5)), rng.integers(0, 5, (4, 3)), rng.random((4, 3)) < 0.5
    spoiled, padded = logits.copy(), targets.copy()
    spoiled[~mask], padded[~mask] = np.nan, -1
    loss, dlogits = run(variant, spoiled, padded, mask=mask)
    kept_loss, kept_dlogits = run(variant, logits[mask], targets[mask])
    assert loss == kept_loss
    np.testing.assert_array_equal(dlogits[mask], kept_dlogits)
    assert not dlogits[~mask].any()


@variants
def test_nothing_counts_nothing_costs(variant):
    loss, dlogits = run(variant, rng.standard_normal((2, 3, 5)), np.full((2, 3), -1), mask=np.zeros((2, 3), bool))
    assert loss == 0
    assert dlogits.shape == (2, 3, 5)
    assert not dlogits.any()


@variants
def test_a_float_mask_weights_the_mean(variant):
    logits, targets = rng.standard_normal((3, 5)), [1, 2, 0]
    losses = [run(variant, logits[k : k + 1], targets[k : k + 1])[0] for k in range(3)]
    loss, _ = run(variant, logits, targets, mask=np.array([1.0, 0.5, 2.5], np.float32))
    assert loss == pytest.approx(np.average(losses, weights=[1, 0.5, 2.5]), rel=1e-6)


@pytest.mark.parametrize("variant", ["reference", "numba_cpu", "cuda"])
@pytest.mark.parametrize("mask", [[1.0, -1.0, 0.0], [1.0, np.nan, 1.0], [0.0, -np.inf, 0.0], [np.inf, 1.0, 1.0]])
def test_weights_that_are_none(variant, mask):
    """Of 1 and -1, which add up to 0, the mean was NaN."""
    with pytest.raises(ValueError, match="weights of mask must be finite and 0 or more"):
        run(variant, rng.standard_normal((3, 5)), [1, 2, 0], mask=np.array(mask, np.float32))


@variants
def test_nan_in_a_place_that_counts_is_a_loss_of_nan(variant):
    for nan in (np.nan, -np.nan):
        for V, places in ((5, range(5)), (100, (0, 20, 70, 99))):
            for k in places:
                logits = rng.standard_normal((3, V))
                logits[1, k] = nan
                loss, dlogits = run(variant, logits, [0, 1, 2])
                assert np.isnan(loss)
                np.testing.assert_array_equal(np.isnan(dlogits), [[False] * V, [True] * V, [False] * V])


@variants
@pytest.mark.parametrize("row", [[np.inf, 0, 1], [-np.inf] * 3])
def test_a_row_whose_largest_score_is_infinite_has_no_loss(variant, row):
    with np.errstate(invalid="ignore"):
        loss, dlogits = run(variant, [[0, 1, 2], row, [2, 1, 0]], [0, 1, 2])
    assert np.isnan(loss)
    assert np.isnan(dlogits[1]).all()
    assert np.isfinite(dlogits[[0, 2]]).all()


@pytest.mark.parametrize("V", [1, 3, 16, 31, 64, 97, 1000])
def test_a_row_has_the_same_bits_whatever_stands_beside_it(V):
    """Three rows are at work at a time, and the first and last of a thread have a neighbour less."""
    logits, targets = 4 * rng.standard_normal((64, V)), rng.integers(0, V, 64)
    _, together = run("numba_cpu", logits, targets)
    for k in (0, 1, 30, 31, 63):
        loss, alone = run("numba_cpu", logits[k : k + 1], targets[k : k + 1])
        np.testing.assert_array_equal(64 * together[k], alone[0])
        expected_loss, expected = run("reference", logits[k : k + 1], targets[k : k + 1])
        assert loss == pytest.approx(expected_loss, rel=1e-6, abs=1e-6)
        np.testing.assert_allclose(alone, expected, rtol=2e-6, atol=2e-7)


@variants
def test_a_class_that_is_ruled_out_has_no_gradient(variant):
    loss, dlogits = run(variant, [[0.0, -np.inf, 0.0]], [0])
    assert loss == pytest.approx(np.log(2), rel=1e-6)
    np.testing.assert_allclose(dlogits, [[-0.5, 0, 0.5]], atol=1e-7)


@variants
@pytest.mark.parametrize("target", [-1, 5])
def test_a_target_that_is_no_class_is_named(variant, target):
    with pytest.raises(ValueError, match=f"target {target} is not a class: there are V = 5"):
        run(variant, np.zeros((2, 5)), [0, target])


@variants
def test_shapes_that_do_not_fit_are_named(variant):
    with pytest.raises(ValueError, match=r"targets has the shape \(3,\); logits \(2, 5\) need \(2,\)"):
        run(variant, np.zeros((2, 5)), [0, 1, 2])
    with pytest.raises(ValueError, match=r"mask has the shape \(3,\)"):
        run(variant, np.zeros((2, 5)), [0, 1], mask=np.ones(3, bool))


@variants
def test_the_loss_of_many_rows_is_summed_in_float64(variant):
    """So many equal terms, added in float32 one after the other, would be off in the fourth digit."""
    rows = 200_000
    loss, _ = run(variant, np.tile(np.float32([0, 1]), (rows, 1)), np.zeros(rows, int))
    assert loss == pytest.approx(np.log1p(np.e), rel=1e-6)


@variants
def test_dloss_scales_the_gradient(variant):
    logits, targets = rng.standard_normal((3, 5)), [1, 2, 0]
    np.testing.assert_array_equal(run(variant, logits, targets, -4.0)[1], -4 * run(variant, logits, targets)[1])


@variants
@pytest.mark.parametrize("masked", [False, True])
def test_overwriting_the_logits_gives_the_same_bits(variant, masked):
    logits, targets = rng.standard_normal((6, 4, 33)).astype(np.float32), rng.integers(0, 33, (6, 4))
    mask = rng.random((6, 4)) < 0.5 if masked else None
    loss, dlogits = run(variant, logits.copy(), targets, mask=mask)
    scratch = logits.copy()
    overwriting_loss, overwriting = run(variant, scratch, targets, mask=mask, overwrite=True)
    assert overwriting_loss == loss
    np.testing.assert_array_equal(overwriting, dlogits)
    assert np.shares_memory(overwriting, scratch) == (variant == "numba_cpu")


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda a: a.repeat(2, axis=1)[:, ::2]])
def test_logits_that_are_not_contiguous_are_not_overwritten(layout):
    logits = layout(rng.standard_normal((6, 33)).astype(np.float32))
    before = logits.copy()
    run("numba_cpu", logits, rng.integers(0, 33, 6), overwrite=True)
    np.testing.assert_array_equal(logits, before)


def test_logits_that_are_read_only_are_not_overwritten():
    logits = rng.standard_normal((6, 33)).astype(np.float32)
    before = logits.copy()
    logits.flags.writeable = False
    run("numba_cpu", logits, rng.integers(0, 33, 6), overwrite=True)
    np.testing.assert_array_equal(logits, before)


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_a_row_that_is_too_long_for_a_small_chip_is_read_twice(monkeypatch):
    """Where a block has no more shared memory than every chip gives."""
    monkeypatch.setattr("scratchlv.cuda.launch.MOST_SHARED", MOST_UNASKED)
    fits = MOST_UNASKED // 4
    for V in (fits, fits + 1):
        logits, targets = rng.standard_normal((2, V)), [0, V - 1]
        loss, dlogits = run("cuda", logits, targets)
        expected_loss, expected = run("reference", logits, targets)
        assert loss == pytest.approx(expected_loss, rel=1e-6)
        np.testing.assert_allclose(dlogits, expected, rtol=1e-5, atol=1e-9)

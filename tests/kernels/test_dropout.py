"""Dropout: what is particular to it."""

import numpy as np
import pytest

from scratchlv.cuda.emulator import why_not
from scratchlv.kernels.dropout.reference import GOLDEN, MASK64, fold, mix
from scratchlv.ops import dropout

cuda = pytest.param("cuda", marks=pytest.mark.skipif(why_not() is not None, reason=str(why_not())))
variants = pytest.mark.parametrize("variant", ["reference", "numba_cpu", cuda])


def mask(variant, shape, p, seed):
    return dropout.variant(variant).forward(np.ones(shape, np.float32), p=p, seed=seed)[0] != 0


def test_the_generator_is_splitmix64():
    """The first outputs for the seed 1234567, as published with the generator in many languages."""
    states = [(1234567 + k * GOLDEN) & MASK64 for k in range(1, 6)]
    assert [int(mix(np.array([state], np.uint64))[0]) for state in states] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@pytest.mark.parametrize("seed", [0, 1, -1, 2**63, (1, 2), (1, 2, 3)])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.999])
def test_every_variant_draws_the_same_mask(p, seed):
    for shape in [(1,), (4, 3, 5), (8193,), (2, 16384)]:
        for variant in ("numba_cpu", "cuda") if why_not() is None else ("numba_cpu",):
            np.testing.assert_array_equal(mask("reference", shape, p, seed), mask(variant, shape, p, seed))


def test_the_mask_does_not_depend_on_the_number_of_threads(threads):
    threads(1)
    one = mask("numba_cpu", (7, 9001), 0.3, 5)
    threads(2)
    np.testing.assert_array_equal(one, mask("numba_cpu", (7, 9001), 0.3, 5))


@variants
def test_a_value_at_the_threshold_stays(variant):
    draws = [int(mix(np.array([(fold(5) + (i + 1) * GOLDEN) & MASK64], np.uint64))[0]) >> 32 for i in range(9)]
    for i, draw in enumerate(draws):
        for p, stays in ((draw / 2**32, True), ((draw + 1) / 2**32, False)):
            assert mask(variant, (9,), p, 5)[i] == stays


@variants
@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_the_share_that_is_dropped_is_p(variant, p):
    n = 200_000
    kept = mask(variant, (n,), p, 3).mean()
    assert abs(kept - (1 - p)) < 4 * np.sqrt(p * (1 - p) / n)  # four standard deviations


@variants
def test_neighbours_are_independent(variant):
    kept = mask(variant, (400, 500), 0.5, 11) * 2.0 - 1
    bound = 4 / np.sqrt(kept.size)
    for other in (np.roll(kept, 1, 1), np.roll(kept, 1, 0), mask(variant, (400, 500), 0.5, 12) * 2.0 - 1):
        assert abs((kept * other).mean()) < bound


@variants
def test_what_stays_is_scaled_so_that_the_mean_stays(variant):
    x = np.full((5, 7), 3.0, np.float32)
    y, _ = dropout.variant(variant).forward(x, p=0.25, seed=1)
    assert set(np.unique(y)) == {0.0, 4.0}


@variants
def test_the_gradient_flows_where_the_value_stayed(variant):
    module = dropout.variant(variant)
    x = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)
    y, cache = module.forward(x, p=0.5, seed=(1, 4))
    (dx,) = module.backward(np.ones_like(y), cache)
    np.testing.assert_array_equal(dx, np.where(y != 0, 2, 0))


@variants
def test_another_seed_is_another_mask(variant):
    seeds = [0, 1, 2, (0, 1), (1, 0), (0, 0, 1), (1, 2, 3), (3, 2, 1)]
    masks = {mask(variant, (64,), 0.5, seed).tobytes() for seed in seeds}
    assert len(masks) == len(seeds)
    assert fold(7) == fold((7,))


@variants
def test_without_training_y_is_x(variant):
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    y, cache = dropout.variant(variant).forward(x, p=0.9, seed=1, train=False)
    np.testing.assert_array_equal(y, x)
    assert cache is None


@variants
@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5, float("nan")])
def test_p_must_be_a_probability_below_one(variant, p):
    with pytest.raises(ValueError, match=r"must be in \[0, 1\); it is"):
        dropout.variant(variant).forward(np.ones(3, np.float32), p=p, seed=0)


@variants
def test_a_dropped_nan_is_still_nan(variant):
    y, _ = dropout.variant(variant).forward(np.full((9,), np.nan, np.float32), p=0.5, seed=0)
    assert np.isnan(y).all()


@variants
@pytest.mark.parametrize("shape", [(1, 7, 3), (5, 7, 3), (2, 3, 7, 130), (7, 9001)])
def test_parts_of_a_batch_drop_what_the_whole_drops(variant, shape):
    """Rows are the last axis but one: (T, N, D) of sequences, (N, D) of vectors."""
    module, N = dropout.variant(variant), shape[-2]
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    whole, cache = module.forward(x, p=0.4, seed=(3, 1))
    dwhole = module.backward(x, cache)[0]
    for first, last in ((0, 3), (3, 4), (4, 4), (4, 7), (0, 7)):
        part = np.ascontiguousarray(x[..., first:last, :])
        y, cache = module.forward(part, p=0.4, seed=(3, 1), window=(first, N))
        np.testing.assert_array_equal(y, whole[..., first:last, :])
        np.testing.assert_array_equal(module.backward(part, cache)[0], dwhole[..., first:last, :])


@variants
def test_a_window_that_does_not_hold_x_is_refused(variant):
    for x, window in ((np.ones((3, 5), np.float32), (5, 7)), (np.ones(3, np.float32), (0, 7))):
        with pytest.raises(ValueError, match="window"):
            dropout.variant(variant).forward(x, p=0.5, seed=1, window=window)

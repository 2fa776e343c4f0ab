"""Softmax and cross-entropy: what is particular to it."""

import numpy as np
import pytest

from scratchlv.cuda.arrays import MOST_UNASKED
from scratchlv.cuda.emulator import why_not
from scratchlv.ops import softmax_cross_entropy

rng = np.random.default_rng(0)
needs_compiler = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
variants = pytest.mark.parametrize("variant", ["reference", "numba_cpu"])
all_variants = pytest.mark.parametrize(
    "variant", ["reference", "numba_cpu", pytest.param("cuda", marks=needs_compiler)]
)


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


@needs_compiler
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


# --- reductions, class weights, ignored targets, smoothed labels --------------------------------------------------------------

SETTINGS = {
    "reduction none": {"reduction": "none"},
    "sum": {"reduction": "sum"},
    "class weights": {"class_weights": np.array([0.5, 0, 2, 1, 1.5])},
    "ignored": {"ignore_index": -100},
    "smoothed": {"label_smoothing": 0.3},
    "all": {"class_weights": np.array([0.5, 0, 2, 1, 1.5]), "ignore_index": -100, "label_smoothing": 0.3},
}


def by_definition(logits, targets, mask=None, class_weights=None, ignore_index=-100, label_smoothing=0.0):
    """The losses of places and what each counts in the mean, as PyTorch documents them, with Python's numbers."""
    V = logits.shape[-1]
    w, losses, counts = np.ones(V) if class_weights is None else class_weights, [], []
    for place in np.ndindex(targets.shape):
        weight = 1.0 if mask is None else float(mask[place])
        t = int(targets[place])
        if weight == 0 or t == ignore_index:
            losses.append(0.0), counts.append(0.0)
            continue
        log_p = logits[place] - np.log(sum(np.exp(logits[place])))
        hit = -(1 - label_smoothing) * w[t] * log_p[t] - label_smoothing / V * sum(w[v] * log_p[v] for v in range(V))
        losses.append(weight * hit), counts.append(weight * w[t])
    return np.reshape(losses, targets.shape), sum(counts)


def some(seed, shape=(4, 3), V=5):
    """Logits, targets of which two are -100, and a mask."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, V, shape)
    targets.flat[[1, 5]] = -100
    return rng.standard_normal((*shape, V)).astype(np.float32), targets, np.round(rng.random(shape), 1)


@all_variants
@pytest.mark.parametrize("name", SETTINGS)
def test_the_losses_are_those_of_the_definition(variant, name):
    settings = {key: value for key, value in SETTINGS[name].items() if key != "reduction"}
    for seed, masked in ((0, False), (1, True)):
        logits, targets, mask = some(seed)
        mask = mask if masked else None
        if "ignore_index" not in settings:
            targets = np.maximum(targets, 0)
        losses, count = by_definition(logits.astype(float), targets, mask, **settings)
        expected = {"none": losses, "sum": losses.sum(), "mean": losses.sum() / count}
        for reduction, loss in expected.items():
            got, _ = run_of(variant, logits, targets, mask=mask, **settings, reduction=reduction)
            np.testing.assert_allclose(got, loss, rtol=2e-6, atol=2e-6, err_msg=reduction)


def run_of(variant, logits, targets, dloss=None, **settings):
    """:func:`run` with class weights, and a ``dloss`` of 1, or of as many as there are losses."""
    module = softmax_cross_entropy.variant(variant)
    if dloss is None:
        dloss = np.ones(np.shape(targets), np.float32) if settings.get("reduction") == "none" else 1.0
    if "class_weights" in settings:
        settings["class_weights"] = np.asarray(settings["class_weights"], np.float32)
    loss, cache = module.forward(logits, targets, **settings)
    return loss, module.backward(dloss, cache)[0]


@all_variants
@pytest.mark.parametrize("name", ["class weights", "smoothed", "all"])
def test_the_reductions_agree_with_each_other(variant, name):
    """The gradient of the mean is that of the losses of places, times 1 over what is divided by."""
    settings = {"ignore_index": -100} | SETTINGS[name]
    logits, targets, mask = some(3)
    losses, _ = run_of(variant, logits, targets, mask=mask, **settings, reduction="none")
    total, of_sum = run_of(variant, logits, targets, mask=mask, **settings, reduction="sum")
    mean, of_mean = run_of(variant, logits, targets, mask=mask, **settings)
    assert losses.shape == (4, 3) and losses.dtype == np.float32
    assert total == pytest.approx(losses.sum(), rel=1e-6)
    dlosses = np.full((4, 3), mean / total, np.float32)
    _, of_losses = run_of(variant, logits, targets, dlosses, mask=mask, **settings, reduction="none")
    np.testing.assert_allclose(of_losses, of_mean, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(of_sum, of_mean * (total / mean), rtol=1e-5, atol=1e-7)


@all_variants
def test_each_loss_has_its_own_gradient_and_where_nothing_counts_none_flows(variant):
    logits, targets, _ = some(4)
    mask = np.ones((4, 3), bool)
    mask[2] = False
    dloss = np.random.default_rng(5).standard_normal((4, 3)).astype(np.float32)
    dloss[2] = np.nan
    settings = {"mask": mask, "ignore_index": -100, "label_smoothing": 0.2, "reduction": "none"}
    losses, dlogits = run_of(variant, logits, targets, dloss, **settings)
    counts = mask & (targets != -100)
    assert not losses[~counts].any() and losses[counts].all()
    assert not dlogits[~counts].any()
    for place in np.argwhere(counts):
        place = tuple(place)
        one = logits[place][None], targets[place][None], dloss[place][None]
        _, alone = run_of(variant, *one, **settings | {"mask": None})
        np.testing.assert_allclose(dlogits[place], alone[0], rtol=1e-6, atol=1e-7)


@all_variants
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.filterwarnings("error")
def test_where_all_are_ignored_loss_and_gradient_are_0(variant, reduction):
    logits, targets, _ = some(6)
    settings = {"ignore_index": -100, "label_smoothing": 0.1, "class_weights": np.ones(5), "reduction": reduction}
    loss, dlogits = run_of(variant, logits, np.full_like(targets, -100), **settings)
    assert not np.any(loss) and not dlogits.any()
    targets = np.zeros_like(targets)  # a class that weighs nothing
    settings = {"class_weights": np.array([0, 1, 1, 1, 1]), "reduction": reduction}
    loss, dlogits = run_of(variant, logits, targets, **settings)
    assert not np.any(loss) and not dlogits.any()


@variants
@pytest.mark.parametrize("V", [1, 16, 33, 100])
def test_a_smoothed_row_has_the_same_bits_whatever_stands_beside_it(variant, V):
    """And written where the logits stood."""
    rng = np.random.default_rng(V)
    logits, targets = rng.standard_normal((40, V)).astype(np.float32), rng.integers(0, V, 40)
    settings = {"label_smoothing": 0.1, "class_weights": rng.random(V), "reduction": "none"}
    losses, together = run_of(variant, logits, targets, **settings)
    overwritten_losses, overwritten = run_of(variant, logits.copy(), targets, **settings, overwrite=True)
    assert overwritten_losses.tobytes() == losses.tobytes()
    assert overwritten.tobytes() == together.tobytes()
    if variant == "numba_cpu":
        for k in (0, 19, 20, 39):
            loss, alone = run_of(variant, logits[k : k + 1], targets[k : k + 1], **settings)
            assert loss[0] == losses[k]
            np.testing.assert_array_equal(alone[0], together[k])


@variants
def test_smoothing_is_least_where_the_probabilities_are_what_is_to_be_hit(variant):
    """There the gradient is 0, and the loss the entropy of it: a smoothed loss never falls to 0."""
    q = np.float32([0.7 + 0.06, 0.06, 0.06, 0.06, 0.06])
    loss, dlogits = run_of(variant, np.log(q)[None], np.array([0]), label_smoothing=0.3)
    np.testing.assert_allclose(dlogits, 0, atol=4e-7)
    assert loss == pytest.approx(-(q * np.log(q)).sum(), rel=1e-6)


@variants
def test_a_score_of_minus_infinity_costs_infinity_where_it_is_to_be_hit_a_little(variant):
    loss, _ = run_of(variant, np.float32([[0, -np.inf, 0]]), np.array([0]), label_smoothing=0.1)
    assert loss == np.inf


@all_variants
@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"class_weights": np.ones(4)}, r"class_weights has the shape \(4,\); logits \(2, 5\) need \(5,\)"),
        ({"class_weights": np.array([1, 1, -1, 1, 1])}, "class_weights must be finite and 0 or more"),
        ({"class_weights": np.array([1, 1, np.nan, 1, 1])}, "class_weights must be finite and 0 or more"),
        ({"class_weights": np.array([1, 1, np.inf, 1, 1])}, "class_weights must be finite and 0 or more"),
        ({"ignore_index": 0}, r"ignore_index 0 is a class, of V = 5: .* mask=targets != 0"),
        ({"ignore_index": 4}, "ignore_index 4 is a class"),
        ({"label_smoothing": 1.0}, "label_smoothing must be 0 or more and below 1; it is 1.0"),
        ({"label_smoothing": -0.1}, "it is -0.1"),
        ({"label_smoothing": np.nan}, "it is nan"),
        ({"reduction": "average"}, "reduction must be one of mean, sum, none; it is 'average'"),
    ],
)
def test_settings_that_cannot_be_are_named(variant, settings, match):
    with pytest.raises(ValueError, match=match):
        run_of(variant, np.zeros((2, 5), np.float32), np.array([0, 4]), **settings)


@all_variants
def test_a_dloss_of_another_shape_is_named(variant):
    logits, targets, _ = some(7)
    for dloss in (1.0, np.ones(3, np.float32), np.ones((4, 1), np.float32)):
        with pytest.raises(
            ValueError, match=r"dloss has the shape .*; the losses of \(4, 3\) places need one for each"
        ):
            run_of(variant, logits, np.maximum(targets, 0), dloss, reduction="none")


@variants
@pytest.mark.parametrize("target", [-1, 5])
def test_a_target_that_is_neither_a_class_nor_ignored_is_named(variant, target):
    with pytest.raises(ValueError, match=f"target {target} is not a class"):
        run_of(variant, np.zeros((3, 5), np.float32), np.array([0, -100, target]), ignore_index=-100)


@needs_compiler
@pytest.mark.parametrize("settings", [{}, {"class_weights": np.ones(5)}, {"label_smoothing": 0.1}])
def test_on_a_gpu_a_target_that_is_no_class_makes_its_loss_nan(settings):
    logits, targets, _ = some(8)
    targets = np.maximum(targets, 0)
    targets[1, 2] = 5
    loss, _ = run_of("cuda", logits, targets, **settings, reduction="none")
    np.testing.assert_array_equal(np.argwhere(np.isnan(loss)), [[1, 2]])
    assert np.isnan(run_of("cuda", logits, targets, **settings)[0])


# --- as ONNX defines them: the class is the second axis, and what is ignored may be a class ------------------------------------


def onnx_negative_log_likelihood(x, target, weight=None, ignore_index=None, reduction="mean"):
    """NegativeLogLikelihoodLoss-13: loss[n, d...] = -weight[c] x[n, c, d...], c = target[n, d...]; 0 where c is ignored."""
    loss, counts = np.zeros(target.shape), np.zeros(target.shape)
    for n, *d in np.ndindex(target.shape):
        c = target[(n, *d)]
        if c != ignore_index:
            counts[(n, *d)] = 1 if weight is None else weight[c]
            loss[(n, *d)] = -counts[(n, *d)] * x[(n, c, *d)]
    if reduction == "mean":
        return loss.sum() / (counts.sum() if weight is not None or ignore_index is not None else loss.size)
    return loss.sum() if reduction == "sum" else loss


@variants
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignore_index", [None, 0, 2, -5, 10])
@pytest.mark.parametrize("d", [(), (6,), (2, 3)])
def test_softmax_cross_entropy_loss_of_onnx(variant, d, ignore_index, weighted, reduction):
    """SoftmaxCrossEntropyLoss-13 is NegativeLogLikelihoodLoss-13 of the log-softmax."""
    rng = np.random.default_rng([len(d), weighted])
    scores, target = rng.standard_normal((3, 5, *d)), rng.integers(0, 5, (3, *d))
    if ignore_index in (-5, 10):
        target.flat[::2] = ignore_index
    weight = rng.uniform(0.1, 1, 5) if weighted else None
    log_p = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    expected = onnx_negative_log_likelihood(log_p, target, weight, ignore_index, reduction)
    settings = {"class_weights": weight} if weighted else {}
    if ignore_index in (0, 2):  # a class
        settings["mask"] = target != ignore_index
    elif ignore_index is not None:
        settings["ignore_index"] = ignore_index
    for z in (scores, log_p):  # a softmax of log-probabilities is what they were, so that this is the second loss, too
        z = np.moveaxis(z, 1, -1).astype(np.float32)
        loss, _ = run_of(variant, z, target, **settings, reduction=reduction)
        np.testing.assert_allclose(loss, expected, rtol=1e-5, atol=1e-6)

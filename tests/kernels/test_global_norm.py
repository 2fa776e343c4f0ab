"""The global norm and the factor that clips it: its variants against each other, and against what the equation says."""

import numpy as np
import pytest

from scratchlv.cuda.emulator import ORDERS, turns, why_not, without_barrier
from scratchlv.gradcheck import compare_step
from scratchlv.ops import global_norm

needs_compiler = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
cuda = pytest.param("cuda", marks=needs_compiler)
variants = pytest.mark.parametrize("variant", ["reference", "numba_cpu", cuda])
CASES = global_norm.room.cases(np.random.default_rng(0))


def assert_accurate(variant, case):
    report = compare_step(global_norm.variant(variant), global_norm.variant("reference"), CASES[case])
    assert report.ok, str(report)
    assert [gradient.name for gradient in report.gradients] == ["out", "norm", "factor"]


@pytest.mark.parametrize("case", CASES)
def test_a_variant_is_as_accurate_as_float32_allows(case):
    assert_accurate("numba_cpu", case)


@needs_compiler
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("case", CASES)
def test_cuda_is_as_accurate_in_every_order(case, order):
    with turns(order, seed=7):
        assert_accurate("cuda", case)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_reference_follows_the_equation(dtype):
    grads = np.asarray([[3, 0], [0, 0]], dtype), np.asarray([4], dtype)
    for max_norm, factor in ((10, 1), (5, 1), (1, 0.2)):
        out = np.empty(5, dtype)
        assert global_norm.variant("reference").step(grads, out, max_norm=max_norm) == (5, pytest.approx(factor))
        assert out.tolist() == [3, 0, 0, 0, 4]


@variants
def test_the_clipped_gradient_has_the_norm_that_was_asked_for(variant):
    g = np.random.default_rng(1).standard_normal(1000).astype(np.float32)
    out = np.empty_like(g)
    norm, factor = global_norm.variant(variant).step((g,), out, max_norm=0.5)
    assert float(norm) == pytest.approx(np.linalg.norm(g.astype(np.float64)), rel=1e-6)
    assert np.linalg.norm(float(factor) * out) == pytest.approx(0.5, rel=1e-6)


@variants
def test_gradients_of_nothing_are_not_clipped(variant):
    norm, factor = global_norm.variant(variant).step((np.zeros(5, np.float32),), np.empty(5, np.float32), max_norm=1.0)
    assert (float(norm), float(factor)) == (0, 1)


@variants
@pytest.mark.parametrize("spoiled", [np.nan, np.inf])
def test_a_norm_that_is_not_finite_gives_no_factor(variant, spoiled):
    g = np.ones(5, np.float32)
    g[3] = spoiled
    norm, factor = global_norm.variant(variant).step((g,), np.empty(5, np.float32), max_norm=1.0)
    assert not np.isfinite(norm)
    assert np.isnan(factor)


@variants
def test_an_out_of_another_size_is_refused(variant):
    with pytest.raises(ValueError, match="out has 6 numbers, and the gradients 5"):
        global_norm.variant(variant).step((np.ones(5, np.float32),), np.empty(6, np.float32), max_norm=1.0)


def test_what_it_cannot_write_in_place_is_left_to_the_reference():
    g = np.ones(5, np.float32)
    assert "numba_cpu" in global_norm.explain((g,), np.empty(5, np.float32), max_norm=1.0)
    assert "not contiguous" in global_norm.explain((g,), np.empty(10, np.float32)[::2], max_norm=1.0)
    assert "float64" in global_norm.explain((g.astype(np.float64),), np.empty(5, np.float32), max_norm=1.0)


@pytest.mark.parametrize("variant", ["numba_cpu", cuda])
def test_gradients_of_any_layout_are_served(variant):
    g = np.random.default_rng(2).standard_normal((6, 10)).astype(np.float32)
    out = np.empty(30, np.float32)
    global_norm.variant(variant).step((g[:, ::2],), out, max_norm=1.0)
    np.testing.assert_array_equal(out, g[:, ::2].reshape(-1))


# --- on a GPU --------------------------------------------------------------------------------------------------------


def gpu_norm(g, out=None):
    out = np.empty_like(g) if out is None else out
    return np.stack(global_norm.variant("cuda").step((g,), out, max_norm=1.0))


@needs_compiler
def test_a_sum_of_more_parts_than_threads():
    assert gpu_norm(np.ones(300 * 4096, np.float32))[0] == np.float32(np.sqrt(300 * 4096))


@needs_compiler
def test_the_order_of_the_threads_is_not_the_order_of_the_additions():
    x, found = np.random.default_rng(0).standard_normal(50_000).astype(np.float32), set()
    for order in ORDERS:
        with turns(order, seed=5):
            found.add(gpu_norm(x).tobytes())
    assert len(found) == 1


@needs_compiler
@pytest.mark.parametrize("size", [1, 3, 4, 1021, 2 * 4096 + 5])
def test_cuda_serves_an_out_at_any_address(size):
    """Also at one where no float4 can be read."""
    x, roomy = np.random.default_rng(0).standard_normal(size).astype(np.float32), np.empty(size + 8, np.float32)
    start = next(k for k in range(4) if roomy[k:].ctypes.data % 16 == 4)
    norm, _ = gpu_norm(x, roomy[start : start + size])
    assert norm == pytest.approx(np.linalg.norm(x.astype(np.float64)), rel=1e-6)


@needs_compiler
def test_every_barrier_is_needed():
    engine = global_norm.variant("cuda").load("global_norm.cu").engine(on_gpu=False)
    x = np.random.default_rng(1).standard_normal(5000).astype(np.float32)
    engine.barriers_met()
    expected = gpu_norm(x).tobytes()
    met = engine.barriers_met()
    assert {file for file, _ in met} == {"scratchlv.cuh"}
    for site in met:
        assert any(is_missed(site, order, x, expected) for order in ORDERS), site


def is_missed(site, order, x, expected):
    with turns(order, seed=7), without_barrier(*site), np.errstate(all="ignore"):
        return gpu_norm(x).tobytes() != expected

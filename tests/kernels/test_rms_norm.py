"""Root mean square normalisation: what is particular to it."""

import numpy as np
import pytest

from scratchlv.cuda.emulator import why_not
from scratchlv.ops import rms_norm

needs_compiler = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
cuda = pytest.param("cuda", marks=needs_compiler)
variants = pytest.mark.parametrize("variant", ["reference", "numba_cpu", cuda])
rng = np.random.default_rng(0)


@variants
@pytest.mark.parametrize("shape", [(3, 2, 5, 7), (2, 3, 3, 64), (5, 1, 1, 1), (0, 2, 2, 3), (4, 9)])
def test_pictures_get_a_mean_square_of_one(variant, shape):
    x = (rng.standard_normal(shape) * rng.uniform(0.1, 100, (shape[0], *[1] * (len(shape) - 1)))).astype(np.float32)
    y, _ = rms_norm.variant(variant).forward(x)
    squares = (y.astype(np.float64) ** 2).reshape(shape[0], int(np.prod(shape[1:])))
    np.testing.assert_allclose(squares.mean(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(np.sign(y), np.sign(x))


@variants
def test_pictures_without_numbers_are_served(variant):
    module = rms_norm.variant(variant)
    y, cache = module.forward(np.empty((2, 0, 2, 3), np.float32))
    assert y.shape == module.backward(y, cache)[0].shape == (2, 0, 2, 3)


@variants
@pytest.mark.parametrize("more", [0, 2])
def test_it_writes_where_it_is_told_to_and_nowhere_else(variant, more):
    module, x = rms_norm.variant(variant), rng.standard_normal((3, 2, 5, 7)).astype(np.float32)
    expected, _ = module.forward(x)
    out = np.full((3, 2, 5, 7 + more), 7, np.float32)
    y, cache = module.forward(x, out=out)
    assert y.base is out or y is out
    np.testing.assert_array_equal(out[..., :7], expected)
    assert (out[..., 7:] == 7).all()
    dy = rng.standard_normal(x.shape).astype(np.float32)
    np.testing.assert_array_equal(module.backward(dy, cache)[0], module.backward(dy, module.forward(x)[1])[0])


@variants
def test_where_it_cannot_write(variant):
    module, x = rms_norm.variant(variant), np.ones((3, 2, 2, 5), np.float32)
    for shape in ((3, 2, 2, 4), (2, 2, 2, 5), (3, 4, 5)):
        with pytest.raises(ValueError, match="does not go"):
            module.forward(x, out=np.empty(shape, np.float32))


def test_an_out_that_is_not_contiguous_is_left_to_the_reference():
    x, roomy = rng.standard_normal((2, 3, 3, 4)).astype(np.float32), np.zeros((2, 3, 3, 12), np.float32)
    assert "not contiguous" in rms_norm.explain(x, out=roomy[..., ::2])
    y, _ = rms_norm.forward(x, out=roomy[..., ::2], train=False)
    np.testing.assert_allclose(y, rms_norm.forward(x)[0], rtol=1e-6)
    assert (roomy[..., 1::2] == 0).all()


@variants
def test_a_picture_of_zeros_stays_one_and_nan_stays_in_its_picture(variant):
    x = rng.standard_normal((3, 2, 2, 33)).astype(np.float32)
    x[0], x[1, 0, 0, 0] = 0, np.nan
    y, _ = rms_norm.variant(variant).forward(x)
    assert (y[0] == 0).all()
    assert np.isnan(y[1]).all()
    assert np.isfinite(y[2]).all()


@variants
def test_a_gradient_along_the_picture_has_no_effect(variant):
    module, x = rms_norm.variant(variant), rng.standard_normal((4, 3, 3, 8)).astype(np.float32)
    y, cache = module.forward(x)
    np.testing.assert_allclose(module.backward(y, cache)[0], 0, atol=1e-5)

"""A bug of no known kind is placed, and a target that is missing is known by the error before the softmax."""

import numpy as np

from ..operations import diagnosed, normal

LABELS = np.array([1, 0, 3, 3, 2, 1])


def loss(x, W, labels):
    z = x @ W
    m = z.max(1)
    logs = m + np.log(np.exp(z - m[:, None]).sum(1))
    return (logs - z[np.arange(len(z)), labels]).mean(), (x, W, labels, np.exp(z - logs[:, None]))


def backward_with(step):
    def backward(dloss, cache):
        x, W, labels, p = cache
        dz = step(p.copy(), labels) * dloss / len(x)
        return dz @ W.T, x.T @ dz

    return backward


INPUTS = {"x": normal(6, 3), "W": normal(3, 4), "labels": LABELS}


def test_a_target_that_is_not_subtracted():
    assert "a target that is not subtracted" in diagnosed(loss, backward_with(lambda p, labels: p), INPUTS)


def test_a_factor_of_the_derivative_too_many():
    def forward(x, w, y):
        p = 1 / (1 + np.exp(-(x @ w)))
        return -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(), (x, w, y, p)

    def backward(dloss, cache):
        x, w, y, p = cache
        dz = dloss * (p - y) * p * (1 - p) / len(x)
        return np.outer(dz, w), x.T @ dz

    inputs = {"x": normal(6, 3), "w": normal(3), "y": np.array([1, 0, 0, 1, 1, 0])}
    words = diagnosed(forward, backward, inputs)
    assert "a factor too many in a product: u (1 − u), where u is `p`, the derivative of σ" in words


def test_a_factor_names_no_function_that_forward_has_not():
    def backward(dy, cache):
        s, x = cache
        return dy * 2 * s * (1 - s**2), dy * x

    def forward(s, x):
        return s**2 + x**2 / 2, (s, x)

    words = diagnosed(forward, backward, {"s": normal(4, 3) / 3, "x": normal(4, 3)})
    assert "a factor too many" in words and "1 − u" in words and "tanh" not in words


def test_of_functions_in_a_row_it_may_be_any():
    def forward(x):
        e = np.exp(x)
        return np.tanh(np.log1p(e)), (x, e)

    def backward(dy, cache):
        x, e = cache
        da = dy * (1 - np.tanh(np.log1p(e)) ** 2)
        return (da * e / (1 + e) * (1.1 - 0.3 * x**4),)

    words = diagnosed(forward, backward, {"x": normal(4, 3)})
    assert "of one of" in words and "tanh" in words and "exp" in words


def test_what_goes_into_a_product_may_have_the_wrong_factor():
    def forward(h, g):
        r = np.maximum(h, 0)
        return np.einsum("ne,nef->nf", g, r), (h, g, r)

    def backward(dy, cache):
        h, g, r = cache
        dr = np.repeat(dy[:, None], g.shape[1], axis=1) * g[:, :, None] ** 3
        return dr * (h > 0), np.einsum("nf,nef->ne", dy, r)

    words = diagnosed(forward, backward, {"h": normal(3, 2, 4), "g": normal(3, 2)})
    assert "derivative" not in words or "wrong array" in words

"""One hop: its gradient, its two parts together."""

import numpy as np

from scratchlv.gradcheck import assert_gradients
from scratchlv.models import hop, of_questions


def test_gradients():
    """Two questions about the second picture, one about the first; of x both as it is looked at and as it makes keys."""
    rng = np.random.default_rng(0)
    picture_of = np.array([1, 0, 1])
    names = {name.partition(".")[2]: name for name in hop.init(rng, "look", 4, 5)}
    weights = {
        short: rng.standard_normal(value.shape)
        for short, value in zip(names, hop.init(rng, "look", 4, 5).values(), strict=True)
    }

    def forward(x, u, Wx, b, Wu, v):
        params = dict(zip(names.values(), (Wx, b, Wu, v), strict=True))
        x_of, gathered = of_questions.forward(x, picture_of, train=True)
        looked, cache = hop.forward(params, "look", x, x_of, u, picture_of)
        return looked, (cache, gathered)

    def backward(dy, cache):
        cache, gathered = cache
        dx_of, dkeys, du, g = hop.backward(*dy, cache, None)
        dx, of_keys = hop.keys_backward(dkeys, cache, of_questions.backward(dx_of, gathered))
        g |= of_keys
        return dx, du, *(g[name] for name in names.values())

    inputs = {"x": rng.standard_normal((2, 6, 4)), "u": rng.standard_normal((3, 4))} | weights
    assert_gradients(forward, backward, inputs)

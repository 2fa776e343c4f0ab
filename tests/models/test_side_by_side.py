"""Memory networks side by side: each computes and learns as if it were alone."""

from dataclasses import replace

import numpy as np
import pytest

from scratchlv.models.memory_network import MemoryNetwork, MemoryNetworkConfig
from scratchlv.models.side_by_side import SideBySide

from .helpers import in_float64
from .test_memory_network import batch

CONFIG = MemoryNetworkConfig(vocabulary=11, answers=5, memories=8, pictures=False, hops=3, width=6, init_scale=0.7)
SEEDS = (4, 9, 2)
CONFIGS = [
    CONFIG,
    replace(CONFIG, tied_answers=True, empty_memories=True, encoding=2.0),
    replace(CONFIG, tying="layer-wise"),
]


def side_by_side(config, clip=1e9):
    found = SideBySide(config, SEEDS, clip)
    in_float64(found.network)
    found.params = found.network.params
    return found


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("clip", [1e9, 0.5])
def test_each_has_the_loss_and_the_clipped_gradient_that_it_has_alone(config, linear, clip):
    together, data = side_by_side(config, clip), batch()
    together.linear = linear
    loss, cache = together.forward(data)
    grads, losses = together.backward(cache), []
    together.clip_each(grads)
    for r, seed in enumerate(SEEDS):
        alone = in_float64(MemoryNetwork(config, seed))
        alone.linear = linear
        for name, array in together.copy(r).params.items():
            np.testing.assert_array_equal(array, alone.params[name])
        of_one, cache = alone.forward(data)
        losses.append(of_one)
        own = alone.backward(cache)
        scale = min(1, clip / np.sqrt(sum((grad**2).sum() for grad in own.values())))
        assert own.keys() == grads.keys()
        for name, grad in own.items():
            np.testing.assert_allclose(
                np.split(grads[name], len(SEEDS))[r], scale * grad, rtol=1e-9, atol=1e-12, err_msg=name
            )
    assert loss == pytest.approx(np.mean(losses))


def test_what_they_answer_is_the_mean():
    together, data = side_by_side(CONFIGS[1]), batch()
    probabilities, alphas = together.answer(data)
    each = [together.copy(r).answer(data) for r in range(len(SEEDS))]
    np.testing.assert_allclose(probabilities, np.mean([p for p, _ in each], axis=0))
    np.testing.assert_allclose(alphas, np.mean([a for _, a in each], axis=0))

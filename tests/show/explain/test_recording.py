"""References, run line by line."""

import numpy as np
import pytest

from scratchlv import ops
from scratchlv.show.explain.page import recorded
from scratchlv.show.explain.pages import SUBJECTS


def arrays(y):
    return np.concatenate([np.ravel(part) for part in (y if isinstance(y, tuple) else (y,))])


@pytest.fixture(params=SUBJECTS)
def subject(request):
    return SUBJECTS[request.param]


def made(subject, seed=0):
    rng = np.random.default_rng(seed)
    return subject.make(lambda *shape: rng.standard_normal(shape), subject.sizes)


def test_the_tape_is_the_reference(subject):
    """With its own numbers and with others: what was recorded does not depend on them."""
    inputs, dy = made(subject)
    found = recorded(subject, inputs, dy)
    reference = getattr(ops, subject.operation).variant("reference")
    others, _ = made(subject, seed=1)
    given = {
        place: number
        for name, (_, at) in found.inputs.items()
        for place, number in zip(at, np.ravel(others[name]), strict=True)
    }
    for numbers, played in ((inputs, found.tape.play()), (others, found.tape.play(given))):
        y, cache = reference.forward(**numbers)
        np.testing.assert_allclose(played[found.outputs, 0], arrays(y), rtol=1e-12, atol=1e-14)
        grads = dict(zip(subject.gradients, reference.backward(dy, cache), strict=True))
        for name, (shape, at) in found.gradients.items():
            assert shape == grads[name].shape
            np.testing.assert_allclose(played[at, 0], grads[name].ravel(), rtol=1e-11, atol=1e-13)


def test_each_step_is_a_line_that_wrote_something(subject):
    found = recorded(subject, *made(subject))
    assert 0 < found.n_forward < len(found.steps)
    helpers = [each.split(".")[1] for each in subject.helpers]
    for k, step in enumerate(found.steps):
        assert step.function == (k >= found.n_forward) or found.functions[step.function].name in helpers
        assert all(variable.written for variable in step.writes)
        assert step.line < len(found.functions[step.function].text.splitlines())


def test_of_a_step_the_time_is_known():
    found = recorded(SUBJECTS["lstm"], *made(SUBJECTS["lstm"]))
    T = SUBJECTS["lstm"].sizes["T"]
    times = [step.t for step in found.steps if step.t >= 0]
    assert times == sorted(times[: times.index(T - 1)]) + [T - 1] * times.count(T - 1) + sorted(
        times[len(times) - times[::-1].index(T - 1) :], reverse=True
    )
    (state,) = [v for step in found.steps for v in step.writes if v.name == "h" and step.t == 2 and step.function == 0]
    assert {np.unravel_index(k, state.shape)[0] for k in state.written} == {3}

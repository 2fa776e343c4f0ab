"""Where forward cannot be watched, other shapes and weights tell; whatever remake does, nothing breaks."""

import pytest

from scratchlv.gradcheck.naming.diagnose import diagnose

from ..operations import D, H, N, T, evidence_of, normal, rnn_backward, rnn_forward, rnn_inputs


def slopes(forward, inputs, dy):
    """Central differences, of the inputs that are few."""
    found = {}
    for name, value in inputs.items():
        grad = value * 0
        for i in range(value.size):
            ends = []
            for step in (1e-6, -1e-6):
                moved = value.copy()
                moved.reshape(-1)[i] += step
                ends.append((dy * forward(**{**inputs, name: moved})[0]).sum())
            grad.reshape(-1)[i] = (ends[0] - ends[1]) / 2e-6
        found[name] = grad
    return found


def examined(bug):
    """Of a recurrent network with a bug: what a check finds, without a way to watch forward."""

    def rerun(inputs=None, dy=None):
        evidence = evidence_of(rnn_forward, rnn_backward(bug), inputs or rnn_inputs(), [])
        evidence.forward = evidence.backward = None
        evidence.numeric = slopes(rnn_forward, evidence.inputs, evidence.dy)
        evidence.wrong = [name for name, n in evidence.numeric.items() if abs(evidence.analytic[name] - n).max() > 1e-6]
        return evidence

    return rerun(), rerun


@pytest.mark.parametrize(
    ("bug", "name"),
    [
        ("dh_next", "dh_next being dropped"),
        ("W for W.T", "W used for Wᵀ in the recurrent path"),
        ("= for +=", "= for += over time in dWx"),
        ("batch sum", "a missing sum over the batch"),
    ],
)
def test_a_bug_is_named_by_other_shapes(bug, name):
    evidence, rerun = examined(bug)
    assert name in diagnose(evidence, rerun=rerun, remake=rnn_inputs)[0]


def raising(**sizes):
    raise ValueError("no such size")


@pytest.mark.parametrize(
    "remake",
    [
        None,
        raising,
        lambda N=N: rnn_inputs(N=N),
        lambda T=T, N=N: {"other": normal(T, N)},
        lambda T=T, N=N: [normal(T, N, D), normal(N, H)],
    ],
)
def test_a_remake_that_cannot_be_used_breaks_nothing(remake):
    evidence, rerun = examined("dh_next")
    assert diagnose(evidence, rerun=rerun, remake=remake, sizes=["T", "N"])  # type: ignore[arg-type]


def test_nothing_breaks_without_rerun():
    evidence, _ = examined("dh_next")
    assert diagnose(evidence, rerun=None) == ["no known signature: look at the local derivatives one by one"]

"""Loss and norm of each step: what is not finite ends the training, with the step and the checkpoint that stays."""

import math
from pathlib import Path

import pytest

from scratchlv.errors import UserError
from scratchlv.training.step_metrics import StepMetrics


def test_the_last_step_is_remembered():
    metrics = StepMetrics(None)
    assert all(math.isnan(value) for value in metrics.last)
    metrics.add(1, 2.5, 0.5)
    metrics.add(2, 1.5, 0.25)
    assert metrics.last == metrics.sync() == (1.5, 0.25)


@pytest.mark.parametrize("folder", [None, Path("runs/a")])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("what", ["the loss", "the norm of the gradient"])
def test_what_is_not_finite_is_refused_and_not_remembered(what, bad, folder):
    metrics = StepMetrics(folder)
    metrics.add(1, 2.5, 0.5)
    kept = r"the last checkpoint in runs/a is untouched; " if folder else ""
    with pytest.raises(UserError, match=f"^{what} became {bad} at step 2; {kept}try a lower --set learning_rate"):
        metrics.add(2, *((bad, 0.5) if what == "the loss" else (2.5, bad)))
    assert metrics.last == (2.5, 0.5)

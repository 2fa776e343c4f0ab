"""Kernels of somebody's own, on all cases of a room."""

from pathlib import Path

import pytest

from scratchlv.bench.own.judging import judge
from scratchlv.bench.own.loading import entered
from scratchlv.errors import UserError

from .examples import RIGHT, WRONG

OF_THE_DOCS = sorted((Path(__file__).parents[3] / "docs/kernels").glob("[0-9]_*.py"))
SGD = """
def step(params, grads, *, lr, grad_scale=1.0, weight_decay=0.0):
    params -= lr * (grad_scale * grads + weight_decay * params)
"""


def first_wrong(tmp_path, source, operation="tanh"):
    """Why a kernel is refused; empty if it is not."""
    path = tmp_path / "mine.py"
    path.write_text(source, "utf-8")
    try:
        with entered(path, operation) as own:
            return next((verdict.wrong for verdict in judge(own) if verdict.wrong), "")
    except UserError as error:
        return str(error)


def test_a_right_one_is_right_on_every_case(tmp_path):
    assert first_wrong(tmp_path, RIGHT) == ""


@pytest.mark.slow
@pytest.mark.parametrize("path", OF_THE_DOCS, ids=lambda path: path.stem)
def test_the_versions_of_the_docs_are_right(path):
    with entered(path, "log_softmax") as own:
        assert [verdict.wrong for verdict in judge(own) if verdict.wrong] == []


@pytest.mark.parametrize("which", WRONG)
def test_a_wrong_one_is_refused_with_a_reason(which, tmp_path):
    source, said = WRONG[which]
    told = first_wrong(tmp_path, source)
    assert said in told and told


@pytest.mark.parametrize("operation", ["lstm", "softmax_cross_entropy", "max_pool2d", "dropout", "embedding"])
def test_the_reference_itself_keeps_the_contract(operation, tmp_path):
    """As somebody's file: NumPy in float32 is no wronger than it may be."""
    source = f"from scratchlv.kernels.{operation}.reference import backward, forward\n"
    assert first_wrong(tmp_path, source, operation) == ""


def test_an_optimiser_has_a_step(tmp_path):
    right = SGD
    assert first_wrong(tmp_path, right, "sgd") == ""
    assert "step changes grads" in first_wrong(tmp_path, right + "    grads *= 0\n", "sgd")
    assert "params" in first_wrong(tmp_path, right.replace("-=", "+="), "sgd")
    counting = "n = 0\n" + right.replace("    params", "    global n\n    n += 1\n    params", 1).replace(
        "lr * (", "n * lr * ("
    )
    assert "other numbers the second time" in first_wrong(tmp_path, counting, "sgd")


def test_a_setting_that_it_does_not_take_is_not_served(tmp_path):
    """As of a file that is older than the setting; what the room cannot do without is no setting."""
    path = tmp_path / "mine.py"
    path.write_text(SGD, "utf-8")
    with entered(path, "sgd") as own:
        found = {verdict.case: verdict for verdict in judge(own)}
    assert found["momentum"].not_served == "it takes no velocity and no momentum"
    assert found["plain"].report and not any(verdict.wrong for verdict in found.values())
    assert "unexpected keyword argument 'lr'" in first_wrong(tmp_path, SGD.replace("lr", "rate"), "sgd")


def test_what_it_says_it_cannot_serve_does_not_count_against_it(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(RIGHT + "\ndef limits(x, **more):\n    return 'no numbers' if x.size == 0 else None\n", "utf-8")
    with entered(path, "tanh") as own:
        found = [*judge(own)]
    assert any(verdict.not_served == "no numbers" for verdict in found)
    assert not any(verdict.wrong for verdict in found)

"""The bound of float32 variants: planted bugs exceed it, right sums keep to it, and no machine moves it."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from scratchlv import ops
from scratchlv.gradcheck import compare, compare_step

ROOT = Path(__file__).resolve().parents[2]


def reference(name):
    return getattr(ops, name).variant("reference")


def case(name, which):
    room = getattr(ops, name).room
    hard = room.hard_cases(np.random.default_rng(1)) if hasattr(room, "hard_cases") else {}
    return (room.cases(np.random.default_rng(0)) | hard)[which]


# --- Planted bugs: each makes a variant of the reference that has one ------------------------------------------------


def inputs_changed(name, **changes):
    """The reference, given something else: ``changes`` are functions of what should be given."""

    def changed(inputs):
        return {key: changes[key](value) if key in changes else value for key, value in inputs.items()}

    right = reference(name)
    if hasattr(right, "step"):
        return SimpleNamespace(step=lambda **inputs: right.step(**changed(inputs)))
    return SimpleNamespace(forward=lambda **inputs: right.forward(**changed(inputs)), backward=right.backward)


def output_changed(name, change):
    """``change(y, **inputs)`` writes into the output."""
    right = reference(name)

    def forward(**inputs):
        y, cache = right.forward(**inputs)
        change(y, **inputs)
        return y, cache

    return SimpleNamespace(forward=forward, backward=right.backward)


def db_changed(change):
    """Of ``linear``: ``change(db, dy)`` is what is returned instead."""
    right = reference("linear")

    def backward(dy, cache):
        dx, dW, db = right.backward(dy, cache)
        return dx, dW, change(db, dy.reshape(-1, dy.shape[-1])).astype(np.float32)

    return SimpleNamespace(forward=right.forward, backward=backward)


def function_changed(name, function, relative):
    """One of NumPy's functions has an error that goes up and down with x."""
    right, exact = reference(name), getattr(np, function)
    wrong = {function: lambda x: (exact(x) * (1 + relative * np.sin(1000 * x))).astype(x.dtype)}

    def spoiled(call):
        def run(*args, **kwargs):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(right, "np", SimpleNamespace(**vars(np) | wrong))
                return call(*args, **kwargs)

        return run

    return SimpleNamespace(forward=spoiled(right.forward), backward=spoiled(right.backward))


def rounded_to(bits):
    def rounded(x):
        mantissa, exponent = np.frexp(x)
        return np.ldexp(np.rint(np.ldexp(mantissa, bits)), exponent - bits).astype(x.dtype)

    return rounded


def without_last_term(y, a, b):
    y[...] = a[:, :-1] @ b[:-1]


def lane_without_last_term(y, a, b):
    y[:, 5::16] = a[:, :-1] @ b[:-1, 5::16]


def one_number_off(y, a, b):
    y[7, 11] += 1e-5 * np.abs(y).max()


def variance_as_difference():
    """E[x²] - E[x]² instead of E[(x - E[x])²]."""
    right = reference("batch_norm2d")

    def forward(x, gamma, beta, *, eps):
        _, cache = right.forward(x, gamma, beta, eps=eps)
        mean = x.mean((0, 1, 2))
        inverse_std = 1 / np.sqrt((x * x).mean((0, 1, 2)) - mean * mean + np.float32(eps))
        x_hat = (x - mean) * inverse_std
        return x_hat * gamma + beta, cache._replace(x_hat=x_hat, inverse_std=inverse_std)

    return SimpleNamespace(forward=forward, backward=right.backward)


BUGS = {  # as docs/numerics.md lists them
    "the last of 523 terms is left out": (
        "matmul, long sums",
        lambda: output_changed("matmul", without_last_term),
    ),
    "one lane of 16 leaves out its last term": (
        "matmul, larger than a block",
        lambda: output_changed("matmul", lane_without_last_term),
    ),
    "one number of 12,707 is off by 1e-5 of the largest": (
        "matmul, larger than a block",
        lambda: output_changed("matmul", one_number_off),
    ),
    "operands are rounded to bfloat16": (
        "matmul, long sums",
        lambda: inputs_changed("matmul", a=rounded_to(8), b=rounded_to(8)),
    ),
    "operands are rounded to TF32": (
        "matmul, long sums",
        lambda: inputs_changed("matmul", a=rounded_to(11), b=rounded_to(11)),
    ),
    "the bias is lost": (
        "linear, larger than a block",
        lambda: inputs_changed("linear", b=np.zeros_like),
    ),
    "the rows of the last thread are not summed": (
        "linear, many rows",
        lambda: db_changed(lambda db, dy: dy[: len(dy) // 32 * 32].sum(0)),
    ),
    "a sum is taken in float16": (
        "linear, larger than a block",
        lambda: db_changed(lambda db, dy: dy.astype(np.float16).sum(0)),
    ),
    "a gradient is too large by 3e-6": (
        "linear, odd",
        lambda: db_changed(lambda db, dy: db * (1 + 3e-6)),
    ),
    "exp is off by 1e-4": (
        "softmax_cross_entropy, no mask",
        lambda: function_changed("softmax_cross_entropy", "exp", 1e-4),
    ),
    "exp is off by 1e-5": (
        "softmax_cross_entropy, no mask",
        lambda: function_changed("softmax_cross_entropy", "exp", 1e-5),
    ),
    "tanh is off by 1e-5": (
        "lstm, larger than a block",
        lambda: function_changed("lstm", "tanh", 1e-5),
    ),
    "a square root is off by 1e-5": (
        "batch_norm2d, larger than a block",
        lambda: function_changed("batch_norm2d", "sqrt", 1e-5),
    ),
    "the variance is taken as E[x²] - E[x]²": (
        "batch_norm2d, mean far from zero",
        variance_as_difference,
    ),
    "a sequence runs one step past its length": (
        "lstm, lengths",
        lambda: inputs_changed("lstm", lengths=lambda lengths: np.minimum(lengths + 1, 4)),
    ),
    "Adam counts its steps from 0": (
        "adam, later",
        lambda: inputs_changed("adam", t=lambda t: t - 1),
    ),
}


def judged(name, module, inputs):
    with np.errstate(all="ignore"):
        return (compare_step if hasattr(module, "step") else compare)(module, reference(name), inputs)


def excess(report):
    """The largest error of a result, in units of what is allowed."""
    assert not report.problems, report
    return max(gradient.error / gradient.tolerance for gradient in report.gradients if gradient.tolerance)


def told():
    """What docs/numerics.md says of each bug: where it was planted, and by what factor the bound was exceeded."""
    text = (ROOT / "docs/numerics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+?) \| `(\w+)`, (.+?) \| ([\d,.]+) \|$", text, re.M)
    return {bug: (f"{name}, {which}", float(factor.replace(",", ""))) for bug, name, which, factor in rows}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_exceeds_the_bound_as_far_as_is_told(bug):
    where, make = BUGS[bug]
    name, which = where.split(", ", 1)
    report = judged(name, make(), case(name, which))
    assert not report.ok
    assert told()[bug][0] == where
    assert excess(report) == pytest.approx(told()[bug][1], rel=0.3)


def test_docs_list_all_of_them():
    assert told().keys() == BUGS.keys()


@pytest.mark.parametrize("bug", ["NaN", "infinity", "shape", "dtype"])
def test_what_is_no_matter_of_rounding_is_wrong(bug):
    def spoil(db, dy):
        return np.full_like(db, {"NaN": np.nan, "infinity": np.inf}.get(bug, 0))[: -1 if bug == "shape" else None]

    module = db_changed(spoil)
    if bug == "dtype":
        module = SimpleNamespace(forward=module.forward, backward=lambda dy, cache: (dy @ cache.W.T,) * 3)
    assert not compare(module, reference("linear"), case("linear", "odd")).ok


# --- Right ones ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("K", [5, 523, 20_000])
def test_terms_may_be_added_one_after_another(K, positive):
    """The bound is made of that: who promises more (gemm, on the CPU) has a test of it."""

    def one_after_another(a, b):
        return np.cumsum(a[:, :, None] * b, axis=1)[:, -1]

    right = reference("matmul")
    module = SimpleNamespace(
        forward=lambda a, b: (one_after_another(a, b), right.Cache(a, b)),
        backward=lambda dc, cache: (one_after_another(dc, cache.b.T), one_after_another(cache.a.T, dc)),
    )
    rng = np.random.default_rng(K)
    draw = rng.random if positive else rng.standard_normal
    report = compare(module, right, {"a": draw((3, K)), "b": draw((K, 4))})
    assert report.ok, str(report)


def test_what_float32_holds_leaves_no_room():
    """Whole numbers: no error but of 4 units in the last place is allowed, however long the sum."""
    rng = np.random.default_rng(0)
    inputs = {"a": rng.integers(-9, 10, (3, 1000)).astype(float), "b": rng.integers(-9, 10, (1000, 4)).astype(float)}
    y = compare(reference("matmul"), reference("matmul"), inputs).gradients[0]
    assert y.error == 0
    assert y.tolerance <= 4 * 2.0**-23


# --- Whatever the machine --------------------------------------------------------------------------------------------


def test_the_order_of_sums_moves_no_bound():
    """Of the float32 reference, which was the measure once, it moves the error."""
    right, inputs = reference("matmul"), case("matmul", "long sums")

    def product(a, b):
        return a[:, ::-1] @ b[::-1]

    other = SimpleNamespace(
        forward=lambda a, b: (product(a, b), right.Cache(a, b)),
        backward=lambda dc, cache: (product(dc, cache.b.T), product(cache.a.T, dc)),
    )
    bounds = [[g.tolerance for g in compare(right, module, inputs).gradients] for module in (right, other)]
    np.testing.assert_allclose(*bounds, rtol=1e-6)
    plain = [compare(module, right, inputs).gradients[0].error for module in (right, other)]
    assert plain[0] != pytest.approx(plain[1], rel=0.01)


BOUNDS = """
import numpy as np
from scratchlv import ops
from scratchlv.gradcheck import compare
for name in ("linear", "lstm", "additive_attention", "softmax_cross_entropy", "conv2d", "batch_norm2d", "embedding"):
    room, reference = getattr(ops, name).room, getattr(ops, name).variant("reference")
    for inputs in list(room.cases(np.random.default_rng(0)).values())[:3]:
        print(*(g.tolerance for g in compare(reference, reference, inputs).gradients))
"""


def bounds(**machine):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"} | machine
    done = subprocess.run([sys.executable, "-c", BOUNDS], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return np.array(done.stdout.split(), float)


@pytest.mark.slow
def test_no_blas_and_no_width_of_vectors_moves_a_bound():
    """As far as one machine can play others: NumPy's OpenBLAS by its kernels, its functions without the instructions it found."""
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    expected = bounds()
    assert expected.size > 80
    here = " ".join(name for name in __cpu_dispatch__ if __cpu_features__[name])
    for machine in (
        {"OPENBLAS_CORETYPE": "Prescott", "NPY_DISABLE_CPU_FEATURES": here},
        {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_NUM_THREADS": "1"},
        {"OPENBLAS_CORETYPE": "SkylakeX", "LC_ALL": "C", "PYTHONUTF8": "0"},
    ):
        np.testing.assert_allclose(bounds(**machine), expected, rtol=1e-6, err_msg=str(machine))


if __name__ == "__main__":  # the table of docs/numerics.md
    for bug, (where, make) in BUGS.items():
        name, which = where.split(", ", 1)
        print(f"| {bug} | `{name}`, {which} | {excess(judged(name, make(), case(name, which))):,.3g} |")

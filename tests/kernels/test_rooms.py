"""What holds in every room, whatever the operation: the contract of forward and backward.

How accurate the kernels of a GPU are is told in tests/cuda/test_kernels.py, for every version of them.
"""

import copy

import numpy as np
import pytest

import scratchlv
from scratchlv import ops
from scratchlv.gradcheck import check_operation

from ..slow import slow_unless

ROOMS = [name for name in ops.OPERATIONS if hasattr(getattr(ops, name).variant("reference"), "forward")]
VARIANTS = [(name, variant) for name in ROOMS for variant in getattr(ops, name).room.VARIANTS]


def cases(name):
    return getattr(ops, name).room.cases(np.random.default_rng(0))


CASES = [(name, case) for name in ROOMS for case in cases(name)]
ON_CPU = [(name, variant, case) for name, variant in VARIANTS for case in cases(name) if variant != "cuda"]
ON_GPU = [(name, case) for name in ROOMS if "cuda" in getattr(ops, name).room.VARIANTS for case in cases(name)]
TRAINING_DIFFERS = {"dropout", "batch_norm2d"}  # the output depends on ``train``
ZERO_TIMES_INFINITY = {("depthwise_conv2d", "W")}  # the reference multiplies the padding, the kernel leaves it out
NOT_READ = {"embedding"}  # not every element of the inputs reaches the output


def transform(value, function):
    """The same structure with the function applied to its arrays."""
    if isinstance(value, dict):
        return {key: transform(item, function) for key, item in value.items()}
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return tuple(transform(item, function) for item in value)
    return function(value) if isinstance(value, np.ndarray | np.generic) else value


def as_dtype(value, dtype):
    return transform(value, lambda array: array.astype(dtype) if array.dtype.kind == "f" else array)


def arrays(value):
    """The arrays in a structure, in order."""
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        return [array for item in value for array in arrays(item)]
    return [] if value is None else [np.asarray(value)]


def assert_same_bits(a, b):
    for p, q in zip(arrays(a), arrays(b), strict=True):
        assert p.dtype == q.dtype
        assert p.tobytes() == q.tobytes()


def serve(name, variant, case=None, dtype=np.float32):
    """The variant's module and inputs that it serves; skips where it says that it does not."""
    module, inputs = getattr(ops, name).variant(variant), cases(name)
    inputs = as_dtype(inputs[case or next(iter(inputs))], dtype)
    limit = module.limits(**inputs) if hasattr(module, "limits") else None
    if limit is not None:
        pytest.skip(f"says that it cannot serve this: {limit}")
    return module, inputs


def output_gradient(y):
    rng = np.random.default_rng(1)
    if isinstance(y, tuple):
        return tuple(rng.standard_normal(np.shape(part)).astype(part.dtype) for part in y)
    return np.asarray(rng.standard_normal(np.shape(y)), y.dtype)[()]


@pytest.mark.parametrize(
    ("name", "case"),
    slow_unless(lambda name, case: name != "attention_lstm" or case in list(cases(name))[::3], CASES),
)
def test_the_reference_agrees_with_central_differences(name, case):
    (report,) = check_operation(name, "reference", case)
    empty = any(np.size(value) == 0 for value in cases(name)[case].values() if isinstance(value, np.ndarray))
    assert report.verdict == ("not checked" if empty else "right"), str(report)
    assert report.gradients


@pytest.mark.parametrize(("name", "variant", "case"), [row for row in ON_CPU if row[1] != "reference"])
def test_a_variant_is_as_accurate_as_the_reference_in_float32(name, variant, case):
    serve(name, variant, case)
    (report,) = check_operation(name, variant, case)
    assert report.ok, str(report)
    assert not report.not_checked


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_a_variant_serves_the_first_case_in_float32(name, variant):
    module, inputs = getattr(ops, name).variant(variant), as_dtype(next(iter(cases(name).values())), np.float32)
    assert not hasattr(module, "limits") or module.limits(**inputs) is None


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_without_training_there_is_no_cache(name, variant):
    module, inputs = serve(name, variant)
    y, cache = module.forward(**inputs)
    assert cache is not None
    if name == "batch_norm2d":
        inputs |= {"running_mean": np.zeros_like(inputs["beta"]), "running_var": np.ones_like(inputs["beta"])}
    y_without, cache = module.forward(**inputs, train=False)
    assert cache is None
    if name not in TRAINING_DIFFERS:
        assert_same_bits(y, y_without)


@pytest.mark.parametrize(("name", "case"), CASES)
def test_the_dtype_in_is_the_dtype_out(name, case):
    """Of the reference; what it says is what every variant is held to."""
    for dtype in (np.float32, np.float64):
        module, inputs = serve(name, "reference", case, dtype)
        y, cache = module.forward(**inputs)
        found = arrays((y, module.backward(output_gradient(y), cache)))
        assert [array.dtype for array in found] == [dtype] * len(found)


@pytest.mark.parametrize(("name", "variant"), [row for row in VARIANTS if row[1] != "reference"])
def test_a_variant_that_serves_float64_computes_in_float64(name, variant):
    module, inputs = serve(name, variant, dtype=np.float64)
    reference = getattr(ops, name).variant("reference")
    y, cache = module.forward(**inputs)
    expected, expected_cache = reference.forward(**inputs)
    dy = output_gradient(expected)
    results = arrays((y, module.backward(dy, cache)))
    for got, exact in zip(results, arrays((expected, reference.backward(dy, expected_cache))), strict=True):
        assert got.dtype == np.float64
        np.testing.assert_allclose(got, exact, rtol=0, atol=1e-13 * max(1, np.abs(exact).max(initial=0)))


def run_watched(module, inputs):
    """Output and gradients; neither pass may change what it is given."""
    before = copy.deepcopy(inputs)
    y, cache = module.forward(**inputs)
    assert_same_bits(inputs, before)
    dy = output_gradient(y)
    before = copy.deepcopy((inputs, dy, cache))
    grads = module.backward(dy, cache)
    assert_same_bits((inputs, dy, cache), before)
    return y, grads


@pytest.mark.parametrize(("name", "variant", "case"), ON_CPU)
def test_two_runs_have_the_same_bits_with_any_number_of_threads_and_change_nothing(name, variant, case, threads):
    module, inputs = serve(name, variant, case)
    threads(2)
    expected = run_watched(module, inputs)
    threads(1)
    assert_same_bits(run_watched(module, inputs), expected)


@pytest.mark.parametrize(("name", "case"), slow_unless(lambda name, case: case == next(iter(cases(name))), ON_GPU))
def test_two_runs_on_a_gpu_have_the_same_bits_and_change_nothing(name, case):
    module, inputs = serve(name, "cuda", case)
    assert_same_bits(run_watched(module, inputs), run_watched(module, inputs))


def fortran(array):
    return np.asfortranarray(array) if array.ndim else array


def strided(array):
    roomy = np.empty((*array.shape, 2), array.dtype)
    roomy[..., 0] = array
    return roomy[..., 0]


def read_only(array):
    array = np.array(array)
    array.flags.writeable = False
    return array


def misaligned(array):
    if not array.nbytes:
        return array
    raw = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    raw[...] = array
    return raw


@pytest.mark.parametrize("layout", [fortran, strided, read_only, misaligned])
@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_any_layout_in_memory_is_served(name, variant, layout):
    dtype = np.float64 if variant == "reference" else np.float32
    module, inputs = serve(name, variant, dtype=dtype)
    y, cache = module.forward(**inputs)
    dy = output_gradient(y)
    grads = module.backward(dy, cache)
    laid_out, laid_out_dy = transform(inputs, layout), transform(dy, layout)
    y_again, cache = module.forward(**laid_out)
    grads_again = module.backward(laid_out_dy, cache)
    rounding = 1e-13 if dtype == np.float64 else 1e-6  # BLAS may add in another order
    for a, b in zip(arrays((y, grads)), arrays((y_again, grads_again)), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=rounding * max(1, np.abs(a).max(initial=0)))


@pytest.mark.parametrize("name", ROOMS)
def test_the_other_byte_order_is_served_or_refused(name):
    _, inputs = serve(name, "reference")
    swapped = transform(inputs, lambda array: array.astype(array.dtype.newbyteorder(">")))
    operation = getattr(ops, name)
    y, _ = operation.forward(**inputs)
    try:
        y_swapped, _ = operation.forward(**swapped)
    except ValueError as error:
        assert str(error)
        return
    for got, expected in zip(arrays(y_swapped), arrays(y), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * max(1, np.abs(expected).max(initial=0)))


@pytest.mark.parametrize("name", ROOMS)
def test_mixed_dtypes_are_served_or_refused(name):
    """All but the first float array in float64: what comes out is right to float32."""
    _, inputs = serve(name, "reference", dtype=np.float64)
    first = next(key for key, value in inputs.items() if isinstance(value, np.ndarray) and value.dtype.kind == "f")
    mixed = inputs | {first: inputs[first].astype(np.float32)}
    operation = getattr(ops, name)
    y, _ = operation.forward(**inputs)
    try:
        y_mixed, _ = operation.forward(**mixed)
    except ValueError as error:
        assert str(error)
        return
    for got, expected in zip(arrays(y_mixed), arrays(y), strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * max(1, np.abs(expected).max(initial=0)))


@pytest.mark.parametrize("size", [np.inf, -np.inf])
@pytest.mark.parametrize(("name", "variant"), [row for row in VARIANTS if row[1] != "reference"])
@pytest.mark.filterwarnings("ignore:invalid value", "ignore:overflow")
def test_infinities_spread_as_in_the_reference(name, variant, size):
    module, inputs = serve(name, variant)
    reference = getattr(ops, name).variant("reference")
    for key, value in inputs.items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and (name, key) not in ZERO_TIMES_INFINITY:
            spoiled = value.copy()
            spoiled.flat[0] = size
            results = [arrays(m.forward(**inputs | {key: spoiled})[0]) for m in (module, reference)]
            for got, expected in zip(*results, strict=True):
                np.testing.assert_array_equal(np.isfinite(got), np.isfinite(expected), err_msg=key)


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_nan_in_any_input_reaches_the_output(name, variant):
    module, inputs = serve(name, variant)
    if name == "softmax_cross_entropy":
        inputs["mask"], inputs["targets"] = None, np.maximum(inputs["targets"], 0)  # else the NaN might be padding
    for key, value in inputs.items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            spoiled = value.copy()
            spoiled.flat[0] = np.nan
            if name in NOT_READ:
                spoiled[:] = np.nan
            y, _ = module.forward(**inputs | {key: spoiled})
            assert any(np.isnan(array).any() for array in arrays(y)), key


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_nan_in_the_output_gradient_reaches_the_gradients(name, variant):
    module, inputs = serve(name, variant)
    y, cache = module.forward(**inputs)
    dy = transform(output_gradient(y), lambda array: np.full_like(array, np.nan)[()])
    assert any(np.isnan(array).any() for array in arrays(module.backward(dy, cache)))


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_the_variant_that_was_asked_for_runs_forward_and_backward(name, variant):
    module, inputs = serve(name, variant)
    operation = getattr(ops, name)
    with scratchlv.use(variant):
        y, cache = operation.forward(**inputs)
        assert variant in operation.explain(**inputs)
    assert type(cache).__module__ == module.__name__
    grads = operation.backward(output_gradient(y), cache)
    assert_same_bits(grads, module.backward(output_gradient(y), cache))

"""The LSTM that attends: what is particular to it (what every room must do is in test_rooms.py)."""

import numpy as np
import pytest

from scratchlv.gradcheck import compare
from scratchlv.kernels.attention_lstm import cases, numba_cpu
from scratchlv.kernels.attention_lstm.reference import DRAWS
from scratchlv.ops import additive_attention, attention_lstm, dot_product_attention, lstm

rng = np.random.default_rng(0)
variants = pytest.mark.parametrize("variant", ["reference", "numba_cpu"])
scores = pytest.mark.parametrize("additive", [True, False])
T, N, L, E, D, A, H = 4, 3, 5, 2, 6, 7, 3


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def inputs(additive=True, **changed):
    shapes = {
        "words": (T, N, E),
        "x": (N, L, D),
        "keys": (N, L, A),
        "h0": (N, H),
        "c0": (N, H),
        "Wq": (H, A),
        "v": (A,),
        "Wx": (E + D, 4 * H),
        "Wh": (H, 4 * H),
        "b": (4 * H,),
    }
    arrays = {name: normal(*shape) for name, shape in shapes.items()}
    return arrays | {"Wg": None, "bg": None} | ({} if additive else {"v": None}) | changed


def gate():
    return {"Wg": normal(H), "bg": normal(1)}


def some_draws():
    """Of the first picture nothing is drawn."""
    found = rng.integers(0, DRAWS, (T, N))
    found[:, 0] = -1
    return found


def run(variant, arguments, dy=None, **settings):
    module = attention_lstm.variant(variant)
    y, cache = module.forward(**arguments, **settings)
    return y, module.backward(tuple(normal(*part.shape) for part in y) if dy is None else dy, cache)


def as_float64(arguments):
    return {
        k: v.astype(np.float64) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v
        for k, v in arguments.items()
    }


def assert_close(got, expected, tolerance=2e-6):
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * max(1, np.abs(expected).max(initial=0)))


@variants
@scores
def test_it_is_attention_and_an_lstm_step_by_step(variant, additive):
    """Made of the rooms it stands for, one step at a time, through their own variants."""
    given = inputs(additive)
    (h, z, alpha), _ = run(variant, given)
    state = given["h0"], given["c0"]
    for t in range(T):
        query = state[0] @ given["Wq"]
        if additive:
            (z_t, alpha_t), _ = additive_attention.forward(given["x"], given["keys"], query, given["v"])
        else:
            (z_t, alpha_t), _ = dot_product_attention.forward(given["x"], given["keys"], query)
        joined = np.concatenate([given["words"][t], z_t], axis=1)[None]
        (h_t, c), _ = lstm.forward(joined, *state, given["Wx"], given["Wh"], given["b"])
        state = h_t[0], c
        for got, expected in ((h[t], h_t[0]), (z[t], z_t), (alpha[t], alpha_t)):
            assert_close(got, expected)


@variants
@scores
def test_rows_of_a_batch_never_meet(variant, additive):
    given, dy = inputs(additive), (normal(T, N, H), normal(T, N, D), normal(T, N, L))
    y, (dwords, dx, dkeys, dh0, dc0, *_) = run(variant, given, dy)
    for n in range(N):
        one = slice(n, n + 1)
        alone = (
            given | {name: given[name][one] for name in ("x", "keys", "h0", "c0")} | {"words": given["words"][:, one]}
        )
        y_alone, (dwords_n, dx_n, dkeys_n, dh0_n, dc0_n, *_) = run(variant, alone, tuple(part[:, one] for part in dy))
        pairs = [(whole[:, one], part) for whole, part in zip((*y, dwords), (*y_alone, dwords_n), strict=True)]
        pairs += [(whole[one], part) for whole, part in ((dx, dx_n), (dkeys, dkeys_n), (dh0, dh0_n), (dc0, dc0_n))]
        for whole, part in pairs:
            assert_close(whole, part)


@variants
def test_a_masked_region_might_as_well_not_be_there(variant):
    mask = np.ones((N, L), bool)
    mask[:, [0, 3]] = False
    kept = np.flatnonzero(mask[0])
    given = inputs(mask=mask)
    dy = normal(T, N, H), normal(T, N, D), normal(T, N, L)
    (h, z, alpha), grads = run(variant, given, dy)
    fewer = given | {"x": given["x"][:, kept], "keys": given["keys"][:, kept], "mask": None}
    (h_kept, z_kept, alpha_kept), grads_kept = run(variant, fewer, (*dy[:2], dy[2][:, :, kept]))
    assert not alpha[:, :, [0, 3]].any()
    assert not grads[1][:, [0, 3]].any()
    assert not grads[2][:, [0, 3]].any()
    for got, expected in ((h, h_kept), (z, z_kept), (alpha[:, :, kept], alpha_kept)):
        assert_close(got, expected)
    for k, (got, expected) in enumerate(zip(grads, grads_kept, strict=True)):
        if got is not None:
            assert_close(got[:, kept] if k in (1, 2) else got, expected)


@variants
@scores
def test_an_output_that_nobody_uses_has_no_gradient(variant, additive):
    given = inputs(additive)
    dh, dz, dalpha = normal(T, N, H), normal(T, N, D), normal(T, N, L)
    for used, zeros in (
        ((dh, None, None), (dh, 0 * dz, 0 * dalpha)),
        ((None, dz, dalpha), (0 * dh, dz, dalpha)),
    ):
        _, grads = run(variant, given, used)
        _, expected = run(variant, given, zeros)
        for got, same in zip(grads, expected, strict=True):
            if same is not None:
                np.testing.assert_array_equal(got, same)


@variants
def test_the_gradient_of_data_is_not_made_and_all_others_are_the_same(variant):
    given, dy = inputs(), (normal(T, N, H), normal(T, N, D), None)
    (_, (dwords, dx, *others)) = run(variant, given, dy)
    (_, (dwords_again, nothing, *same)) = run(variant, given, dy, need_dx=False)
    assert dx.any()
    assert nothing is None
    for a, b in zip((dwords, *others), (dwords_again, *same), strict=True):
        if a is not None:
            np.testing.assert_array_equal(a, b)


# --- the gate, and regions that are drawn ----------------------------------------------------------------------------


@variants
def test_the_gate_is_sigma_of_the_state_before_and_scales_the_context(variant):
    given = inputs(**gate())
    (h, z, alpha), _ = run(variant, given)
    before = np.concatenate([given["h0"][None], h[:-1]])  # (T, N, H)
    beta = 1 / (1 + np.exp(-(before @ given["Wg"] + given["bg"])))  # (T, N)
    context = np.einsum("tnl,nld->tnd", alpha, given["x"])
    assert_close(z, beta[:, :, None] * context)


@variants
def test_an_open_gate_is_none_and_a_closed_one_hides_the_regions(variant):
    given = inputs(**gate())
    given["Wg"][:] = 0
    dy = normal(T, N, H), normal(T, N, D), normal(T, N, L)
    (plain, plain_grads), (opened, opened_grads) = (
        run(variant, given | changed, dy) for changed in ({"Wg": None, "bg": None}, {"bg": np.float32([50])})
    )
    for got, expected in zip((*opened, *opened_grads[:10]), (*plain, *plain_grads[:10]), strict=True):
        assert_close(got, expected)
    (_, z, _), grads = run(variant, given | {"bg": np.float32([-120])}, (dy[0], dy[1], None))
    assert not z.any()
    assert not grads.dx.any()
    assert not grads.dkeys.any()
    assert not grads.dbg.any()


@variants
@scores
def test_a_region_that_is_drawn_is_the_context(variant, additive):
    """The first whose cumulated weight is past the draw; a column without draws is soft attention."""
    given = inputs(additive, draws=some_draws())
    (h, z, alpha), _ = run(variant, given)
    reached = alpha.astype(np.float64).cumsum(axis=2)
    for t in range(T):
        assert_close(z[t, 0], alpha[t, 0] @ given["x"][0])
        for n in range(1, N):
            at = given["draws"][t, n] / DRAWS * reached[t, n, -1]
            region = np.flatnonzero(reached[t, n] > at)[0]
            np.testing.assert_array_equal(z[t, n], given["x"][n, region])
    soft, _ = run(variant, given | {"draws": None})
    for got, expected in zip((h, z, alpha), soft, strict=True):
        np.testing.assert_array_equal(got[:, 0], expected[:, 0])
        assert np.abs(got[:, 1:] - expected[:, 1:]).max() > 1e-3


@variants
def test_no_gradient_goes_from_a_region_that_was_drawn_to_where_it_was_looked(variant):
    """But for what the weights themselves are told."""
    given = inputs(draws=rng.integers(0, DRAWS, (T, N)))
    _, grads = run(variant, given, (normal(T, N, H), normal(T, N, D), None))
    assert not grads.dkeys.any()
    assert not grads.dWq.any()
    assert not grads.dv.any()
    assert grads.dx.any()
    _, told = run(variant, given, (None, None, normal(T, N, L)))
    assert told.dkeys.any()
    assert told.dv.any()


def test_both_variants_draw_the_same():
    given = inputs(draws=rng.integers(0, DRAWS, (T, N)), **gate())
    found = {}
    for variant in ("reference", "numba_cpu"):
        _, cache = attention_lstm.variant(variant).forward(**given)
        found[variant] = cache.looked
    np.testing.assert_array_equal(found["reference"], found["numba_cpu"])
    assert (found["reference"].sum(axis=2) == 1).all()


@variants
@pytest.mark.parametrize(
    ("wrong", "saying"),
    [
        ({"bg": None}, "a gate is Wg and bg together; one of them is missing"),
        ({"Wg": None}, "a gate is Wg and bg together; one of them is missing"),
        (
            {"draws": np.zeros((T, N))},
            r"draws are integers below 2\*\*24, and -1 where nothing is drawn; they are float64",
        ),
    ],
)
def test_half_a_gate_and_draws_that_are_no_integers_are_refused(variant, wrong, saying):
    with pytest.raises(ValueError, match=saying):
        attention_lstm.variant(variant).forward(**inputs(**gate()) | wrong)


@pytest.mark.parametrize(
    ("pictures", "threads", "at_once", "parts"),
    [(0, 2, 100, 2), (1, 2, 100, 2), (32, 2, 16, 2), (32, 2, 15, 4), (33, 2, 16, 4), (64, 3, 8, 9), (64, 3, 1, 9)],
)
def test_a_thread_takes_no_more_pictures_at_once_than_stay_in_cache(pictures, threads, at_once, parts, monkeypatch):
    """But never fewer than eight, if it has as many."""
    monkeypatch.setattr(numba_cpu, "n_threads", lambda: threads)
    x, keys = normal(pictures, 2, 3), normal(pictures, 2, 5)
    monkeypatch.setattr(numba_cpu, "AT_ONCE", at_once * 4 * 2 * (3 + 5))
    assert numba_cpu.parts_of_batch(x, keys) == parts


# --- e^{2 keys} e^{2 query} ------------------------------------------------------------------------------------------


def products(keys, query):
    """What the score is made of, e^{2(key + query)}, for one picture with these keys (L, A), and whether it is far."""
    factors, e_query, whole = np.empty_like(keys), np.empty_like(query), np.empty_like(keys)
    overflows = numba_cpu.key_factors(keys, factors)
    rows = numba_cpu.both_factors(keys, factors, overflows, query, e_query, whole)
    return rows * e_query, overflows


@pytest.mark.parametrize("size", [1.0, 5.0, 13.99, 14.01, 20.0, 27.99, 28.01, 43.0, 1e2, 1e4])
@pytest.mark.parametrize("query_size", [1.0, 13.99, 14.01, 27.99, 28.01, 42.0, 1e2, 1e4])
def test_what_is_clamped_costs_no_accuracy(size, query_size):
    """tanh and its slope from the product, against float64, at and around the limits, and thousands beyond them."""
    ends = np.array([-1, -0.999, -0.5, 0, 1e-3, 0.5, 0.999, 1])
    near_minus_query = np.array([-8, -3, -1, -1e-3, 0, 0.1, 2, 9])
    query = np.repeat(query_size * ends, 16).astype(np.float32)
    keys = np.tile(np.concatenate([size * ends, near_minus_query]), 8).astype(np.float32)
    keys = np.stack([keys, keys - query * (np.abs(query) <= size)])  # the second row nearly cancels the query
    p, _ = products(keys, query)
    exact = np.tanh(keys.astype(np.float64) + query)
    assert np.isfinite(p).all()
    r = 1 / (1 + p)
    np.testing.assert_allclose(1 - 2 * r, exact, rtol=0, atol=6e-7)
    np.testing.assert_allclose(4 * p * r * r, 1 - exact**2, rtol=0, atol=6e-7)


def test_which_pictures_are_far():
    keys = np.zeros((L, A), np.float32)
    query = np.zeros(A, np.float32)
    for key, overflows_there in (
        (14.0, False),
        (-14.0, False),
        (14.1, True),
        (-14.1, True),
        (np.inf, True),
        (np.nan, True),
    ):
        keys[3, 5] = key
        p, overflows = products(keys, query)
        assert overflows == overflows_there
        assert np.isnan(p[3, 5]) == np.isnan(key)
        assert (np.delete(p.ravel(), 3 * A + 5) == 1).all()


@pytest.mark.slow
@pytest.mark.parametrize("where", ["keys", "queries", "both"])
@pytest.mark.parametrize("size", [15.0, 50.0, 1e4])
def test_far_keys_and_queries_err_no_more_than_float32_must(where, size):
    """One step, since what follows would amplify any rounding."""
    for _ in range(20):
        given = inputs()
        given["words"] = given["words"][:1]
        if where in ("keys", "both"):
            given["keys"][1:] *= np.float32(size)
        if where in ("queries", "both"):
            given["Wq"] *= np.float32(size)
        report = compare(attention_lstm.variant("numba_cpu"), attention_lstm.variant("reference"), given)
        assert not report.problems
        off = {gradient.name: gradient.analytic - gradient.numeric for gradient in report.gradients if not gradient.ok}
        assert all(abs(value) <= 1e-15 for value in off.values()), str(report)  # a slope of 1e-18 is 0 in float32


@pytest.mark.parametrize("name", ["keys", "h0"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_spread_as_in_the_reference(name, value):
    given = inputs()
    given[name][1].flat[2] = value
    given["Wq"][:] = np.abs(given["Wq"])  # an infinite h meets no zero, and infinities of one sign only
    with np.errstate(invalid="ignore"):
        (got, _), (expected, _) = (attention_lstm.variant(v).forward(**given) for v in ("numba_cpu", "reference"))
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
        np.testing.assert_allclose(a, b, atol=2e-6)
    assert not np.isnan(got[0][:, 0]).any()  # other pictures know nothing of it


# --- bad input -------------------------------------------------------------------------------------------------------


def misaligned(array):
    raw = np.empty(array.nbytes + 1, np.uint8)[1:]
    odd = raw.view(array.dtype).reshape(array.shape)
    odd[...] = array
    assert not odd.flags.aligned
    return odd


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def backwards(array):
    return np.ascontiguousarray(array[..., ::-1])[..., ::-1]


@pytest.mark.parametrize("extra", [False, True])
@scores
@pytest.mark.parametrize("layout", [misaligned, read_only, backwards, np.asfortranarray])
def test_any_layout_gives_the_same_bits(layout, additive, extra):
    more = gate() | {"draws": some_draws()} if extra else {}
    given, dy = inputs(additive, **more), (normal(T, N, H), normal(T, N, D), normal(T, N, L))
    y, grads = run("numba_cpu", given, dy)
    y_laid, grads_laid = run(
        "numba_cpu", {k: v if v is None else layout(v) for k, v in given.items()}, tuple(map(layout, dy))
    )
    for a, b in zip((*y, *grads), (*y_laid, *grads_laid), strict=True):
        assert a is b is None or a.tobytes() == b.tobytes()


@pytest.mark.parametrize("dtype", [">f4", np.float64, np.float16])
def test_what_is_not_plain_float32_goes_to_the_reference(dtype):
    given = inputs()
    given["keys"] = given["keys"].astype(dtype)
    assert "reference" in attention_lstm.explain(**given)
    y, cache = attention_lstm.forward(**given)
    expected, _ = attention_lstm.variant("reference").forward(**as_float64(given))
    assert type(cache).__module__.endswith("reference")
    for got, exact in zip(y, expected, strict=True):
        assert_close(got, exact, 2e-5)


def test_keys_may_be_the_regions_themselves():
    given = inputs(False, x=normal(N, L, A), Wx=normal(E + A, 4 * H))
    shared, copied = given | {"keys": given["x"]}, given | {"keys": given["x"].copy()}
    dy = normal(T, N, H), normal(T, N, A), None
    (y, grads), (y_copied, grads_copied) = run("numba_cpu", shared, dy), run("numba_cpu", copied, dy)
    for a, b in zip((*y, *grads), (*y_copied, *grads_copied), strict=True):
        assert a is b is None or a.tobytes() == b.tobytes()


@pytest.mark.parametrize(
    "case",
    ["odd", "larger than a block", "larger than a block, dot", "dot, mask", "drawn, dot, larger than a block"],
)
def test_no_number_of_threads_changes_a_bit(case, monkeypatch):
    """Nor of parts of the batch. More threads than rows are among them, and parts of a single picture."""
    given = {
        k: v.astype(np.float32) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v
        for k, v in cases(np.random.default_rng(0))[case].items()
    }
    shapes = [part.shape for part in attention_lstm.forward(**given)[0]]
    dy = tuple(normal(*shape) for shape in shapes)
    results = []
    monkeypatch.setattr(numba_cpu, "FEWEST", 1)
    for threads, at_once in ((1, 1 << 30), (1, 1), (2, 5000), (3, 1 << 30), (50, 1)):
        monkeypatch.setattr(numba_cpu, "n_threads", lambda threads=threads: threads)
        monkeypatch.setattr(numba_cpu, "AT_ONCE", at_once)
        y, grads = run("numba_cpu", given, dy)
        results.append([part for part in (*y, *grads) if part is not None])
    for others in results[1:]:
        for a, b in zip(results[0], others, strict=True):
            assert a.tobytes() == b.tobytes()


@variants
def test_there_must_be_a_region(variant):
    given = inputs(x=normal(N, 0, D), keys=normal(N, 0, A))
    with pytest.raises(ValueError, match="^there is nothing to look at: L, the number of regions, is 0$"):
        attention_lstm.variant(variant).forward(**given)


@variants
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("words", (T, N + 1, E)),
        ("x", (N, L - 1, D)),
        ("h0", (1, H)),
        ("c0", (N, H + 1)),
        ("Wq", (H, A - 1)),
        ("v", (1,)),
        ("Wx", (E + D - 1, 4 * H)),
        ("Wh", (H, 3 * H)),
        ("b", (1,)),
        ("mask", (N, 1)),
        ("Wg", (1,)),
        ("bg", (H,)),
        ("draws", (N, T)),
    ],
)
def test_shapes_that_do_not_fit_are_named(variant, name, shape):
    """Before a kernel reads past their ends, and before NumPy stretches what is 1 wide."""
    wrong = np.ones(shape, {"mask": bool, "draws": int}.get(name, np.float32))
    others = gate() if name in ("Wg", "bg") else {}
    with pytest.raises(ValueError, match=f"^{name} has the shape .*; keys .* need"):
        attention_lstm.variant(variant).forward(**inputs(**others | {name: wrong}))

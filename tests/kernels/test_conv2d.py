"""Convolution: what is particular to it."""

import numpy as np
import pytest

import scratchlv
from scratchlv.kernels.conv2d import winograd
from scratchlv.kernels.conv2d.numba_cpu import by_winograd
from scratchlv.kernels.conv2d.reference import layout
from scratchlv.kernels.max_pool2d import reference as max_pool2d
from scratchlv.kernels.relu import reference as relu_room
from scratchlv.ops import conv2d, linear, pack

rng = np.random.default_rng(0)
variants = pytest.mark.parametrize("variant", ["reference", "numba_cpu", "cuda"])
few_or_many_channels = pytest.mark.parametrize("C", [2, 11])  # numba_cpu goes another way for few


def whole(*shape):
    """Whole numbers, whose sums are exact in any order."""
    return rng.integers(-9, 10, shape).astype(np.float32)


def run(variant, dy, *arguments, **settings):
    module = conv2d.variant(variant)
    y, cache = module.forward(*arguments, **settings)
    return y, module.backward(dy, cache)


@variants
@few_or_many_channels
def test_the_window_is_not_turned_round(variant, C):
    """One tap that is 1: y is x, moved so that the pixel under that tap comes to where the window starts."""
    x = whole(2, 5, 6, C)
    W = np.zeros((3, 2, C, C), np.float32)
    W[2, 1] = np.eye(C)
    y, _ = conv2d.variant(variant).forward(x, W)
    np.testing.assert_array_equal(y, x[:, 2:, 1:])


@variants
@few_or_many_channels
def test_a_1x1_window_is_a_linear_map_of_every_pixel(variant, C):
    x, W, b, dy = whole(2, 3, 4, C), whole(C, 5), whole(5), whole(2, 3, 4, 5)
    y, grads = run(variant, dy, x, W[None, None], b)
    expected, cache = linear.variant("reference").forward(x, W, b)
    np.testing.assert_array_equal(y, expected)
    for got, true in zip(grads, linear.variant("reference").backward(dy, cache), strict=True):
        np.testing.assert_array_equal(got.reshape(true.shape), true)


@variants
@few_or_many_channels
def test_a_stride_leaves_places_out(variant, C):
    """Of y, and of the gradient: what is left out is as a gradient of zero."""
    x, W, b = whole(2, 8, 7, C), whole(3, 3, C, 5), whole(5)
    every, _ = conv2d.variant(variant).forward(x, W, b, padding=1)
    dy = whole(*every[:, ::2, ::2].shape)
    y, grads = run(variant, dy, x, W, b, stride=2, padding=1)
    np.testing.assert_array_equal(y, every[:, ::2, ::2])
    spread = np.zeros_like(every)
    spread[:, ::2, ::2] = dy
    for got, same in zip(grads, run(variant, spread, x, W, b, padding=1)[1], strict=True):
        np.testing.assert_array_equal(got, same)


@variants
@few_or_many_channels
def test_padding_is_zeros_around_the_picture(variant, C):
    x, W, dy = whole(2, 4, 5, C), whole(3, 2, C, 3), whole(2, 5, 7, 3)
    y, (dx, dW, db) = run(variant, dy, x, W, padding=((2, 1), (0, 3)))
    padded = np.pad(x, ((0, 0), (2, 1), (0, 3), (0, 0)))
    same, (dpadded, dW_same, _) = run(variant, dy, padded, W)
    np.testing.assert_array_equal(y, same)
    np.testing.assert_array_equal(dx, dpadded[:, 2:-1, :-3])
    np.testing.assert_array_equal(dW, dW_same)
    assert db is None


@pytest.mark.parametrize(("C", "settings"), [(300, {"dilation": 2}), (600, {"groups": 2})])
def test_more_channels_than_are_summed_at_once_in_the_padding(C, settings):
    """Of dW: what a chunk of a window's numbers reads outside the picture is zeros, wherever it begins."""
    x, W = whole(1, 3, 4, C), whole(1, 2, 300, 4)
    y, cache = conv2d.variant("reference").forward(x, W, padding=1, **settings)
    dy = whole(*y.shape)
    _, grads = run("numba_cpu", dy, x, W, padding=1, **settings)
    np.testing.assert_array_equal(grads.dW, conv2d.variant("reference").backward(dy, cache).dW)


@variants
def test_nobody_wants_the_gradient_of_data(variant):
    x, W, b, dy = whole(2, 5, 4, 3), whole(3, 3, 3, 4), whole(4), whole(2, 3, 2, 4)
    _, (_, *grads) = run(variant, dy, x, W, b)
    _, (dx, *same) = run(variant, dy, x, W, b, need_dx=False)
    assert dx is None
    for got, expected in zip(same, grads, strict=True):
        np.testing.assert_array_equal(got, expected)


@variants
@pytest.mark.parametrize("C", [2, 11])  # of a group
@pytest.mark.parametrize("stride", [1, (2, 3)])
def test_groups_do_not_see_each_other(variant, C, stride):
    x, W, b = whole(2, 5, 7, 3 * C), whole(3, 3, C, 105), whole(105)
    settings = {"stride": stride, "padding": 1}
    dy = whole(*conv2d.variant("reference").forward(x, W, b, groups=3, **settings)[0].shape)
    y, (dx, dW, db) = run(variant, dy, x, W, b, groups=3, **settings)
    for g in range(3):
        seen, made = slice(C * g, C * g + C), slice(35 * g, 35 * g + 35)
        part, grads = run("reference", dy[..., made], x[..., seen], W[..., made], b[made], **settings)
        np.testing.assert_array_equal(y[..., made], part)
        for got, expected in zip((dx[..., seen], dW[..., made], db[made]), grads, strict=True):
            np.testing.assert_array_equal(got, expected)


@variants
@pytest.mark.filterwarnings("ignore:invalid value")
def test_nothing_of_a_group_leaks_into_another(variant):
    x, W, dy = whole(2, 5, 4, 6), whole(3, 3, 2, 9), whole(2, 3, 2, 9)
    x[0, 2, 2, 3], dy[1, 1, 1, 8] = np.nan, np.inf
    y, (dx, dW, _) = run(variant, dy, x, W, groups=3)
    spoiled = [~np.isfinite(array).reshape(-1, 3, n).all((0, 2)) for array, n in ((y, 3), (dx, 2), (dW, 3))]
    np.testing.assert_array_equal(spoiled, [[False, True, False], [False, False, True], [False, True, True]])


@variants
@few_or_many_channels
def test_a_dilated_window_is_one_with_zeros_between_its_taps(variant, C):
    """Also in dx with a stride, whatever factor the two have in common. Outputs by four: a GPU's last version takes them."""
    x, W, b = whole(2, 9, 11, C), whole(3, 2, C, 8), whole(8)
    for stride, dilation in ((1, 2), (2, (2, 3)), ((4, 3), (2, 3)), ((2, 6), (4, 4))):
        kh, kw = (2 * d + 1 if k == 3 else d + 1 for k, d in zip((3, 2), np.broadcast_to(dilation, 2), strict=True))
        sparse = np.zeros((kh, kw, C, 8), np.float32)
        taps = sparse[:: np.broadcast_to(dilation, 2)[0], :: np.broadcast_to(dilation, 2)[1]]
        taps[...] = W
        settings = {"stride": stride, "padding": ((2, 1), (0, 1))}
        expected, cache = conv2d.variant("reference").forward(x, sparse, b, **settings)
        dy = whole(*expected.shape)
        y, (dx, dW, db) = run(variant, dy, x, W, b, dilation=dilation, **settings)
        true = conv2d.variant("reference").backward(dy, cache)
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_array_equal(dx, true.dx)
        np.testing.assert_array_equal(
            dW, true.dW[:: np.broadcast_to(dilation, 2)[0], :: np.broadcast_to(dilation, 2)[1]]
        )
        np.testing.assert_array_equal(db, true.db)


def test_all_variants_serve_every_setting():
    x, W = whole(2, 9, 8, 6).astype(np.float32), whole(3, 3, 2, 9)
    settings = {
        "groups": 3,
        "stride": (2, 1),
        "dilation": (1, 2),
        "padding": ((0, 1), (2, 0)),
        "relu": True,
        "pool": True,
    }
    for variant in ("numba_cpu", "cuda"):
        assert conv2d.variant(variant).limits(x, W, **settings) is None


@variants
@pytest.mark.parametrize(
    ("W", "settings", "message"),
    [
        ((3, 3, 4, 2), {}, r"x has 3 channels; W \(3, 3, 4, 2\) in 1 group\(s\) takes 4"),
        ((6, 3, 3, 2), {}, "a 6x3 window does not fit into x, which is 5x4$"),
        ((3, 7, 3, 2), {"padding": 1}, "a 3x7 window does not fit into x, which is 5x4 with padding 1"),
    ],
)
def test_windows_that_cannot_be_are_named(variant, W, settings, message):
    with pytest.raises(ValueError, match=message):
        conv2d.variant(variant).forward(whole(2, 5, 4, 3), whole(*W), **settings)


# --- ReLU and pooling in the same call -----------------------------------------------------------------------------


@variants
@few_or_many_channels
@pytest.mark.parametrize(("relu", "pool"), [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("stride", [1, 2])
def test_relu_and_pooling_are_what_the_rooms_of_their_own_do(variant, C, relu, pool, stride):
    """On whole numbers, with ties, and for sizes that leave a row or a column over."""
    x, W, b = rng.integers(-1, 2, (2, 9, 8, C)).astype(np.float32), whole(3, 2, C, 5), whole(5)
    settings = {"stride": stride, "padding": 1, "exact": True}
    z, conv = conv2d.variant("reference").forward(x, W, b, **settings)
    y, rectified = relu_room.forward(z) if relu else (z, None)
    y, pooled = max_pool2d.forward(y) if pool else (y, None)
    dy = whole(*y.shape)
    got, grads = run(variant, dy, x, W, b, relu=relu, pool=pool, **settings)
    np.testing.assert_array_equal(got, y)
    (d,) = max_pool2d.backward(dy, pooled) if pool else (dy,)
    (d,) = relu_room.backward(d, rectified) if relu else (d,)
    for gradient, expected in zip(grads, conv2d.variant("reference").backward(d, conv), strict=True):
        np.testing.assert_array_equal(gradient, expected)


@variants
def test_a_picture_too_small_to_pool_is_named(variant):
    with pytest.raises(ValueError, match="a 2x2 window does not fit"):
        conv2d.variant(variant).forward(whole(2, 1, 5, 3), whole(1, 1, 3, 4), pool=True)


@variants
@pytest.mark.parametrize(("C", "M"), [(0, 3), (3, 0), (0, 20), (20, 0)])
def test_no_channels(variant, C, M):
    x, W, b = whole(2, 5, 4, C), whole(3, 3, C, M), whole(M)
    y, (dx, dW, db) = run(variant, np.ones((2, 5, 4, M), np.float32), x, W, b, padding=1)
    np.testing.assert_array_equal(y, np.broadcast_to(b, y.shape))
    assert (dx.shape, dW.shape) == (x.shape, W.shape)
    assert not dx.any()
    np.testing.assert_array_equal(db, np.full(M, 40))


# --- Winograd's filtering ------------------------------------------------------------------------------------------

# Lavin & Gray 2016, equation 15 and what follows
B_T = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    float,
)
G = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
A_T = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], float)
UNIT = 2.0**-24
# an addition or multiplication rounds once; a number passes at most so many: 2 x 3 in Bᵀ d B, 2 x 4 in G g Gᵀ (its constants
# are rounded too), 1 product, 2 x 5 in Aᵀ m A, 1 for the bias
ROUNDINGS = 26


def tiles_of(x, n, before, step):
    """Windows (N, th, tw, n, n, C) of ``x`` in zeros, ``step`` apart, the first ``before`` pixels outside."""
    th, tw = -(-x.shape[1] // step), -(-x.shape[2] // step)
    padded = np.zeros((len(x), step * th + n, step * tw + n, x.shape[3]))
    padded[:, before : before + x.shape[1], before : before + x.shape[2]] = x
    windows = np.lib.stride_tricks.sliding_window_view(padded, (n, n), axis=(1, 2))[:, ::step, ::step][:, :th, :tw]
    return windows.transpose(0, 1, 2, 4, 5, 3)


def both(T, tiles):
    """T X Tᵀ over the last axes but one."""
    return np.einsum("ai,...ijc,bj->...abc", T, tiles, T)


def output_bound(x, W):
    """Of the error of every output: the same formula on magnitudes, times the roundings that a number passes."""
    C, (N, H, Wx, _) = W.shape[2], x.shape
    U = np.einsum("ai,ijcm,bj->abcm", abs(G), abs(W), abs(G))
    V = both(abs(B_T), tiles_of(abs(x), 6, 1, 4))
    y = np.einsum("ia,nhwabm,jb->nhiwjm", abs(A_T), np.einsum("nhwabc,abcm->nhwabm", V, U), abs(A_T))
    y = y.reshape(N, y.shape[1] * 4, -1, W.shape[3])[:, :H, :Wx]
    return (ROUNDINGS + C) * UNIT * y


def weight_bound(x, dy):
    V, D = both(abs(B_T), tiles_of(abs(x), 6, 1, 4)), both(abs(A_T.T), tiles_of(abs(dy), 4, 0, 4))
    dU = np.einsum("nhwabc,nhwabm->abcm", V, D)
    tiles = V.shape[0] * V.shape[1] * V.shape[2]
    return (ROUNDINGS + tiles) * UNIT * np.einsum("ai,abcm,bj->ijcm", abs(G), dU, abs(G))


WINOGRAD_SHAPES = [  # N, H, W, C, M: one tile, ragged ones, one past a tile, one pixel, channels past a vector and prime
    (2, 4, 4, 16, 16),
    (1, 1, 1, 16, 17),
    (3, 5, 9, 17, 33),
    (2, 13, 7, 37, 67),
    (1, 17, 18, 64, 31),
    (5, 8, 8, 128, 32),
]


def winograd_case(N, H, W, C, M):
    x, w, b, dy = (rng.standard_normal(s).astype(np.float32) for s in ((N, H, W, C), (3, 3, C, M), M, (N, H, W, M)))
    assert by_winograd(w.shape, layout(x.shape, w.shape, 1, 1), 1, False)
    return x, w, b, dy


@pytest.mark.parametrize("shape", WINOGRAD_SHAPES)
def test_winograd_rounds_no_more_than_its_formula_can(shape):
    x, w, b, dy = winograd_case(*shape)
    y, (dx, dW, db) = run("numba_cpu", dy, x, w, b, padding=1)
    exact = [a.astype(np.float64) for a in (dy, x, w, b)]
    true_y, (true_dx, true_dW, true_db) = run("reference", *exact, padding=1)
    assert (abs(y - true_y) <= output_bound(x, w) + 2 * UNIT * abs(true_y)).all()
    turned = w[::-1, ::-1].transpose(0, 1, 3, 2)
    assert (abs(dx - true_dx) <= output_bound(dy, turned)).all()
    assert (abs(dW - true_dW) <= weight_bound(x, dy)).all()
    np.testing.assert_allclose(db, true_db, rtol=0, atol=1e-5 * abs(dy).sum((0, 1, 2)).max())
    # and usually far less: the README's table, as a share of the largest sum of magnitudes
    sums = run("reference", dy, abs(exact[1]), abs(exact[2]), padding=1)[0].max()
    assert abs(y - true_y).max() <= 4e-6 * sums


@pytest.mark.parametrize("shape", [(3, 5, 9, 17, 33), (2, 8, 6, 16, 48), (1, 2, 3, 32, 16)])
@pytest.mark.parametrize("relu", [False, True])
def test_winograd_with_relu_and_pooling(shape, relu):
    """The numbers are those of the plain call, and the gradients those of its pooled output, to the last bit."""
    x, w, b, _ = winograd_case(*shape)
    z, conv = conv2d.variant("numba_cpu").forward(x, w, b, padding=1)
    y, rectified = relu_room.forward(z) if relu else (z, None)
    y, pooled = max_pool2d.forward(y)
    dy = rng.standard_normal(y.shape).astype(np.float32)
    got, grads = run("numba_cpu", dy, x, w, b, padding=1, relu=relu, pool=True)
    np.testing.assert_array_equal(got, y)
    (d,) = max_pool2d.backward(dy, pooled)
    (d,) = relu_room.backward(d, rectified) if relu else (d,)
    dx, dW, db = conv2d.variant("numba_cpu").backward(d, conv)
    np.testing.assert_array_equal(grads[0], dx)
    np.testing.assert_array_equal(grads[1], dW)
    np.testing.assert_allclose(grads[2], db, rtol=1e-5, atol=1e-5)


def test_however_the_tiles_of_winograd_are_shared_out_y_and_dx_have_the_same_bits(monkeypatch):
    """The sum over tiles that is dW is made of other parts."""
    x, w, b, dy = winograd_case(4, 19, 18, 32, 40)
    expected = run("numba_cpu", dy, x, w, b, padding=1)
    monkeypatch.setattr(winograd, "_BLOCK", 1)  # as few tiles at once as can be
    small = run("numba_cpu", dy, x, w, b, padding=1)
    monkeypatch.setattr(winograd, "_WEIGHTS", 0)  # all threads through the same tiles, in three phases
    phases = run("numba_cpu", dy, x, w, b, padding=1)
    monkeypatch.setattr(winograd, "_CHUNK", 1)  # … few at once; dW is then summed in more parts
    chunks = run("numba_cpu", dy, x, w, b, padding=1)
    for y, (dx, dW, _) in (small, phases, chunks):
        np.testing.assert_array_equal(y, expected[0])
        np.testing.assert_array_equal(dx, expected[1][0])
        np.testing.assert_allclose(dW, expected[1][1], rtol=0, atol=1e-5 * abs(dW).max())


@pytest.mark.parametrize("exact", [False, True])
def test_nan_stays_near(exact):
    """One pixel's NaN reaches the 3x3 outputs that see it; by Winograd's filtering perhaps all of the tiles that do."""
    x, w, b, dy = winograd_case(1, 16, 16, 16, 16)
    x[0, 7, 5, 3] = np.nan  # in the last row of its tile: the tile below sees it too
    y, (dx, dW, _) = run("numba_cpu", dy, x, w, b, padding=1, exact=exact)
    seen, near = np.zeros((2, 16, 16), bool)
    seen[6:9, 4:7] = True
    near[4:12, 4:8] = True
    spoiled = np.isnan(y[0]).any(2)
    np.testing.assert_array_equal(spoiled, np.isnan(y[0]).all(2))
    assert spoiled[seen].all()
    assert not spoiled[~(seen if exact else near)].any()
    assert np.isfinite(dx).all()
    assert np.isnan(dW[:, :, 3]).all()
    assert np.isfinite(np.delete(dW, 3, axis=2)).all()


@pytest.mark.parametrize("C", [16, 3])
def test_packed_weights_give_the_same_and_are_packed_once(monkeypatch, C):
    x, w, b, _ = (
        a[..., :C] if i == 0 else a[:, :, :C] if i == 1 else a for i, a in enumerate(winograd_case(2, 8, 6, 16, 32))
    )
    packed = pack(w)
    expected, _ = conv2d.forward(x, w, b, padding=1, train=False)
    for _ in range(2):
        y, _ = conv2d.forward(x, packed, b, padding=1, train=False)
        np.testing.assert_array_equal(y, expected)
        assert len(packed._forms) == 1
    (form,) = packed._forms.values()
    conv2d.forward(x, packed, b, padding=1, train=False)
    assert next(iter(packed._forms.values())) is form
    with scratchlv.use("reference"):
        y, _ = conv2d.forward(x, packed, b, padding=1, train=False)
    np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="read-only"):
        packed[0] = 0


def test_packed_weights_know_the_groups_that_they_were_packed_for():
    W = whole(3, 3, 2, 12)
    packed = pack(W)
    for groups in (1, 6, 2):
        x = whole(2, 5, 4, 2 * groups)
        y, _ = conv2d.variant("numba_cpu").forward(x, packed, groups=groups, train=False)
        np.testing.assert_array_equal(y, conv2d.variant("reference").forward(x, W, groups=groups)[0])

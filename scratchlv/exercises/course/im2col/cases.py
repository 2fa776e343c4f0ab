import numpy as np

from scratchlv.exercises import call, pair


def cases(rng, N, H, W, C, M):
    row = np.array([1.0, 4.0, 9.0, 9.0]).reshape(1, 1, 4, 1)
    yield call("im2col", case="the example", x=row, kh=1, kw=2, stride=1, padding=0)
    small = np.arange(1.0, 13).reshape(1, 2, 3, 2)
    yield call("im2col", case="2 x 3 pixels of two channels", x=small, kh=2, kw=2, stride=1, padding=0)
    x = rng.standard_normal((N, H + 3, W + 3, C))
    for kh, kw, stride, padding in [(3, 2, 1, 0), (2, 3, 2, 1), (2, 1, 3, 0)]:
        case = f"a window of {kh} x {kw}, stride {stride}, padding {padding}"
        yield call("im2col", case=case, x=x, kh=kh, kw=kw, stride=stride, padding=padding)

    ones, shape = np.ones((3, 2)), (1, 1, 4, 1)
    yield call("col2im", case="the example", dcols=ones, x_shape=shape, kh=1, kw=2, stride=1, padding=0)
    for kh, kw, stride, padding in [(3, 2, 1, 0), (2, 3, 2, 1), (2, 1, 3, 0)]:
        case = f"a window of {kh} x {kw}, stride {stride}, padding {padding}"
        places = N * ((H + 3 + 2 * padding - kh) // stride + 1) * ((W + 3 + 2 * padding - kw) // stride + 1)
        dcols = rng.standard_normal((places, kh * kw * C))
        yield call("col2im", case=case, dcols=dcols, x_shape=x.shape, kh=kh, kw=kw, stride=stride, padding=padding)

    yield conv("the example", row, np.array([-1.0, 1.0]).reshape(1, 2, 1, 1), np.zeros(1))
    b = rng.standard_normal(M)
    yield conv("padding 1", x, rng.standard_normal((3, 2, C, M)), b, padding=1)
    yield conv("stride 2", x, rng.standard_normal((2, 3, C, M)), b, stride=2)
    yield conv("a window of 1 x 1", x, rng.standard_normal((1, 1, C, M)), b)
    single = [array.astype(np.float32) for array in (x, rng.standard_normal((3, 2, C, M)), b)]
    yield conv("float32 in, float32 out", *single, padding=1)


def conv(case, x, W, b, stride=1, padding=0):
    return pair("forward", "backward", case=case, x=x, W=W, b=b, stride=stride, padding=padding)

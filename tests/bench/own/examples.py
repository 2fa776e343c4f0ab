"""Files with a kernel of somebody's own, right ones and wrong ones, for the room tanh."""

RIGHT = """
import numpy as np

def forward(x, *, train=True):
    y = np.tanh(x)
    return y, y

def backward(dy, cache):
    dx = dy * (1 - cache * cache)
    return (dx,)
"""
Y, DX, END = "y = np.tanh(x)", "dx = dy * (1 - cache * cache)", "return (dx,)"


def changed(old, new, before=""):
    """The right one with a change, below some lines."""
    assert old in RIGHT
    return before + RIGHT.replace(old, new)


#: what is wrong with a kernel: its source, and what is said
WRONG = {
    "no backward": (changed("backward", "gradient"), "has no function backward: tanh needs forward and backward"),
    "it raises": (changed(Y, "y = np.tanh(x, x.shape)"), "forward raises TypeError"),
    "it ends the program": (changed(Y, "raise SystemExit"), "forward ends the program"),
    "no cache": (changed("return y, y", "return y"), "forward returns a ndarray, and should return two things"),
    "no tuple": (changed(END, "return dx"), "backward returns a ndarray, and should return a tuple"),
    "a gradient too many": (changed(END, "return dx, None"), "backward returns 2 gradients, and should return 1"),
    "float64": (changed(Y, "y = np.tanh(x.astype(np.float64))"), "y is float64, and should be float32"),
    "another shape": (changed(Y, "y = np.tanh(x)[..., None]"), "y has the shape"),
    "a list": (changed(Y, "y = np.tanh(x).tolist()"), "y is"),
    "a view": (changed(Y, "y = x[:]"), "y is a view of x"),
    "x is overwritten": (changed(Y, "y = np.tanh(x); x *= 2"), "forward changes x, which it was given"),
    "dy is overwritten": (changed(DX, "dy *= 1 - cache * cache; dx = dy.copy()"), "backward changes dy"),
    "the cache is overwritten": (changed(END, "cache *= 2; return (dx,)"), "backward changes the cache"),
    "the gradient is a view": (changed(END, "return (dy,)"), "a gradient is a view of what was given"),
    "the gradient is wrong": (changed(DX, "dx = dy * (1 - cache)"), "dx"),
    "it is too inexact": (changed(Y, "y = np.tanh(x.astype(np.float16)).astype(np.float32)"), "y"),
    "y lies in a buffer": (
        changed(Y, "y = kept.setdefault(x.shape, np.empty_like(x)); np.tanh(x, out=y)", "kept = {}\n"),
        "y changes when forward is called again",
    ),
    "the gradient lies in a buffer": (
        changed(END, "kept.setdefault(dx.shape, dx.copy())[...] = dx; return (kept[dx.shape],)", "kept = {}\n"),
        "a gradient changes when backward is called again",
    ),
    "a global in place of a cache": (
        changed("return y, y", "global last; last = y; return y, None").replace("cache * cache", "last * last"),
        "backward gives other numbers after another forward pass",
    ),
    "random numbers": (
        changed(Y, "y = np.tanh(x) * np.float32(1 + 1e-7 * np.random.default_rng().standard_normal())"),
        "the same inputs give other numbers the second time",
    ),
    "an array on a GPU": (
        changed("return y, y", "return OnGpu(), y", "class OnGpu:\n    __cuda_array_interface__ = {}\n"),
        "y is an array on a GPU",
    ),
}

#: right on the cases, and not on what is timed
CHEATS = {
    "what was computed once is kept": (
        changed(
            "    " + Y,
            """
    if x.size < 100_000:
        return np.tanh(x), np.tanh(x)
    y = kept.setdefault(id(x), np.tanh(x) if id(x) not in kept else None)""",
            "kept = {}\n",
        ),
        "an earlier one was kept",
    ),
    "large ones are not computed": (
        changed(Y, "y = np.tanh(x) if x.size < 100_000 else np.empty_like(x)"),
        "",
    ),
    "the timed shape is not served": (
        RIGHT + "\ndef limits(x, **more):\n    return 'x is large' if x.size > 100_000 else None\n",
        "cannot serve the inputs that are timed: x is large",
    ),
}

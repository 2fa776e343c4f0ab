"""PyTorch as a peer: every operation on random shapes, settings and layouts in memory, forward and backward.

    pytest tests/peers/test_pytorch.py --draws 200          each operation on so many draws; without it, on ten

An adapter draws the inputs of an operation and its settings, and says the same in PyTorch's words; gradients are autograd's. The
float64 reference must agree to :data:`EXACT` of the largest number; in float32, what the arrays choose by themselves to
:data:`ROUNDED`, which is enough where sums are as short as here. The bound that follows each case's own rounding
(docs/numerics.md) is held elsewhere, on the cases of the rooms. Needs PyTorch, else skipped.
"""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from scratchlv import ops

torch = pytest.importorskip("torch", reason="PyTorch is the peer here; it is not a dependency")
F = torch.nn.functional

EXACT, ROUNDED = 1e-10, 3e-5
SIZES = (1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 33)
SMALL = SIZES[:7]


class Draw(NamedTuple):
    """Inputs of ``forward`` by name, float64 where they are floats; and an oracle of torch's tensors, given by the same names."""

    inputs: dict[str, Any]
    oracle: Callable[..., Any]
    settings: dict[str, Any] = {}


class Drawer:
    """Sizes, settings and numbers of one draw."""

    def __init__(self, seed: tuple[int, ...]) -> None:
        self.rng = np.random.default_rng(seed)

    def size(self, sizes: tuple[int, ...] = SIZES) -> int:
        return int(self.rng.choice(sizes))

    def normal(self, *shape: int) -> np.ndarray:
        return self.rng.standard_normal(shape)

    def weights(self, *shape: int) -> np.ndarray:
        return self.normal(*shape) / max(1, shape[0]) ** 0.5

    def whole(self, high: int, *shape: int) -> np.ndarray:
        return self.rng.integers(0, high, shape)

    def maybe(self, p: float = 0.5) -> bool:
        return bool(self.rng.random() < p)

    def one_of(self, *values: Any) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def mask(self, *shape: int) -> np.ndarray:
        mask = self.rng.random(shape) < self.one_of(0.2, 0.6, 0.9)
        return mask if self.maybe() else mask.astype(self.one_of(np.uint8, np.int64, np.float64))

    def pair(self, *values: int) -> tuple[int, int]:
        return self.one_of(*values), self.one_of(*values)


def has(name: str, setting: str) -> bool:
    return setting in inspect.signature(getattr(ops, name).variant("reference").forward).parameters


# --- matrices and words ----------------------------------------------------------------------------------------------


def matmul(d: Drawer) -> Draw:
    M, K, N = d.size(), d.size(), d.size()
    return Draw({"a": d.normal(M, K), "b": d.normal(K, N)}, lambda a, b: a @ b)


def linear(d: Drawer) -> Draw:
    rows, D, M = [d.size(SMALL) for _ in range(d.one_of(1, 2, 3))], d.size(), d.size()
    inputs = {"x": d.normal(*rows, D), "W": d.weights(D, M), "b": d.normal(M) if d.maybe() else None}
    return Draw(inputs, lambda x, W, b: F.linear(x, W.T, b))


def embedding(d: Drawer) -> Draw:
    V, shape = d.size(), [d.size(SMALL) for _ in range(d.one_of(1, 2, 3))]
    return Draw({"tokens": d.whole(V, *shape), "W": d.normal(V, d.size())}, lambda tokens, W: F.embedding(tokens, W))


# --- recurrences -----------------------------------------------------------------------------------------------------


def over_time(step: Callable, x: Any, states: tuple, lengths: Any) -> tuple[Any, tuple]:
    """All first states (T, N, H) and the last ones; past its length a sequence's stand still."""
    firsts = []
    for t, x_t in enumerate(x):
        new = step(x_t, *states)
        if lengths is not None:
            going = (t < torch.as_tensor(np.asarray(lengths)))[:, None]
            new = tuple(torch.where(going, a, b) for a, b in zip(new, states, strict=True))
        states = new
        firsts.append(states[0])
    return torch.stack(firsts), states


def recurrence(d: Drawer, gates: int, biases: int) -> dict[str, Any]:
    T, N, D, H = d.size(SMALL), d.size(SMALL), d.size(), d.size()
    inputs = {
        "x": d.normal(T, N, D),
        "h0": d.normal(N, H),
        "Wx": d.weights(D, gates * H),
        "Wh": d.weights(H, gates * H),
    }
    return inputs | {"b": d.normal(biases * H), "lengths": d.whole(T + 1, N) if d.maybe() else None}


def rnn(d: Drawer) -> Draw:
    nonlinearity = d.one_of("tanh", "sigmoid")

    def oracle(x, h0, Wx, Wh, b, lengths):
        def step(x_t, h):
            return (getattr(torch, nonlinearity)(x_t @ Wx + h @ Wh + b),)

        return over_time(step, x, (h0,), lengths)[0]

    return Draw(recurrence(d, 1, 1), oracle, {"nonlinearity": nonlinearity})


def lstm(d: Drawer) -> Draw:
    inputs = recurrence(d, 4, 4)
    inputs |= {"c0": d.normal(*inputs["h0"].shape)}

    def oracle(x, h0, Wx, Wh, b, lengths, c0):
        zeros = torch.zeros_like(b)

        def step(x_t, h, c):
            return torch._VF.lstm_cell(x_t, (h, c), Wx.T, Wh.T, b, zeros)

        h, (_, c) = over_time(step, x, (h0, c0), lengths)
        return h, c

    return Draw(inputs, oracle)


def gru(d: Drawer) -> Draw:
    reset = d.one_of("after", "before")
    inputs = recurrence(d, 3, 4 if reset == "after" else 3)

    def oracle(x, h0, Wx, Wh, b, lengths):
        H = h0.shape[1]

        def after(x_t, h):
            bias = torch.cat([torch.zeros_like(b[: 2 * H]), b[3 * H :]])
            return (torch._VF.gru_cell(x_t, h, Wx.T, Wh.T, b[: 3 * H], bias),)

        def before(x_t, h):
            r, z = torch.sigmoid(x_t @ Wx[:, : 2 * H] + h @ Wh[:, : 2 * H] + b[: 2 * H]).chunk(2, 1)
            n = torch.tanh(x_t @ Wx[:, 2 * H :] + (r * h) @ Wh[:, 2 * H :] + b[2 * H :])
            return ((1 - z) * n + z * h,)

        return over_time(after if reset == "after" else before, x, (h0,), lengths)[0]

    return Draw(inputs, oracle, {"reset": reset})


# --- attention -------------------------------------------------------------------------------------------------------


def softmax_where(e: Any, seen: Any) -> Any:
    """A row that may look nowhere has weights of 0."""
    if seen is None:
        return torch.softmax(e, -1)
    e = e.masked_fill(~seen, -torch.inf)
    return torch.where(
        seen.any(-1, keepdim=True), torch.softmax(torch.where(seen.any(-1, keepdim=True), e, 0.0), -1), 0.0
    )


def looks(d: Drawer, N: int, T: int | None, L: int) -> tuple[np.ndarray | None, dict[str, Any], Any]:
    """The mask, the settings, and where each query may look, (N, T or 1, L), or None."""
    mask = None if d.maybe() else d.mask(N, T, L) if T is not None and d.maybe() else d.mask(N, L)
    settings: dict[str, Any] = {"scores": True} if d.maybe(0.3) else {}
    seen = None if mask is None else (mask if mask.ndim == 3 else mask[:, None]) != 0
    if T is not None and d.maybe():
        settings["causal"] = True
        if d.maybe():
            settings["offset"] = d.one_of(L - T, 1, -1)
        causal = np.tri(T, L, settings.get("offset", 0), dtype=bool)
        seen = np.broadcast_to(causal, (N, T, L)) if seen is None else seen & causal
    return mask, settings, None if seen is None else torch.tensor(seen)


def attention(d: Drawer, score: Callable, learnt: dict[str, Any], A: int, Q: int) -> Draw:
    N, L, D, T = d.size(SMALL), d.size(), d.size(), d.one_of(None, d.size(SMALL), 70)
    mask, settings, seen = looks(d, N, T, L)
    inputs = {
        "x": d.normal(N, L, D),
        "keys": d.normal(N, L, A),
        "query": d.normal(*((N, Q) if T is None else (N, T, Q))),
    }

    def oracle(x, keys, query, mask, **learnt):
        queries = query if T is not None else query[:, None]
        e = score(keys, queries, **learnt).expand(N, queries.shape[1], L)
        alpha = softmax_where(e, None if seen is None else seen.expand(e.shape))
        y = (alpha @ x, alpha, e) if "scores" in settings else (alpha @ x, alpha)
        return y if T is not None else tuple(part[:, 0] for part in y)

    return Draw(inputs | learnt | {"mask": mask}, oracle, settings)


def additive_attention(d: Drawer) -> Draw:
    A = d.size()
    score = lambda keys, queries, v: torch.tanh(keys[:, None] + queries[:, :, None]) @ v  # noqa: E731
    return attention(d, score, {"v": d.weights(A)}, A, A)


def dot_product_attention(d: Drawer) -> Draw:
    A, Q = d.size(), d.size()
    W, scale = (d.weights(Q, A), A**-0.5) if d.maybe() else (None, d.one_of(0.3, A**-0.5))

    def score(keys, queries, W):
        return scale * ((queries if W is None else queries @ W) @ keys.mT)

    draw = attention(d, score, {"W": W}, A, A if W is None else Q)
    return draw._replace(settings=draw.settings | {"scale": scale})


def attention_lstm(d: Drawer) -> Draw:
    T, N, L, E, D, A, H = (d.size(SMALL) for _ in range(7))
    dot = d.maybe()
    mask = d.mask(N, L) if d.maybe() else None
    seen = None if mask is None else torch.tensor(mask != 0)
    inputs = {"words": d.normal(T, N, E), "x": d.normal(N, L, D), "keys": d.normal(N, L, A), "h0": d.normal(N, H)}
    inputs |= {"c0": d.normal(N, H), "Wq": d.weights(H, A), "v": None if dot else d.weights(A)}
    inputs |= {"Wx": d.weights(E + D, 4 * H), "Wh": d.weights(H, 4 * H), "b": d.normal(4 * H), "mask": mask}

    def oracle(words, x, keys, h0, c0, Wq, v, Wx, Wh, b, mask):
        zs, alphas = [], []

        def step(word, h, c):
            q = h @ Wq
            e = (keys @ q[:, :, None])[:, :, 0] if dot else torch.tanh(keys + q[:, None]) @ v
            alphas.append(softmax_where(e, seen))
            zs.append((alphas[-1][:, None] @ x)[:, 0])
            return torch._VF.lstm_cell(torch.cat([word, zs[-1]], 1), (h, c), Wx.T, Wh.T, b, torch.zeros_like(b))

        h, _ = over_time(step, words, (h0, c0), None)
        return h, torch.stack(zs), torch.stack(alphas)

    return Draw(inputs, oracle)


# --- classes ---------------------------------------------------------------------------------------------------------


def softmax(d: Drawer) -> Draw:
    z = d.one_of(1, 10) * logits(d)
    mask = d.mask(*z.shape) if d.maybe() else None
    seen = None if mask is None else torch.tensor(mask != 0)
    return Draw({"logits": z, "mask": mask}, lambda logits, mask: softmax_where(logits, seen))


def log_softmax(d: Drawer) -> Draw:
    return Draw({"logits": d.one_of(1, 10) * logits(d)}, lambda logits: torch.log_softmax(logits, -1))


def logits(d: Drawer) -> np.ndarray:
    return d.normal(*(d.size(SMALL) for _ in range(d.one_of(1, 2))), d.size())


def softmax_cross_entropy(d: Drawer) -> Draw:
    z = logits(d)
    V, shape = z.shape[-1], z.shape[:-1]
    targets, settings, of_torch = d.whole(V, *shape), {}, {}
    if d.maybe():
        settings["mask"] = d.one_of(d.mask(*shape), d.rng.random(shape))
    if has("softmax_cross_entropy", "reduction"):
        settings["reduction"] = d.one_of("mean", "sum", "none")
        if d.maybe():
            settings["class_weights"] = np.round(2 * d.rng.random(V), 1)  # some are 0
            of_torch["weight"] = torch.tensor(settings["class_weights"])
        if d.maybe():
            settings["ignore_index"] = of_torch["ignore_index"] = d.one_of(-1, V, -100)
            targets[d.rng.random(shape) < 0.3] = settings["ignore_index"]
        if d.maybe():
            settings["label_smoothing"] = of_torch["label_smoothing"] = d.one_of(0.1, 0.5)

    def oracle(logits, targets):
        losses = F.cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction="none", **of_torch)
        weights = torch.ones_like(losses)
        if "mask" in settings:
            weights = torch.tensor(settings["mask"], dtype=torch.float64).flatten()
        losses = weights * losses
        if settings.get("reduction") == "none":
            return losses.reshape(targets.shape)
        if settings.get("reduction") == "sum":
            return losses.sum()
        counts = targets.flatten() != settings.get("ignore_index", V + 1)
        weights = weights * counts
        if "weight" in of_torch:
            weights = weights * of_torch["weight"][torch.where(counts, targets.flatten(), 0)]
        return losses.sum() / (weights.sum() if weights.sum() else 1)

    return Draw({"logits": z, "targets": targets}, oracle, settings)


# --- pictures --------------------------------------------------------------------------------------------------------


def channels_first(x: Any) -> Any:
    return x.permute(0, 3, 1, 2)


def channels_last(y: Any) -> Any:
    return y.permute(0, 2, 3, 1)


def number_or_pair(d: Drawer, name: str, setting: str, *values: int) -> Any:
    """A number; or two that differ, where the operation takes them: those take a dilation, or padding of a pool."""
    pairs = has(name, "dilation" if "conv" in name else "padding")
    return d.pair(*values) if pairs and d.maybe() else d.one_of(*values)


def both(value: Any) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def settings_of_conv(d: Drawer, name: str) -> dict[str, Any]:
    settings: dict[str, Any] = {"stride": number_or_pair(d, name, "stride", 1, 2, 3)}
    settings["padding"] = d.one_of(0, 1, 2, tuple(d.pair(0, 1, 2) for _ in range(2)))
    if has(name, "dilation") and d.maybe():
        settings["dilation"] = number_or_pair(d, name, "dilation", 1, 2)
    return settings


def convolved(x: Any, W: Any, b: Any, settings: dict[str, Any], groups: int) -> Any:
    padding = settings["padding"]
    (top, bottom), (left, right) = padding if isinstance(padding, tuple) else ((padding, padding), (padding, padding))
    x = F.pad(channels_first(x), (left, right, top, bottom))
    stride, dilation = both(settings["stride"]), both(settings.get("dilation", 1))
    return F.conv2d(x, W.contiguous(), b, stride, 0, dilation, groups)  # some of its ways refuse another layout


def then(y: Any, relu: bool, pool: bool) -> Any:
    y = torch.relu(y) if relu else y
    return channels_last(F.max_pool2d(y, 2) if pool else y)


def picture(d: Drawer, C: int, least: int = 5) -> np.ndarray:
    H, W = (least + d.size(SMALL) for _ in range(2))
    x = d.normal(d.size(SMALL[:4]), H, W, C)
    return np.round(2 * x) if d.maybe(0.2) else x


def conv2d(d: Drawer) -> Draw:
    groups, settings = d.one_of(1, 1, 1, 2, 3), settings_of_conv(d, "conv2d")
    C, M = groups * d.size((1, 2, 4, 8)), groups * d.size((1, 2, 5, 8, 17))
    inputs = {"x": picture(d, C, 6), "W": d.normal(*d.pair(1, 2, 3), C // groups, M) / (9 * C) ** 0.5}
    inputs |= {"b": d.normal(M) if d.maybe() else None}
    relu, exact = d.maybe(0.3), d.maybe(0.3)
    pool = relu and d.maybe() and both(settings["stride"]) == (1, 1)

    def oracle(x, W, b):
        return then(convolved(x, W.permute(3, 2, 0, 1), b, settings, groups), relu, pool)

    return Draw(inputs, oracle, settings | {"groups": groups, "relu": relu, "pool": pool, "exact": exact})


def depthwise_conv2d(d: Drawer) -> Draw:
    C, settings = d.size(), settings_of_conv(d, "depthwise_conv2d")
    inputs = {"x": picture(d, C), "W": d.normal(*d.pair(1, 2, 3), C), "b": d.normal(C) if d.maybe() else None}

    def oracle(x, W, b):
        return channels_last(convolved(x, W.permute(2, 0, 1)[:, None], b, settings, C))

    return Draw(inputs, oracle, settings)


def settings_of_pool(d: Drawer, name: str) -> tuple[dict[str, Any], tuple]:
    """The settings, and how torch takes them."""
    settings: dict[str, Any] = {"size": number_or_pair(d, name, "size", 1, 2, 3)}
    if d.maybe():
        settings["stride"] = number_or_pair(d, name, "stride", 1, 2, 3)
    if has(name, "padding") and d.maybe() and min(both(settings["size"])) > 1:
        settings["padding"] = 1
    if has(name, "ceil_mode") and d.maybe():
        settings["ceil_mode"] = True
    of_torch = both(settings["size"]), both(settings.get("stride", settings["size"])), settings.get("padding", 0)
    return settings, of_torch


def max_pool2d(d: Drawer) -> Draw:
    settings, of_torch = settings_of_pool(d, "max_pool2d")
    ceil = settings.get("ceil_mode", False)

    def oracle(x):
        return channels_last(F.max_pool2d(channels_first(x), *of_torch, ceil_mode=ceil))

    return Draw({"x": picture(d, d.size(SIZES[:11]))}, oracle, settings)


def avg_pool2d(d: Drawer) -> Draw:
    x = picture(d, d.size())
    if d.maybe(0.2):
        return Draw({"x": x}, lambda x: x.mean((1, 2), keepdim=True), {"size": None})
    settings, of_torch = settings_of_pool(d, "avg_pool2d")
    if "padding" in settings and d.maybe():
        settings["count_include_pad"] = False
    ceil, count = settings.get("ceil_mode", False), settings.get("count_include_pad", True)

    def oracle(x):
        return channels_last(F.avg_pool2d(channels_first(x), *of_torch, ceil_mode=ceil, count_include_pad=count))

    return Draw({"x": x}, oracle, settings)


def batch_norm2d(d: Drawer) -> Draw:
    C, relu = d.size(), d.maybe(0.3)
    pool, eps = relu and d.maybe(), d.one_of(1e-5, 1e-3)
    inputs = {"x": picture(d, C) + d.normal(C), "gamma": d.normal(C), "beta": d.normal(C)}

    def oracle(x, gamma, beta):
        return then(F.batch_norm(channels_first(x), None, None, gamma, beta, training=True, eps=eps), relu, pool)

    return Draw(inputs, oracle, {"relu": relu, "pool": pool, "eps": eps})


def rms_norm(d: Drawer) -> Draw:
    x = d.normal(*(d.size(SMALL) for _ in range(d.one_of(1, 3))), d.size())
    return Draw({"x": x}, lambda x: F.rms_norm(x, x.shape[1:], eps=1e-4), {"eps": 1e-4})


# --- number by number ------------------------------------------------------------------------------------------------


def numbers(d: Drawer) -> np.ndarray:
    return d.one_of(1e-3, 1, 5) * d.normal(*(d.size(SMALL) for _ in range(d.one_of(1, 2, 3))), d.size())


def relu(d: Drawer) -> Draw:
    cap = d.one_of(None, 0.7)
    return Draw({"x": numbers(d)}, lambda x: torch.clamp(x, 0, cap), {} if cap is None else {"cap": cap})


def tanh(d: Drawer) -> Draw:
    return Draw({"x": numbers(d)}, lambda x: torch.tanh(x))


def sigmoid(d: Drawer) -> Draw:
    return Draw({"x": numbers(d)}, lambda x: torch.sigmoid(x))


def dropout(d: Drawer) -> Draw:
    """Which places are dropped no one else can say: it is looked up, and must serve both passes."""
    x, settings = numbers(d), {"p": d.one_of(0.0, 0.3, 0.9), "seed": int(d.whole(1000))}
    kept, _ = ops.dropout.variant("reference").forward(np.ones_like(x), **settings)
    return Draw({"x": x}, lambda x: x * torch.tensor(kept), settings)


ADAPTERS = {
    each.__name__: each
    for each in (
        *(
            matmul,
            linear,
            embedding,
            rnn,
            lstm,
            gru,
            additive_attention,
            dot_product_attention,
            attention_lstm,
            softmax,
        ),
        *(log_softmax, softmax_cross_entropy, conv2d, depthwise_conv2d, max_pool2d, avg_pool2d, batch_norm2d, rms_norm),
        *(relu, tanh, sigmoid, dropout),
    )
}
ROOMS = [name for name in ops.OPERATIONS if hasattr(getattr(ops, name).variant("reference"), "forward")]
OPTIMISERS = [name for name in ops.OPERATIONS if name not in ROOMS and name != "global_norm"]


# --- layouts ---------------------------------------------------------------------------------------------------------


def strided(array: np.ndarray) -> np.ndarray:
    roomy = np.empty((*array.shape, 2), array.dtype)
    roomy[..., 0] = array
    return roomy[..., 0]


def backwards(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array[..., ::-1])[..., ::-1] if array.ndim else array


def turned(array: np.ndarray) -> np.ndarray:
    """The axes lie in another order."""
    order = np.roll(np.arange(array.ndim), 1)
    return np.ascontiguousarray(array.transpose(order)).transpose(np.argsort(order))


def cut_out(array: np.ndarray) -> np.ndarray:
    larger = np.zeros([n + 2 for n in array.shape], array.dtype)
    inside = larger[tuple(slice(1, n + 1) for n in array.shape)]
    inside[...] = array
    return inside


def read_only(array: np.ndarray) -> np.ndarray:
    array = np.array(array)
    array.flags.writeable = False
    return array


def misaligned(array: np.ndarray) -> np.ndarray:
    raw = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    raw[...] = array
    return raw


LAYOUTS = (np.ascontiguousarray, np.asfortranarray, strided, backwards, turned, cut_out, read_only, misaligned)


def lay_out(value: Any, d: Drawer) -> Any:
    if isinstance(value, tuple):
        return tuple(lay_out(part, d) for part in value)
    return d.one_of(*LAYOUTS)(value) if isinstance(value, np.ndarray) and value.ndim else value


# --- the comparison --------------------------------------------------------------------------------------------------


def cast(value: Any, dtype: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(cast(part, dtype) for part in value)
    is_float = isinstance(value, np.ndarray | np.generic) and value.dtype.kind == "f"
    return np.asarray(value, dtype)[()] if is_float else value


def tensor(value: Any) -> Any:
    return torch.tensor(np.array(value)) if isinstance(value, np.ndarray) else value


def assert_close(got: Any, expected: Any, allowed: float, what: str) -> None:
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    assert got.shape == expected.shape, f"{what} has the shape {got.shape}, and PyTorch's {expected.shape}"
    error = np.abs(got - expected).max(initial=0) / max(1, np.abs(expected).max(initial=0))
    assert error <= allowed, f"{what}: error {error:.2g}, allowed {allowed:.2g}"  # NaN is not


def torch_says(draw: Draw, inputs: dict[str, Any], dy: tuple) -> tuple[list, list]:
    """Outputs, and the gradients of the float inputs but masks, in float64; ``dy`` may have None in it."""
    tensors = {key: tensor(value) for key, value in inputs.items()}
    leaves = [t.requires_grad_() for key, t in tensors.items() if differentiable(key, t)]
    y = draw.oracle(**tensors)
    outputs = y if isinstance(y, tuple) else (y,)
    wanted = [(part, tensor(np.asarray(d))) for part, d in zip(outputs, dy, strict=True) if d is not None]
    parts, gradients = zip(*wanted, strict=True)
    grads = torch.autograd.grad(parts, leaves, gradients, allow_unused=True)
    zeros = [torch.zeros_like(leaf) if grad is None else grad for leaf, grad in zip(leaves, grads, strict=True)]
    return [part.detach().numpy() for part in outputs], [grad.numpy() for grad in zeros]


def differentiable(name: str, value: Any) -> bool:
    """Masks say where, and have no gradient."""
    return torch.is_tensor(value) and value.is_floating_point() and name != "mask"


def check(name: str, number: int, dtype: Any, allowed: float, module: Any) -> str:
    """One draw of an operation in one dtype; returns what it was drawn as, to be told where it fails."""
    d = Drawer((sum(map(ord, name)), number))
    draw = ADAPTERS[name](d)
    inputs = {key: lay_out(cast(value, dtype), d) for key, value in draw.inputs.items()}
    said = {
        key: (value.shape, value.strides) if isinstance(value, np.ndarray) else value for key, value in inputs.items()
    }
    try:
        y, cache = module.forward(**inputs, **draw.settings)
        outputs = y if isinstance(y, tuple) else (y,)
        dy = tuple(cast(np.asarray(d.normal(*np.shape(part))), dtype) for part in outputs)
        if len(dy) > 1 and d.maybe(0.3):
            kept = int(d.whole(len(dy)))  # the loss need not depend on every output, but on one
            dy = tuple(part if i == kept or d.maybe() else None for i, part in enumerate(dy))
        laid_out = tuple(None if part is None else lay_out(part, d) for part in dy)
        grads = module.backward(laid_out if isinstance(y, tuple) else laid_out[0], cache)
        in_order = {k: cast(v, np.float64) for k, v in inputs.items()}
        expected, expected_grads = torch_says(draw, in_order, tuple(cast(part, np.float64) for part in dy))
        for i, (got, exact) in enumerate(zip(outputs, expected, strict=True)):
            assert_close(got, exact, allowed, f"output {i}")
        names = [key for key, value in inputs.items() if differentiable(key, tensor(value))]
        found = dict(zip(names_of(name, names), [grad for grad in grads if grad is not None], strict=True))
        for key, exact in zip(names, expected_grads, strict=True):
            assert_close(found[key], exact, allowed, f"d{key}")
    except Exception as error:
        raise AssertionError(f"{name}, draw {number}, {said}, {draw.settings}: {error}") from error
    return str(said)


def names_of(name: str, given: list[str]) -> list[str]:
    """The inputs that have a gradient, in the order of ``forward``'s."""
    return [
        key for key in inspect.signature(getattr(ops, name).variant("reference").forward).parameters if key in given
    ]


@pytest.fixture
def draws(request):
    return request.config.getoption("--draws")


def test_every_operation_has_an_adapter():
    assert set(ROOMS) <= set(ADAPTERS)
    assert set(OPTIMISERS) <= set(STEPS)


@pytest.mark.parametrize("name", [name for name in ADAPTERS if name in ops.OPERATIONS])
def test_the_reference_is_pytorch_in_float64(name, draws):
    for number in range(draws):
        check(name, number, np.float64, EXACT, getattr(ops, name).variant("reference"))


@pytest.mark.parametrize("name", [name for name in ADAPTERS if name in ops.OPERATIONS])
def test_what_the_arrays_choose_is_pytorch_but_for_rounding(name, draws):
    for number in range(draws):
        check(name, number, np.float32, ROUNDED, getattr(ops, name))


# --- optimisers ------------------------------------------------------------------------------------------------------


def adam(d: Drawer, parameters: list) -> tuple[Any, dict[str, Any], tuple[str, ...]]:
    settings = {"lr": d.one_of(1e-3, 0.1), "weight_decay": d.one_of(0.0, 0.1), "eps": d.one_of(1e-8, 1e-3)}
    settings |= {"beta1": 0.8, "beta2": 0.99}
    of_torch = {key: settings[key] for key in ("lr", "weight_decay", "eps")}
    return torch.optim.AdamW(parameters, betas=(0.8, 0.99), **of_torch), settings, ("m", "v")


def sgd(d: Drawer, parameters: list) -> tuple[Any, dict[str, Any], tuple[str, ...]]:
    settings = {"lr": d.one_of(1e-3, 0.1), "weight_decay": d.one_of(0.0, 0.1)}
    moves = "momentum" in inspect.signature(ops.sgd.variant("reference").step).parameters and d.maybe(0.7)
    if moves:
        settings |= {"momentum": d.one_of(0.5, 0.9), "nesterov": d.maybe()}
    return torch.optim.SGD(parameters, **settings), settings, ("velocity",) if moves else ()


def rmsprop(d: Drawer, parameters: list) -> tuple[Any, dict[str, Any], tuple[str, ...]]:
    of_torch = {"lr": d.one_of(1e-3, 0.1), "weight_decay": d.one_of(0.0, 0.1), "eps": d.one_of(1e-8, 1e-3)}
    of_torch["momentum"] = d.one_of(0.0, 0.9)
    kept = ("v", "velocity") if of_torch["momentum"] else ("v",)
    return torch.optim.RMSprop(parameters, alpha=0.9, **of_torch), of_torch | {"rho": 0.9}, kept


STEPS = {"adam": adam, "sgd": sgd, "rmsprop": rmsprop}


@pytest.mark.parametrize("variant", ["reference", "numba_cpu"])
@pytest.mark.parametrize("name", [name for name in STEPS if name in ops.OPERATIONS])
def test_steps_of_an_optimiser_are_pytorchs(name, variant, draws):
    for number in range(draws):
        d = Drawer((sum(map(ord, name)), number))
        parameter = torch.nn.Parameter(torch.tensor(d.normal(d.size((*SIZES, 1000)))))
        optimizer, settings, kept = STEPS[name](d, [parameter])
        params = parameter.detach().numpy().copy()
        state = {key: np.zeros_like(params) for key in kept}
        for t in range(1, 4):
            grads, factor = d.normal(len(params)), d.one_of(1.0, 0.3)
            parameter.grad = torch.tensor(factor * grads)
            optimizer.step()
            of_step = {"t": t} if name == "adam" else {}
            module = getattr(ops, name).variant(variant)
            module.step(params=params, grads=grads, grad_scale=factor, **state, **of_step, **settings)
        assert_close(params, parameter.detach().numpy(), EXACT, f"{name}, draw {number}, {settings}")


def test_clipping_is_pytorchs(draws):
    for number in range(draws):
        d = Drawer((4, number))
        grads = tuple(d.normal(*(d.size(SMALL) for _ in range(d.one_of(1, 2, 3)))) for _ in range(d.size(SMALL)))
        parameters = [torch.nn.Parameter(torch.zeros(grad.shape, dtype=torch.float64)) for grad in grads]
        for parameter, grad in zip(parameters, grads, strict=True):
            parameter.grad = torch.tensor(grad)
        most, out = d.one_of(0.1, 1.0, 1e3), np.empty(sum(grad.size for grad in grads))
        norm, factor = ops.global_norm.step(tuple(lay_out(grad, d) for grad in grads), out, max_norm=most)
        assert_close(norm, torch.nn.utils.clip_grad_norm_(parameters, most), EXACT, "the norm")
        clipped = np.concatenate([parameter.grad.numpy().ravel() for parameter in parameters])
        assert_close(factor * out, clipped, 2e-5, "what is clipped")  # PyTorch divides by the norm and 1e-6

"""ONNX's node tests, which no one here wrote, on our operations: ``python tests/peers/onnx_nodes.py`` (``pip install onnx``).

Each adapter below takes the inputs of a node to the conventions here (channels last, gates in our order, a batch that is not
called heads) and back. What no setting can express is listed with its reason, and so is what an operation refuses in
a sentence. Everything else must be equal, in the reference and in what the arrays choose by themselves.
"""

from __future__ import annotations

import functools
import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import scratchlv
from scratchlv import ops

TOLERANCES = {"float32": 1e-5, "float16": 4e-3}  # of the largest number; ONNX itself takes 1e-3
FOUR_DIGITS = {"test_averagepool_2d_ceil_last_window_starts_on_pad"}  # are all that its numbers are written with


class CannotExpress(Exception):
    """Why a node is none of our operations."""


class Case(NamedTuple):
    """A node test."""

    name: str
    operator: str
    settings: dict[str, Any]
    inputs: dict[str, np.ndarray]  # by the names of ONNX's specification
    outputs: dict[str, np.ndarray]


class Result(NamedTuple):
    operator: str
    name: str
    error: float | None  # relative to the largest number; None: see ``why_not``
    why_not: str = ""

    @property
    def equal(self) -> bool:
        return self.error is not None and self.error <= 1


# --- the cases -------------------------------------------------------------------------------------------------------


@functools.cache
def cases() -> list[Case]:
    """Those of the operators that have an adapter; their expanded twins, made of other operators, are left out."""
    import onnx
    from onnx.backend.test.case.node import collect_testcases

    found = []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        collected = collect_testcases()
    for case in collected:
        (node, *others) = case.model.graph.node
        if others or node.op_type not in ADAPTERS or node.domain:
            continue
        schema = onnx.defs.get_schema(node.op_type)
        (arrays, expected) = case.data_sets[0]
        settings = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        settings = {key: value.decode() if isinstance(value, bytes) else value for key, value in settings.items()}
        inputs = _by_name(node.input, [formal.name for formal in schema.inputs], arrays)
        outputs = _by_name(node.output, [formal.name for formal in schema.outputs], expected)
        found.append(Case(case.name, node.op_type, settings, inputs, outputs))
    return found


def _by_name(given: Any, formal: list[str], arrays: Any) -> dict[str, np.ndarray]:
    present = [name for name, actual in zip(formal, given, strict=False) if actual]
    return {name: np.asarray(array) for name, array in zip(present, arrays, strict=True)}


# --- calls -----------------------------------------------------------------------------------------------------------


def call(name: str, *arrays: Any, train: bool = False, **settings: Any) -> Any:
    """The output of an operation, and its cache if ``train``.

    Raises:
        CannotExpress: there is no such operation or setting, or it refuses the call.
    """
    if name not in ops.OPERATIONS:
        raise CannotExpress(f"there is no operation {name}")
    known = inspect.signature(getattr(ops, name).variant("reference").forward).parameters
    for key in settings:
        if key not in known:
            raise CannotExpress(f"{name} has no setting {key}")
    try:
        y, cache = getattr(ops, name).forward(*arrays, train=train, **settings)
    except (ValueError, TypeError) as error:
        raise CannotExpress(f"{name} refuses it: {error}") from error
    return (y, cache) if train else y


def has(name: str, setting: str) -> bool:
    return (
        name in ops.OPERATIONS
        and setting in inspect.signature(getattr(ops, name).variant("reference").forward).parameters
    )


def without_none(**settings: Any) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if value is not None}


def refuse_others(settings: dict[str, Any], *known: str) -> None:
    for key in settings:
        if key not in known:
            raise CannotExpress(f"the attribute {key}")


# --- recurrent networks ----------------------------------------------------------------------------------------------


def recurrent(cell: Callable, order: list[int], case: Case) -> dict[str, np.ndarray]:
    """``cell(x, h0, c0, Wx, Wh, bx, bh, lengths) -> h, c``, weights (…, gates H) in our order of the gates; c may be None."""
    settings, given = case.settings, case.inputs
    refuse_others(settings, "hidden_size", "layout", "direction", "linear_before_reset")
    if "P" in given:
        raise CannotExpress("peepholes: gates that see the cell's state")
    H, of_batch = settings["hidden_size"], settings.get("layout", 0) == 1
    x = given["X"].swapaxes(0, 1) if of_batch else given["X"]  # (T, N, D)
    lengths = given.get("sequence_lens")
    directions = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}
    hs, last_hs, last_cs = [], [], []
    for k, backwards in enumerate(directions[settings.get("direction", "forward")]):
        if backwards and lengths is not None and (lengths != len(x)).any():
            raise CannotExpress("sequences of unequal length, read backwards (models/recurrent.py does it)")

        def gates(array: np.ndarray) -> np.ndarray:
            """(gates H, …) in our order."""
            return np.concatenate([array[g * H : (g + 1) * H] for g in order])

        bias = given.get("B", np.zeros((2, 2 * len(order) * H), x.dtype))[k]
        zeros = np.zeros((1, x.shape[1], H), x.dtype)
        if of_batch:
            states = [given[key].swapaxes(0, 1) if key in given else zeros for key in ("initial_h", "initial_c")]
        else:
            states = [given.get(key, zeros) for key in ("initial_h", "initial_c")]
        h0, c0 = (state[min(k, len(state) - 1)] for state in states)
        Wx, Wh = gates(given["W"][k]).T, gates(given["R"][k]).T
        bx, bh = gates(bias[: len(bias) // 2]), gates(bias[len(bias) // 2 :])
        h, c = cell(x[::-1] if backwards else x, h0, c0, Wx, Wh, bx, bh, lengths)
        last_hs.append(h[-1])
        last_cs.append(c)
        hs.append(h[::-1] if backwards else h)
    y, y_h = np.stack(hs, 1), np.stack(last_hs)  # (T, directions, N, H), (directions, N, H)
    if of_batch:
        y, y_h = y.transpose(2, 0, 1, 3), y_h.swapaxes(0, 1)
    found = {"Y": y, "Y_h": y_h}
    return found if last_cs[0] is None else found | {"Y_c": np.stack(last_cs)}


def lstm(case: Case) -> dict[str, np.ndarray]:
    def cell(x, h0, c0, Wx, Wh, bx, bh, lengths):
        return call("lstm", x, h0, c0, Wx, Wh, bx + bh, lengths)

    return recurrent(cell, [0, 2, 3, 1], case)  # theirs is i, o, f, c


def gru(case: Case) -> dict[str, np.ndarray]:
    after = case.settings.get("linear_before_reset", 0)

    def cell(x, h0, c0, Wx, Wh, bx, bh, lengths):
        H = h0.shape[1]
        b = np.concatenate([bx[: 2 * H] + bh[: 2 * H], bx[2 * H :], bh[2 * H :]]) if after else bx + bh
        return call("gru", x, h0, Wx, Wh, b, lengths, reset="after" if after else "before"), None

    return recurrent(cell, [1, 0, 2], case)  # theirs is z, r, h


def rnn(case: Case) -> dict[str, np.ndarray]:
    return recurrent(
        lambda x, h0, c0, Wx, Wh, bx, bh, lengths: (call("rnn", x, h0, Wx, Wh, bx + bh, lengths), None), [0], case
    )


# --- pictures --------------------------------------------------------------------------------------------------------


def channels_last(x: np.ndarray) -> np.ndarray:
    """A picture (N, C, H, W) as (N, H, W, C); a row (N, C, W) is one of height 1."""
    if x.dtype.kind != "f":
        raise CannotExpress(f"pictures of {x.dtype}")
    if x.ndim > 4:
        raise CannotExpress("pictures with three axes")
    return np.ascontiguousarray(np.moveaxis(x[:, :, None] if x.ndim == 3 else x, 1, -1))


def channels_first(y: np.ndarray, like: np.ndarray) -> np.ndarray:
    y = np.moveaxis(y, -1, 1)
    return y[:, :, 0] if like.ndim == 3 else y


def pair(values: Any, default: int = 1) -> tuple[int, int]:
    """(rows, columns) of an attribute of one number or two."""
    values = [default] if values is None else list(values)
    return (1 if len(values) == 1 and default == 1 else values[0], values[-1])


def one_or_two(values: tuple[int, int], default: int | None = 1) -> Any:
    """As settings here take it: None where it is the default, a number where both are the same."""
    if values[0] != values[1]:
        return values
    return None if values[0] == default else values[0]


def windows(case: Case, kernel: tuple[int, int]) -> dict[str, Any]:
    """The settings of a window: stride, padding, dilation."""
    settings, picture = case.settings, case.inputs["X"].shape[2:]
    picture = (1, *picture) if len(picture) == 1 else picture
    stride, dilation = pair(settings.get("strides")), pair(settings.get("dilations"))
    pads = settings.get("pads", [0] * (2 * len(kernel)))
    if len(pads) == 2:
        pads = [0, pads[0], 0, pads[1]]
    if settings.get("auto_pad", "NOTSET") != "NOTSET":
        if not settings["auto_pad"].startswith("SAME"):
            raise CannotExpress(f"auto_pad {settings['auto_pad']}")
        total = [
            max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n)
            for n, k, s, d in zip(picture, kernel, stride, dilation, strict=True)
        ]
        small, large = [n // 2 for n in total], [n - n // 2 for n in total]
        pads = [*small, *large] if settings["auto_pad"] == "SAME_UPPER" else [*large, *small]
    padding = ((pads[0], pads[2]), (pads[1], pads[3]))
    return without_none(
        stride=one_or_two(stride, None),
        padding=None if padding == ((0, 0), (0, 0)) else padding,
        dilation=one_or_two(dilation),
    )


def conv(case: Case) -> dict[str, np.ndarray]:
    refuse_others(case.settings, "kernel_shape", "pads", "strides", "auto_pad", "dilations", "group")
    x, W = case.inputs["X"], case.inputs["W"]
    of_windows = windows(case, pair(W.shape[2:]))
    W = np.ascontiguousarray(W.transpose(2, 3, 1, 0))
    y = call("conv2d", channels_last(x), W, case.inputs.get("B"), groups=case.settings.get("group", 1), **of_windows)
    return {"Y": channels_first(y, x)}


def pool(name: str, case: Case) -> dict[str, np.ndarray]:
    settings, x = case.settings, case.inputs["X"]
    refuse_others(
        settings,
        "kernel_shape",
        "pads",
        "strides",
        "auto_pad",
        "dilations",
        "ceil_mode",
        "count_include_pad",
        "storage_order",
    )
    if "Indices" in case.outputs:
        raise CannotExpress("where the maxima stood is in the cache, and no output")
    x_last, kernel = channels_last(x), pair(settings["kernel_shape"])
    of_windows = windows(case, kernel)
    if name == "avg_pool2d" and "padding" in of_windows:
        of_windows["count_include_pad"] = bool(settings.get("count_include_pad", 0))
    if settings.get("ceil_mode", 0):
        of_windows["ceil_mode"] = True
    y = call(name, x_last, size=one_or_two(kernel, None), **of_windows)
    return {"Y": channels_first(y, x)}


def global_average_pool(case: Case) -> dict[str, np.ndarray]:
    x = case.inputs["X"]
    return {"Y": channels_first(call("avg_pool2d", channels_last(x), size=None), x)}


def batch_norm(case: Case) -> dict[str, np.ndarray]:
    refuse_others(case.settings, "epsilon", "momentum", "training_mode")
    given, x = case.inputs, case.inputs["X"]
    train = bool(case.settings.get("training_mode", 0))
    running = {"running_mean": given["input_mean"], "running_var": given["input_var"]}
    settings = running | {"eps": case.settings.get("epsilon", 1e-5), "momentum": 1 - case.settings.get("momentum", 0.9)}
    found = call("batch_norm2d", channels_last(x), given["scale"], given["B"], train=train, **settings)
    if not train:
        return {"Y": channels_first(found, x)}
    y, cache = found
    n = x.size // x.shape[1]
    # ours moves the running variance by the unbiased one, as PyTorch does; theirs by the biased one
    moved = settings["momentum"]
    var = (cache.running_var - (1 - moved) * given["input_var"]) * (n - 1) / n + (1 - moved) * given["input_var"]
    return {"Y": channels_first(y, x), "running_mean": cache.running_mean, "running_var": var}


# --- numbers ---------------------------------------------------------------------------------------------------------


def along_an_axis(name: str, case: Case) -> dict[str, np.ndarray]:
    refuse_others(case.settings, "axis")
    (x,) = case.inputs.values()
    axis = case.settings.get("axis", -1)
    y = call(name, np.ascontiguousarray(np.moveaxis(x, axis, -1)))
    return {"output": np.moveaxis(y, -1, axis)}


def of_each_number(name: str, case: Case) -> dict[str, np.ndarray]:
    (x,) = case.inputs.values()
    return {next(iter(case.outputs)): call(name, x)}


def cross_entropy(case: Case) -> dict[str, np.ndarray]:
    refuse_others(case.settings, "reduction", "ignore_index")
    logits = np.ascontiguousarray(np.moveaxis(case.inputs["scores"], 1, -1))  # (N, …, C)
    targets, weights = case.inputs["labels"], case.inputs.get("weights")
    reduction, ignored = case.settings.get("reduction", "mean"), case.settings.get("ignore_index")
    settings = {} if reduction == "mean" else {"reduction": reduction}
    if weights is not None and has("softmax_cross_entropy", "class_weights"):
        settings["class_weights"] = weights
    elif weights is not None:
        seen = targets if ignored is None else np.where(targets == ignored, 0, targets)
        settings["mask"] = weights[seen] * (1 if ignored is None else targets != ignored)
    if ignored is not None:
        of_no_class = not 0 <= ignored < logits.shape[-1]  # ours may be no class: those are left out by the mask
        if of_no_class and has("softmax_cross_entropy", "ignore_index"):
            settings["ignore_index"] = ignored
        else:
            settings.setdefault("mask", targets != ignored)
    loss = call("softmax_cross_entropy", logits, targets, **settings)
    found = {"output": np.asarray(loss)}
    if "log_prob" in case.outputs:
        found["log_prob"] = np.moveaxis(call("log_softmax", logits), -1, 1)
    return found


def negative_log_likelihood(case: Case) -> dict[str, np.ndarray]:
    raise CannotExpress(
        "it begins with log-probabilities that need not add up to 1; softmax_cross_entropy begins with logits"
    )


def gemm(case: Case) -> dict[str, np.ndarray]:
    refuse_others(case.settings, "alpha", "beta", "transA", "transB")
    a, b, c = case.inputs["A"], case.inputs["B"], case.inputs.get("C")
    a = a.T if case.settings.get("transA") else a
    b = b.T if case.settings.get("transB") else b
    alpha, beta = np.float32(case.settings.get("alpha", 1)), np.float32(case.settings.get("beta", 1))
    if c is not None:
        if c.ndim == 2 and c.shape[0] > 1:
            raise CannotExpress("a bias for each number of the output, not for each column")
        c = beta * np.broadcast_to(c.reshape(-1), b.shape[1:])
    return {"Y": call("linear", alpha * a if alpha != 1 else a, b, c)}


def matmul(case: Case) -> dict[str, np.ndarray]:
    a, b = case.inputs["A"], case.inputs["B"]
    if b.ndim > 2:
        raise CannotExpress("a batch of matrices on the right")
    b2 = b[:, None] if b.ndim == 1 else b
    y = call("matmul" if a.ndim == 2 else "linear", a if a.ndim > 1 else a[None], b2)
    y = y[0] if a.ndim == 1 else y
    return {"Y": y[..., 0] if b.ndim == 1 else y}


def gather(case: Case) -> dict[str, np.ndarray]:
    data, indices, axis = case.inputs["data"], case.inputs["indices"], case.settings.get("axis", 0)
    rows = np.moveaxis(data, axis, 0)
    y = call("embedding", indices, np.ascontiguousarray(rows.reshape(len(rows), -1)))
    y = y.reshape(*indices.shape, *rows.shape[1:])
    places = range(axis, axis + indices.ndim)
    return {"output": np.moveaxis(y, range(indices.ndim), places)}


def attention(case: Case) -> dict[str, np.ndarray]:
    """A head is one more of a batch. Heads that share their keys are several queries for the same keys."""
    settings, given = case.settings, case.inputs
    refuse_others(
        settings, "is_causal", "q_num_heads", "kv_num_heads", "scale", "softcap", "qk_matmul_output_mode",
        "softmax_precision", "left_window_size", "right_window_size",
    )  # fmt: skip
    if settings.get("softcap", 0):
        raise CannotExpress("softcap: scores that go through a tanh")
    if given["Q"].dtype not in (np.float32, np.float16):
        raise CannotExpress(f"numbers of {given['Q'].dtype}")
    flat = given["Q"].ndim == 3
    q, keys, values = given["Q"], given["K"], given["V"]
    if flat:
        heads = [settings["q_num_heads"]] + 2 * [settings["kv_num_heads"]]
        q, keys, values = (
            a.reshape(*a.shape[:2], n, -1).swapaxes(1, 2) for a, n in zip((q, keys, values), heads, strict=True)
        )
    past = given["past_key"].shape[2] if "past_key" in given else 0
    if past:
        keys, values = (np.concatenate([given[f"past_{n}"], a], 2) for n, a in (("key", keys), ("value", values)))
    (N, heads_q, T, A), (_, heads_k, L, _) = q.shape, keys.shape
    shared = heads_q // heads_k  # queries of so many heads look at the same keys
    scale, causal = settings.get("scale", A**-0.5), bool(settings.get("is_causal", 0))
    seen = looks(case, past, T, L)  # (…, T, L), or None
    options: dict[str, Any] = {"scale": scale, "scores": True}
    if seen is None and causal and shared == 1:
        options |= {"causal": True, "offset": past}
    else:
        if causal and seen is None:
            seen = np.tri(T, L, past, dtype=bool)
        if seen is not None:
            options["mask"] = np.broadcast_to(seen, (N, heads_q, T, L)).reshape(N * heads_k, shared * T, L)
    of_batch = [a.reshape(N * heads_k, -1, a.shape[-1]) for a in (values, keys, q)]
    z, alpha, e = call("dot_product_attention", *(np.ascontiguousarray(a) for a in of_batch), **options)
    z, alpha, e = (a.reshape(N, heads_q, T, -1) for a in (z, alpha, e))
    if seen is None and causal:
        seen = np.tri(T, L, past, dtype=bool)
    behind = e if seen is None else np.where(seen, e, e.dtype.type(-np.inf))
    found = {
        "Y": z.swapaxes(1, 2).reshape(N, T, -1) if flat else z,
        "present_key": keys,
        "present_value": values,
        "qk_matmul_output": {0: e, 1: e, 2: behind, 3: alpha}[settings.get("qk_matmul_output_mode", 0)],
    }
    return {name: found[name] for name in case.outputs}


def looks(case: Case, past: int, T: int, L: int) -> np.ndarray | None:
    """Where each query may look, (N or 1, heads or 1, T, L), but for what is causal alone; None: nothing else is said."""
    settings, given = case.settings, case.inputs
    mask, lengths = given.get("attn_mask"), given.get("nonpad_kv_seqlen")
    sides = [settings.get(f"{side}_window_size", -1) for side in ("left", "right")]
    if mask is None and lengths is None and max(sides) < 0:
        return None
    seen, offset = np.ones((1, 1, T, L), bool), np.full((1, 1, 1, 1), past)
    if mask is not None:
        if mask.dtype != bool:
            if not np.isin(mask, (0, -np.inf)).all():
                raise CannotExpress("a mask of numbers that are added to the scores")
            mask = mask == 0
        missing = L - mask.shape[-1]
        mask = np.pad(mask, [(0, 0)] * (mask.ndim - 1) + [(0, missing)])
        seen = seen & mask
    if lengths is not None:
        seen = seen & (np.arange(L) < lengths[:, None, None, None])
        offset = lengths.reshape(-1, 1, 1, 1) - T
    ahead = np.arange(L) - np.arange(T)[:, None] - offset  # how far a key is ahead of the query
    if settings.get("is_causal", 0):
        seen = seen & (ahead <= 0)
    if sides[0] >= 0:
        seen = seen & (-ahead <= sides[0])
    return seen & (ahead <= sides[1]) if sides[1] >= 0 else seen


ADAPTERS: dict[str, Callable[[Case], dict[str, np.ndarray]]] = {
    "LSTM": lstm,
    "GRU": gru,
    "RNN": rnn,
    "Conv": conv,
    "MaxPool": functools.partial(pool, "max_pool2d"),
    "AveragePool": functools.partial(pool, "avg_pool2d"),
    "GlobalAveragePool": global_average_pool,
    "BatchNormalization": batch_norm,
    "Softmax": functools.partial(along_an_axis, "softmax"),
    "LogSoftmax": functools.partial(along_an_axis, "log_softmax"),
    "Sigmoid": functools.partial(of_each_number, "sigmoid"),
    "Tanh": functools.partial(of_each_number, "tanh"),
    "Relu": functools.partial(of_each_number, "relu"),
    "SoftmaxCrossEntropyLoss": cross_entropy,
    "NegativeLogLikelihoodLoss": negative_log_likelihood,
    "Gemm": gemm,
    "MatMul": matmul,
    "Gather": gather,
    "Attention": attention,
}


# --- the comparison --------------------------------------------------------------------------------------------------


def compare(case: Case, variant: str | None = None) -> Result:
    """The largest error of an output, in units of what is allowed; by one variant, or by what the arrays choose."""
    try:
        with scratchlv.use(variant), np.errstate(all="ignore"):
            found = ADAPTERS[case.operator](case)
    except CannotExpress as why:
        return Result(case.operator, case.name, None, str(why))
    written = 5e-4 if case.name in FOUR_DIGITS else 0.0
    errors = [_error(found[name], expected, written) for name, expected in case.outputs.items()]
    return Result(case.operator, case.name, max(errors))


def _error(got: np.ndarray, expected: np.ndarray, written: float) -> float:
    if got.shape != expected.shape:
        return np.inf
    allowed = max(written, TOLERANCES[str(expected.dtype)])
    got, expected = np.asarray(got, float), np.asarray(expected, float)
    same = (got == expected) | (np.isnan(got) & np.isnan(expected))  # infinities, too
    largest = np.abs(expected[np.isfinite(expected)]).max(initial=0)
    error = np.where(same, 0, np.abs(got - expected)) / (allowed * max(1e-30, largest))
    return float(np.nan_to_num(error, nan=np.inf).max(initial=0))


def results() -> Iterator[Result]:
    """Of every case: what the reference made of it, or, where that is worse, what the arrays chose."""
    for case in cases():
        yield max((compare(case, variant) for variant in ("reference", None)), key=lambda r: r.error or 0)


def main() -> int:
    try:
        import onnx
    except ImportError:
        print("ONNX is not here: pip install onnx")
        return 2
    found = list(results())
    print(f"ONNX {onnx.__version__}: {len(found)} node tests of {len(ADAPTERS)} operators\n")
    print(f"{'operator':28}{'cases':>7}{'equal':>7}{'WRONG':>7}{'not expressed':>15}")
    for operator in [*ADAPTERS, None]:
        of_it = [r for r in found if operator in (None, r.operator)]
        wrong = [r for r in of_it if r.error is not None and not r.equal]
        row = len(of_it), sum(r.equal for r in of_it), len(wrong), sum(r.error is None for r in of_it)
        print(f"{operator or 'all':28}{row[0]:7}{row[1]:7}{row[2]:7}{row[3]:15}")
    for title, chosen in (
        ("WRONG", [r for r in found if r.error is not None and not r.equal]),
        ("not expressed", [r for r in found if r.error is None]),
    ):
        if chosen:
            print(f"\n{title}:")
        reasons: dict[str, list[str]] = {}
        for r in chosen:
            reasons.setdefault(r.why_not or f"{r.error:.3g} times what is allowed", []).append(
                r.name.removeprefix("test_")
            )
        for why, names in reasons.items():
            print(f"- {why}: {', '.join(names)}")
    return int(any(r.error is not None and not r.equal for r in found))


if __name__ == "__main__":
    sys.exit(main())

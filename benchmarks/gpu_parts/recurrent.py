"""The LSTM layer, forward and backward, against PyTorch's: cuDNN's nn.LSTM, and the loop over nn.LSTMCell."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import cupy
import numpy as np
import torch
from baselines import device, given
from comparing import norm_difference
from torch import nn

from scratchlv.bench.gpu import Row
from scratchlv.bench.gpu.kernels import only
from scratchlv.bench.gpu.timing import as_called, on_the_device, timing
from scratchlv.bench.text import brief, rounded
from scratchlv.cuda.precision import use_precision
from scratchlv.device import to_host
from scratchlv.ops import lstm

T, N, D, H = 20, 32, 512, 512
BLOCKS = 3
TOLERANCE = {"float32": 1e-4, "tf32": 1e-2, "bf16": 1e-1, "fp16": 1e-2}  # of the norm of a result
GOAL_US = 190  # forward and backward; and faster than nn.LSTM of the same precision
Call = Callable[[], Any]


class Contender(NamedTuple):
    """A side made ready: ``step`` is what is timed, ``around()`` the context that it runs in."""

    precision: str
    around: Callable[[], contextlib.AbstractContextManager]
    step: Call
    results: Call


@contextlib.contextmanager
def torch_precision(name: str) -> Iterator[None]:
    """PyTorch's float32 products and convolutions in float32, or in TF32."""
    flags = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [flag.allow_tf32 for flag in flags]
    try:
        for flag in flags:
            flag.allow_tf32 = name == "tf32"
        yield
    finally:
        for flag, value in zip(flags, before, strict=True):
            flag.allow_tf32 = value


def problem() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)

    def normal(*shape: int, scale: float = 1.0) -> np.ndarray:
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    weights = {"Wx": normal(D, 4 * H, scale=D**-0.5), "Wh": normal(H, 4 * H, scale=H**-0.5), "b": normal(4 * H)}
    return {"x": normal(T, N, D), "h0": normal(N, H), "c0": normal(N, H), **weights, "dh": normal(T, N, H)}


@contextlib.contextmanager
def our_version(number: int, precision: str) -> Iterator[None]:
    with only("lstm", number), use_precision(precision):
        yield


def ours(version: int, precision: str) -> Contender:
    arrays = {name: cupy.asarray(value) for name, value in problem().items()}
    dh = arrays.pop("dh")

    def step() -> Any:
        (h, _), cache = lstm.forward(**arrays)
        return h, lstm.backward((dh, None), cache)

    def results() -> dict[str, np.ndarray]:
        h, (dx, _, _, dWx, dWh, db) = step()
        found = {"h": h, "x": dx, "Wx": dWx, "Wh": dWh, "b": db}
        return {name: to_host(value) for name, value in found.items()}

    return Contender(precision, lambda: our_version(version, precision), step, results)


def torchs(kind: str, precision: str, dtype: torch.dtype = torch.float32) -> Contender:
    """The same of nn.LSTM ("layer") or a loop over nn.LSTMCell ("cell")."""
    p = {name: given(value).to(dtype) for name, value in problem().items()}
    net: Any = (nn.LSTM if kind == "layer" else nn.LSTMCell)(D, H).to(device(), dtype)
    suffix = "_l0" if kind == "layer" else ""
    parameters = {name: getattr(net, f"{long}{suffix}") for name, long in _LONG.items()}
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(p[name].T if name != "b" else p[name])
        getattr(net, f"bias_hh{suffix}").zero_()
    x = p["x"].requires_grad_()

    def step() -> Any:
        x.grad = None
        net.zero_grad(set_to_none=True)
        if kind == "layer":
            h, _ = net(x, (p["h0"][None], p["c0"][None]))
        else:
            state, steps = (p["h0"], p["c0"]), []
            for x_t in x.unbind():
                state = net(x_t, state)
                steps.append(state[0])
            h = torch.stack(steps)
        h.backward(p["dh"])
        return h

    def results() -> dict[str, np.ndarray]:
        found = {"h": step().detach(), "x": x.grad}
        found |= {name: q.grad.T if name != "b" else q.grad for name, q in parameters.items()}
        return {name: value.float().cpu().numpy() for name, value in found.items()}

    return Contender(precision, lambda: torch_precision(precision), step, results)


_LONG = {"Wx": "weight_ih", "Wh": "weight_hh", "b": "bias_ih"}


def sides() -> dict[str, Contender]:
    """By name."""
    found = {
        f"ours, version {number}, {precision}": ours(number, precision)
        for precision in ("float32", "tf32")
        for number in lstm.variant("cuda").VERSIONS
    }
    found |= {f"nn.LSTM, {precision}": torchs("layer", precision) for precision in ("float32", "tf32")}
    found["nn.LSTM, bf16"] = torchs("layer", "bf16", torch.bfloat16)
    found["nn.LSTM, fp16"] = torchs("layer", "fp16", torch.float16)
    return found | {f"nn.LSTMCell, {precision}": torchs("cell", precision) for precision in ("float32", "tf32")}


def measure(seconds: float) -> list[Row]:
    """A row for each side that is right, timed in alternating blocks; the last one says what is wrong, if anything is."""
    with torch_precision("float32"):
        expected = torchs("cell", "float32").results()
    ready: dict[str, Contender] = {}
    differences, wrong = {}, []
    for name, side in sides().items():
        try:
            with side.around():
                most = TOLERANCE[side.precision]
                differences[name] = norm_difference(name, side.results(), expected, most, most)
            ready[name] = side
        except Exception as error:
            wrong.append(f"{name}: {error}".splitlines()[0])
    samples = alternate(ready, seconds)
    rows = []
    for name, side in ready.items():
        with side.around():
            device_time = on_the_device(side.step, seconds / 2, cold=False)
        called = timing(samples[name])
        spread = {"us": called.median, "p20_us": called.p20, "p80_us": called.p80, "on_device_us": device_time.median}
        row: Row = {"side": name, "precision": side.precision, **{k: rounded(v) for k, v in spread.items()}}
        rows.append(row | {"differs_by": rounded(differences[name])})
    return [*rows, {"wrong": wrong}] if wrong else rows


def alternate(contenders: dict[str, Contender], seconds: float) -> dict[str, list[float]]:
    """Microseconds a step of each, in blocks by turns (A B C A B C …)."""
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(BLOCKS):
        for name, side in contenders.items():
            with side.around():
                samples[name] += as_called(side.step, seconds / BLOCKS)
    return samples


HEAD = ("LSTM step, H=512, N=32, T=20", "us", "[p20-p80]", "on the device", "differs by")
LEFT = (0,)


def line(row: Row) -> tuple[str, ...]:
    if "wrong" in row:
        return "; ".join(row["wrong"]), "WRONG", "", "", ""
    spread = f"[{brief(row['p20_us'])}-{brief(row['p80_us'])}]"
    return row["side"], brief(row["us"]), spread, brief(row["on_device_us"]), f"{row['differs_by']:.0e}"

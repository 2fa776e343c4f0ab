"""One name per operation; the arrays decide which variant runs, and :meth:`Operation.explain` says which and why.

    from scratchlv.ops import lstm
    (h, c), cache = lstm.forward(x, h0, c0, Wx, Wh, b)
    grads = lstm.backward((dh, dc), cache)                    # grads.dWx, or unpacked in the order of forward's inputs

The variants of an operation stand side by side in its room, ``kernels/<operation>/``. The backward pass runs in the
variant that made the cache. ``with scratchlv.use("reference"):`` overrides the choice.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from scratchlv.device import on_gpu
from scratchlv.errors import KernelsUnavailable

OPERATIONS = (
    "matmul",
    "linear",
    "embedding",
    "rnn",
    "lstm",
    "gru",
    "additive_attention",
    "dot_product_attention",
    "attention_lstm",
    "softmax",
    "log_softmax",
    "softmax_cross_entropy",
    "conv2d",
    "depthwise_conv2d",
    "max_pool2d",
    "avg_pool2d",
    "batch_norm2d",
    "rms_norm",
    "relu",
    "tanh",
    "sigmoid",
    "dropout",
    "global_norm",
    "adam",
    "rmsprop",
    "sgd",
)
KINDS = ("float32", "bfloat16", "int8")  #: what :func:`pack` keeps the numbers of a matrix in
VARIANTS = ("cuda", "numba_cpu", "reference")

_forced: contextvars.ContextVar[str | None] = contextvars.ContextVar("variant", default=None)


@contextlib.contextmanager
def use(variant: str | None) -> Iterator[None]:
    """Run every operation inside the ``with`` block in this variant ("reference", "numba_cpu", "cuda").

    None lets the arrays decide again. A call that the variant cannot serve raises ``ValueError``. On NumPy arrays "cuda" runs its
    kernels on the CPU, to check them and to learn from them (:mod:`scratchlv.cuda.emulator`): that is slow.
    """
    if variant is not None and variant not in VARIANTS:
        raise ValueError(f"no variant {variant!r}; there are {', '.join(VARIANTS)}")
    token = _forced.set(variant)
    try:
        yield
    finally:
        _forced.reset(token)


class Operation:
    """An operation by name. Its room has a module for each variant, with ``forward``, ``backward`` and ``limits``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._variants: dict[str, ModuleType] = {}  # those that were used
        self._do_not_load: dict[str, str] = {}  # those that cannot be, and why

    @functools.cached_property
    def room(self) -> ModuleType:
        """The room: the names of its variants, and the cases that it is checked on."""
        return importlib.import_module(f"scratchlv.kernels.{self.name}")

    def variant(self, name: str) -> ModuleType:
        """The module of one variant."""
        if name not in self.room.VARIANTS:
            raise ValueError(f"{self.name} has no variant {name!r}; it has {', '.join(self.room.VARIANTS)}")
        if name not in self._variants:
            self._variants[name] = importlib.import_module(f"scratchlv.kernels.{self.name}.{name}")
        return self._variants[name]

    def choose(self, *args: Any, **kwargs: Any) -> tuple[str, str]:
        """The name of the variant that serves this call, and the reason in words.

        Raises:
            ValueError: a variant was asked for by :func:`use` and cannot serve the call.
        """
        forced = _forced.get()
        if forced is not None and forced in self.room.VARIANTS:
            limit = _limit(self.variant(forced), args, kwargs)
            if limit is not None:
                raise ValueError(f"{self.name}: the variant {forced} cannot serve this call: {limit}")
            return forced, "asked for by scratchlv.use"
        passed_over: list[str] = []
        for name, limit in self._tried(args, kwargs):
            if limit is None:
                return name, "; ".join([*passed_over, "the fastest that serves these arrays"])
            passed_over.append(f"not {name}: {limit}")
        raise ValueError(f"{self.name}: no variant serves this call: {'; '.join(passed_over)}")

    def _serving(self, args: tuple, kwargs: dict) -> ModuleType:
        """The module of the variant that serves this call: :meth:`choose` without the words, which cost more than the choice."""
        if _forced.get() is None:
            for name, limit in self._tried(args, kwargs):
                if limit is None:
                    return self._variants[name]
        return self.variant(self.choose(*args, **kwargs)[0])

    def _tried(self, args: tuple, kwargs: dict) -> Iterator[tuple[str, str | None]]:
        """The variants, one after the other, and why each cannot serve this call, or None."""
        for name in _in_order(args, kwargs):
            if name in self.room.VARIANTS:
                yield name, self._why_not_loaded(name) or _limit(self._variants[name], args, kwargs)

    def _why_not_loaded(self, name: str) -> str | None:
        if name not in self._variants and name not in self._do_not_load:
            try:
                self.variant(name)
            except KernelsUnavailable as error:
                self._do_not_load[name] = str(error)
        return self._do_not_load.get(name)

    def explain(self, *args: Any, **kwargs: Any) -> str:
        """One line: which variant this call would run in, and why."""
        name, why = self.choose(*args, **kwargs)
        return f"{self.name} runs in {name} ({why})"

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._serving(args, kwargs).forward(*args, **kwargs)

    def step(self, *args: Any, **kwargs: Any) -> Any:
        """For an optimiser (adam), or a part of one (global_norm): one step, in place."""
        return self._serving(args, kwargs).step(*args, **kwargs)

    def backward(self, dy: Any, cache: Any, **kwargs: Any) -> Any:
        """Gradients in the order of ``forward``'s inputs, from the variant that made the cache.

        ``dx``, where a room takes it, is what is known of that gradient so far: the new one is added to it, in place where
        that can be, and what is returned is the sum.
        """
        return sys.modules[type(cache).__module__].backward(dy, cache, **kwargs)


def pack(W: Any, kind: str = "float32") -> Any:
    """A weight that many calls will be made with, as when a sentence is decoded word by word.

    What comes back may stand for ``W`` in ``forward`` with ``train=False``, as long as ``W`` is not changed: of ``linear``,
    ``lstm``, ``gru`` and ``rnn`` if it is a matrix (K, M), of ``conv2d`` if it is filters (kh, kw, C, M). It is ``W`` itself
    where nothing is to be gained.

    A matrix may be kept in a narrower ``kind``, "bfloat16" or "int8" (``kernels/matmul/narrow.py``): its numbers are then
    rounded. What does not run in numba_cpu gets an array of the rounded ones.

    Raises:
        ValueError: there is no such kind; ``W`` is no matrix on the CPU, or has numbers that the kind cannot hold.
    """
    name, arrays = ("conv2d", (W, W)) if W.ndim == 4 else ("matmul", (W, W.T))
    variant = Operation(name)._serving(arrays, {})
    if kind != "float32":
        if W.ndim != 2 or on_gpu(W):
            raise ValueError(f"only matrices on the CPU are kept in {kind}")
        narrow = importlib.import_module("scratchlv.kernels.matmul.narrow").NarrowMatrix(W, kind)
        return narrow if hasattr(variant, "packed") else narrow.array.astype(W.dtype)
    return variant.packed(W) if hasattr(variant, "packed") else W


def _in_order(args: tuple, kwargs: dict) -> tuple[str, ...]:
    """The variants to try for these arrays: CuPy's are on a GPU."""
    if "cupy" in sys.modules and any(on_gpu(value) for value in (*args, *kwargs.values())):
        return "cuda", "reference"
    return "numba_cpu", "reference"


def _limit(module: ModuleType, args: tuple, kwargs: dict) -> str | None:
    limits = getattr(module, "limits", None)
    return limits(*args, **kwargs) if limits is not None else None


def __getattr__(name: str) -> Operation:
    if name in OPERATIONS:
        operation = globals()[name] = Operation(name)
        return operation
    raise AttributeError(f"module {__name__!r} has no operation {name!r}")

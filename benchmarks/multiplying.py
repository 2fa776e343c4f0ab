"""One library that multiplies, in a process of its own: ``python benchmarks/multiplying.py LIBRARY PRODUCTS RESULTS``.

It answers each line ``PRODUCT SECONDS`` with the times in ms of so many seconds of products.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray
LIBRARIES = ("ours", "ours, W packed", "MKL", "OpenBLAS")
PEERS = ("MKL", "OpenBLAS")
FORWARD, DX, DW = "x W", "dy Wᵀ", "xᵀ dy"


class Product(NamedTuple):
    """Of a layer with x (M, K), W (K, N) and dy (M, N): the forward product, or one of the two of the backward pass."""

    layer: str
    M: int
    K: int
    N: int
    which: str

    @property
    def name(self) -> str:
        return f"{self.layer}:{ {FORWARD: 'forward', DX: 'dx', DW: 'dW'}[self.which] }".replace(" ", "")

    @property
    def what(self) -> str:
        x, W, dy = f"({self.M}, {self.K})", f"({self.K}, {self.N})", f"({self.M}, {self.N})"
        return {FORWARD: f"{x} × {W}", DX: f"{dy} × {W}ᵀ", DW: f"{x}ᵀ × {dy}"}[self.which]

    @property
    def flops(self) -> float:
        return 2.0 * self.M * self.K * self.N


PRODUCTS = (
    *(Product("gates", 640, 512, 2048, which) for which in (FORWARD, DX, DW)),  # of an LSTM, 20 steps of 32
    *(Product("vocabulary", 640, 512, 10_000, which) for which in (FORWARD, DX, DW)),
    *(Product("regions", 6272, 514, 512, which) for which in (FORWARD, DX, DW)),  # 32 pictures of 14 × 14
    Product("step", 32, 512, 2048, FORWARD),  # of an LSTM's recurrence
    Product("square", 1024, 1024, 1024, FORWARD),
)


def operands(product: Product) -> tuple[Array, Array, Array]:
    """The two factors, as they lie before any is transposed, and room for the product."""
    rng = np.random.default_rng(0)
    shapes = {
        FORWARD: ((product.M, product.K), (product.K, product.N), (product.M, product.N)),
        DX: ((product.M, product.N), (product.K, product.N), (product.M, product.K)),
        DW: ((product.M, product.K), (product.M, product.N), (product.K, product.N)),
    }[product.which]
    a, b = (rng.standard_normal(shape, np.float32) for shape in shapes[:2])
    return a, b, np.empty(shapes[2], np.float32)


# --- a call that multiplies, for each library -----------------------------------------------------------------------


def ours(product: Product, a: Array, b: Array, c: Array, pack: bool = False) -> Callable[[], Any]:
    from scratchlv.kernels.matmul.numba_cpu import gemm, packed

    weight: Any = packed(b) if pack and product.which != DW else b
    return partial(gemm, a, weight, c, transpose_a=product.which == DW, transpose_b=product.which == DX)


def mkl(product: Product, a: Array, b: Array, c: Array) -> Callable[[], Any]:
    import torch

    x, y, out = (torch.from_numpy(array) for array in (a, b, c))
    return partial(torch.mm, x.T if product.which == DW else x, y.T if product.which == DX else y, out=out)


def openblas(product: Product, a: Array, b: Array, c: Array) -> Callable[[], Any]:
    return partial(np.matmul, a.T if product.which == DW else a, b.T if product.which == DX else b, out=c)


CALLS: dict[str, Callable[..., Callable[[], Any]]] = {
    "ours": ours,
    "ours, W packed": partial(ours, pack=True),
    "MKL": mkl,
    "OpenBLAS": openblas,
}


def main() -> None:
    import workers
    from worker import timed

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    library, names, file = sys.argv[1:]
    with workers.as_worker() as answers:
        calls, results = {}, {}
        for product in PRODUCTS:
            if product.name in names.split(","):
                a, b, c = operands(product)
                calls[product.name] = CALLS[library](product, a, b, c)
                calls[product.name]()
                results[product.name] = c.copy()

        def answer(line: str) -> list[float]:
            name, seconds = line.split()
            return timed(calls[name], float(seconds))

        workers.serve(results, Path(file), answers, answer)


if __name__ == "__main__":
    main()

"""Weights in fewer bits than float32, for whoever decodes: a word is as fast as the weights are read.

    bfloat16   the upper half of a float32: 8 bits of mantissa, rounded to nearest, ties to even
    int8       q_kn = round(w_kn / s_n) in -127 … 127, with a scale for each column, s_n = max_k |w_kn| / 127

Products are those with the widened matrix (:attr:`NarrowMatrix.array`), bit for bit: those of few rows widen numbers on their way
into registers (:mod:`scratchlv.kernels.matmul.few_rows`), and all others widen the matrix once.
"""

from __future__ import annotations

import functools

import numpy as np

from scratchlv.kernels.building_blocks.simd import WIDTH
from scratchlv.kernels.matmul.few_rows import BYTES
from scratchlv.kernels.matmul.micro_kernels import COLUMNS
from scratchlv.kernels.matmul.numba_cpu import PackedMatrix

KINDS = tuple(BYTES)
_LARGEST = 127


class NarrowMatrix(PackedMatrix):
    """A matrix (K, N) of numbers of a narrower kind, in panels; for whoever knows nothing of them it is a :class:`PackedMatrix`.

    Raises:
        ValueError: there is no such kind, or a number is not finite, or too large for bfloat16.
    """

    def __init__(self, array: np.ndarray, kind: str) -> None:
        if kind not in KINDS[1:]:
            raise ValueError(f"no narrow kind {kind!r}; there are {' and '.join(KINDS[1:])}")
        self.kind, self.shape = kind, array.shape
        array = np.ascontiguousarray(array, np.float32)
        if kind == "bfloat16":
            bits = to_bfloat16(array)
            below, above = _in_panels(bits, WIDTH)
            self._panels = below | above << 16
        else:
            numbers, scales = to_int8(array)
            (self._panels,) = _in_panels(numbers, COLUMNS)
            self.scales = _padded(scales[None])[0]

    @property
    def of_few_rows(self) -> np.ndarray:
        return self._panels

    @functools.cached_property
    def array(self) -> np.ndarray:  # type: ignore[override]
        """The widened matrix, float32."""
        panels = self._panels  # (ceil(N / COLUMNS), K, COLUMNS), or words of two numbers
        if self.kind == "bfloat16":
            panels = np.concatenate([panels << 16, panels & 0xFFFF0000], axis=2).view(np.float32)
        (K, N), columns = self.shape, len(panels) * COLUMNS
        wide = panels.transpose(1, 0, 2).reshape(K, columns)
        if self.kind == "int8":
            wide = wide * self.scales
        return np.ascontiguousarray(wide[:, :N])

    @property
    def nbytes(self) -> int:
        return self._panels.nbytes + self.scales.nbytes


def to_bfloat16(array: np.ndarray) -> np.ndarray:
    """The bits of the nearest bfloat16, of two the even one, as the lower halves of uint32.

    Raises:
        ValueError: a number is not finite, or would round to infinity.
    """
    bits = array.view(np.uint32)
    rounded = bits + (0x7FFF + (bits >> 16 & 1)) >> 16
    if ((rounded & 0x7F80) == 0x7F80).any() or not np.isfinite(array).all():
        raise ValueError("bfloat16 holds finite numbers below 3.39e38, and there are others (NaN or infinity, say)")
    return rounded


def to_int8(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers (K, N) from -127 to 127, and the scale of each column (N,), float32; a column of zeros has the scale 0.

    Raises:
        ValueError: a number is not finite.
    """
    if not np.isfinite(array).all():
        raise ValueError("int8 holds finite numbers, and there are NaN or infinities")
    scales = np.abs(array).max(axis=0, initial=0) / np.float32(_LARGEST)
    numbers = np.rint(array / np.where(scales == 0, np.float32(1), scales))
    return np.clip(numbers, -_LARGEST, _LARGEST).astype(np.int8), scales


def _padded(array: np.ndarray) -> np.ndarray:
    """With columns of zeros, so that there are whole panels."""
    return np.pad(array, ((0, 0), (0, -array.shape[1] % COLUMNS)))


def _in_panels(array: np.ndarray, width: int) -> list[np.ndarray]:
    """The columns of ``array`` (K, N) in panels (ceil(N / COLUMNS), K, COLUMNS), cut into parts of ``width`` columns."""
    panels = _padded(array).reshape(len(array), -(-array.shape[1] // COLUMNS), COLUMNS).transpose(1, 0, 2)
    return [np.ascontiguousarray(panels[..., j : j + width]) for j in range(0, COLUMNS, width)]

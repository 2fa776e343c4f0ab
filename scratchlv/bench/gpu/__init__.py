"""Kernels on a GPU: ``scratchlv bench --variant cuda``, and the first parts of ``benchmarks/gpu.py``. Needs CuPy."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]  # what was found, as it is written to JSON

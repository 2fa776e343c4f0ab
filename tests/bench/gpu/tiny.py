"""``scratchlv.bench.gpu`` on the stand-in for CuPy, with sizes that the CPU can bear."""

import importlib
import sys

import numpy as np

from scratchlv import device, ops
from scratchlv.bench import gpu
from scratchlv.bench.workloads import Cost, Workload

from ...cuda import stand_in

SIZES = {
    "timing": {"FEWEST": 1, "MOST": 1, "AT_ONCE": 1, "CALLS_SECONDS": 0, "OTHER_MEMORY": 4096, "LONGEST_WAIT": 0},
    "ceilings": {"LARGE": 1 << 15, "SIZES": (8, 5), "LAUNCHES": 2, "GRID_SYNCS": 3, "TURNS": 1},
}


def install(monkeypatch):
    """The stand-in takes CuPy's place."""
    stand_in.install(monkeypatch)
    monkeypatch.setattr(device, "_backend", "cpu")
    monkeypatch.setattr("scratchlv.cuda.availability.what_is_wrong", lambda: None)


def shrink(monkeypatch):
    """No size is large, and a room's workload is its first case."""
    for name, values in SIZES.items():
        module = importlib.import_module(f"scratchlv.bench.gpu.{name}")
        for key, value in values.items():
            assert hasattr(module, key)
            monkeypatch.setattr(module, key, value)
    monkeypatch.setattr("scratchlv.bench.gpu.kernels.make", first_case)


def forget():
    """The modules that hold the stand-in: others are to find CuPy itself."""
    for name in ("ceilings", "kernels", "timing"):
        sys.modules.pop(f"scratchlv.bench.gpu.{name}", None)
        vars(gpu).pop(name, None)


def first_case(name):
    """A small workload of a room."""
    room = getattr(ops, name).room
    inputs = next(iter(room.cases(np.random.default_rng(0)).values()))
    inputs = {k: v.astype(np.float32) if getattr(v, "dtype", None) == np.float64 else v for k, v in inputs.items()}
    passes = ("forward", "backward") if hasattr(getattr(ops, name).variant("reference"), "forward") else ("step",)
    return Workload(inputs, dict.fromkeys(passes, Cost(1000, 1000)))

"""The bits of what kernels compute, in a process of its own: as it would be on another processor, or with other parameters."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]


def in_another_process(rooms, cache, **environment):
    """What rooms compute on all of their cases, by their names: a hash of each. Kernels are kept below the folder ``cache``."""
    environment = {**os.environ, "SCRATCHLV_CACHE": str(cache), "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, __file__, *rooms]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(line.split() for line in done.stdout.splitlines())


def main(rooms):
    from scratchlv import ops
    from scratchlv.kernels.building_blocks.simd import REGISTERS, WIDTH

    print("vectors", f"{WIDTH}x{REGISTERS}")
    for name in rooms:
        with np.errstate(all="ignore"):
            print(name, hash_of(getattr(ops, name)))


def hash_of(operation):
    from scratchlv.gradcheck.trees import as_float32, leaves, random_like

    module, rng, found = operation.variant("numba_cpu"), np.random.default_rng(0), hashlib.blake2b(digest_size=16)
    for case in operation.room.cases(rng).values():
        inputs = as_float32(case)
        if module.limits(**inputs) is not None:
            continue
        if hasattr(module, "step"):
            results = (module.step(**inputs), inputs)
        else:
            y, cache = module.forward(**inputs)
            results = (y, tuple(module.backward(as_float32(random_like(y, rng)), cache)))
        for each in leaves(results):
            found.update(np.asarray(each).tobytes())
    return found.hexdigest()


if __name__ == "__main__":
    main(sys.argv[1:])

"""Each barrier of each CUDA kernel is left out in turn: other bits, or an error, must follow in some order of the threads."""

import re
import time

import pytest

from scratchlv.cuda.emulator import ORDERS, turns, without_barrier

from .checks import WHY_NOT, WITH_GRADIENT, bits, cases, module, versions

pytestmark = [pytest.mark.slow, pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))]
BARRIER = re.compile(r"__syncthreads\(|__syncwarp\(|\.sync\(")


def barriers(path):
    """The lines of the file on which a barrier stands."""
    lines = path.read_text("utf-8").splitlines()
    return {(path.name, n) for n, line in enumerate(lines, 1) if BARRIER.search(line.split("//")[0])}


def met_by(name):
    """For each barrier, what comes to it: version, inputs, and the bits that result; first what takes the least time."""
    engine, found = module(name).engine(on_gpu=False), {}
    for number in versions(name):
        for inputs in cases(name).values():
            engine.barriers_met()
            start = time.perf_counter()
            expected = bits(name, number, inputs)
            row = time.perf_counter() - start, number, inputs, expected
            for site in engine.barriers_met():
                found.setdefault(site, []).append(row)
    return {site: sorted(rows, key=lambda row: row[0]) for site, rows in found.items()}


@pytest.mark.parametrize("name", WITH_GRADIENT)
def test_every_barrier_is_needed(name):
    found = met_by(name)
    assert barriers(module(name).path) <= found.keys(), "a barrier that no case comes to"
    not_missed = [site for site, rows in sorted(found.items()) if not is_missed(name, site, rows)]
    assert not not_missed, "these can be left out, and no check sees it"


def is_missed(name, site, rows):
    for _, number, inputs, expected in rows:
        for order in ORDERS:
            with turns(order, seed=7), without_barrier(*site):
                if bits(name, number, inputs) != expected:
                    return True
    return False

"""Each barrier of each CUDA kernel is left out in turn: a wrong result, or an error, must follow."""

import re

import pytest

from scratchlv.cuda.on_cpu import ORDERS, turns, without_barrier

from .checks import WHY_NOT, WITH_GRADIENT, cases, module, problem, versions

pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
BARRIER = re.compile(r"__syncthreads\(|__syncwarp\(|\.sync\(")


def barriers(path):
    """The lines of the file on which a barrier stands."""
    lines = path.read_text().splitlines()
    return {(path.name, n) for n, line in enumerate(lines, 1) if BARRIER.search(line.split("//")[0])}


def met_by(name):
    """For each barrier, the versions and cases that come to it."""
    engine, found = module(name).engine(on_gpu=False), {}
    for number in versions(name):
        for case, inputs in cases(name).items():
            engine.barriers_met()
            assert problem(name, number, inputs) is None
            for site in engine.barriers_met():
                found.setdefault(site, []).append((number, case))
    return found


@pytest.mark.parametrize("name", WITH_GRADIENT)
def test_every_barrier_is_needed(name):
    found = met_by(name)
    assert barriers(module(name).path) <= found.keys(), "a barrier that no case comes to"
    not_missed = [site for site, rows in sorted(found.items()) if not is_missed(name, site, rows)]
    assert not not_missed, "these can be left out, and no check sees it"


def is_missed(name, site, rows):
    inputs = cases(name)
    for number, case in rows:
        for order in ORDERS:
            with turns(order, seed=7), without_barrier(*site):
                if problem(name, number, inputs[case]) is not None:
                    return True
    return False

"""Ceilings, timings and runs made up for the tests of the bench."""

import json

from scratchlv.bench import command, machine, rows
from scratchlv.bench.ceilings import Ceilings
from scratchlv.bench.timing import Timing

CEILINGS = Ceilings(
    100e9,
    {"copy": 8e9, "triad": 9e9, "update": 10e9},
    {1 << 18: {"copy": 50e9, "update": 45e9}, 1 << 20: {"copy": 30e9, "update": 40e9}},
)


def measured(name):
    """The rows of a room."""
    return [m.row for m in rows.measure(name, rows.versions(name), CEILINGS, lambda: None, lambda text: None)]


def around(median, spread=0.01):
    return Timing(median, median * (1 - spread), median * (1 + spread), median * (1 - spread), 9)


def document(*found):
    here = machine.describe()
    return json.loads(json.dumps(command._document(here, CEILINGS, list(found), {}, False)))


def timed(median, operation="relu", version="numba_cpu", shapes="x (3, 4)"):
    row = rows.Row(operation, version, "forward", shapes, warm=around(median), cold=around(median))
    row.operations, row.bytes, row.least_seconds = 1e6, 1e6, median / 2
    return row

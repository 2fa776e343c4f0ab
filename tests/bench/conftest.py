"""What the tests of the bench share: workloads and ceilings that take no time."""

import pytest

from scratchlv.bench import ceilings, command, plot, rows, timing, workloads

from .examples import CEILINGS


@pytest.fixture
def small(monkeypatch):
    """Workloads and timings that take no time, and ceilings that were not measured."""
    tiny = {name: room._replace(sizes=room.sizes[:1] * 2, others=()) for name, room in workloads.ROOMS.items()}
    tiny["relu"] = tiny["relu"]._replace(sizes=(2, 3))
    for module in (workloads, rows, command, plot):
        if hasattr(module, "ROOMS"):
            monkeypatch.setattr(module, "ROOMS", tiny)
    monkeypatch.setattr(timing, "_MOST", 3)
    monkeypatch.setattr(ceilings, "measure", lambda work=(): CEILINGS)

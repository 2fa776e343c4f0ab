"""The ceilings of a run, measured several times, in a process of its own: the best counts, for the clock moves.

``python benchmarks/ceiling.py RESULTS`` is that process: it answers "peak" and "all".
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from comparing import Refused
from workers import Worker, as_worker, serve

HERE = Path(__file__).resolve().parent


class Ceiling:
    """What the machine can reach with these environment variables; ``pin`` is given the number of the process."""

    def __init__(
        self, variables: dict[str, str], folder: Path, pin: Callable[[int], None] = lambda process: None
    ) -> None:
        self.peak = 0.0  # operations a second, the most that was seen
        self.asked = variables.get("SCRATCHLV_VECTORS")
        self.worker = Worker("the ceilings", [HERE / "ceiling.py"], variables, folder)
        pin(self.worker.process.pid)

    def __enter__(self) -> Ceiling:
        """Raises Refused where kernels do not use the vectors that ``SCRATCHLV_VECTORS`` asks for."""
        self.width = int(self.worker.start()["width"])
        if self.asked not in (None, str(self.width)):
            self.worker.kill()
            raise Refused(f"vectors of {self.asked} floats were asked for, and kernels use {self.width}")
        return self

    def __exit__(self, *_: object) -> None:
        self.worker.kill()

    def measure_peak(self) -> float:
        """Operations a second as they are now; takes a second."""
        now = self.worker.run("peak")
        self.peak = max(self.peak, now)
        return now

    def measure(self) -> Any:
        """All :class:`~scratchlv.bench.ceilings.Ceilings` as they are now, and the best peak of the run; six seconds."""
        from scratchlv.bench.ceilings import Ceilings

        peak, memory, caches = self.worker.run("all")
        self.peak = max(self.peak, peak)
        return Ceilings(self.peak, memory, {int(size): speeds for size, speeds in caches.items()})


def main() -> None:
    sys.path.insert(0, str(HERE.parent))
    from scratchlv.bench import ceilings
    from scratchlv.kernels.building_blocks.simd import WIDTH

    answers = {"peak": ceilings.peak, "all": ceilings.measure}
    with as_worker() as file:
        serve({"width": WIDTH}, Path(sys.argv[1]), file, lambda line: answers[line]())


if __name__ == "__main__":
    main()

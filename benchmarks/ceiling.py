"""The ceilings of a run, measured several times, in a process of its own: the best counts, for the clock moves.

``python benchmarks/ceiling.py RESULTS`` is that process: it answers "peak" and "all".
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workers import Worker, as_worker, serve

HERE = Path(__file__).resolve().parent


class Ceiling:
    """What the machine can reach with these environment variables; ``pin`` is given the number of the process."""

    def __init__(
        self, variables: dict[str, str], folder: Path, pin: Callable[[int], None] = lambda process: None
    ) -> None:
        self.peak = 0.0  # operations a second, the most that was seen
        self.worker = Worker("the ceilings", [HERE / "ceiling.py"], variables, folder)
        pin(self.worker.process.pid)

    def __enter__(self) -> Ceiling:
        self.worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.worker.kill()

    def measure_peak(self) -> None:
        """A second."""
        self.peak = max(self.peak, self.worker.run("peak"))

    def measure(self) -> Any:
        """All :class:`~scratchlv.bench.ceilings.Ceilings` as they are now, and the best peak of the run; ten seconds."""
        from scratchlv.bench.ceilings import Ceilings

        peak, memory, caches = self.worker.run("all")
        self.peak = max(self.peak, peak)
        return Ceilings(self.peak, memory, {int(size): speeds for size, speeds in caches.items()})


def main() -> None:
    sys.path.insert(0, str(HERE.parent))
    from scratchlv.bench import ceilings

    answers = {"peak": ceilings.peak, "all": ceilings.measure}
    with as_worker() as file:
        serve({}, Path(sys.argv[1]), file, lambda line: answers[line]())


if __name__ == "__main__":
    main()

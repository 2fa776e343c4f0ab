"""Injects faults, counts them, and says which promises of docs/reliability.md were not kept.

    python tests/faults.py                     all of it: hours on two cores
    python tests/faults.py --n 4               a glimpse of each
    python tests/faults.py --only kills fuzz   these kinds alone
    python tests/faults.py --seed 7            others, drawn at random

It is no part of the test suite; ``tests/test_faults.py`` runs a little of it. Exit status: 0 all was kept, 1 something was not.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]
# read when Numba is imported: threads of this kind live on in a fork, and the bits are the same for any number
os.environ |= {"NUMBA_NUM_THREADS": "1", "NUMBA_THREADING_LAYER": "workqueue"}

KINDS = ("kills", "power", "disks", "flips", "weights", "together", "fuzz")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=200, help="kills; of other faults a multiple (default: 200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--workers", type=int, default=2, help="processes that try inputs")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="work here, and leave it (default: a temporary one)"
    )
    arguments = parser.parse_args(argv)
    root = arguments.keep or Path(tempfile.mkdtemp(prefix="scratchlv-faults-"))
    root.mkdir(parents=True, exist_ok=True)
    try:
        return inject(arguments.n, arguments.seed, arguments.only, arguments.workers, root)
    finally:
        if arguments.keep is None:
            shutil.rmtree(root, ignore_errors=True)


def inject(n: int, seed: int, only: tuple[str, ...] | list[str], workers: int, root: Path) -> int:
    """Inject faults of these kinds; the exit status."""
    from tests.fault_kinds import disks, flips, fuzz, kills, power, tiny, together, weights

    undisturbed = tiny.undisturbed(root / "undisturbed")
    runs = {
        "kills": lambda: [kills.run(n, seed, root, undisturbed)],
        "power": lambda: [power.run(n, seed, root, undisturbed), power.run_features(n, seed, root)],
        "disks": lambda: [disks.run(max(1, 200 // n), seed, root)],
        "flips": lambda: flips.run(5 * n // 2, seed, root, undisturbed),
        "weights": lambda: [weights.run(root)],
        "together": lambda: [together.run(max(1, n // 50), root)],
        "fuzz": lambda: fuzz.run(100 * n, seed, workers, root, undisturbed),
    }
    broken = 0
    for kind in only:
        for report in runs[kind]():
            print(report, flush=True)
            broken += len(report.broken)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

"""What the commands of ``benchmarks/`` are told alike: threads, instruction set, where figures are written."""

from __future__ import annotations

import argparse
from pathlib import Path

from environments import ISAS


def add(parser: argparse.ArgumentParser, *, threads: str | None) -> None:
    """``--threads``, ``--isa`` and ``--json``; ``threads`` is the default of the first."""
    said = f"(default: {threads})" if threads else "(default: as many as there are cores)"
    parser.add_argument("--threads", type=numbers, default=threads, metavar="N[,N…]", help=f"threads {said}")
    parser.add_argument("--isa", choices=ISAS, help="hold every library to these vectors")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")


def numbers(text: str) -> list[int]:
    """Of threads: "1,2"."""
    found = [int(each) if each.isdecimal() else 0 for each in text.split(",")]
    if not all(1 <= each <= 1024 for each in found):
        raise argparse.ArgumentTypeError(f"{text!r}: give whole numbers from 1 to 1024, with commas between them")
    return found


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options; a file that could not be written is refused before anything is measured."""
    options = parser.parse_args()
    if options.json is not None and not options.json.parent.is_dir():
        parser.error(f"--json {options.json}: there is no folder {options.json.parent}")
    return options

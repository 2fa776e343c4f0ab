"""The commands that look at things: gradcheck, data, doctor."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from scratchlv.cli.arguments import Arguments, save_picture, seed
from scratchlv.errors import UserError


def add_commands(commands: Any) -> None:
    """Add them to the parser."""
    _add_gradcheck(commands)
    _add_data(commands)
    doctor = commands.add_parser("doctor", help="what can run here, what cannot, and why")
    doctor.set_defaults(command=_doctor)


def _add_gradcheck(commands: Any) -> None:
    gradcheck = commands.add_parser("gradcheck", help="compare every derivative with a numerical one")
    gradcheck.add_argument("ops", nargs="*", metavar="OP", help="operations (default: all)")
    gradcheck.add_argument("--variant", help="reference or numba_cpu (default: every one)")
    gradcheck.add_argument("--json", action="store_true", help="end with one line of JSON")
    gradcheck.set_defaults(command=_gradcheck)


def _gradcheck(arguments: Arguments) -> int:
    from scratchlv import gradcheck

    return gradcheck.run(arguments.ops, arguments.variant, arguments.json, sys.stdout)


def _add_data(commands: Any) -> None:
    data = commands.add_parser("data", help="look at data")
    kinds = data.add_subparsers(metavar="DATA", required=True)
    scenes = kinds.add_parser("scenes", help="draw scenes with what each task says of them")
    scenes.add_argument("--task", choices=["caption", "vqa", "translate", "summarize"], default="caption")
    scenes.add_argument("--n", type=int, default=12)
    scenes.add_argument("--seed", type=seed, default=0)
    scenes.add_argument("--split", choices=["train", "val", "test", "compositional"], default="train")
    scenes.add_argument("--grammar", choices=["places", "relations"], default="places", help="of captions")
    scenes.add_argument("--out", type=Path, required=True, metavar="SHEET.png")
    scenes.set_defaults(command=_data_scenes)


def _data_scenes(arguments: Arguments) -> None:
    from scratchlv.data.scenes import scene, split_index
    from scratchlv.show.scenes_sheet import scenes_sheet

    if not 1 <= arguments.n <= 1000:
        raise UserError(f"--n {arguments.n}: a sheet holds 1 to 1000 scenes")
    scenes = [scene(arguments.seed, split_index(arguments.split, i)) for i in range(arguments.n)]
    texts = _texts(arguments.task, scenes, arguments.grammar)
    save_picture(scenes_sheet(scenes, texts), arguments.out)


def _texts(task: str, scenes: list, grammar: str) -> list:
    """What a task says of each scene."""
    from scratchlv.data.scenes import caption

    return [caption(s, grammar) for s in scenes]


def _doctor(arguments: Arguments) -> None:
    from scratchlv.doctor import examine

    for line in examine():
        print(line)

"""The command line. Everything heavy is imported by the command that needs it, so that ``--help`` is quick."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from scratchlv.errors import UserError

Arguments = argparse.Namespace


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit status: 0 done, 1 a gradient is wrong, 2 the user can mend it, 130 interrupted."""
    arguments = build_parser().parse_args(argv)
    try:
        return arguments.command(arguments) or 0
    except UserError as error:
        print(f"scratchlv: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, head say, has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        print(
            f"scratchlv: {error.filename or 'a file'}: {error.strerror}; free some space or choose another folder",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("scratchlv: interrupted", file=sys.stderr)
        return 130


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scratchlv", description="Language and vision from scratch: every derivative by hand, no autograd."
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_demo(commands)
    _add_train(commands)
    _add_evaluate(commands)
    _add_caption(commands)
    _add_gradcheck(commands)
    _add_data(commands)
    doctor = commands.add_parser("doctor", help="what can run here, what cannot, and why")
    doctor.set_defaults(command=_doctor)
    return parser


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from scratchlv import __version__

        print(f"scratchlv {__version__}")
        parser.exit()


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 0 or more")
    return int(text)


# --- demo --------------------------------------------------------------------------------------------------------


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser("demo", help="train a captioner on drawn scenes and see what it says, in two minutes")
    demo.add_argument("--out", type=Path, help="folder of the run (default: runs/demo, or the next that is free)")
    demo.add_argument("--seed", type=_seed, default=0)
    demo.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting of the preset")
    demo.add_argument("--json", action="store_true", help="end with one line of JSON")
    demo.set_defaults(command=_demo)


def _demo(arguments: Arguments) -> int | None:
    from scratchlv.tasks.demo import demo
    from scratchlv.trainer import Interrupted

    folder = arguments.out or _free_folder(Path("runs/demo"))
    try:
        facts = demo(folder, seed=arguments.seed, overrides=arguments.set)
    except Interrupted:
        return _interrupted(folder)
    if arguments.json:
        print(json.dumps(facts))
    return None


def _free_folder(folder: Path) -> Path:
    candidate, n = folder, 1
    while candidate.exists():
        n += 1
        candidate = folder.with_name(f"{folder.name}-{n}")
    return candidate


def _interrupted(folder: Path) -> int:
    print(f"interrupted; go on with: scratchlv train caption --out {folder} --resume", file=sys.stderr)
    return 130


# --- train, evaluate, caption --------------------------------------------------------------------------------------


def _add_train(commands: Any) -> None:
    train = commands.add_parser("train", help="train a model")
    tasks = train.add_subparsers(metavar="TASK", required=True)
    caption = tasks.add_parser("caption", help="image captioning")
    caption.add_argument("--data", default="scenes", metavar="scenes|flickr8k:DIR")
    caption.add_argument("--model", choices=["attention"], default="attention")
    caption.add_argument("--preset", choices=["quick", "full"], default="quick")
    caption.add_argument(
        "--backbone", choices=["conv", "efficientnet-lite0"], help="default: conv for scenes, else the other"
    )
    caption.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder of the run")
    caption.add_argument("--seed", type=_seed, default=0)
    caption.add_argument(
        "--blind", action="store_true", help="show it another image's picture: the baseline that cannot see"
    )
    caption.add_argument("--resume", action="store_true", help="go on with an interrupted run, by its own settings")
    caption.add_argument(
        "--overfit-one-batch", action="store_true", help="only see whether it can learn one batch by heart"
    )
    caption.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting of the preset"
    )
    caption.set_defaults(command=_train_caption)


def _train_caption(arguments: Arguments) -> int | None:
    from scratchlv.tasks import captioning
    from scratchlv.trainer import Interrupted

    if arguments.resume and arguments.set:
        raise UserError("--resume takes the settings of the run; --set cannot change them half-way")
    try:
        captioning.train(
            arguments.out,
            data=arguments.data,
            preset=arguments.preset,
            model=arguments.model,
            backbone=arguments.backbone,
            seed=arguments.seed,
            blind=arguments.blind,
            overrides=arguments.set,
            resume=arguments.resume,
            overfit_one_batch=arguments.overfit_one_batch,
        )
    except Interrupted:
        return _interrupted(arguments.out)
    if not arguments.overfit_one_batch:
        print(f"trained: {arguments.out}; now: scratchlv evaluate {arguments.out}")
    return None


def _add_evaluate(commands: Any) -> None:
    evaluate = commands.add_parser("evaluate", help="how good a trained run is")
    evaluate.add_argument("run", type=Path, metavar="RUN")
    evaluate.add_argument("--split", default="val", help="val, test; on scenes also train, compositional")
    evaluate.add_argument("--n", type=int, help="so many scenes")
    evaluate.add_argument("--step", type=int, help="the checkpoint of this step, rather than the best")
    evaluate.add_argument("--json", action="store_true", help="end with one line of JSON")
    evaluate.set_defaults(command=_evaluate)


def _evaluate(arguments: Arguments) -> None:
    from scratchlv.tasks import captioning

    run = captioning.load(arguments.run, arguments.step)
    figures = captioning.evaluate(run, arguments.split, arguments.n, show_progress=True)
    for name, value in figures.items():
        print(f"{name:18} {value:.4f}" if isinstance(value, float) else f"{name:18} {value}")
    if arguments.json:
        print(json.dumps({"run": str(arguments.run), "split": arguments.split, "metrics": figures}))


def _add_caption(commands: Any) -> None:
    caption = commands.add_parser("caption", help="say what is in a picture, word by word")
    caption.add_argument("run", type=Path, metavar="RUN")
    caption.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
    caption.add_argument("--picture", type=Path, metavar="OUT.png", help="draw where it looked at each word")
    caption.add_argument("--step", type=int, help="the checkpoint of this step, rather than the best")
    caption.add_argument("--json", action="store_true", help="a line of JSON for each image")
    caption.set_defaults(command=_caption)


def _caption(arguments: Arguments) -> None:
    from scratchlv.tasks import captioning

    run = captioning.load(arguments.run, arguments.step)
    results = captioning.caption_images(run, arguments.images)
    for c in results:
        if arguments.json:
            fields = {"image": c.path, "caption": " ".join(w for w in c.words if w != "<end>")}
            print(
                json.dumps(
                    {**fields, "words": c.words, "probabilities": c.probabilities, "attention": c.alphas.tolist()}
                )
            )
        else:
            print(f"{c.path}: {c}")
    if arguments.picture:
        _save_sheets(results, arguments.picture)


def _save_sheets(results: list, out: Path) -> None:
    """One picture for each image: OUT.png, or OUT-1.png, OUT-2.png … when there are several."""
    from scratchlv.show.attention import attention_sheet

    for i, c in enumerate(results, 1):
        path = out if len(results) == 1 else out.with_name(f"{out.stem}-{i}{out.suffix}")
        _save_picture(attention_sheet(c.image, c.words, c.probabilities, c.alphas), path)


def _save_picture(picture: Any, path: Path) -> None:
    try:
        picture.save(path)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} cannot be written ({error}); give a writable name that ends in .png") from None
    print(f"wrote {path}", file=sys.stderr)


# --- gradcheck, data, doctor -----------------------------------------------------------------------------------------


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
    scenes = kinds.add_parser("scenes", help="draw scenes with their captions")
    scenes.add_argument("--n", type=int, default=12)
    scenes.add_argument("--seed", type=_seed, default=0)
    scenes.add_argument("--split", choices=["train", "val", "test", "compositional"], default="train")
    scenes.add_argument("--grammar", choices=["places", "relations"], default="places")
    scenes.add_argument("--out", type=Path, required=True, metavar="SHEET.png")
    scenes.set_defaults(command=_data_scenes)


def _data_scenes(arguments: Arguments) -> None:
    from scratchlv.data.scenes import caption, scene, split_index
    from scratchlv.show.scenes_sheet import scenes_sheet

    if not 1 <= arguments.n <= 1000:
        raise UserError(f"--n {arguments.n}: a sheet holds 1 to 1000 scenes")
    scenes = [scene(arguments.seed, split_index(arguments.split, i)) for i in range(arguments.n)]
    captions = [caption(s, arguments.grammar) for s in scenes]
    _save_picture(scenes_sheet(scenes, captions), arguments.out)


def _doctor(arguments: Arguments) -> None:
    from scratchlv.doctor import examine

    for line in examine():
        print(line)

"""What several commands share: kinds of arguments, and how a picture is saved."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, NoReturn

from scratchlv.cuda.precision import PRECISIONS
from scratchlv.device import BACKENDS
from scratchlv.errors import UserError, readable
from scratchlv.ops import KINDS

Arguments = argparse.Namespace


class Parser(argparse.ArgumentParser):
    """The parser of Python, but ``--option=--`` gives the option the value ``--``, which that one leaves out."""

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        if action.nargs is None and arg_strings == ["--"]:
            value = self._get_value(action, "--")
            self._check_value(action, value)
            return value
        return super()._get_values(action, arg_strings)

    def error(self, message: str) -> NoReturn:
        """What was given may hold line ends: the message is one line all the same."""
        super().error(readable(message))


_UNKNOWN = 10  # unknown words that are named, at most


def seed(text: str) -> int:
    """A whole number, 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 0 or more")
    return int(text)


def add_run(parser: argparse.ArgumentParser) -> None:
    """The run that a command uses, which checkpoint of it, and what computes."""
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder that scratchlv train made")
    parser.add_argument("--step", type=int, metavar="N", help="the checkpoint of this step, rather than the best")
    parser.add_argument(
        "--weights",
        choices=KINDS,
        default="float32",
        help="what the weights are kept in that each word is multiplied by: half or a quarter of the bits are read sooner",
    )
    add_backend(parser)


def add_ensemble(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ensemble",
        type=Path,
        action="append",
        default=[],
        metavar="RUN",
        help="another run that speaks with it, the probability of each word, or answer, the mean of theirs; may be given again",
    )


def add_no_repeat(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-repeat",
        type=int,
        default=0,
        metavar="N",
        help="say no N words in a row twice in a caption (default: 0, any)",
    )


def add_of_pairs(parser: argparse.ArgumentParser) -> None:
    """How translations and summaries are looked for."""
    parser.add_argument(
        "--max-ratio",
        type=float,
        metavar="X",
        help="of translations and summaries: at the most X words to each word of the source",
    )
    parser.add_argument(
        "--replace-unknown",
        action="store_true",
        help="of translations and summaries: <unk> may be said, and gives way to the word of the source that is looked at most",
    )


def load_captioner(arguments: Arguments, *, questions: bool = False) -> Any:
    """The captioner, or the ensemble, that a command names; with ``questions`` an ensemble may answer questions.

    Raises:
        UserError: as :func:`scratchlv.tasks.training.load`, or they do not go together.
    """
    from scratchlv.tasks import ensembles, run_folder, training

    a = arguments
    if not a.ensemble:
        run = training.load(a.run, "caption", step=a.step, weights=a.weights)
    elif a.step is not None:
        raise UserError(f"--step {a.step} is a checkpoint of one run; leave it out with --ensemble")
    elif questions and not a.no_repeat and run_folder.read(a.run)[0].task == "vqa":
        return ensembles.load_answerers(a.run, a.ensemble, weights=a.weights)
    else:
        run = ensembles.load(a.run, a.ensemble, weights=a.weights)
    run.no_repeat = a.no_repeat
    return run


def add_settings(parser: argparse.ArgumentParser, seed: int | None = 0) -> None:
    """``seed``: its default, see :func:`add_seed`."""
    add_seed(parser, "of all that is random", seed)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a setting of the preset; a wrong one lists them",
    )


def refuse_twice(assignments: list[str]) -> None:
    """
    Raises:
        UserError: two of these ``key=value`` strings are of one key: the first would do nothing.
    """
    keys = [text.partition("=")[0] for text in assignments]
    for key in keys:
        if keys.count(key) > 1:
            given = [text for text, of in zip(assignments, keys, strict=True) if of == key]
            raise UserError(f"{key} is set twice ({' and '.join(given)}); give it once")


def add_seed(parser: argparse.ArgumentParser, what: str, default: int | None = 0) -> None:
    """``default`` None tells whether a seed was given; it is 0 all the same."""
    parser.add_argument("--seed", type=seed, default=default, metavar="N", help=f"{what} (default: 0)")


def add_threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads", type=int, metavar="N", help="threads that kernels use (default: one for each core)"
    )


def add_backend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backend", choices=BACKENDS, default="cpu", help="cuda: an NVIDIA GPU, through CuPy")
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="float32", help="of matrix products, with --backend cuda"
    )


def add_step_graphs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--step-graphs",
        action="store_true",
        help="training steps as CUDA graphs where shapes repeat, with --backend cuda",
    )


def set_threads(n: int) -> None:
    """
    Raises:
        UserError: there are not so many.
    """
    import scratchlv

    try:
        scratchlv.set_threads(n)
    except ValueError as error:
        raise UserError(f"--threads: {error}") from None


def save_picture(picture: Any, path: Path) -> None:
    """
    Raises:
        UserError: the file cannot be written.
    """
    try:
        picture.save(path)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} cannot be written ({error}); give a writable name that ends in .png") from None
    print(f"wrote {path}", file=sys.stderr)


def numbered(out: Path, i: int, n: int) -> Path:
    """OUT.png, or OUT-1.png, OUT-2.png … when there are several."""
    return out if n == 1 else out.with_name(f"{out.stem}-{i}{out.suffix}")


def say_unknown(words: list[str], characters: bool = False) -> None:
    """Words (or ``characters``) that a run has never seen are read as <unk>; the user is told, once."""
    if words:
        unit = "character" if characters else "word"
        are = f"is a {unit}" if len(words) == 1 else f"are {unit}s"
        more = f" and {len(words) - _UNKNOWN:,} more" if len(words) > _UNKNOWN else ""
        named = ", ".join(words[:_UNKNOWN]) + more
        print(f"note: {named} {are} that this run does not know; read as <unk>", file=sys.stderr)

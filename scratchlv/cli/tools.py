"""The commands that look at things, and get them ready: gradcheck, bench, warmup, tune, data, doctor."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from scratchlv.cli.arguments import Arguments, add_seed, add_threads, save_picture
from scratchlv.errors import UserError

_QUESTIONS = 4  # about each scene of a sheet
_VERSION = "one numbered version of --variant, of the operations that have it"


def add_commands(commands: Any) -> None:
    """Add them to the parser."""
    _add_gradcheck(commands)
    _add_bench(commands)
    _add_explain(commands)
    _add_warmup(commands)
    _add_data(commands)
    _add_tune(commands)
    doctor = commands.add_parser("doctor", help="what can run here, what cannot, and why")
    doctor.set_defaults(command=_doctor)


def _add_gradcheck(commands: Any) -> None:
    gradcheck = commands.add_parser(
        "gradcheck",
        help="compare every derivative with a numerical one",
        description="The reference of each operation against central differences in float64, every other variant against the "
        "reference; a row for each case. The exit status is 1 if one is wrong. Of a file of your own, FILE.py, its forward and "
        "backward: 0 if every gradient is right, 1 if one is wrong, 3 if something could not be compared.",
    )
    gradcheck.add_argument(
        "ops",
        nargs="*",
        metavar="OP|FILE.py[:FORWARD,BACKWARD]",
        help="operations, such as lstm (default: all); or files of your own, with what to check if it is not called forward and "
        "backward: two functions, or a layer (FILE.py:LAYER)",
    )
    gradcheck.add_argument("--variant", help="reference, numba_cpu or cuda (default: the first two)")
    gradcheck.add_argument("--version", type=int, metavar="N", help=_VERSION)
    gradcheck.add_argument(
        "--with", dest="own", type=Path, metavar="FILE", help="check a kernel of your own on all cases of one operation"
    )
    gradcheck.add_argument("--json", action="store_true", help="end with one line of JSON")
    own = gradcheck.add_argument_group("of files of your own")
    own.add_argument("--inputs", type=Path, metavar="FILE.npz", help="arrays by forward's parameters")
    own.add_argument(
        "--fixed", nargs="+", default=[], metavar="NAME", help="inputs that have no gradient, such as a mask"
    )
    own.add_argument("--state", nargs="+", default=[], metavar="NAME", help="inputs that forward is meant to change")
    own.add_argument(
        "--watch", action="store_true", help="check again whenever the file, or one that it imports, is saved"
    )
    own.add_argument("--no-repair", action="store_true", help="do not look for the line of the bug")
    own.add_argument("--hint", choices=["mend", "line"], help="show what mends that line (default), or the line alone")
    add_seed(own, "of what is drawn", None)
    gradcheck.set_defaults(command=_gradcheck)


def _gradcheck(arguments: Arguments) -> int:
    if arguments.own is not None:
        from scratchlv.bench.own import command as own

        _alone("--with", arguments, "variant", "json", "inputs", "fixed", "state", "watch", "hint")
        return own.run(arguments.ops, arguments.own, number=arguments.version, timed=False)
    from scratchlv import ops
    from scratchlv.gradcheck import command
    from scratchlv.gradcheck.files import is_target

    files = [name for name in arguments.ops if is_target(name)]
    _refuse_mixtures(arguments, files)
    if files:
        return _gradcheck_files(arguments)
    from scratchlv.tasks.compiling import compiling_together

    with compiling_together(_note, "gradcheck", *(arguments.ops or ops.OPERATIONS)):
        return command.run(arguments.ops, arguments.variant, arguments.json, version=arguments.version)


def _gradcheck_files(arguments: Arguments) -> int:
    from scratchlv.gradcheck import file_command

    if arguments.no_repair and arguments.hint:
        raise UserError(
            f"--hint {arguments.hint} is of the line that --no-repair does not look for: give one of the two"
        )
    further = {"repair": not arguments.no_repair, "hint": arguments.hint or "mend"}
    options = file_command.Options(
        arguments.inputs, arguments.seed or 0, arguments.fixed, arguments.state, arguments.json, further
    )
    return file_command.run(arguments.ops, options, arguments.watch)


def _refuse_mixtures(arguments: Arguments, files: list[str]) -> None:
    """
    Raises:
        UserError: operations and files, or options of both, were given together, or what is neither.
    """
    from scratchlv.ops import OPERATIONS

    swallowed = next((name for name in [*arguments.fixed, *arguments.state] if name.endswith(".py")), None)
    if swallowed:
        raise UserError(f"{swallowed} stands behind names of inputs and is taken for one: give the file first")
    bare = next((name for name in arguments.ops if name not in OPERATIONS and Path(f"{name}.py").is_file()), None)
    if bare:
        raise UserError(f"there is no operation {bare!r}; the file beside it needs its whole name: {bare}.py")
    names = ("inputs", "fixed", "state", "watch", "no_repair", "hint")
    own = [f"--{name.replace('_', '-')}" for name in names if getattr(arguments, name)]
    own += ["--seed"] if arguments.seed is not None else []
    if own and not files:
        raise UserError(f"{own[0]} is of files of your own: name one, as in scratchlv gradcheck FILE.py {own[0]}")
    if not files:
        return
    others = [name for name in arguments.ops if name not in files]
    if others:
        raise UserError(f"{others[0]} is an operation and {files[0]} a file: check them one after the other")
    for name in ("variant", "version"):
        if getattr(arguments, name) is not None:
            raise UserError(f"--{name} is of built-in operations, and {files[0]} is a file: leave it out")
    if arguments.inputs and len(files) > 1:
        raise UserError(f"--inputs is of one file, and there are {len(files)}: check them one after the other")


def _note(line: str) -> None:
    print(line, file=sys.stderr)


def _add_bench(commands: Any) -> None:
    bench = commands.add_parser("bench", help="time every version of every kernel against what this machine can reach")
    bench.add_argument("ops", nargs="*", metavar="OP", help="operations, such as lstm (default: all)")
    bench.add_argument("--variant", help="reference, numba_cpu, or cuda on a GPU (default: all that the CPU runs)")
    bench.add_argument("--version", type=int, metavar="N", help=_VERSION)
    bench.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    bench.add_argument(
        "--compare", type=Path, metavar="FILE", help="say what became faster or slower since this --json"
    )
    bench.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw the roofline, and time against size")
    bench.add_argument(
        "--with", dest="own", type=Path, metavar="FILE", help="a kernel of your own, forward and backward (.py, or .cu)"
    )
    bench.add_argument("--name", help="what --with is called in the table (default: the file's)")
    bench.add_argument("--leaderboard", type=Path, metavar="FILE.json", help="enter --with there, and print the ranks")
    bench.add_argument("--show", metavar="WHICH", help="print the source of a version (its number), or of a variant")
    add_threads(bench)
    bench.set_defaults(command=_bench)


def _bench(arguments: Arguments) -> int:
    from scratchlv.bench import command

    if arguments.show is not None:
        return _bench_show(arguments)
    if arguments.own is not None:
        return _bench_own(arguments)
    for name in ("name", "leaderboard"):
        if getattr(arguments, name) is not None:
            raise UserError(f"--{name} is of a kernel of your own: give it, --with FILE")
    if arguments.variant == "cuda" and arguments.threads is not None:
        raise UserError("--threads is of the CPU's kernels; leave it out with --variant cuda")
    files = arguments.json, arguments.compare, arguments.plot
    return command.run(arguments.ops, *files, variant=arguments.variant, number=arguments.version)


def _bench_show(arguments: Arguments) -> int:
    from scratchlv.bench import command, show

    _alone("--show", arguments, "own", "name", "leaderboard", "json", "compare", "plot", "version")
    if len(arguments.ops) != 1:
        raise UserError(f"--show {arguments.show} is of one operation: name it, as in scratchlv bench matmul --show 4")
    (operation,) = command.operations_named(arguments.ops)
    print(show.source(operation, arguments.show, arguments.variant), end="")
    return 0


def _bench_own(arguments: Arguments) -> int:
    from scratchlv.bench.own import command

    _alone("--with", arguments, "variant", "json", "compare", "plot")
    return command.run(
        arguments.ops, arguments.own, name=arguments.name, board=arguments.leaderboard, number=arguments.version
    )


def _alone(option: str, arguments: Arguments, *others: str) -> None:
    """
    Raises:
        UserError: one of these options was given, too, which has no meaning beside ``option``.
    """
    for name in others:
        if getattr(arguments, name) not in (None, [], False):
            raise UserError(f"{option} and --{name.replace('own', 'with')} do not go together: leave one out")


def _add_explain(commands: Any) -> None:
    explain = commands.add_parser(
        "explain",
        help="a page that runs an operation on small numbers, line by line, forwards and backwards",
        description="One HTML file that needs no network: the lines of the reference, every array that they read and write, each "
        "number's gradient beside its slope; inputs can be changed there.",
    )
    explain.add_argument("subject", metavar="OP", help="lstm, rnn, attention, softmax, conv2d, embedding or memory")
    for size in _SIZES:
        explain.add_argument(f"--{size}", type=int, metavar="N", help=_SIZES[size])
    add_seed(explain, "of the numbers")
    explain.add_argument("--out", type=Path, required=True, metavar="PAGE.html", help="where the page is written")
    explain.set_defaults(command=_explain)


_SIZES = {
    "T": "time steps", "N": "sequences, pictures or places", "D": "numbers of an input", "H": "numbers of a state",
    "L": "regions or memories", "A": "numbers of a key (attention)", "K": "numbers of a key (memory); side of a window (conv2d)",
    "V": "words", "E": "numbers of a word", "S": "side of a picture", "C": "channels of a picture", "M": "filters",
}  # fmt: skip


def _explain(arguments: Arguments) -> None:
    from scratchlv.show.explain.page import explain

    sizes = {size: getattr(arguments, size) for size in _SIZES if getattr(arguments, size) is not None}
    page = explain(arguments.subject, sizes, arguments.seed)
    try:
        arguments.out.write_text(page, "utf-8")
    except OSError as error:
        raise UserError(f"--out {arguments.out} cannot be written ({error.strerror}); give another file") from None
    print(f"wrote {arguments.out} ({len(page.encode()) >> 10} KiB): open it in a browser")


def _add_warmup(commands: Any) -> None:
    warmup = commands.add_parser("warmup", help="compile the kernels of models ahead of time")
    warmup.add_argument("models", nargs="*", metavar="MODEL", help="task or task:model, such as lm:rnn (default: all)")
    warmup.set_defaults(command=_warmup)


def _warmup(arguments: Arguments) -> None:
    from scratchlv.tasks import warmup

    chosen = warmup.models(arguments.models)
    print("compiling kernels (once)")
    width = max(len(":".join(names)) for names in chosen)
    for model in warmup.warm_up(arguments.models):
        new = f"{model.compiled} kernels compiled" if model.compiled else "all there"
        print(f"{model.name:{width}}  {model.seconds:5.1f} s  {new}", flush=True)


def _add_tune(commands: Any) -> None:
    tune = commands.add_parser(
        "tune",
        help="measure the sizes of kernels that no rule settles, and keep them for this processor",
        description="scratchlv doctor lists the sizes that kernels are cut by. Most follow from the caches; a few are measured "
        "here, once, and kept where one is faster beyond the noise. None changes a result. Let nothing else run meanwhile.",
    )
    tune.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="these parameters (default: all that can be tuned)"
    )
    tune.add_argument("--seconds", type=float, metavar="S", help="of measuring, for each parameter (default: 30)")
    tune.add_argument("--dry-run", action="store_true", help="measure and say what was found, and keep nothing")
    tune.add_argument("--forget", action="store_true", help="measure nothing: back to what is derived")
    tune.set_defaults(command=_tune)


def _tune(arguments: Arguments) -> int:
    from scratchlv.bench import tune

    if arguments.forget and (arguments.dry_run or arguments.seconds is not None):
        raise UserError("--forget measures nothing; leave --dry-run and --seconds out")
    seconds = tune.SECONDS if arguments.seconds is None else arguments.seconds
    if not 0 < seconds <= 3600:
        raise UserError(f"--seconds {seconds:g}: give more than 0, and 3600 at the most")
    return tune.run(arguments.only, seconds, dry_run=arguments.dry_run, forget=arguments.forget)


_SCENES_SPLITS = ("train", "val", "test", "compositional")


def _add_data(commands: Any) -> None:
    data = commands.add_parser(
        "data",
        help="look at data: draw scenes, or check a set of your own",
        description="Draw scenes with what each task says of them; or read a set as --data has it, count what is in it and name "
        "what is wrong: unknown words, the longest text, missing and damaged pictures, duplicates, texts and pictures in two "
        "splits. The exit status is 1 if pictures are missing or damaged.",
    )
    data.add_argument("data", metavar="scenes|KIND:…", help="scenes, or a set such as karpathy:JSON:IMAGES")
    data.add_argument(
        "--check", action="store_true", help="read the set, open its pictures, and say what is wrong with it"
    )
    data.add_argument("--out", type=Path, metavar="SHEET.png", help="draw some of it")
    data.add_argument("--n", type=int, default=12, metavar="N", help="so many on the sheet (default: 12)")
    data.add_argument(
        "--split", default="train", help=f"of which part; scenes have {', '.join(_SCENES_SPLITS)} (default: train)"
    )
    add_seed(data, "of the scenes, or of the choice")
    data.add_argument("--json", action="store_true", help="with --check, end with one line of JSON")
    scenes = data.add_argument_group("of scenes")
    scenes.add_argument(
        "--task", choices=["caption", "vqa", "translate", "summarize"], help="what is said of each (default: caption)"
    )
    scenes.add_argument(
        "--grammar",
        choices=["places", "relations", "definite"],
        help="of captions (default: places) and translations (default: definite)",
    )
    data.set_defaults(command=_data)


def _data(arguments: Arguments) -> int:
    if not 1 <= arguments.n <= 1000:
        raise UserError(f"--n {arguments.n}: a sheet holds 1 to 1000")
    if arguments.data == "scenes":
        _data_scenes(arguments)
        return 0
    for name in ("task", "grammar"):
        if getattr(arguments, name):
            raise UserError(f"--{name} is of scenes, and {arguments.data} is none; leave it out")
    return _data_check(arguments)


def _data_check(arguments: Arguments) -> int:
    from scratchlv.tasks import data_check

    if not (arguments.check or arguments.out):
        raise UserError(f"give --check, to know what is in {arguments.data}, or --out SHEET.png, to see some of it")
    if arguments.json and not arguments.check:
        raise UserError("--json is of what --check finds; add it, or leave --json out")
    argument, contents = data_check.read(arguments.data)
    wrong = 0
    if arguments.check:
        found = data_check.figures(contents, data_check.look_at(contents, show_progress=True))
        for line in (str(argument), *contents.notes, *data_check.lines(found, contents)):
            print(line)
        wrong = int(bool(found["missing"] or found["damaged"]))
        if arguments.json:
            print(json.dumps({"data": str(argument)} | found))
    if arguments.out:
        save_picture(data_check.sheet(contents, arguments.split, arguments.n, arguments.seed), arguments.out)
    return wrong


def _data_scenes(arguments: Arguments) -> None:
    from scratchlv.data.scenes import first_scenes
    from scratchlv.show.scenes_sheet import scenes_sheet

    if arguments.check or arguments.json:
        raise UserError("--check and --json are of sets of your own; scenes are drawn, and right")
    if arguments.out is None:
        raise UserError("--out is missing: give the picture to write, as --out SHEET.png")
    if arguments.split not in _SCENES_SPLITS:
        raise UserError(f"--split {arguments.split}: scenes have {', '.join(_SCENES_SPLITS)}")
    task = arguments.task or "caption"
    if arguments.grammar and task in ("vqa", "summarize"):
        raise UserError(f"--grammar does nothing with --task {task}; leave it out")
    scenes = list(first_scenes(arguments.seed, arguments.split, arguments.n))
    texts = _texts(task, scenes, arguments.grammar, arguments.seed)
    save_picture(scenes_sheet(scenes, texts), arguments.out)


def _texts(task: str, scenes: list, grammar: str | None, seed: int) -> list[list[tuple[str, str]]]:
    """What a task says of each scene: texts, each with its style on the sheet."""
    from scratchlv.data import scenes as world

    if task == "caption":
        if grammar not in (None, *world.GRAMMARS):
            raise UserError(f"--grammar {grammar} is of translations only; captions have {', '.join(world.GRAMMARS)}")
        return [[(str(world.caption(s, grammar or "places")), "text")] for s in scenes]
    if task == "translate":
        return [_source_and_target(*world.translation(s, grammar or "definite")) for s in scenes]
    if task == "summarize":
        return [_source_and_target(world.description(s), world.headline(s)) for s in scenes]
    asked = world.questions(scenes, _QUESTIONS, seed)
    return [
        [text for q in several for text in ((str(q).replace(" ?", "?"), "text"), (q.answer, "answer"))]
        for several in asked
    ]


def _source_and_target(source: tuple[str, ...], target: tuple[str, ...]) -> list[tuple[str, str]]:
    from scratchlv.data.scenes import typeset

    return [(typeset(source), "text"), (typeset(target), "answer")]


def _doctor(arguments: Arguments) -> None:
    from scratchlv.cli.doctor import examine

    for line in examine():
        print(line)

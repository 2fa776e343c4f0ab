"""The commands that use a run: generate, translate, summarize, caption, answer, probe."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from scratchlv.cli.arguments import (
    Arguments,
    add_backend,
    add_ensemble,
    add_no_repeat,
    add_of_pairs,
    add_run,
    add_seed,
    add_threads,
    load_captioner,
    numbered,
    save_picture,
    say_unknown,
)
from scratchlv.errors import UserError
from scratchlv.output import unread
from scratchlv.shell import path_of

_FEW = 16  # pictures, or texts, that need no progress to be shown
_MOST_TEXTS = 1_000_000


def add_commands(commands: Any) -> None:
    """Add them to the parser."""
    _add_generate(commands)
    _add_translate(commands)
    _add_summarize(commands)
    _add_caption(commands)
    _add_answer(commands)
    _add_probe(commands)


def _add_beam(parser: Any) -> None:
    parser.add_argument("--beam", type=int, default=1, metavar="B", help="beam search of this width (default: greedy)")


def _add_translating(parser: Any) -> None:
    """What translations and summaries are looked for with."""
    _add_beam(parser)
    add_of_pairs(parser)
    parser.add_argument(
        "--lines",
        action="store_true",
        help="read files (- is standard input) of a text each line, and print a line for each",
    )
    parser.add_argument(
        "--alignment", type=Path, metavar="OUT.png", help="draw the attention, word by word; what is copied is red"
    )


# --- generate ----------------------------------------------------------------------------------------------------


def _add_generate(commands: Any) -> None:
    generate = commands.add_parser("generate", help="let a language model write")
    add_run(generate)
    generate.add_argument("--prompt", default="", metavar="TEXT", help="go on from here")
    generate.add_argument(
        "--greedy", action="store_true", help="the most likely word each time (argmax), instead of a sample"
    )
    generate.add_argument("--temperature", type=float, metavar="X", help="below 1 the likely words become likelier")
    generate.add_argument("--top-k", type=int, metavar="K", help="sample from the K most likely words")
    generate.add_argument("--top-p", type=float, metavar="P", help="sample from the most likely words that make up P")
    add_seed(generate, "of the first sample; each further text takes the next", None)
    generate.add_argument("-n", type=int, default=1, metavar="N", help="so many texts (default: 1)")
    generate.add_argument("--min-length", type=int, default=0, metavar="N", help="words before which none may end")
    generate.add_argument("--max-length", type=int, metavar="N", help="words at which it is cut off")
    generate.set_defaults(command=_generate)


def _generate(arguments: Arguments) -> None:
    from scratchlv.tasks import language_modelling, training

    a = arguments
    if not 1 <= a.n <= _MOST_TEXTS:
        raise UserError(f"-n {a.n}: give {'1 or more' if a.n < 1 else f'{_MOST_TEXTS:,} or fewer'}")
    if a.greedy and (a.temperature, a.top_k, a.top_p, a.seed) != (None, None, None, None):
        raise UserError(
            "--greedy takes the most likely word; --temperature, --top-k, --top-p and --seed are for sampling"
        )
    if a.greedy and a.n > 1:
        raise UserError(f"-n {a.n}: --greedy gives one text, always the same; leave one of the two out")
    run = training.load(a.run, "lm", step=a.step, weights=a.weights)
    prompt, unknown = language_modelling.read_prompt(run, a.prompt)
    say_unknown(unknown, run.config.characters)
    options = {"min_length": a.min_length}
    if a.max_length is not None:
        options["max_length"] = a.max_length
    if not a.greedy:
        options |= {"top_k": a.top_k, "top_p": a.top_p}
        options["temperature"] = 1.0 if a.temperature is None else a.temperature
    for i in range(a.n):
        chosen = options if a.greedy else options | {"seed": (a.seed or 0) + i}
        for piece in language_modelling.write(run, prompt, **chosen):
            print(piece, end="", flush=True)
            if unread(sys.stdout):  # nothing else is left of it
                return
        print()


# --- translate, summarize ------------------------------------------------------------------------------------------


def _add_translate(commands: Any) -> None:
    translate = commands.add_parser("translate", help="translate texts")
    add_run(translate)
    translate.add_argument("texts", nargs="+", metavar="TEXT", help="a sentence each; with --lines a file each")
    _add_translating(translate)
    translate.set_defaults(command=_translate)


def _translate(arguments: Arguments) -> None:
    _say_translations(arguments, "translate", arguments.texts)


def _add_summarize(commands: Any) -> None:
    summarize = commands.add_parser("summarize", help="say what a text says, in a few words")
    add_run(summarize)
    summarize.add_argument("files", nargs="+", metavar="FILE|-", help="a text each; - is standard input")
    _add_translating(summarize)
    summarize.set_defaults(command=_summarize)


def _summarize(arguments: Arguments) -> None:
    texts = arguments.files if arguments.lines else [_read(name) for name in arguments.files]
    _say_translations(arguments, "summarize", texts)


def _read_lines(name: str) -> list[str]:
    from scratchlv.data.text import decoded_lines, read_lines

    lines = decoded_lines(sys.stdin.buffer, "standard input") if name == "-" else read_lines(path_of(name))
    return [line for _, line in lines]


def _read(name: str) -> str:
    text = " ".join(_read_lines(name))
    if not text.strip():
        raise UserError(f"{'standard input' if name == '-' else name} is empty; give a file with a text")
    return text


def _say_translations(arguments: Arguments, task: str, texts: list[str]) -> None:
    from scratchlv.tasks import training, translation

    run = training.load(arguments.run, task, step=arguments.step, weights=arguments.weights)
    if arguments.alignment and run.config.model == "naive":
        raise UserError(
            f"--alignment: {arguments.run} has no attention to draw; train one with --model additive or dot"
        )
    decoding = translation.Decoding(arguments.beam, arguments.max_ratio, arguments.replace_unknown)
    if arguments.lines:
        _say_lines(run, [line for name in texts for line in _read_lines(name)], decoding, arguments.alignment)
        return
    said = [translation.translate_text(run, text, decoding) for text in texts]
    say_unknown(sorted({word for t in said for word in t.unknown}), run.config.characters)
    for i, t in enumerate(said, 1):
        if t.cut:
            most, units = len(t.source), run.config.units
            print(
                f"note: a text of {most + t.cut:,} {units} is cut off; this run reads the first {most}", file=sys.stderr
            )
        print(t)
        if arguments.alignment:
            save_picture(translation.alignment_of(t), numbered(arguments.alignment, i, len(said)))


def _say_lines(run: Any, texts: list[str], decoding: Any, alignment: Path | None) -> None:
    """A line each, as soon as it is said; at the end what is to be noted of them."""
    from scratchlv.tasks import translation
    from scratchlv.training.progress import Progress

    if alignment:
        raise UserError("--alignment draws one text a picture, and --lines reads many: leave one of the two out")
    if not texts:
        raise UserError("--lines: there is no line to read; give a file with a text in each line")
    unknown: set[str] = set()
    cut = empty = 0
    with Progress(len(texts), "text", len(texts) > _FEW, bar=not sys.stdout.isatty()) as progress:
        for done, line in enumerate(translation.translate_lines(run, texts, decoding), 1):
            print(line.text, flush=True)
            if unread(sys.stdout):  # nothing else is left of it
                return
            unknown.update(line.unknown)
            cut, empty = cut + (line.cut > 0), empty + (not texts[done - 1].strip())
            progress.update(done)
    say_unknown(sorted(unknown), run.config.characters)
    most = run.config.settings.most_words
    for n, are in ((cut, f"longer than the {most} {run.config.units} that this run reads"), (empty, "empty")):
        if n:
            print(f"note: {n:,} of {len(texts):,} lines {'is' if n == 1 else 'are'} {are}", file=sys.stderr)


# --- caption -------------------------------------------------------------------------------------------------------


def _add_caption(commands: Any) -> None:
    caption = commands.add_parser(
        "caption",
        help="say what is in a picture, word by word",
        description="Pictures are captioned some at a time, however many there are. Of a folder all that end as pictures do "
        "(.jpg, .png …) are taken, and those of the folders in it; names that begin with a dot are left out. A picture that "
        "cannot be read is named at the end, the others are captioned all the same, and the exit status is 2.",
    )
    add_run(caption)
    caption.add_argument(
        "images", type=Path, nargs="+", metavar="IMAGE|DIR", help="pictures, or folders of pictures, in order of name"
    )
    _add_beam(caption)
    add_no_repeat(caption)
    add_ensemble(caption)
    caption.add_argument("--picture", type=Path, metavar="OUT.png", help="draw the attention at each word")
    caption.add_argument("--json", action="store_true", help="a line of JSON for each image")
    caption.add_argument("--results", type=Path, metavar="FILE.json", help="write the captions in COCO's format")
    caption.set_defaults(command=_caption)


def _caption(arguments: Arguments) -> None:
    from scratchlv.data.coco import image_ids_of
    from scratchlv.tasks import captioning, results
    from scratchlv.tasks.pictures import all_pictures
    from scratchlv.training.progress import Progress

    run = load_captioner(arguments)
    if arguments.picture and run.config.model in ("naive", "shortcut"):
        raise UserError(f"--picture: {arguments.run} has no attention to draw; train one with --model attention")
    images = all_pictures(arguments.images)
    if arguments.results:
        results.check(arguments.results)
        image_ids_of(images)
    unread: list[UserError] = []
    said: dict[Path, str] = {}
    with Progress(len(images), "picture", len(images) > _FEW, bar=not sys.stdout.isatty()) as progress:
        for c in captioning.caption_images(
            run, images, arguments.beam, images=bool(arguments.picture), unread=unread, done=progress.update
        ):
            said[Path(c.path)] = c.text
            _say_caption(c, arguments.json)
            if arguments.picture:
                save_picture(captioning.attention_picture(c), numbered(arguments.picture, len(said), len(images)))
    if arguments.results:
        captioning.write_results(arguments.results, image_ids_of([*said]), said.values())
        print(f"wrote {arguments.results}", file=sys.stderr)
    _refuse_unread(unread, len(images))


def _say_caption(c: Any, as_json: bool) -> None:
    if as_json:
        fields = {"image": c.path, "caption": c.text, "words": c.words, "probabilities": c.probabilities}
        print(json.dumps(fields | {"attention": None if c.alphas is None else c.alphas.tolist()}))
    else:
        print(f"{c.path}: {c}")


def _refuse_unread(unread: list[UserError], n: int) -> None:
    """
    Raises:
        UserError: there are pictures that could not be read; each is named first.
    """
    if not unread:
        return
    others = {0: "none is captioned", 1: "the other one is captioned"}.get(
        n - len(unread), f"the other {n - len(unread):,} are captioned"
    )
    if len(unread) == 1:
        raise UserError(f"{unread[0]}" + f" ({others})" * (n > 1))
    for error in unread:
        print(f"not captioned: {error}", file=sys.stderr)
    raise UserError(f"{len(unread):,} of {n:,} pictures could not be read; {others}")


# --- answer --------------------------------------------------------------------------------------------------------


def _add_answer(commands: Any) -> None:
    answer = commands.add_parser("answer", help="answer a question about a picture or a story")
    add_run(answer)
    answer.add_argument("about", type=Path, metavar="IMAGE|STORY", help="a picture; or a text with a sentence a line")
    answer.add_argument("question", metavar="QUESTION", help="in quotes")
    answer.add_argument("--picture", type=Path, metavar="OUT.png", help="draw the attention of each hop")
    answer.add_argument("--json", action="store_true", help="one line of JSON")
    answer.set_defaults(command=_answer)


def _answer(arguments: Arguments) -> None:
    from scratchlv.tasks import TASKS, training

    run = training.load(arguments.run, "vqa", "babi", step=arguments.step, weights=arguments.weights)
    module = TASKS[run.config.task].load()
    if arguments.picture and run.config.model == "naive":
        raise UserError(
            f"--picture: {arguments.run} has no attention to draw; train one with --model attention or memory"
        )
    answered = module.answer(run, arguments.about, arguments.question)
    say_unknown(answered.unknown)
    for note in answered.notes:
        print(note, file=sys.stderr)
    if arguments.json:
        print(json.dumps({"question": arguments.question, "answers": dict(answered.answers)}))
    else:
        print("  ".join(f"{word}({p:.2f})" for word, p in answered.answers))
    if arguments.picture:
        save_picture(module.picture(answered), arguments.picture)


# --- probe ---------------------------------------------------------------------------------------------------------


def _add_probe(commands: Any) -> None:
    probe = commands.add_parser(
        "probe",
        help="does a captioner look at the picture? several runs side by side",
        description="Of captioning runs on the same pictures: what each word owes to its picture, how far its gradient reaches "
        "back, how often the caption stays when the picture is swapped, and whether what is attended matters. A table; with "
        "--out, a page with plots and captions, where the word under the pointer shows its attention.",
    )
    probe.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="runs of scratchlv train caption, of the same data"
    )
    probe.add_argument("--out", type=Path, metavar="REPORT.html", help="write a page, in one file")
    probe.add_argument("--json", type=Path, metavar="FILE", help="write all figures and captions there")
    probe.add_argument(
        "--n", type=int, default=500, metavar="N", help="pictures (default: 500, or as many as there are)"
    )
    probe.add_argument("--split", default="val", help="val, test; on scenes also train, compositional (default: val)")
    probe.add_argument("--data", metavar="DATA", help="where the data is now (default: where they were trained)")
    probe.add_argument("--step", type=int, metavar="N", help="the checkpoints of this step, rather than the best")
    add_threads(probe)
    add_backend(probe)
    probe.set_defaults(command=_probe)


def _probe(arguments: Arguments) -> None:
    from scratchlv.bench.text import aligned
    from scratchlv.tasks import probe, probe_report, results

    a = arguments
    if a.json is not None:  # to probe takes minutes: that a file cannot be written is said before
        results.check(a.json, "--json")
    if a.out is not None and a.out.is_dir():
        raise UserError(f"--out {a.out} is a folder; give the name of a file")
    found = probe.probe(a.runs, split=a.split, n=a.n, data=a.data, load={"step": a.step})
    rows = probe.rows(found)
    lines = [probe.header(found)]
    lines += [[probe.FIGURES[name].label, *(value for value, _ in cells)] for name, cells in rows]
    print(aligned(lines, left=(0,)))
    for run in found.runs:
        for why in dict.fromkeys(run.missing[name] for name, _ in rows if name in run.missing):
            print(f"—  {run.name}: {why}")
    if a.json is not None:
        probe.write_json(a.json, found)
        print(f"wrote {a.json}", file=sys.stderr)
    if a.out is not None:
        print(f"wrote {probe_report.write(a.out, found)}", file=sys.stderr)

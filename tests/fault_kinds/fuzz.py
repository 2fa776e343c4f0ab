"""Inputs drawn at random, many to a process: none may end in a traceback, take long or much memory, or write where it should not.

A worker tells of each input when it begins and when it is done. One that says nothing for a minute is ended, and the next goes on
behind that input.
"""

from __future__ import annotations

import io
import json
import os
import queue
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 10  # of the processor
SILENCE = 90  # seconds
MEMORY = 2 << 30  # bytes

_LM = [
    "train",
    "lm",
    "--set",
    "steps=2",
    "--set",
    "hidden=4",
    "--set",
    "embedding=4",
    "--set",
    "n_train=20",
    "--set",
    "n_val=4",
]
_TRAINED = {
    "text": ("lm", "rnn", []),
    "ptb": ("lm", "rnn", ["layers=1"]),
    "parallel": ("translate", "additive", ["attention=4"]),
    "csv": ("translate", "additive", ["attention=4"]),
    "tsv": ("translate", "additive", ["attention=4"]),
    "jsonl": ("summarize", "additive", ["attention=4"]),
}


class Tried(NamedTuple):
    """An input: its kind, and what was done with it."""

    kind: str
    act: Callable[[], Any]


class Broken(Exception):
    """A promise that was not kept."""


class TooLong(BaseException):
    """It took too much of the processor's time."""


# --- what is tried -----------------------------------------------------------------------------------------------------


def command(*words: object) -> str:
    """Run a command; "done" or "refused".

    Raises:
        Broken: it said otherwise than in a sentence why it was refused.
    """
    from scratchlv.cli import main

    out, error = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(error):
            status = main([str(word) for word in words])
    except SystemExit as stopped:
        status = int(stopped.code or 0)
    said = error.getvalue()
    if "Traceback" in said or len(said) > 30_000:
        raise Broken(f"{words}: said {said[-2000:]}")
    if status == 0 or status == 1 and words[0] == "data":
        return "done"
    last = said.strip().splitlines()[-1] if said.strip() else ""
    if status != 2 or not (last.startswith("scratchlv") and len(last) < 6000):
        raise Broken(f"{words}: status {status}, said {said[-2000:]!r}")
    return "refused"


def drawn(k: int, seed: int, folder: Path, runs: Path) -> Tried:
    """The ``k``-th input; its files lie in ``folder``."""
    rng = random.Random(f"{seed} {k}")
    kinds = (
        (_picture,) * 6
        + (_annotations,) * 6
        + (_weights,) * 3
        + (_checkpoint, _checkpoint, _config, _config, _log, _typed, _options)
    )
    return kinds[k % len(kinds)](rng, folder, runs)


def _picture(rng: random.Random, folder: Path, runs: Path) -> Tried:
    from scratchlv.vision.images import load_image
    from tests.fault_kinds.inputs import mutated, pictures

    name = rng.choice(list(pictures()))
    path = folder / f"x.{name.rpartition('.')[2]}"
    path.write_bytes(mutated(pictures()[name], rng))

    def act() -> str:
        image = load_image(path, (20, 16) if rng.random() < 0.5 else None)
        if image.dtype != "uint8" or image.ndim != 3 or image.shape[2] != 3:
            raise Broken(f"{name}: {image.dtype} {image.shape}")
        return "done"

    return Tried("picture", act)


def _annotations(rng: random.Random, folder: Path, runs: Path) -> Tried:
    from tests.fault_kinds.inputs import ANNOTATIONS, PICTURES, packed, pictures

    kind = rng.choice(list(ANNOTATIONS))
    make, form = ANNOTATIONS[kind]
    for name, content in make(rng).items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(packed(content, rng))
    for name in PICTURES if rng.random() < 0.8 else ():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pictures()["rgb.png"])
    data = form.format(folder)
    if kind in _TRAINED and rng.random() < 0.25:
        task, model, more = _TRAINED[kind]
        words = ["train", task, "--model", model, "--data", data, "--out", folder / "run"]
        for each in ("steps=2", "hidden=4", "embedding=4", "batch=2", "warmup=1", "validate_every=2", *more):
            words += ["--set", each]
        return Tried(f"annotations: {kind}", lambda: command(*words))
    return Tried(f"annotations: {kind}", lambda: command("data", data, "--check"))


def _weights(rng: random.Random, folder: Path, runs: Path) -> Tried:
    from scratchlv.vision.weights import read_weights
    from tests.fault_kinds.inputs import json_of, mutated, rezipped, weights

    name = rng.choice(list(weights()))
    content = weights()[name]
    if name == "zip.pth" and rng.random() < 0.7:
        content = rezipped(content, rng)
    elif name == "w.safetensors" and rng.random() < 0.6:
        length = int.from_bytes(content[:8], "little")
        header = json_of(json.loads(content[8 : 8 + length]), rng)
        content = len(header).to_bytes(8, "little") + header + content[8 + length :]
    else:
        content = mutated(content, rng)
    path = folder / name
    path.write_bytes(content)
    return Tried(
        f"weights: {name.rpartition('.')[2] if 'safe' in name else name}",
        lambda: read_weights(path) and "done" or "done",
    )


def _use(rng: random.Random, run: Path) -> Callable[[], str]:
    if rng.random() < 0.4:
        return lambda: command("train", "lm", "--resume", "--out", run, "--set", "steps=42")
    return lambda: command("generate", run, "--max-length", "2")


def _copied(folder: Path, runs: Path, with_copies: bool = True) -> Path:
    """The run of a language model; without copies of its config in its checkpoints, as earlier versions wrote them."""
    from scratchlv.training import checkpoint

    run = folder / "run"
    shutil.copytree(runs / "lm", run)
    if not with_copies:
        for part in (run, run / "best"):
            for step in checkpoint.latest_steps(part):
                tensors, state = checkpoint.load(part, step)
                del state["config"]
                (part / f"checkpoint-{step:06d}.json").unlink()
                checkpoint.save(part, tensors, state, keep=9)
    return run


def _checkpoint(rng: random.Random, folder: Path, runs: Path) -> Tried:
    from scratchlv.training import checkpoint
    from tests.fault_kinds.inputs import changed, mutated

    run = _copied(folder, runs)
    if rng.random() < 0.5:
        path = rng.choice(sorted(run.rglob("checkpoint-*")))
        path.write_bytes(mutated(path.read_bytes(), rng))
    else:  # whole, with the right checksums, of something that it should not be
        (path,) = rng.sample(sorted(run.rglob("checkpoint-*.json")), 1)
        description = json.loads(path.read_bytes())
        description["state"] = changed(description["state"], rng)
        description["state_sha256"] = checkpoint._state_sha256(description["state"])
        path.write_text(json.dumps(description))
    return Tried("checkpoint", _use(rng, run))


def _config(rng: random.Random, folder: Path, runs: Path) -> Tried:
    from tests.fault_kinds.inputs import json_of, mutated

    run = _copied(folder, runs, with_copies=rng.random() < 0.3)
    path = run / "config.json"
    found = json.loads(path.read_bytes())
    if rng.random() < 0.7:
        found.pop("sha256")
        path.write_bytes(json_of(found, rng))
    else:
        path.write_bytes(mutated(path.read_bytes(), rng))
    return Tried("config", _use(rng, run))


def _log(rng: random.Random, folder: Path, runs: Path) -> Tried:
    from tests.fault_kinds.inputs import json_of, mutated

    run = _copied(folder, runs)
    path = run / "log.jsonl"
    lines = path.read_bytes().splitlines()
    at = rng.randrange(len(lines))
    lines[at] = json_of(json.loads(lines[at]), rng)
    content = b"\n".join(lines)
    path.write_bytes(mutated(content, rng) if rng.random() < 0.5 else content)

    def act() -> str:
        if command("train", "lm", "--resume", "--out", run, "--set", "steps=42") != "done":
            raise Broken("a log was a reason to stop")
        return "done"

    return Tried("log", act)


def _typed(rng: random.Random, folder: Path, runs: Path) -> Tried:
    from tests.fault_kinds.inputs import pictures, typed

    text = typed(rng)
    match rng.randrange(4):
        case 0:
            words: list[object] = ["generate", runs / "lm", f"--prompt={text}", "--max-length", "3"]
        case 1:
            words = ["translate", runs / "translate", "--", text or "x"]
        case 2:
            (folder / "p.png").write_bytes(pictures()["rgb.png"])
            words = ["answer", runs / "vqa", folder / "p.png", "--", text or "x"]
        case _:
            words = ["caption", runs / "caption", "--", folder / (text.replace("/", "") or "x")]
    return Tried("prompt", lambda: command(*words))


_OPTIONS: tuple[tuple[list[str], list[str]], ...] = (
    (
        ["generate", "{runs}/lm", "--max-length", "3"],
        ["--temperature", "--top-k", "--top-p", "--seed", "-n", "--min-length", "--step"],
    ),
    (
        ["evaluate", "{runs}/lm", "--n", "2"],
        ["--split", "--beam", "--step", "--data", "--results", "--weights", "--threads"],
    ),
    (["evaluate", "{runs}/caption", "--n", "2"], ["--split", "--beam", "--step", "--data", "--precision"]),
    (["translate", "{runs}/translate", "a star"], ["--beam", "--step", "--alignment", "--weights", "--backend"]),
    (_LM + ["--out", "{folder}/run"], ["--set", "--model", "--preset", "--data", "--seed", "--layers", "--threads"]),
    (["data", "scenes", "--n", "2", "--out", "{folder}/s.png"], ["--seed", "--split", "--n", "--data", "--grammar"]),
    (["train", "caption", "--overfit-one-batch"], ["--out", "--data", "--encoder", "--model"]),
)
_KEYS = (
    "steps",
    "batch",
    "learning_rate",
    "clip",
    "warmup",
    "optimiser",
    "momentum",
    "dropout",
    "hidden",
    "unroll",
    "n_val",
    "layers",
)


def _options(rng: random.Random, folder: Path, runs: Path) -> Tried:
    from tests.fault_kinds.inputs import option_value

    words, options = rng.choice(_OPTIONS)
    option, given = rng.choice(options), option_value(rng)
    if option == "--set":
        given = f"{rng.choice(_KEYS)}={given}"
        words = [word for word in words if not word.startswith(f"{given.partition('=')[0]}=")]
        words = [
            word for k, word in enumerate(words) if word != "--set" or words[k + 1 : k + 2] and "=" in words[k + 1]
        ]
    if words[0] == "train" and option not in ("--set", "--layers"):
        given = given if given not in ("", "0", "1", "3") or option != "--out" else "-"
    said = [word.format(runs=runs, folder=folder) for word in words]
    if option in said:  # the last one counts
        del said[said.index(option) : said.index(option) + 2]
    return Tried(
        "option",
        lambda: command(
            *said,
            f"{option}={given}" if option.startswith("--") else option,
            *([] if option.startswith("--") else [given]),
        ),
    )


# --- a worker ------------------------------------------------------------------------------------------------------------

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_BANNED = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "socket.connect",
    "os.symlink",
    "os.link",
    "os.chmod",
    "os.chown",
)


class Guard:
    """Notes what is written outside of the folders of an input, and what starts a process or a connection."""

    def __init__(self, allowed: list[Path]) -> None:
        self.allowed = [str(path) for path in allowed]
        self.seen: list[str] = []
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes) and isinstance(arguments[2], int):
            if arguments[2] & _WRITES:
                self._check(event, arguments[0])
        elif event in ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate", "shutil.rmtree", "shutil.move"):
            self._check(event, arguments[0])
        elif event in _BANNED or event == "subprocess.Popen" and "scratchlv.tasks.warmup" not in str(arguments[1]):
            self.seen.append(f"{event} {arguments!r:.300}")

    def _check(self, event: str, path: Any) -> None:
        if isinstance(path, int):
            return
        place = os.path.abspath(os.fsdecode(path))
        if not place.startswith(tuple(self.allowed)):
            self.seen.append(f"{event} {place}")


def work(root: Path, seed: int, start: int, step: int, stop: int) -> None:
    """Try each ``step``-th input from ``start`` on, and tell of each in a line of JSON."""
    channel = os.fdopen(os.dup(1), "w")
    home = root / f"home-{start % step}"
    home.mkdir(exist_ok=True)
    os.environ["HOME"] = str(home)
    os.chdir(home)
    resource.setrlimit(resource.RLIMIT_AS, (5 * MEMORY, 5 * MEMORY))
    guard = Guard([root, Path(os.environ.get("SCRATCHLV_CACHE", home)), Path("/dev/"), Path("/proc/self")])
    inside = [root / f"input-{start % step}", home]

    def too_long(*_: object) -> None:
        raise TooLong

    signal.signal(signal.SIGPROF, too_long)
    from scratchlv.errors import UserError

    for k in range(start, stop, step):
        folder = inside[0]
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        tried = drawn(k, seed, folder, root / "undisturbed")
        guard.seen.clear()
        before = sorted(home.rglob("*"))
        print(json.dumps({"begins": k}), file=channel, flush=True)
        outcome, broken = "", ""
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            outcome = tried.act()
        except UserError as error:
            outcome, broken = "refused", "" if len(str(error)) < 6000 else f"a sentence of {len(str(error))} characters"
        except Broken as error:
            broken = str(error)
        except TooLong:
            broken = f"it takes more than {SECONDS} s\n{traceback.format_exc()[-3000:]}"
        except BaseException:
            broken = traceback.format_exc()[-6000:]
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        if guard.seen:
            broken = f"outside: {guard.seen[:3]}"
        elif sorted(home.rglob("*")) != before:
            broken = f"written: {sorted(set(home.rglob('*')) - set(before))[:3]}"
        elif memory > MEMORY:
            broken = f"it takes {memory / 1e9:.1f} GB"
        if broken:
            shutil.copytree(folder, root / "failures" / str(k), dirs_exist_ok=True)
        print(
            json.dumps({"ends": k, "kind": tried.kind, "outcome": outcome, "broken": broken}), file=channel, flush=True
        )
        if memory > MEMORY:
            return


# --- the parent ------------------------------------------------------------------------------------------------------------


def run(n: int, seed: int, workers: int, root: Path, undisturbed: dict[str, Path]) -> list[Any]:
    """Try ``n`` inputs; a report of each kind."""
    from tests.fault_kinds import tiny
    from tests.fault_kinds.report import Report

    translate = root / "undisturbed" / "translate"
    if not translate.exists():
        overrides = ["n_train=40", "n_val=6", "steps=4", "batch=4", "warmup=1", "attention=8", *tiny.WIDTHS]
        from scratchlv.tasks import TASKS, training

        asked = TASKS["translate"].load().config("translate", "scenes", "additive", "quick", 3, overrides)
        training.train(translate, asked, show_progress=False, say=lambda line: None)
    reports: dict[str, Report] = {}
    told: queue.Queue[dict[str, Any]] = queue.Queue()
    threads = [threading.Thread(target=_attend, args=(root, seed, w, workers, n, told)) for w in range(workers)]
    for thread in threads:
        thread.start()
    done = 0
    while done < n:
        found = told.get()
        done += 1
        kind = found["kind"].partition(":")[0]
        report = reports.setdefault(kind, Report(f"inputs, {kind}"))
        broken = found["broken"] and f"seed {seed}, input {found['ends']}, {found['kind']}: {found['broken']}"
        report.note(found["outcome"] or "broken", broken or None)
        if done % 1000 == 0:
            print(
                f"  {done:,} of {n:,} inputs, {sum(len(each.broken) for each in reports.values())} broken", flush=True
            )
    for thread in threads:
        thread.join()
    return [reports[kind] for kind in sorted(reports)]


def _pass_on(pipe: Any, lines: queue.Queue) -> None:
    for line in pipe:
        lines.put(line)
    lines.put("")


def _attend(root: Path, seed: int, first: int, step: int, stop: int, told: queue.Queue) -> None:
    """Have one worker after the other try its share of the inputs."""
    at = first
    while at < stop:
        words = [sys.executable, str(Path(__file__)), *map(str, (root, seed, at, step, stop))]
        worker = subprocess.Popen(
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_pass_on, args=(worker.stdout, lines), daemon=True).start()
        begun = None
        while True:
            try:
                line = lines.get(timeout=SILENCE)
            except queue.Empty:
                line = ""
            if not line:
                break
            found = json.loads(line)
            if "begins" in found:
                begun = found["begins"]
            else:
                told.put(found)
                at, begun = found["ends"] + step, None
        worker.kill()
        status = worker.wait()
        if begun is not None:
            told.put(
                {
                    "ends": begun,
                    "kind": "a process",
                    "outcome": "",
                    "broken": f"it hung, or ended the process (status {status})",
                }
            )
            at = begun + step


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT)]
    work(Path(sys.argv[1]), *map(int, sys.argv[2:]))

"""Training on more photographs than memory holds: what it needs, and what it costs.

    python benchmarks/large_sets.py [--pictures N] [--subset N] [--folder DIR] [--photographs DIR] [--json FILE]

Makes a set in Flickr8k's form, of tiny pictures with five captions each, and features for them: numbers drawn at random, of
EfficientNet-Lite0's shape, stored under its name. Then, each in a process of its own:

- features  they are stored as those of photographs are; half-way the process is killed (-9), and another goes on
- train     ``scratchlv train caption`` on all of the set; Linux tells how much memory it had at most
- speed     training steps on a subset, its features on disk (the pages of the file dropped before each turn, and again from
            the page cache) and in memory, in turns; all must end with the same loss, to the bit
- float16   with ``--photographs DIR``, a real set in Flickr8k's form: what half precision does to features and to a training

The set takes 41 kB a picture in DIR (by default a folder beside the temporary files), and is removed at the end.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

from scratchlv.bench.machine import describe  # noqa: E402

VALIDATED, CAPTIONS, WORDS = 1000, 5, 9000  # pictures to validate on; captions of a picture; words that there are


def main() -> None:
    a = parse()
    if a.part:
        print(json.dumps(PARTS[a.part](a)))
        return
    folder = a.folder or Path(tempfile.mkdtemp(prefix="scratchlv-large-"))
    result: dict[str, Any] = {
        "date": f"{datetime.date.today()}",
        "machine": describe(),
        "pictures": a.pictures,
    }
    try:
        make_set(folder / "set", a.pictures)
        os.environ["SCRATCHLV_CACHE"] = str(folder / "cache")
        for part in PARTS:
            if part != "float16" or a.photographs:
                result[part] = measured_part(part, folder, a)
                print(part, json.dumps(result[part], indent=1), flush=True)
                if a.json:
                    a.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    finally:
        for made in ("set", "cache", "run"):
            shutil.rmtree(folder / made, ignore_errors=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=200_000)
    parser.add_argument("--subset", type=int, default=20_000, help="pictures whose features fit into memory")
    parser.add_argument("--steps", type=int, default=300, help="of the training on all of the set")
    parser.add_argument("--turns", type=int, default=12, help="of each side, when speeds are compared")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    return parser.parse_args()


# --- the set -----------------------------------------------------------------------------------------------------


def make_set(folder: Path, n: int) -> None:
    """Pictures of 8 x 8 pixels at random, and captions whose words are as rare as those of a language (Zipf)."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    names = [f"{k:06d}.ppm" for k in range(n + VALIDATED)]
    words = np.array([f"word{k}" for k in range(WORDS)])
    share = 1 / np.arange(1, WORDS + 1)
    with open(folder / "Flickr8k.token.txt", "w", encoding="utf-8") as captions:
        for name in names:
            (folder / "images" / name).write_bytes(b"P6 8 8 255\n" + rng.bytes(192))
            lengths = rng.integers(8, 16, CAPTIONS)
            said = np.split(rng.choice(words, lengths.sum(), p=share / share.sum()), np.cumsum(lengths)[:-1])
            captions.writelines(f"{name}#{k}\t{' '.join(sentence)} .\n" for k, sentence in enumerate(said))
    (folder / "Flickr_8k.trainImages.txt").write_text("\n".join(names[:n]) + "\n", encoding="utf-8")
    (folder / "Flickr_8k.devImages.txt").write_text("\n".join(names[n:]) + "\n", encoding="utf-8")


class MadeUp:
    """Features that a picture's first pixel decides, under the name of EfficientNet-Lite0."""

    size, crop = (8, 8), None

    def __init__(self) -> None:
        from scratchlv.vision import backbones

        network = backbones.load("efficientnet-lite0")
        self.name, self.checksum, self.shape = network.name, network.checksum, network.shape
        self.table = np.random.default_rng(1).standard_normal((256, *self.shape), np.float32)

    def features(self, images: np.ndarray) -> np.ndarray:
        scale = 1 + images[:, 0, 0, 1].astype(np.float32) / 256  # (N,)
        return self.table[images[:, 0, 0, 0]] * scale[:, None, None, None]


# --- a process, and its memory -----------------------------------------------------------------------------------


def measured_part(part: str, folder: Path, a: argparse.Namespace) -> dict[str, Any]:
    """What a part says, run in a process of its own, with its time and the most memory that it had."""
    options = ["--folder", str(folder), "--pictures", str(a.pictures), "--subset", str(a.subset)]
    options += ["--steps", str(a.steps), "--turns", str(a.turns)]
    options += ["--photographs", str(a.photographs)] if a.photographs else []
    command = [sys.executable, str(HERE / "large_sets.py"), "--part", part, *options]
    if part == "train":
        warm = [sys.executable, "-m", "scratchlv", "warmup", "caption:attention"]
        subprocess.run(warm, check=True, stdout=subprocess.DEVNULL)
        command = train_command(folder, a.steps)
    killed = kill_half_way(command, folder, a.pictures) if part == "features" else {}
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8", cwd=HERE.parent)
    memory: dict[str, int] = {}
    watcher = threading.Thread(target=watch, args=(process, memory))
    watcher.start()
    said = process.communicate()[0]
    watcher.join()
    if process.returncode:
        sys.exit(f"{part}: it ended with status {process.returncode}")
    figures = (
        json.loads(said.splitlines()[-1])
        if part != "train"
        else {"command": " ".join(command[2:]).replace(str(folder), "DIR")}
    )
    return killed | {"seconds": round(time.monotonic() - began, 1), "most_memory_mb": memory} | figures


def train_command(folder: Path, steps: int) -> list[str]:
    settings = [f"steps={steps}", f"validate_every={steps // 2}"]
    options = [word for setting in settings for word in ("--set", setting)]
    data = ["--data", f"flickr8k:{folder / 'set'}", "--preset", "quick", "--out", str(folder / "run")]
    return [sys.executable, "-m", "scratchlv", "train", "caption", *data, *options]


def watch(process: subprocess.Popen, most: dict[str, int]) -> None:
    """The largest of Linux's figures, in MB: all pages at any time (VmHWM), those of its own, and those of files."""
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        except OSError:
            break
        lines = dict(line.split(":", 1) for line in status.splitlines())
        for name in ("VmHWM", "RssAnon", "RssFile"):
            if name in lines:
                most[name] = max(most.get(name, 0), int(lines[name].split()[0]) // 1000)
        time.sleep(0.05)


def kill_half_way(command: list[str], folder: Path, n: int) -> dict[str, Any]:
    """Run it until about half of the features are there, and kill it."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=HERE.parent)

    def there() -> int:
        return sum(file.stat().st_size // 33 for file in (folder / "cache").glob("*/rows.txt"))

    while process.poll() is None and there() < n // 2:
        time.sleep(0.1)
    process.kill()
    process.wait()
    return {"killed_at": there()}


# --- the parts ---------------------------------------------------------------------------------------------------


def features(a: argparse.Namespace) -> dict[str, Any]:
    """Store what is missing, and read some of it again."""
    from scratchlv.data.flickr8k import Flickr8k
    from scratchlv.vision.features import extract
    from scratchlv.vision.images import load_image

    items = Flickr8k(a.folder / "set")
    paths = [path for split in ("train", "val") for path, _ in items.split(split)]
    network = MadeUp()
    stored = extract(paths, network)
    for k in np.random.default_rng(2).permutation(len(paths))[:1000].tolist():
        expected = network.features(load_image(paths[k])[None]).astype(np.float16)
        assert np.asarray(stored[k : k + 1]).tobytes() == expected.tobytes(), f"{paths[k]} has wrong features"
    return {"bytes": sum(file.stat().st_size for file in (a.folder / "cache").glob("*/features.f16"))}


def train(a: argparse.Namespace) -> dict[str, Any]:
    raise AssertionError("it is the command that users have")


def speed(a: argparse.Namespace) -> dict[str, Any]:
    """Turns of steps on each side: how long a step takes by the clock, and how much of the processor."""
    from scratchlv.tasks import captioning

    config = captioning.config("caption", f"flickr8k:{a.folder / 'set'}", "attention", "quick", 0, [])
    settings = config.settings
    whole = captioning.photographs_set(captioning.photographs(config), "train", None, config, False, None, MadeUp())
    n = min(a.subset, a.pictures)
    on_disk = replace(
        whole,
        pictures=whole.pictures[:n],
        captions=whole.captions[: n * CAPTIONS],
        picture_of=whole.picture_of[: n * CAPTIONS],
        names=whole.names[:n],
    )
    del whole
    half = np.asarray(on_disk.pictures)
    sides: dict[str, tuple[Any, Callable[[], None]]] = {
        "disk": (on_disk, lambda: drop_pages(a.folder)),
        "page cache": (on_disk, lambda: read_all(a.folder, half.nbytes)),
        "memory, float16": (replace(on_disk, pictures=half), lambda: None),
        "memory, float32": (replace(on_disk, pictures=half.astype(np.float32)), lambda: None),
    }
    trainers = {name: trainer_of(data, settings) for name, (data, _) in sides.items()}
    clock: dict[str, list[float]] = {name: [] for name in sides}
    processor: dict[str, list[float]] = {name: [] for name in sides}
    losses: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(a.turns + 1):  # the first, which loads the kernels, does not count
        for name in list(sides)[:: 1 if turn % 2 else -1]:
            sides[name][1]()
            times = [step(trainers[name]) for _ in range(10)]
            losses[name].append(trainers[name].sync_metrics()[0])
            if turn:
                clock[name].append(float(np.median([t for t, _ in times])))
                processor[name].append(float(np.mean([t for _, t in times])))
    assert len({tuple(values) for values in losses.values()}) == 1, f"losses differ: {losses}"
    return {
        "ms_a_batch": {name: batch_ms(data, prepare, settings.batch) for name, (data, prepare) in sides.items()},
        "subset": n,
        "steps": 10 * a.turns,
        "ms_a_step": {name: round(1e3 * float(np.median(times)), 2) for name, times in clock.items()},
        "processor_ms_a_step": {name: round(1e3 * float(np.median(times)), 2) for name, times in processor.items()},
        "against_float16_in_memory": ratios(clock, "memory, float16"),
        "against_float32_in_memory": ratios(clock, "memory, float32"),
        "loss": losses["disk"][-1],
    }


def trainer_of(data: Any, settings: Any, seed: int = 0) -> Any:
    """A trainer of a captioner of this set, that writes nothing."""
    from scratchlv.models.captioner import Captioner, CaptionerConfig
    from scratchlv.training.trainer import Trainer, TrainSettings

    s = settings
    widths = CaptionerConfig(
        vocabulary=len(data.vocabulary),
        embedding=s.embedding,
        hidden=s.hidden,
        attention=s.attention,
        feature_channels=data.pictures.shape[-1],
        dropout=s.dropout,
    )
    how = TrainSettings(10_000, s.learning_rate)
    return Trainer(Captioner(widths, seed), lambda k: data.training_batch(k, s.batch, seed), how, show_progress=False)


def step(trainer: Any) -> tuple[float, float]:
    """Seconds of a training step, by the clock and of the processor."""
    began, worked = time.perf_counter(), time.process_time()
    trainer.train_step()
    return time.perf_counter() - began, time.process_time() - worked


def batch_ms(data: Any, prepare: Callable[[], None], size: int) -> float:
    """Milliseconds that a batch takes when one is asked for after the other: nothing is read while others are worked on."""
    prepare()
    times = []
    for k in range(1000, 1050):  # not those of the turns
        began = time.perf_counter()
        data.training_batch(k, size, 0)
        times.append(time.perf_counter() - began)
    return round(1e3 * float(np.median(times)), 2)


def drop_pages(folder: Path) -> None:
    """Nothing of the features is in the page cache: all must come from the disk."""
    for file in (folder / "cache").glob("*/features.f16"):
        descriptor = os.open(file, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def read_all(folder: Path, size: int) -> None:
    """The first ``size`` bytes of the features are in the page cache."""
    for path in (folder / "cache").glob("*/features.f16"):
        with open(path, "rb") as file:
            while file.tell() < size and file.read(1 << 24):
                pass


def ratios(times: dict[str, list[float]], base: str) -> dict[str, float]:
    """The median of the turns' ratios: what is beside it in time met the same machine."""
    return {name: round(float(np.median(np.divide(values, times[base]))), 3) for name, values in times.items()}


def float16(a: argparse.Namespace) -> dict[str, Any]:
    """1,200 photographs with features of both kinds: how far they are apart, and two trainings of 200 steps."""
    from scratchlv.data.flickr8k import Flickr8k
    from scratchlv.data.text import bare_words
    from scratchlv.data.vocabulary import Vocabulary
    from scratchlv.tasks import captioning
    from scratchlv.vision import backbones
    from scratchlv.vision.images import load_image

    settings = captioning.PRESETS["flickr8k", "quick"]
    n, held_out = 1000, 200
    network = backbones.load("efficientnet-lite0")
    items = Flickr8k(a.photographs).split("train")[: n + held_out]
    exact = np.concatenate([network.features(load_image(path, network.size)[None]) for path, _ in items])
    half = exact.astype(np.float16)
    words = [[bare_words(caption) for caption in captions] for _, captions in items]
    vocabulary = Vocabulary.from_counts((w for captions in words[:n] for w in captions), settings.min_count)
    captions = [vocabulary.encode(caption) for several in words for caption in several]
    picture_of = np.repeat(np.arange(len(items)), CAPTIONS)

    def part(pictures: np.ndarray, first: int, last: int) -> Any:
        rows = slice(first * CAPTIONS, last * CAPTIONS)
        return captioning.CaptionSet(pictures, captions[rows], picture_of[rows], vocabulary, [])

    losses = {}
    for name, pictures, seed in (("float32", exact, 0), ("float16", half, 0), ("float32, another seed", exact, 1)):
        trainer = trainer_of(part(pictures, 0, n), settings, seed)
        for _ in range(200):
            trainer.train_step()
        losses[name] = part(pictures, n, n + held_out).mean_loss(trainer.model)
    error = half.astype(np.float64) - exact
    return {
        "photographs": n + held_out,
        "error_of_a_feature": float(np.sqrt((error**2).mean() / (exact.astype(np.float64) ** 2).mean())),
        "held_out_loss_after_200_steps": losses,
    }


PARTS = {"features": features, "train": train, "speed": speed, "float16": float16}

if __name__ == "__main__":
    main()

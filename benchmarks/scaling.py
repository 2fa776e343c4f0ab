"""How training scales with processes: measured here, and a model of it that says what faster networks and more of them give.

    python benchmarks/scaling.py --json benchmarks/results/scaling.json --plot docs/scale.svg

Each system is trained by one process (with all cores, and with one thread), and by P processes with one thread each, started by
mpiexec: steps a second, efficiency, the share of time in which nobody could work, messages and bytes. Beside it stands the bound:
P processes that each pass over their rows and step their part of the parameters, at the same time, and exchange nothing.

What the model needs (docs/scale.md) is measured as well: seconds of a step of one process's rows, how much they vary, the part of
it in which sums can be under way, latency and bandwidth of a message, and what a message costs its sender. It is checked against
P processes that send each other messages as if they were on several machines.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HERE = Path(__file__).resolve()
_RESULT = "RESULT "
BUCKET = 1 << 20  # as training/data_parallel.py has it
SYSTEMS = ("lm", "captioner", "vgg16")
TOGETHER = ("together", "messages", "apart")  # how several processes work
PROCESSES = (8, 16, 32, 64, 128, 256, 512, 1024)


class Network(NamedTuple):
    """What joins the processes: seconds of a small message, bytes a second, and how much faster than a core one computes.

    ``trees``: sums are not ours but NCCL's, along trees, whose messages cost the host nothing. ``copied``: it is one machine,
    whose processors themselves carry all bytes, those that go and those that come: behind nothing can they be hidden.
    """

    name: str
    latency: float
    bandwidth: float
    speed: float = 1.0
    trees: bool = False
    copied: bool = False


#: the latency of TCP over Ethernet, and of NCCL over NVLink, are the round figures that are published for them; a GPU is taken to
#: compute 300 times as fast as a core of this machine: none of these is measured here
NETWORKS = (
    Network("10 Gb/s", 30e-6, 1.25e9),
    Network("100 Gb/s", 10e-6, 12.5e9),
    Network("NVLink, a GPU each", 5e-6, 300e9, 300.0, trees=True),
)


# --- the model -------------------------------------------------------------------------------------------------------


class Constants(NamedTuple):
    """Of one system, for one process with its rows."""

    compute: float  # c: seconds of a step, alone
    spread: float  # σ: standard deviation of that
    window: float  # w: seconds of the backward pass in which sums can be under way
    bytes: float  # b: of the gradient
    meetings: int = 0  # s: times in a step that all wait for each other besides (batch normalisation)
    embedding: float = 0.0  # those of b that are of an embedding, of which rows are sent alone
    tokens: int = 0  # of a process, that it reads
    vocabulary: int = 0

    def sent(self, P: int) -> float:
        """b(P): bytes of the gradient that P processes add up."""
        if not self.embedding:
            return self.bytes
        rows = sparse_gain(self.tokens, self.vocabulary, P)
        return self.bytes - (1 - rows) * self.embedding if rows < 0.5 else self.bytes  # as SharedSteps has it


def exchange(of: Constants, P: int, network: Network, overhead: float) -> float:
    """Seconds that the sum of a gradient takes: its bytes, the two halves' latencies, and what the messages cost their sender."""
    buckets = -(-of.sent(P) // BUCKET)
    bytes_ = 2 * (P - 1) / P * of.sent(P) / network.bandwidth * (2 if network.copied else 1)
    if network.trees:
        return bytes_ + 2 * network.latency * math.ceil(math.log2(P))
    return bytes_ + 2 * network.latency + 2 * (P - 1) * buckets * overhead


def step_seconds(of: Constants, P: int, network: Network, overhead: float) -> float:
    """Seconds of a step of P processes that have as many rows each as one has alone."""
    compute, window, spread = (seconds / network.speed for seconds in (of.compute, of.window, of.spread))
    waits_for_slowest = spread * math.sqrt(2 * math.log(P)) if P > 1 else 0.0
    meets = of.meetings * network.latency * math.ceil(math.log2(P)) if P > 1 else 0.0
    hidden = 0.0 if network.copied else window
    shown = max(0.0, exchange(of, P, network, overhead) - hidden) if P > 1 else 0.0
    return compute + waits_for_slowest + meets + shown


def efficiency(of: Constants, P: int, network: Network, overhead: float) -> float:
    """Of P processes: what each gets done, as a share of what one alone does."""
    return of.compute / network.speed / step_seconds(of, P, network, overhead)


def predictions(constants: dict[str, Constants], overhead: float) -> dict[str, dict[str, list[float]]]:
    """Efficiency by system and network, for each of ``PROCESSES``."""
    return {
        system: {network.name: [efficiency(of, P, network, overhead) for P in PROCESSES] for network in NETWORKS}
        for system, of in constants.items()
    }


def distinct_words(tokens: int, vocabulary: int) -> float:
    """How many different words ``tokens`` words of a text have, where word r comes with a probability of about 1/r (Zipf)."""
    p = 1 / np.arange(1, vocabulary + 1)
    p /= p.sum()
    return float((1 - (1 - p) ** tokens).sum())


def sparse_gain(tokens: int, vocabulary: int, P: int) -> float:
    """What of the bytes of an embedding's gradient is left if only the rows of the batch's words are sent."""
    return distinct_words(tokens * P, vocabulary) / vocabulary


# --- the systems -----------------------------------------------------------------------------------------------------


class System(NamedTuple):
    model: Any
    batch_at: Callable[..., Any]
    constants: dict[str, Any]  # more of the model's


def language_model() -> System:
    """The preset ptb quick: 10,000 words, two layers of 200, 20 streams of 35 words; the words are drawn by Zipf's law."""
    from scratchlv.data.stream import TokenStream
    from scratchlv.models.language_model import LanguageModel, LanguageModelConfig
    from scratchlv.parallel.shares import ALL

    V = 10_000
    p = 1 / np.arange(1, V + 1)
    stream = TokenStream(np.random.default_rng(0).choice(V, 200_000, p=p / p.sum()))
    config = LanguageModelConfig(vocabulary=V, embedding=200, hidden=200, layers=2, dropout=0.25, streams=20)
    constants = {"embedding": 4.0 * V * config.embedding, "tokens": 700, "vocabulary": V}
    return System(
        LanguageModel(config), lambda step, share=ALL: stream.training_batch(step, 20, 35, 0, share), constants
    )


def captioner() -> System:
    """The preset scenes quick, with its conv extractor, whose three normalisations are of the whole batch."""
    from scratchlv.parallel.shares import ALL
    from scratchlv.tasks import captioning, training

    config = captioning.config("caption", "scenes", "attention", "quick", 0, ["n_train=400"])
    data = captioning.scenes_set(0, "train", 400, config.settings)
    run = training.new(config, captioning._fit(config, data, None))
    size = config.settings.batch
    return System(run.model, lambda step, share=ALL: data.training_batch(step, size, 0, share), {"meetings": 6})


def vgg16() -> System:
    """A captioner that finetunes the last three convolutions of VGG16: 4 pictures, 28 MB of gradients of convolutions."""
    from scratchlv.batches import CaptionBatch
    from scratchlv.models.captioner import Captioner, CaptionerConfig
    from scratchlv.parallel.shares import ALL, WHOLE, Part
    from scratchlv.tokens import START
    from scratchlv.vision.finetuning import Finetuned
    from scratchlv.vision.vgg import VGG16

    layers = tuple(layer for layer in VGG16.layers if layer.startswith("conv5"))
    config = CaptionerConfig(
        vocabulary=2000,
        embedding=128,
        hidden=256,
        attention=256,
        feature_channels=512,
        finetuned=Finetuned(VGG16, layers),
    )
    rng = np.random.default_rng(0)
    N, T = 4, 12
    features = np.maximum(rng.standard_normal((N, 28, 28, 512)), 0).astype(np.float16)
    tokens = rng.integers(4, 2000, (T + 1, N))
    tokens[0] = START

    def batch_at(step: int, share: Any = ALL) -> CaptionBatch:
        some = share.rows(N)
        part = WHOLE if share == ALL else Part(some.start, N, (some.stop - some.start) / N)
        return CaptionBatch(features[some], tokens[:, some], np.full(N, T)[some], step, part=part)

    return System(Captioner(config), batch_at, {})


MAKE: dict[str, Callable[[], System]] = {"lm": language_model, "captioner": captioner, "vgg16": vgg16}


# --- one process -----------------------------------------------------------------------------------------------------


def work(system: str, threads: int, seconds: float, part: str) -> None:
    """Train for about so long, and print what it took.

    ``part`` is "alone"; "K/P", alone with the rows of one of P; "together", as processes of one machine do; "messages", as those
    of several; or "apart": at the same time, each with its rows and its part of the parameters, and nothing is exchanged.
    """
    import scratchlv
    from scratchlv.parallel.shares import Share
    from scratchlv.parallel.team import Team, joined
    from scratchlv.training.trainer import Trainer, TrainSettings

    scratchlv.set_threads(threads)
    team: Team = Team()
    if part in TOGETHER:
        from scratchlv.parallel import mpi

        team = mpi.start()
        team.divides = part == "together"
    if system == "ping":
        found: dict[str, Any] = ping(team)
    else:
        model, batch_at, constants = MAKE[system]()
        some = batch_at
        if "/" in part or part == "apart":
            share = Share(team.rank, team.size) if part == "apart" else Share(*map(int, part.split("/")))
            some = lambda step: batch_at(step, share)  # noqa: E731
        with joined(Team() if part == "apart" else team):
            trainer = Trainer(model, some, TrainSettings(steps=10**6, learning_rate=1e-4), show_progress=False)
            step = bare_step(trainer, team) if part == "apart" else trainer.train_step
            found = timed(trainer, team, seconds, step) | {"constants": constants}
    everybody = team.exchange(found)
    if team.rank == 0:
        print(_RESULT + json.dumps(everybody), flush=True)
    close = getattr(team, "close", None)
    if close is not None:
        close()


def bare_step(trainer: Any, team: Any) -> Callable[[], None]:
    """What no process of ``team`` can leave out: both passes over its rows, and the step of its part of the parameters."""
    mine = team.owned(trainer.flat.values.size)[team.rank]

    def step() -> None:
        _, cache = trainer.model.forward(trainer.batch_at(trainer.step))
        trainer.model.backward(cache)
        trainer.optimiser.step_parts([(mine, trainer.flat.grads[mine])], lr=1e-4, grad_scale=1.0)
        trainer.step += 1

    return step


class Meetings:
    """When this process came to each of its waits for the others, and what it then waited: ``team.wait`` is watched.

    All processes wait at the same places, and on one machine they read one clock: so beside the others' lists it can be told
    what was waiting for the last one to come, and what the messages themselves took.
    """

    def __init__(self, team: Any) -> None:
        self._team, self._wait = team, team.wait
        self.times: list[tuple[float, float]] = []
        team.wait = self._watched

    def _watched(self, done: Callable[[], bool]) -> None:
        came, before = time.perf_counter(), self._team.waited
        self._wait(done)
        self.times.append((came, self._team.waited - before))

    def of_messages(self) -> list[float]:
        """Seconds that each wait went on after the last process had come; the last to be asked for."""
        self._team.wait = self._wait
        came = [max(times) for times in zip(*self._team.exchange([came for came, _ in self.times]), strict=True)]
        return [max(0.0, own + waited - last) for (own, waited), last in zip(self.times, came, strict=True)]


def timed(trainer: Any, team: Any, seconds: float, step: Callable[[], object]) -> dict[str, Any]:
    """What the steps of about so many seconds take, after a few that warm up."""
    for _ in range(5):
        step()
    before, sent = list(team.sent), trainer.shared
    meetings = Meetings(team)
    met: list[slice] = []
    if sent is not None:
        base = sent.times.under_way
    steps: list[float] = []
    processor: list[float] = []
    waits: list[tuple[float, float]] = []
    began = time.perf_counter()
    enough = False
    while not enough:
        start, used, first = time.perf_counter(), time.process_time(), len(meetings.times)
        waited, shown = team.waited, 0.0 if sent is None else sent.times.shown
        step()
        steps.append(time.perf_counter() - start)
        processor.append(time.process_time() - used)
        waits.append((team.waited - waited, 0.0 if sent is None else sent.times.shown - shown))
        met.append(slice(first, len(meetings.times)))
        if len(steps) % 5 == 0:
            enough = bool(team.broadcast(time.perf_counter() - began > seconds))
    found = {"steps": steps, "bytes": int(trainer.flat.values.nbytes)}
    found["processor"] = processor
    if sent is not None:
        of_messages = meetings.of_messages()
        found["in_messages"] = [sum(of_messages[waits_of_step]) for waits_of_step in met]
        under_way = sent.times.under_way - base
        found |= {"waiting": [w for w, _ in waits], "not_hidden": [n for _, n in waits], "under_way": under_way}
        found |= {"messages": (team.sent[0] - before[0]) / len(steps), "sent": (team.sent[1] - before[1]) / len(steps)}
    return found


def ping(team: Any, times: int = 400, at_once: int = 20) -> dict[str, Any]:
    """Seconds of a small message, bytes a second of large ones, and seconds that a message costs its sender."""
    comm, other = team._world, 1 - team.rank
    found: dict[str, Any] = {}
    for name, size in (("latency", 8), ("large", 1 << 22)):
        data, several = np.zeros(size, np.uint8), times if size == 8 else 20
        comm.Barrier()
        took = []
        for _ in range(several):
            start = time.perf_counter()
            first, second = (comm.Send, comm.Recv) if team.rank == 0 else (comm.Recv, comm.Send)
            first(data, other)
            second(data, other)
            took.append((time.perf_counter() - start) / 2)
        found[name] = statistics.median(took)
    boxes, took = np.zeros((2, at_once, 8), np.uint8), []
    for _ in range(times):
        comm.Barrier()
        start = time.perf_counter()
        requests = [comm.Irecv(boxes[0, k], other, k) for k in range(at_once)]
        requests += [comm.Isend(boxes[1, k], other, k) for k in range(at_once)]
        type(requests[0]).Waitall(requests)
        took.append((time.perf_counter() - start) / at_once)
    found["overhead"] = statistics.median(took)
    found["bandwidth"] = (1 << 22) / (found["large"] - found["latency"])
    return found


# --- all of them -----------------------------------------------------------------------------------------------------


def measure(system: str, P: int, threads: int, seconds: float, part: str = "alone") -> list[dict[str, Any]]:
    """What each of P processes found; P = 1 is one without MPI."""
    mpiexec = Path(sys.executable).with_name("mpiexec")
    launcher = [str(mpiexec if mpiexec.exists() else "mpiexec"), "-n", str(P)] if part in TOGETHER else []
    command = [*launcher, sys.executable, str(HERE), "--worker", system, str(threads), str(seconds), part]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(max(threads, 1))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith(_RESULT)]
    if not lines:
        raise SystemExit(f"{' '.join(command)}: {done.stderr[-2000:]}")
    found: list[dict[str, Any]] = json.loads(lines[-1][len(_RESULT) :])
    return found


def best(rounds: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Of several rounds the one whose median step is the shortest: in the others the machine did something else, too."""
    return min(rounds, key=lambda found: statistics.median(found[0]["steps"]))


def rate(found: list[dict[str, Any]]) -> float:
    """Steps a second: of the median step, as the machine is also others'."""
    return 1 / statistics.median(found[0]["steps"])


def scaling(
    system: str, processes: list[int], cores: int, seconds: float, rounds: int, pings: dict[str, Any]
) -> dict[str, Any]:
    """What is measured of one system, and what the model says of the same; what is compared is measured by turns."""
    single = measure(system, 1, 1, seconds)
    more, own = single[0]["constants"], typical(single[0]["processor"])
    found: dict[str, Any] = {"one_process_one_thread": rate(single), "processor_seconds": own[0], "processes": []}
    for P in processes:
        row: dict[str, Any] = {"P": P}
        if 1 < P <= cores:
            turns_of = [
                (
                    measure(system, 1, cores, seconds),
                    measure(system, P, 1, seconds, "together"),
                    measure(system, P, 1, seconds, "apart"),
                )
                for _ in range(rounds)
            ]
            alone, together, apart = (best(list(several)) for several in zip(*turns_of, strict=True))
            row |= {"one_process": rate(alone), "together": figures(together), "apart": figures(apart)}
        sent = measure(system, P, 1, seconds, "messages") if P > 1 else single
        share = (measure(system, 1, 1, seconds, f"{P - 1}/{P}") if P > 1 else single)[0]  # the last has the most rows
        # of the processor's own seconds, as all that is computed: other work on the machine does not count
        hidden = [
            (t["under_way"] - sum(t["not_hidden"])) / len(t["steps"]) * sum(t["processor"]) / sum(t["steps"])
            for t in sent
            if "sent" in t
        ]
        window = statistics.mean(hidden or [0.0])
        tokens = {"tokens": more["tokens"] // P} if "tokens" in more else {}
        of = Constants(*typical(share["processor"]), window, share["bytes"], **(more | tokens))
        if P > 1 and "constants" not in found:  # of all of the preset's rows: their backward pass is as much longer
            found["constants"] = Constants(*own, P * window, share["bytes"], **more)._asdict()
        row |= {"messages": figures(sent), "constants": of._asdict()}
        row["predicted"] = 1 / here_seconds(of, P, cores, pings)
        row["predicted_processor"] = here_seconds(
            of._replace(spread=0.0), P, P, pings
        )  # it takes part, and waits for none
        found["processes"].append(row)
    return found


def here_seconds(of: Constants, P: int, cores: int, pings: dict[str, Any]) -> float:
    """What the model says of P processes that send each other messages here: of more than there are cores, all take turns."""
    here = Network("here", pings["latency"], pings["bandwidth"], copied=True)
    return max(1.0, P / cores) * step_seconds(of, P, here, pings["overhead"])


def figures(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Of P processes: their throughput, their processors' seconds, and what they exchanged."""
    whole: dict[str, Any] = {
        "steps_per_second": rate(found),
        "processor_seconds": statistics.mean(statistics.median(t["processor"]) for t in found),
    }
    if "sent" in found[0]:
        whole |= {
            # of the median step, as the rate
            "waiting": [statistics.median(t["waiting"]) / statistics.median(t["steps"]) for t in found],
            "in_messages": [statistics.median(t["in_messages"]) / statistics.median(t["steps"]) for t in found],
            "not_hidden": [statistics.median(t["not_hidden"]) / statistics.median(t["steps"]) for t in found],
            "messages_per_step": found[0]["messages"],
            "bytes_per_step": found[0]["sent"],
        }
    return whole


def typical(steps: list[float]) -> tuple[float, float]:
    """The median, and a deviation that slow steps do not move: 1.4826 times the median one, which is the standard of a normal."""
    middle = statistics.median(steps)
    return middle, 1.4826 * statistics.median(abs(s - middle) for s in steps)


def _said(of: dict[str, Any]) -> str:
    """The figures of P processes in words."""
    said = f"{of['steps_per_second']:.2f} steps/s, {1e3 * of['processor_seconds']:.1f} ms of each's processor"
    if "waiting" not in of:
        return said
    return (
        f"{said}, waiting {max(of['waiting']):.1%} (for messages {max(of['in_messages']):.1%}, else for the last process to "
        f"come), not hidden {max(of['not_hidden']):.1%}, "
        f"{of['messages_per_step']:.0f} messages and {of['bytes_per_step'] / 1e6:.2f} MB a step"
    )


def as_text(document: dict[str, Any]) -> str:
    """The figures as lines."""
    lines = [f"message: {1e6 * document['ping']['latency']:.1f} µs, {document['ping']['bandwidth'] / 1e9:.2f} GB/s, "
             f"{1e6 * document['ping']['overhead']:.1f} µs of the sender"]  # fmt: skip
    for system, found in document["systems"].items():
        single, used = (
            found["one_process_one_thread"],
            f"{1e3 * found['processor_seconds']:.1f} ms of a processor a step",
        )
        lines.append(f"{system}: one process with one thread {single:.2f} steps/s, {used}")
        for row in found["processes"]:
            if "together" in row:
                whole, bound = row["one_process"], row["apart"]["steps_per_second"]
                lines.append(f"  one process with {row['P']} threads: {whole:.2f} steps/s")
                lines.append(
                    f"  P = {row['P']}: {_said(row['together'])}: {row['together']['steps_per_second'] / whole:.3f} of that"
                )
                lines.append(f"  … if nothing were exchanged: {bound:.2f} steps/s, {bound / whole:.3f}")
            lines.append(
                f"  P = {row['P']}, by messages: {_said(row['messages'])}; by the model "
                f"{row['predicted']:.2f} steps/s, {1e3 * row['predicted_processor']:.1f} ms of each's processor"
            )
        for network, values in document["predicted"][system].items():
            said = ", ".join(f"{P}: {value:.2f}" for P, value in zip(PROCESSES, values, strict=True))
            lines.append(f"  efficiency by the model, {network}: {said}")
    for P in (1, *PROCESSES):
        left = sparse_gain(700, 10_000, P)
        lines.append(f"embedding of 10,000 words, 700 words a process: P = {P}: {left:.0%} of the rows are needed")
    return "\n".join(lines)


TITLES = {"lm": "The language model of 10,000 words", "captioner": "The captioner", "vgg16": "VGG16, finetuned"}
_PANEL = 640, 360


def plot(document: dict[str, Any]) -> str:
    """The predicted efficiencies over the number of processes, a power of two: a panel for each system."""
    from scratchlv.show.curves import curves_svg

    width, height = _PANEL
    panels = []
    for k, (system, found) in enumerate(document["predicted"].items()):
        series = {
            name: [(math.log2(P), e) for P, e in zip(PROCESSES, values, strict=True)] for name, values in found.items()
        }
        title = f"{TITLES[system]}: predicted efficiency"
        svg = curves_svg(series, title, "log₂ of the number of processes", "efficiency").replace("currentColor", "#333")
        panels.append(svg.replace("<svg ", f'<svg y="{k * height}" width="{width}" height="{height}" ', 1))
    size = f'width="{width}" height="{height * len(panels)}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="Predicted efficiency">'
    return f'{head}<rect {size} fill="#fff"/>' + "\n".join(panels) + "</svg>\n"


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """The machine, its messages, and the systems: measured now, or as earlier calls wrote them."""
    if options.measured:
        documents = [json.loads(file.read_text()) for file in options.measured]
        systems = {name: found for document in documents for name, found in document["systems"].items()}
        return {"machine": documents[0]["machine"], "ping": documents[0]["ping"], "systems": systems}
    from scratchlv.bench.machine import describe
    from scratchlv.cores import usable_cores

    cores = usable_cores().n
    pings = measure("ping", 2, 1, 0.0, "together")[0]
    processes = [int(text) for text in options.processes.split(",")]
    systems = {
        name: scaling(name, processes, cores, options.seconds, options.rounds, pings)
        for name in options.only or SYSTEMS
    }
    return {"machine": describe(), "ping": pings, "systems": systems}


def main() -> None:
    sys.path.insert(0, str(HERE.parents[1]))
    if sys.argv[1:2] == ["--worker"]:
        system, threads, seconds, part = sys.argv[2:]
        work(system, int(threads), float(seconds), part)
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=SYSTEMS, action="append", help="of these systems (default: all)")
    parser.add_argument("--processes", default="1,2,3,4", help="how many together (default: 1,2,3,4)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument(
        "--rounds", type=int, default=3, help="of one process, and of as many as there are cores, by turns"
    )
    parser.add_argument(
        "--measured",
        type=Path,
        action="append",
        metavar="FILE",
        help="do not measure: take what --json FILE wrote, of several",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="and the predicted curves here")
    options = parser.parse_args()
    document = measured(options)
    constants = {name: Constants(**found["constants"]) for name, found in document["systems"].items()}
    document |= {"predicted": predictions(constants, document["ping"]["overhead"])}
    document |= {"networks": [network._asdict() for network in NETWORKS]}
    print(as_text(document))
    if options.json is not None:
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    if options.plot is not None:
        options.plot.write_text(plot(document), encoding="utf-8")


if __name__ == "__main__":
    main()

"""Several processes, played by threads: they compute what one alone would, and know when they do not."""

import copy
import dataclasses

import numpy as np
import pytest

from scratchlv.data.stream import TokenStream
from scratchlv.errors import UserError
from scratchlv.models.language_model import LanguageModel, LanguageModelConfig
from scratchlv.parallel.shares import ALL
from scratchlv.parallel.team import SharedError, Team, team
from scratchlv.tasks import training as tasks
from scratchlv.training import checkpoint
from scratchlv.training.averaging import Averaging
from scratchlv.training.data_parallel import SharedSteps, Times
from scratchlv.training.log import read_log
from scratchlv.training.optimisers import OPTIMISERS
from scratchlv.training.trainer import Trainer, TrainSettings
from tests.parallel.small_jobs import JOBS, STEPS, make
from tests.parallel.threads import run_together

from ..slow import one_of

QUICK = ("lm", "captioner", "vqa", "babi")


_ALL = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in JOBS]


@pytest.fixture(scope="module", params=_ALL)
def job(request, tmp_path_factory):
    return make(request.param, tmp_path_factory.mktemp("job"))


def trained(job, steps=STEPS, dtype=np.float64, **more):
    """A trainer that has trained a copy of the job's model, in float64, where rounding says nothing."""
    model = copy.deepcopy(job.learner or job.run.model)
    for arrays in (model.params, model.buffers):
        arrays.update({name: array.astype(dtype) for name, array in arrays.items()})
    trainer = Trainer(model, job.batch_at, tasks.train_settings(job.run.config.settings), show_progress=False, **more)
    for _ in range(steps):
        trainer.train_step()
    return trainer


def arrays_of(trainer):
    return {**trainer.model.params, **{name: trainer.model.buffers[name] for name in trainer.model.buffers}}


def assert_same(found, expected, **close):
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, err_msg=name, **close)


@pytest.mark.parametrize("P", [2, 3, pytest.param(1, marks=pytest.mark.slow), pytest.param(4, marks=pytest.mark.slow)])
def test_several_compute_what_one_alone_would(job, P):
    alone = trained(job)
    together = run_together(P, lambda _: trained(job), shards=0 if P > 1 else 1)
    rows = getattr(alone.model, "row_buffers", ())
    expected = arrays_of(alone)
    carried = {name: expected.pop(name) for name in rows}
    for trainer in together:
        assert_same(arrays_of(trainer), expected, rtol=1e-7, atol=1e-9)
        assert trainer.metrics.last == pytest.approx(alone.metrics.last, rel=1e-10)
    for name, array in carried.items():
        shares = np.concatenate([t.model.buffers[name] for t in together])
        np.testing.assert_allclose(shares, array, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("P", "shards"), one_of(2, [(2, 0), (3, 6)]))
def test_where_nothing_is_divided_all_take_the_whole_step(job, P, shards):
    one, other = (run_together(P, lambda _: trained(job), shards, divides)[0] for divides in (True, False))
    for name, array in other.model.params.items():
        np.testing.assert_allclose(one.model.params[name], array, rtol=1e-9, atol=1e-11, err_msg=name)


def test_the_same_number_of_processes_computes_the_same_bits(job):
    first, second = (run_together(3, lambda _: trained(job, dtype=np.float32)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        for name, array in arrays_of(one).items():
            assert array.tobytes() == arrays_of(other)[name].tobytes(), name
    for name, array in first[0].model.params.items():
        assert all(array.tobytes() == other.model.params[name].tobytes() for other in first[1:]), name


def test_with_shards_every_number_of_processes_computes_the_same_bits(job):
    rows = getattr(job.run.model, "row_buffers", ())
    found = [run_together(P, lambda _: trained(job, dtype=np.float32), shards=6)[0] for P in (1, 2, 3, 6)]
    for other in found[1:]:
        for name, array in arrays_of(found[0]).items():
            if name not in rows:
                assert array.tobytes() == arrays_of(other)[name].tobytes(), name


def test_gradients_that_are_said_to_be_final_do_not_change(job):
    """What is sent while the backward pass goes on is what it returns; and the largest do not wait for its end."""
    model = copy.deepcopy(job.learner or job.run.model)
    loss, cache = model.forward(job.batch_at(0))
    seen = {}

    def ready(gradients):
        seen.update({name: gradient.copy() for name, gradient in gradients.items() if name not in seen})

    gradients = model.backward(cache, ready)
    for name, copied in seen.items():
        np.testing.assert_array_equal(gradients[name], copied, err_msg=name)
    assert sum(map(np.size, seen.values())) > 0


def test_of_an_embedding_only_the_rows_of_the_words_are_sent():
    """A text of many words, of which a batch has few: fewer bytes, the same parameters."""
    stream = TokenStream(np.random.default_rng(0).integers(4, 500, 3000))
    settings = TrainSettings(steps=9, learning_rate=0.01, warmup=1)

    def trained(team):
        model = LanguageModel(LanguageModelConfig(vocabulary=500, embedding=8, hidden=6, streams=6))
        trainer = Trainer(model, lambda step, share=ALL: stream.training_batch(step, 6, 5, 0, share), settings)
        sizes = [watch_sums(team)]
        for _ in range(9):
            sizes[0].clear()
            trainer.train_step()
        return trainer, sum(sizes[0])

    def watch_sums(team):
        sizes, start = [], team.start_sum
        team.start_sum = lambda rows, part, *rest, **how: (
            sizes.append(part.stop - part.start) or start(rows, part, *rest, **how)
        )
        return sizes

    alone, _ = trained(Team())
    for trainer, sent in run_together(3, trained):
        assert_same(trainer.model.params, alone.model.params, rtol=1e-4, atol=1e-6)
        rest = alone.flat.values.size - 500 * 8
        assert rest < sent <= rest + 3 + 30 * 8

    def now_and_then(some):
        model = LanguageModel(LanguageModelConfig(vocabulary=500, embedding=8, hidden=6, streams=6))
        known, step = model.rows_read, iter(range(99))
        model.rows_read = lambda batch: known(batch) if next(step) in some else {}
        trainer = Trainer(model, lambda step, share: stream.training_batch(step, 6, 5, 0, share), settings)
        for _ in range(9):
            trainer.train_step()
        return trainer

    for some in ((0, 3, 4, 7), (1, 2, 5)):
        trainer = run_together(2, lambda _, some=some: now_and_then(some))[0]
        assert_same(trainer.model.params, alone.model.params, rtol=1e-4, atol=1e-6)
        assert trainer.metrics.last == pytest.approx(alone.metrics.last, rel=1e-4)

    def lies(_):
        model = LanguageModel(LanguageModelConfig(vocabulary=500, embedding=8, hidden=6, streams=6))
        model.rows_read = lambda batch: {"embedding.W": batch.part.words[1:]}
        trainer = Trainer(model, lambda step, share: stream.training_batch(step, 6, 5, 0, share), settings)
        with pytest.raises(ValueError, match="rows of embedding.W have a gradient"):
            trainer.train_step()

    run_together(2, lies)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lm", "captioner", "vqa"])
def test_over_200_steps_any_number_of_processes_computes_the_same_parameters(name, tmp_path):
    job = make(name, tmp_path, steps=200)
    expected = trained(job, 200)
    for P in (1, 2, 3, 4):
        for trainer in run_together(P, lambda _: trained(job, 200)):
            assert_same(trainer.model.params, expected.model.params, rtol=1e-5, atol=1e-7)


# --- the trainer ---------------------------------------------------------------------------------------------------


class Line:
    """y = w x + b by least squares, over (N,) points."""

    row_buffers = ("seen",)

    def __init__(self, rows=12):
        self.params = {"w": np.zeros(1), "b": np.zeros(1)}
        self.buffers = {"seen": np.zeros(rows)}

    def forward(self, batch, *, train=True):
        x, y, n = batch
        error = self.params["w"] * x + self.params["b"] - y
        if train:
            self.buffers["seen"] = self.buffers["seen"] + x
        return float((error**2).sum() / n), (x, error, n)

    def backward(self, cache, ready=lambda gradients: None):
        x, error, n = cache
        found = {"w": np.array([(2 * error * x).sum() / n])}
        ready(found)
        return found | {"b": np.array([(2 * error).sum() / n])}


def batch_at(step, share=None):
    x = np.random.default_rng(step).standard_normal(12)
    some = slice(None) if share is None else share.rows(12)
    return x[some], 3 * x[some] - 1, 12


SETTINGS = TrainSettings(steps=60, learning_rate=0.1, warmup=10)


def line(folder=None, settings=SETTINGS, **more):
    return Trainer(Line(), batch_at, settings, folder, show_progress=False, **more)


def test_a_run_goes_on_with_another_number_of_processes(tmp_path):
    whole = line(tmp_path / "whole")
    (tmp_path / "whole").mkdir()
    whole.run()
    (tmp_path / "parts").mkdir()

    def some(until, resume=True):
        def work(_):
            trainer = line(tmp_path / "parts")
            if resume:
                trainer.resume()
            while trainer.step < until:
                trainer.train_step()
            trainer.save()
            return trainer

        return work

    run_together(3, some(20, resume=False))
    tensors, _ = checkpoint.load(tmp_path / "parts")
    assert tensors["buffers/seen"].shape == (12,), "all rows are kept, in their order"
    run_together(2, some(40))
    last = some(60)(None)
    assert last.step == 60
    for name, array in whole.model.params.items():
        np.testing.assert_allclose(last.model.params[name], array, rtol=1e-10)
    np.testing.assert_allclose(last.model.buffers["seen"], whole.model.buffers["seen"], rtol=1e-10)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_a_checkpoint_has_all_that_every_optimiser_remembers_and_the_averaged_weights(optimiser, tmp_path):
    """Whoever has stepped it; and validation sees the mean."""
    momentum = 0.5 if optimiser != "adam" else 0.0
    more = {"optimiser": optimiser, "momentum": momentum, "averaging": Averaging(first=15), "validate_every": 10}
    settings = dataclasses.replace(SETTINGS, steps=40, **more)
    seen = {}

    def work(team):
        model = Line()
        folder = tmp_path / str(team.size)
        folder.mkdir(exist_ok=True)

        def validate():
            seen.setdefault(team.size, []).append(model.params["w"][0])
            return {"loss": 1.0}

        Trainer(model, batch_at, settings, folder, validate, show_progress=False).run()

    work(Team())
    run_together(3, work)
    (expected, _), (found, _) = (checkpoint.load(tmp_path / str(P)) for P in (1, 3))
    assert found.keys() == expected.keys()
    assert any(name.startswith("average/") for name in found)
    assert any(name.startswith(optimiser) for name in found)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-9, err_msg=name)
    np.testing.assert_allclose(sorted(seen[3]), np.repeat(sorted(seen[1]), 3), rtol=1e-9)


def test_only_the_first_writes_and_the_log_ends_with_what_was_hidden(tmp_path, capfd):
    def work(_):
        trainer = line(tmp_path, validate=lambda: {"loss": 1.0})
        trainer.run()
        return trainer.log is not None

    assert run_together(3, work) == [True, False, False]
    entries = read_log(tmp_path / "log.jsonl")
    assert [entry["step"] for entry in entries if "loss" in entry] == [10, 20, 30, 40, 50, 60]
    last = entries[-1]["communication"]
    assert last["processes"] == 3
    assert 0 <= last["hidden"] <= 1
    assert len(last["waiting"]) == 3
    assert all(0 <= share <= 1 for share in last["waiting"])


def test_a_difference_stops_all_and_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("scratchlv.training.data_parallel.CHECK_EVERY", 10)

    def work(team):
        trainer = line(tmp_path)
        for step in range(30):
            trainer.train_step()
            if team.rank == 1 and step == 8:
                trainer.model.params["b"] += 1e-9  # a bit in a damaged memory

    with pytest.raises(SharedError, match=r"after step 10 .* different b: process 1 differ"):
        run_together(3, work)


def test_who_is_slow_is_named_in_the_log(tmp_path, monkeypatch, capsys):
    import time

    monkeypatch.setattr("scratchlv.training.data_parallel.CHECK_EVERY", 5)

    def work(team):
        def slow_batch_at(step, share):
            if team.rank == 2:
                time.sleep(0.02)
            return batch_at(step, share)

        Trainer(Line(), slow_batch_at, SETTINGS, tmp_path, show_progress=False).run()

    run_together(3, work)
    notes = [e["communication"] for e in read_log(tmp_path / "log.jsonl") if "slow" in e.get("communication", {})]
    assert notes[0]["slow"] == 2
    assert notes[0]["host"] == "host2"
    assert notes[0]["times"] > 1.3
    assert notes[0]["waiting"][2] < notes[0]["waiting"][0]
    assert "process 2 on host2 takes" in capsys.readouterr().err


def test_a_disk_that_is_full_stops_all_with_one_sentence(tmp_path, monkeypatch):
    def save(*_, **__):
        raise UserError("checkpoint: the disk is full")

    monkeypatch.setattr(checkpoint, "save", save)
    seen = []

    def work(_):
        try:
            line(tmp_path).run()
        except SharedError as error:
            seen.append(str(error))

    run_together(3, work)
    assert seen == ["checkpoint: the disk is full"] * 3


def test_an_error_of_one_process_ends_all(tmp_path):
    def work(team):
        def broken(step, share):
            if team.rank == 1 and step == 3:
                raise UserError("features.f16 cannot be read")
            return batch_at(step, share)

        Trainer(Line(), broken, SETTINGS, tmp_path, show_progress=False).run()

    with pytest.raises(AssertionError, match=r"process 1: features.f16 cannot be read"):
        run_together(3, work)


def test_a_batch_of_too_few_rows_is_refused(tmp_path):
    def too_many(_):
        Trainer(Line(2), batch_at, SETTINGS, show_progress=False)

    with pytest.raises(SharedError, match="a batch of 2 rows cannot be shared by 3"):
        run_together(3, too_many)
    job = make("captioner", tmp_path)
    with pytest.raises(SharedError, match="13 rows cannot be shared by 14; raise --set batch"):
        run_together(14, lambda _: trained(job, steps=1))


def test_a_loss_that_is_not_finite_is_refused_by_all(tmp_path):
    def work(team):
        def nan_at_3(step, share):
            x, y, n = batch_at(step, share)
            return (x, y * np.nan, n) if step == 3 and team.rank == 1 else (x, y, n)

        with pytest.raises(SharedError, match="the loss became nan at step 4"):
            Trainer(Line(), nan_at_3, SETTINGS, tmp_path, show_progress=False).run()

    run_together(2, work)


def test_a_model_that_lacks_a_gradient_is_refused():
    def work(team):
        model = Line()
        trainer = Trainer(model, batch_at, SETTINGS, show_progress=False)
        model.backward = lambda cache, ready: {"w": np.zeros(1)}
        with pytest.raises(ValueError, match=r"gradients and parameters differ: \['b'\]"):
            trainer.train_step()

    run_together(2, work)


def test_alone_nothing_is_shared():
    assert not team().active
    assert line().shared is None


def test_times():
    times = Times()
    times.add(100.0, 100.0, 100.0, 100.0)  # the first step is not counted
    assert times.totals() == (1.0, 0.0)
    times.add(3.0, 1.0, 2.0, 0.5)
    assert times.totals() == (0.75, 0.25)
    assert times.lately() == (3.0, 1.0)
    assert times.lately() == (0.0, 0.0)


def test_buckets_are_begun_while_the_backward_pass_goes_on(monkeypatch):
    monkeypatch.setattr("scratchlv.training.data_parallel.BUCKET", 64 * 8)

    def work(team):
        begun = []
        model = Line()
        trainer = Trainer(model, batch_at, SETTINGS, show_progress=False)
        start, backward = team.start_sum, model.backward

        def seen(rows, part, out, number, to_all=False):
            begun.append(number)
            return start(rows, part, out, number, to_all)

        def watched(cache, ready):
            found = backward(cache, ready)
            begun.append("end")
            return found

        trainer.train_step()
        team.start_sum, model.backward = seen, watched
        trainer.train_step()
        return begun

    assert run_together(2, work) == [[0, 1, "end", 2]] * 2


def test_the_steps_of_several_shards_are_those_of_the_team():
    def work(team):
        return [share.number for share in SharedSteps(team, Line(), line().flat).shares]

    assert run_together(2, work, shards=6) == [[0, 1, 2], [3, 4, 5]]

"""Every model on a GPU, for which a stand-in for CuPy plays: it trains as on the CPU, and a step keeps to itself."""

import contextlib
import gc
from functools import partial

import numpy as np
import pytest

import scratchlv
from scratchlv import decode, device, ops
from scratchlv.cuda.emulator import why_not
from scratchlv.errors import UserError
from scratchlv.gradcheck.stochastic import stochastic
from scratchlv.training.trainer import Trainer, TrainSettings

from ..models import every_model
from ..models.every_model import MODELS, Sizes
from ..slow import slow_unless
from . import stand_in
from .stand_in import Gpu

SMALL = Sizes(17, 11, 3, 4, 5, 6, 7, (4, 4, 8), (16, 24), (2, 3, 8), (5, 3))
FEW = [next(name for name in MODELS if name.startswith(kind)) for kind in ("captioner", "question", "memory")]
GENERATORS = [name for name in MODELS if name.startswith(("captioner", "translator", "language"))]


LARGE = 3  # times the parameters as they begin, with which some gradients are sums of nothing but what cancels


def make(name, scale=1):
    model, batch = every_model.make(name, SMALL)
    model.params = {key: np.float32(scale) * value for key, value in model.params.items()}
    return model, batch


@pytest.fixture(autouse=True)
def gpu(monkeypatch, backend):
    """``--backend cuda``, with the stand-in for CuPy; with CuPy itself where the tests are run with that option."""
    monkeypatch.setattr(device, "_backend", "cuda")
    if backend == "cuda":
        with counting():
            yield
        return
    if why_not() is not None:
        pytest.skip(str(why_not()))
    stand_in.install(monkeypatch)
    yield


@contextlib.contextmanager
def counting():
    """Counts what CuPy asks of the device; what comes back to the host it cannot be made to tell."""
    import cupy

    class Count(cupy.cuda.MemoryHook):
        name = "count"

        def alloc_preprocess(self, **kwargs):
            Gpu.allocated += 1

    with Count():
        yield


def on_gpu(model):
    return device.to_backend(model)


def results(model, batch):
    loss, cache = model.forward(batch)
    return {"loss": loss, **model.backward(cache)}


def rms(x):
    return np.sqrt(np.mean(np.square(x)))


def expected(name, convert):
    """Of the reference, on the CPU, whose parameters ``convert`` makes."""
    model, batch = make(name, LARGE)
    for arrays in (model.params, model.buffers):
        arrays.update({key: convert(array) for key, array in arrays.items()})
    with scratchlv.use("reference"):
        return results(model, batch)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_learns_on_the_gpu_what_it_learns_on_the_cpu(name):
    model, batch = make(name, LARGE)
    found = {key: device.to_host(value) for key, value in results(on_gpu(model), batch).items()}
    exact = expected(name, lambda array: array.astype(np.float64))
    rounded = [expected(name, partial(stochastic, rng=np.random.default_rng(run))) for run in range(4)]
    assert found.keys() == exact.keys()
    for key, value in exact.items():
        allowed = 2 * max(rms(run[key] - value) for run in rounded) + 4 * np.spacing(np.float32(rms(value)))
        assert found[key].dtype == np.float32
        assert rms(found[key] - value) <= allowed, key


@pytest.fixture
def chosen(monkeypatch):
    """Which variant of which operation was chosen."""
    found, serving = set(), ops.Operation._serving

    def note(self, args, kwargs):
        module = serving(self, args, kwargs)
        found.add((self.name, module.__name__.rpartition(".")[2]))
        return module

    monkeypatch.setattr(ops.Operation, "_serving", note)
    return found


@pytest.mark.parametrize(("name",), slow_unless(lambda name: name in FEW, [(name,) for name in MODELS]))
def test_a_step_runs_in_cuda_kernels_brings_nothing_back_and_asks_for_no_memory(name, backend, chosen):
    model, batch = make(name)
    trainer = Trainer(model, lambda step: batch, TrainSettings(steps=9), show_progress=False)
    for _ in range(2):
        trainer.train_step()
    trainer.sync_metrics()
    gc.collect()
    Gpu.round_trips = Gpu.allocated = 0
    trainer.train_step()
    assert Gpu.round_trips == 0
    assert Gpu.allocated == 0
    loss, norm = trainer.sync_metrics()
    assert np.isfinite([loss, norm]).all()
    assert backend == "cuda" or Gpu.round_trips == 1
    assert {variant for _, variant in chosen} == {"cuda"}, sorted(chosen)


def inputs(name, batch):
    if name.startswith("captioner"):
        return batch.pictures
    if name == "translator that copies":
        return batch.source, batch.source_lengths, batch.copied_from
    return (batch.source, batch.source_lengths) if name.startswith("translator") else SMALL.sequences


@pytest.mark.parametrize("name", GENERATORS)
def test_a_model_says_the_same(name):
    (there, batch), (here, _) = make(name), make(name)
    on_gpu(there)
    with scratchlv.use("reference"):
        wanted = decode.greedy(here, inputs(name, batch), max_length=6)
        beams = decode.beam_search(here, inputs(name, batch), beam=2, max_length=6)
    for said, want in zip(decode.greedy(there, inputs(name, batch), max_length=6), wanted, strict=True):
        np.testing.assert_array_equal(said.tokens, want.tokens)
        np.testing.assert_allclose(said.probabilities, want.probabilities, rtol=1e-4)
        if want.alphas is not None:
            np.testing.assert_allclose(said.alphas, want.alphas, rtol=1e-4)
    for said, want in zip(decode.beam_search(there, inputs(name, batch), beam=2, max_length=6), beams, strict=True):
        np.testing.assert_array_equal(said.tokens, want.tokens)


def test_a_sentence_comes_back_once(backend):
    if backend == "cuda":
        pytest.skip("what comes back to the host CuPy cannot be made to tell")
    model, batch = make("captioner, attention")
    on_gpu(model)
    for say in (decode.greedy, partial(decode.sample, seed=3), partial(decode.beam_search, beam=2)):
        Gpu.round_trips = 0
        say(model, batch.pictures, max_length=8)
        assert Gpu.round_trips <= 1 + 8, "asked once; then tokens, probabilities, attention, and what a beam knows"


@pytest.mark.parametrize("name", [name for name in MODELS if name not in GENERATORS])
def test_a_model_answers_the_same(name):
    (there, batch), (here, _) = make(name), make(name)
    on_gpu(there)
    with scratchlv.use("reference"):
        wanted, looked = here.answer(batch)
    probabilities, alphas = there.answer(batch)
    np.testing.assert_allclose(probabilities, wanted, rtol=1e-4)
    if looked is not None:
        np.testing.assert_allclose(alphas, looked, rtol=1e-4, atol=1e-7)


# --- the trainer -----------------------------------------------------------------------------------------------------


def trained(folder, steps, spoil=None):
    model, batch = make("captioner, attention")

    def batch_at(step):
        if step != spoil:
            return batch
        pictures = batch.pictures.copy()
        pictures[0, 0, 0, 0] = np.nan
        return batch._replace(pictures=pictures)

    settings = TrainSettings(steps=steps, warmup=2, checkpoint_seconds=0)
    return Trainer(model, batch_at, settings, folder, show_progress=False)


def test_a_run_goes_on_with_the_same_bits(tmp_path):
    whole = trained(None, 6)
    whole.run()
    first = trained(tmp_path, 6)
    for _ in range(3):
        first.train_step()
    first.save()
    second = trained(tmp_path, 6)
    second.resume()
    second.run()
    assert second.step == 6
    for name, array in whole.model.params.items():
        assert array.get().tobytes() == second.model.params[name].get().tobytes()


def test_a_run_of_the_gpu_goes_on_on_the_cpu(tmp_path, monkeypatch):
    first = trained(tmp_path, 6)
    first.train_step()
    first.save()
    monkeypatch.setattr(device, "_backend", "cpu")
    second = trained(tmp_path, 6)
    second.resume()
    second.run()
    assert all(isinstance(array, np.ndarray) for array in second.model.params.values())


def test_a_loss_that_is_no_number_is_told_and_changes_nothing(tmp_path):
    trainer = trained(tmp_path, 20, spoil=3)
    for _ in range(3):
        trainer.train_step()
    before = {name: array.get() for name, array in trainer.model.params.items()}
    for _ in range(3):
        trainer.train_step()
    assert trainer.step == 6
    with pytest.raises(UserError, match=r"the loss became nan at step 4; the last checkpoint in .* is untouched"):
        trainer.save()
    assert not list(tmp_path.iterdir())
    spoiled = trained(None, 20, spoil=3)
    for _ in range(4):
        spoiled.train_step()
    for name, array in spoiled.model.params.items():
        np.testing.assert_array_equal(array.get(), before[name])

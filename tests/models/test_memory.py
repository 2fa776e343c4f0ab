"""A training step of every model uses the memory of the step before: no large array is made anew."""

import gc
import tracemalloc

import numpy as np
import pytest

from scratchlv.batches import CaptionBatch, PairBatch, QuestionBatch, StoryBatch, StreamBatch
from scratchlv.kernels.building_blocks.memory import blocks_made
from scratchlv.models.captioner import CONTEXT, Captioner, CaptionerConfig
from scratchlv.models.language_model import LanguageModel, LanguageModelConfig
from scratchlv.models.memory_network import MemoryNetwork, MemoryNetworkConfig
from scratchlv.models.question_answerer import QuestionAnswerer, QuestionAnswererConfig
from scratchlv.models.translator import CONTEXT as TRANSLATORS
from scratchlv.models.translator import Translator, TranslatorConfig
from scratchlv.tokens import START
from scratchlv.training.trainer import Trainer, TrainSettings

V, N, T, L, D = 2003, 64, 16, 49, 128  # one activation of a sequence, (T, N, D) float32, is half a MiB
rng = np.random.default_rng(0)


def tokens(steps=T):
    words = rng.integers(4, V, (steps + 1, N))
    words[0] = START
    return words


def lengths():
    return rng.integers(2, T + 1, N)


def features():
    return rng.standard_normal((N, 7, 7, D)).astype(np.float32)


def pictures():
    return rng.integers(0, 256, (N, 64, 64, 3)).astype(np.uint8)


def language_model(cell):
    shape = LanguageModelConfig(vocabulary=V, embedding=D, hidden=D, layers=2, cell=cell, dropout=0.2, streams=N)
    return LanguageModel(shape), StreamBatch(tokens(), first=False)


def captioner(look, own_encoder):
    shape = CaptionerConfig(
        vocabulary=V,
        embedding=D,
        hidden=D,
        attention=D,
        feature_channels=None if own_encoder else D,
        dropout=0.2,
        model=look,
    )
    return Captioner(shape), CaptionBatch(pictures() if own_encoder else features(), tokens(), lengths())


def translator(look):
    shape = TranslatorConfig(
        vocabulary=V, source_vocabulary=V, model=look, embedding=D, hidden=D, attention=D, layers=2, dropout=0.2
    )
    return Translator(shape), PairBatch(tokens(T - 1), lengths(), tokens(), lengths())


def answerer(model, own_encoder):
    shape = QuestionAnswererConfig(
        vocabulary=V,
        answers=100,
        model=model,
        hops=2,
        embedding=D,
        hidden=D,
        attention=D,
        feature_channels=None if own_encoder else D,
        dropout=0.2,
    )
    seen = pictures() if own_encoder else features()
    return QuestionAnswerer(shape), QuestionBatch(seen, np.arange(N), tokens(T - 1), lengths(), rng.integers(0, 100, N))


def memory_network():
    model = MemoryNetwork(MemoryNetworkConfig(vocabulary=V, answers=100, memories=20, pictures=False, hops=3, width=D))
    sentences = rng.integers(4, V, (N, 20, 7))
    return model, StoryBatch(sentences, tokens(T - 1), lengths(), rng.integers(0, 100, N))


MODELS = {
    **{f"language model, {cell}": (language_model, cell) for cell in ("lstm", "rnn")},
    **{f"captioner, {look}": (captioner, look, False) for look in CONTEXT},
    "captioner with a conv net of its own": (captioner, "attention", True),
    **{f"translator, {look}": (translator, look) for look in TRANSLATORS},
    **{f"question answerer, {model}": (answerer, model, False) for model in ("blind", "naive", "attention")},
    "question answerer with a conv net of its own": (answerer, "attention", True),
    "memory network": (memory_network,),
}
SMALL = 1 << 20  # bytes: what all small arrays, and what Python itself needs, may come to


@pytest.fixture(params=MODELS)
def trainer(request):
    make, *arguments = MODELS[request.param]
    model, batch = make(*arguments)
    return Trainer(model, lambda step: batch, TrainSettings(steps=100), show_progress=False)


def large_memory(step) -> tuple[int, int]:
    """The bytes that NumPy asks for during ``step`` at the most, and the blocks that the pool makes."""
    gc.collect()
    made = blocks_made()
    tracemalloc.start()
    try:
        step()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return most, blocks_made() - made


def test_after_the_first_steps_no_large_array_is_made(trainer):
    for _ in range(2):
        trainer.train_step()
    most, made = large_memory(trainer.train_step)
    assert made == 0
    assert most < SMALL


def test_a_large_temporary_array_would_be_seen():
    assert large_memory(lambda: np.ones((T, N, D)) + 1)[0] > SMALL
    assert large_memory(lambda: None)[0] < SMALL

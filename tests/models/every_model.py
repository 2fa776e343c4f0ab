"""Every model with a batch, in any size: for tests that hold of all of them."""

from typing import NamedTuple

import numpy as np

from scratchlv.batches import CaptionBatch, PairBatch, QuestionBatch, StoryBatch, StreamBatch
from scratchlv.models.captioner import CONTEXT as CAPTIONERS
from scratchlv.models.captioner import Captioner, CaptionerConfig
from scratchlv.models.language_model import LanguageModel, LanguageModelConfig
from scratchlv.models.memory_network import MemoryNetwork, MemoryNetworkConfig
from scratchlv.models.question_answerer import QuestionAnswerer, QuestionAnswererConfig
from scratchlv.models.translator import CONTEXT as TRANSLATORS
from scratchlv.models.translator import Translator, TranslatorConfig
from scratchlv.tokens import PAD, START


class Sizes(NamedTuple):
    vocabulary: int
    answers: int
    sequences: int  # side by side, and as many pictures
    steps: int
    embedding: int
    hidden: int
    attention: int
    channels: tuple[int, int, int]
    picture: tuple[int, int]  # height and width, for a conv net
    features: tuple[int, int, int]  # of a picture: height, width, channels
    sentences: tuple[int, int]  # of a story, and words of each


def widths(at):
    return {"vocabulary": at.vocabulary, "embedding": at.embedding, "hidden": at.hidden, "dropout": 0.2}


def encoder(at, own_encoder):
    return {"channels": at.channels, "feature_channels": None if own_encoder else at.features[2]}


def language_model(at, rng, cell):
    config = LanguageModelConfig(**widths(at), layers=2, cell=cell, streams=at.sequences)
    return LanguageModel(config), StreamBatch(_tokens(at, rng), first=False)


def captioner(at, rng, model, own_encoder=False, **more):
    config = CaptionerConfig(**widths(at), **encoder(at, own_encoder), attention=at.attention, model=model, **more)
    return Captioner(config), CaptionBatch(_pictures(at, rng, own_encoder), _tokens(at, rng), _lengths(at, rng))


def gated_captioner(at, rng):
    return captioner(at, rng, "attention", gate=True, init_state="mean", doubly_stochastic=0.3)


def translator(at, rng, model, cell="lstm", **more):
    sizes = {"source_vocabulary": at.vocabulary + 2, "attention": at.attention, "layers": 2}
    config = TranslatorConfig(**widths(at), **sizes, model=model, cell=cell, **more)
    source = _tokens(at, rng)[1:], _lengths(at, rng)
    return Translator(config), PairBatch(*source, _tokens(at, rng), _lengths(at, rng))


def copying_translator(at, rng):
    """With words that the vocabulary lacks, in the sources and of them in the targets."""
    options = {"copy": True, "coverage": 0.5, "tied": True, "input_dropout": 0.2}
    model, batch = translator(at, rng, "additive", **options)
    there = np.arange(len(batch.source))[:, None] < batch.source_lengths
    copied_from = np.where(there, rng.integers(4, at.vocabulary + 2, batch.source.shape), -1)
    tokens = batch.tokens.copy()
    tokens[1] = copied_from[0]
    return model, batch._replace(tokens=tokens, copied_from=copied_from)


def question_answerer(at, rng, model, own_encoder=False, **more):
    sizes = {"answers": at.answers, "attention": at.attention, "hops": 2, "attention_loss": 0.5}
    height, width = (size // 8 for size in at.picture) if own_encoder else at.features[:2]
    sizes |= {"grid": (height, width), "glimpses": 2}
    config = QuestionAnswererConfig(**widths(at), **encoder(at, own_encoder), **sizes, model=model, **more)
    return QuestionAnswerer(config), _questions(at, rng, own_encoder, height * width)


def regularised_question_answerer(at, rng):
    """With pairs of words, and dropout of all that is dropped."""
    dropped = {"input_dropout": 0.2, "question_dropout": 0.2, "feature_dropout": 0.2}
    pairs = tuple(range(0, at.vocabulary**2, 3))
    return question_answerer(at, rng, "attention", pairs=pairs, label_smoothing=0.1, **dropped)


def memory_network(at, rng, tying, pictures=False):
    memories = at.features[0] * at.features[1] if pictures else at.sentences[0]
    config = MemoryNetworkConfig(
        vocabulary=at.vocabulary,
        answers=at.answers,
        memories=memories + (not pictures),  # a story may be shorter than the longest
        pictures=pictures,
        hops=2,
        width=at.hidden,
        tying=tying,
        feature_channels=at.features[2],
        attention_loss=0.5,
    )
    if pictures:
        return MemoryNetwork(config), _questions(at, rng, False, memories)
    S, J = at.sentences
    sentences = rng.integers(4, at.vocabulary, (S + 3, J))
    sentences[0] = PAD
    told = rng.integers(1, S + 3, (at.sequences, S))
    asked = _tokens(at, rng)[1:], _lengths(at, rng), _answers(at, rng)
    return MemoryNetwork(config), StoryBatch(sentences, told, *asked, attention_target=_target(at, rng, memories))


def _questions(at, rng, own_encoder, regions):
    about = np.arange(at.sequences)
    about[0] = about[-1]  # of one picture two questions, of another none
    asked = _tokens(at, rng)[1:], _lengths(at, rng), _answers(at, rng)
    target = _target(at, rng, regions)
    return QuestionBatch(_pictures(at, rng, own_encoder), about, *asked, attention_target=target)


def _target(at, rng, regions):
    return rng.random((at.sequences, 2, regions)) < 0.3


def _tokens(at, rng):
    words = rng.integers(4, at.vocabulary, (at.steps + 1, at.sequences))
    words[0] = START
    return words


def _lengths(at, rng):
    return rng.integers(1, at.steps + 1, at.sequences)


def _answers(at, rng):
    answers = rng.integers(0, at.answers, at.sequences)
    answers[1] = -1  # the true one cannot be given
    return answers


def _pictures(at, rng, own_encoder):
    if own_encoder:
        return rng.integers(0, 256, (at.sequences, *at.picture, 3)).astype(np.uint8)
    return rng.standard_normal((at.sequences, *at.features)).astype(np.float32)


MODELS = {
    **{f"language model, {cell}": (language_model, cell) for cell in ("lstm", "gru", "rnn")},
    **{f"captioner, {model}": (captioner, model) for model in CAPTIONERS},
    "captioner with a conv net of its own": (captioner, "attention", True),
    "captioner with a gate, a first state and a penalty": (gated_captioner,),
    **{f"translator, {model}": (translator, model) for model in TRANSLATORS},
    **{f"translator of {cell} cells": (translator, "additive", cell) for cell in ("gru", "rnn")},
    "translator that copies": (copying_translator,),
    **{
        f"question answerer, {model}": (question_answerer, model)
        for model in ("blind", "naive", "attention", "glimpses")
    },
    "question answerer with a conv net of its own": (question_answerer, "attention", True),
    "question answerer with pairs and dropout": (regularised_question_answerer,),
    "memory network, adjacent": (memory_network, "adjacent"),
    "memory network, layer-wise": (memory_network, "layer-wise"),
    "memory network over pictures": (memory_network, "adjacent", True),
}


def make(name, at, seed=0):
    """The model of that name and a batch for it."""
    function, *arguments = MODELS[name]
    return function(at, np.random.default_rng(seed), *arguments)

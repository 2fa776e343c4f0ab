"""The table of the benchmarks: each case with the baselines in PyTorch that it is timed against.

Cases know nothing of baselines, and baselines build the problem of their case; here both meet, by name. A baseline is imported
where it is built, in a worker: only there PyTorch is needed.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

from case import COMPILED, TORCH, Case, Side, Task
from cases import (
    captioner,
    decoding,
    language_model,
    memory_network,
    question_answerer,
    sweeps,
    translation,
    vision,
)
from cases.language_model import LSTM, RNN, STEPS

MODULES = (language_model, captioner, translation, question_answerer, memory_network, vision, decoding, sweeps)


def baseline(name: str, builder: str, *arguments: Any, kind: str = TORCH) -> Side:
    """The side that ``builder``, a function of a module of ``baselines`` such as "vision.vgg", builds of ``arguments``."""

    def build() -> Task:
        module, function = builder.split(".")
        return getattr(importlib.import_module(f"baselines.{module}"), function)(*arguments)

    return Side(name, kind, build)


#: by the name of the case, in the order of the table
BASELINES: dict[str, tuple[Side, ...]] = {
    "lstm-lm": (
        baseline("nn.LSTM", "language_model.layers", LSTM, STEPS),
        baseline("nn.LSTMCell", "language_model.cells", LSTM, STEPS),
    ),
    "lstm-lm-200": (
        baseline("nn.LSTM, foreach SGD", "language_model.small", "layers", {"foreach": True}),
        baseline("nn.LSTM, fused SGD", "language_model.small", "layers", {"fused": True}),
        baseline("nn.LSTMCell, fused SGD", "language_model.small", "cells", {"fused": True}),
    ),
    "rnn-lm": (
        baseline("nn.RNN", "language_model.layers", RNN, STEPS),
        baseline("nn.RNNCell", "language_model.cells", RNN, STEPS),
    ),
    "attention-captioner-tutorial": (baseline("step loop", "captioner.features", "StepLoop"),),
    "attention-captioner-hoisted": (
        baseline("hoisted", "captioner.features", "Hoisted"),
        baseline("hoisted, compiled attention", "captioner.features", "Hoisted", True, kind=COMPILED),
    ),
    "caption-beam": (
        baseline("beams share the keys", "captioner.beam_search", True, False),
        baseline("the keys for each beam", "captioner.beam_search", False, False),
        baseline("beams share the keys, compiled attention", "captioner.beam_search", True, True, kind=COMPILED),
    ),
    "seq2seq-attention": (
        baseline("nn.LSTM, hoisted", "translation.train", False),
        baseline("nn.LSTM, hoisted, compiled attention", "translation.train", True, kind=COMPILED),
    ),
    "beam": (
        baseline("beams share the keys", "translation.beam_search", True, False),
        baseline("the keys for each beam", "translation.beam_search", False, False),
        baseline("beams share the keys, compiled attention", "translation.beam_search", True, True, kind=COMPILED),
    ),
    "stacked-attention": (baseline("nn.LSTM and nn.Linear", "question_answerer.stacked_attention"),),
    "memory-network": (
        baseline("each sentence", "memory_network.stories", False, False),
        baseline("different sentences once", "memory_network.stories", True, False),
        baseline("different sentences once, compiled", "memory_network.stories", True, True, kind=COMPILED),
    ),
    "vgg16-n1": (
        baseline("contiguous", "vision.vgg", 1, False),
        baseline("channels-last", "vision.vgg", 1, True),
    ),
    "vgg16-n8": (
        baseline("contiguous", "vision.vgg", 8, False),
        baseline("channels-last", "vision.vgg", 8, True),
    ),
    "small-conv": (
        baseline("contiguous", "vision.small", False, False),
        baseline("channels-last", "vision.small", True, False),
        baseline("channels-last, compiled", "vision.small", True, True, kind=COMPILED),
    ),
    "resnet-stem": (
        baseline("contiguous", "vision.stem", False),
        baseline("channels-last", "vision.stem", True),
    ),
    "finetune-resnet50": (
        baseline("contiguous", "vision.finetuning", False),
        baseline("channels-last", "vision.finetuning", True),
    ),
    "decode-n1": (
        baseline("nn.LSTMCell", "decoding.greedy", 1, "cell", False),
        baseline("nn.LSTM", "decoding.greedy", 1, "layer", False),
        baseline("nn.LSTMCell, compiled", "decoding.greedy", 1, "cell", True, kind=COMPILED),
    ),
    "decode-n16": (
        baseline("nn.LSTMCell", "decoding.greedy", 16, "cell", False),
        baseline("nn.LSTM", "decoding.greedy", 16, "layer", False),
        baseline("nn.LSTMCell, compiled", "decoding.greedy", 16, "cell", True, kind=COMPILED),
    ),
    "decode-beam5": (
        baseline("nn.LSTMCell", "decoding.beam_search", "cell", False),
        baseline("nn.LSTM", "decoding.beam_search", "layer", False),
        baseline("nn.LSTMCell, compiled", "decoding.beam_search", "cell", True, kind=COMPILED),
    ),
    **{
        f"decode-n1-{weights}": (
            baseline("nn.LSTMCell", "decoding.greedy", 1, "cell", False, weights),
            baseline("nn.LSTM", "decoding.greedy", 1, "layer", False, weights),
        )
        for weights in ("bfloat16", "int8")
    },
    "demo-step": (
        baseline("contiguous, fused Adam", "captioner.demo", False, {"fused": True}),
        baseline("channels-last, fused Adam", "captioner.demo", True, {"fused": True}),
        baseline("channels-last, foreach Adam", "captioner.demo", True, {"foreach": True}),
    ),
    "adam": (
        baseline("Adam", "sweeps.adam", {"foreach": False}),
        baseline("foreach Adam", "sweeps.adam", {"foreach": True}),
        baseline("fused Adam", "sweeps.adam", {"fused": True}),
    ),
    "softmax-cross-entropy": (baseline("F.cross_entropy", "sweeps.cross_entropy"),),
    "embedding": (baseline("nn.Embedding", "sweeps.embedding"),),
    "max-pool": (
        baseline("contiguous", "sweeps.max_pool", False),
        baseline("channels-last", "sweeps.max_pool", True),
    ),
}


def all_cases() -> dict[str, Case]:
    """By name, in the order of the table."""
    cases = {case.name: case for module in MODULES for case in module.CASES}
    return {name: replace(cases[name], baselines=baselines) for name, baselines in BASELINES.items()}

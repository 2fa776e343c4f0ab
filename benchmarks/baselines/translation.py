"""Translators in PyTorch: nn.LSTM in both directions, and the captioner's decoder over its states."""

from __future__ import annotations

from typing import Any

import torch
from case import Task
from cases.translation import BEAM, T, beam_problem, problem
from torch import nn

from baselines import Twin, device, given, training_task
from baselines.captioner import Hoisted, beam_words

Tensor = torch.Tensor


class Net(nn.Module):
    """The encoder, and a decoder that looks at all its states."""

    def __init__(self, params: dict[str, Any]) -> None:
        super().__init__()
        V, E = params["source.W"].shape
        self.embedding = nn.Embedding(V, E)
        self.encoder = nn.LSTM(E, params["encoder.0.forward.Wh"].shape[0], bidirectional=True)
        self.decoder = Hoisted(params)

    def tied(self, params: dict[str, Any]) -> Twin:
        twin = self.decoder.tied(params)
        twin.tie("source.W", self.embedding.weight)
        twin.tie_recurrent(self.encoder, "encoder.0.forward", "_l0")
        twin.tie_recurrent(self.encoder, "encoder.0.backward", "_l0_reverse")
        return twin

    def encode(self, source: Tensor) -> Tensor:
        """All states of both directions (N, S, D)."""
        h, _ = self.encoder(self.embedding(source))
        return h.transpose(0, 1).contiguous()

    def forward(self, source: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
        return self.decoder(self.encode(source), tokens, lengths)


def train(compiled: bool) -> Task:
    """Forward and backward; ``compiled``: the attention alone."""
    model, batch = problem()
    net = Net(model.params).to(device())
    net.decoder.compiled = compiled
    twin = net.tied(model.params)
    source, tokens, lengths = given(batch.source), given(batch.tokens), given(batch.lengths)
    return training_task(net, lambda: net(source, tokens, lengths), twin)


def beam_search(share: bool, compiled: bool) -> Task:
    """One sentence after the other."""
    model, sources = beam_problem()
    net = Net(model.params).to(device()).eval()
    net.tied(model.params)
    words, each = beam_words(net.decoder, BEAM, T, share, compiled), given(sources).split(1, dim=1)

    @torch.inference_mode()
    def step() -> list[tuple[Tensor, Tensor]]:
        return [words(net.encode(source)) for source in each]

    return Task(step, lambda: {"log_probability": torch.cat([scores for _, scores in step()]).double().cpu().numpy()})

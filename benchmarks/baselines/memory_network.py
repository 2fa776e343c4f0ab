"""The memory network in PyTorch: each sentence looked up where it stands, or the different ones once."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from case import Task
from cases.memory_network import ANSWERS, HOPS, D, J, S, V, problem
from torch import nn

from baselines import OUT_IN, Twin, device, given, training_task

Tensor = torch.Tensor


class Net(nn.Module):
    def __init__(self, encoding: Tensor, once: bool) -> None:
        super().__init__()
        self.words = nn.ModuleList([nn.Embedding(V, D) for _ in range(HOPS + 1)])
        self.places = nn.ParameterList([nn.Parameter(torch.zeros(S, D)) for _ in range(HOPS + 1)])
        self.answer = nn.Linear(D, ANSWERS)
        self.encoding, self.once = encoding, once

    def memory(self, k: int, sentences: Tensor, told: Tensor) -> Tensor:
        if self.once:
            bags = (self.words[k](sentences) * self.encoding).sum(1)  # (U, d)
            return F.embedding(told, bags) + self.places[k]
        return (self.words[k](sentences[told]) * self.encoding).sum(2) + self.places[k]  # (N, S, d)

    def forward(self, sentences: Tensor, told: Tensor, tokens: Tensor, answers: Tensor) -> Tensor:
        memories = [self.memory(k, sentences, told) for k in range(HOPS + 1)]
        u = (self.words[0](tokens) * self.encoding).sum(1)  # (N, d)
        for keys, values in zip(memories, memories[1:], strict=False):
            p = torch.softmax(torch.bmm(keys, u[:, :, None])[:, :, 0], dim=1)
            u = u + torch.bmm(p[:, None], values)[:, 0]
        return F.cross_entropy(self.answer(u), answers)


def stories(once: bool, compiled: bool) -> Task:
    from scratchlv.models.memory_network import position_encoding

    model, batch = problem()
    encoding = given(position_encoding(batch.sentences[1:2], D, "float32")[0])  # all have J words
    assert encoding.shape == (J, D)
    net = Net(encoding, once).to(device())
    twin = Twin(model.params)
    for k, (words, places) in enumerate(zip(net.words, net.places, strict=True)):
        twin.tie(f"memory{k}.W", words.weight)
        twin.tie(f"memory{k}.T", places)
    twin.tie("answer.W", net.answer.weight, OUT_IN)
    twin.tie("answer.b", net.answer.bias)
    inputs = [given(array) for array in (batch.sentences, batch.told, batch.tokens.T.copy(), batch.answers)]
    loss_of = torch.compile(net) if compiled else net
    return training_task(net, lambda: loss_of(*inputs), twin)

"""Stacked attention in PyTorch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from case import Task
from cases.question_answerer import ANSWERS, HOPS, A, D, E, H, V, problem
from torch import nn

from baselines import Twin, device, given, training_task
from baselines.captioner import regions, unit_size

Tensor = torch.Tensor


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, E)
        self.question = nn.LSTM(E, H)
        self.regions = nn.Linear(D, H)
        self.keys = nn.ModuleList([nn.Linear(H, A) for _ in range(HOPS)])
        self.queries = nn.ModuleList([nn.Linear(H, A, bias=False) for _ in range(HOPS)])
        self.scores = nn.ModuleList([nn.Linear(A, 1, bias=False) for _ in range(HOPS)])
        self.hidden, self.answer = nn.Linear(H, H), nn.Linear(H, ANSWERS)

    def forward(self, x: Tensor, tokens: Tensor, answers: Tensor) -> Tensor:
        _, (h, _) = self.question(self.embedding(tokens))
        u = h[0]  # (N, H)
        x = torch.tanh(self.regions(x))  # (N, L, H)
        for key, query, score in zip(self.keys, self.queries, self.scores, strict=True):
            e = torch.tanh(key(x) + query(u)[:, None]) @ score.weight[0]  # (N, L)
            u = u + torch.bmm(torch.softmax(e, dim=1)[:, None], x)[:, 0]
        return F.cross_entropy(self.answer(F.relu(self.hidden(u))), answers)

    def tied(self, params: dict) -> Twin:
        twin = Twin(params)
        twin.tie("embedding.W", self.embedding.weight)
        twin.tie_recurrent(self.question, "question", "_l0")
        twin.tie_linear(self.regions, "regions.W", "regions.b")
        for k, (key, query, score) in enumerate(zip(self.keys, self.queries, self.scores, strict=True), 1):
            twin.tie_linear(key, f"hop{k}.Wx", f"hop{k}.b")
            twin.tie_linear(query, f"hop{k}.Wu")
            twin.tie(f"hop{k}.v", score.weight)
        twin.tie_linear(self.hidden, "answer.W1", "answer.b1")
        twin.tie_linear(self.answer, "answer.W2", "answer.b2")
        return twin


def stacked_attention() -> Task:
    model, batch = problem()
    net = Net().to(device())
    twin = net.tied(model.params)
    features, tokens, answers = map(given, (batch.pictures, batch.tokens, batch.answers))
    return training_task(net, lambda: net(regions(unit_size(features)), tokens, answers), twin)

"""Decoding in PyTorch, one word after the other: greedily and by beam search."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from case import Task
from cases.decoding import BEAM, WORDS, H, V, first_words, problem
from torch import nn

from baselines import Twin, device, given
from scratchlv.tokens import END, PAD, START

Tensor = torch.Tensor
FORBIDDEN = [PAD, START, END]


class Net(nn.Module):
    """``step`` gives the logits of the next word and the state after this one."""

    def __init__(self, params: dict[str, Any], kind: str) -> None:
        super().__init__()
        self.embedding, self.output = nn.Embedding(V, H), nn.Linear(H, V)
        self.cell = nn.LSTMCell(H, H) if kind == "cell" else nn.LSTM(H, H)
        twin = Twin(params)
        twin.tie("embedding.W", self.embedding.weight)
        twin.tie_recurrent(self.cell, "recurrent.0", "" if kind == "cell" else "_l0")
        twin.tie_linear(self.output, "output.W", "output.b")

    def forward(self, tokens: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.embedding(tokens)
        if isinstance(self.cell, nn.LSTMCell):
            h, c = self.cell(x, (h, c))
        else:
            _, (h1, c1) = self.cell(x[None], (h[None], c[None]))
            h, c = h1[0], c1[0]
        return self.output(h), h, c


def greedy(N: int, kind: str, compiled: bool, weights: str = "float32") -> Task:
    """``weights`` are what the parameters were rounded to; PyTorch has them in float32 all the same."""
    net = Net(problem(weights).params, kind).to(device())
    next_word: Any = torch.compile(net) if compiled else net
    first, forbidden = given(first_words(N)), given(np.array(FORBIDDEN))

    @torch.no_grad()
    def words() -> list[tuple[Tensor, Tensor]]:
        tokens, h, c = first, *(torch.zeros(N, H, device=first.device) for _ in range(2))
        said = []
        for _ in range(WORDS):
            logits, h, c = next_word(tokens, h, c)
            tokens = logits.index_fill(1, forbidden, -torch.inf).argmax(dim=1)
            said.append((tokens, logits))
        return said

    @torch.inference_mode()
    def step() -> Tensor:
        return torch.stack([tokens for tokens, _ in words()])

    def results() -> dict[str, Any]:
        said = words()
        tokens = torch.stack([tokens for tokens, _ in said], dim=1)  # (N, T)
        p = torch.stack([torch.softmax(logits, dim=1) for _, logits in said], dim=1)
        return {"tokens": tokens.cpu().numpy(), "probabilities": p.gather(2, tokens[..., None])[..., 0].cpu().numpy()}

    return Task(words if compiled else step, results)


def beam_search(kind: str, compiled: bool) -> Task:
    """Of one sentence that does not end: the likeliest of those that ``BEAM`` hypotheses come to."""
    net = Net(problem().params, kind).to(device())
    next_word: Any = torch.compile(net) if compiled else net
    first, forbidden = given(np.repeat(first_words(1), BEAM)), given(np.array(FORBIDDEN))

    @torch.no_grad()
    def words() -> tuple[Tensor, Tensor]:
        tokens, h, c = first, *(torch.zeros(BEAM, H, device=first.device) for _ in range(2))
        scores = torch.full((BEAM, 1), -torch.inf, device=first.device)
        scores[0] = 0
        said = torch.empty(BEAM, 0, dtype=torch.int64, device=first.device)
        log_probs = torch.empty(BEAM, 0, device=first.device)
        for _ in range(WORDS):
            logits, h, c = next_word(tokens, h, c)
            own = torch.log_softmax(logits, dim=1)
            allowed = scores + own.index_fill(1, forbidden, -torch.inf)
            best, found = allowed.flatten().topk(BEAM)
            parents, tokens = found // V, found % V
            said = torch.cat([said[parents], tokens[:, None]], dim=1)
            log_probs = torch.cat([log_probs[parents], own[parents, tokens, None]], dim=1)
            h, c, scores = h[parents], c[parents], best[:, None]
        return said[:1], log_probs[:1]

    def results() -> dict[str, Any]:
        said, log_probs = words()
        return {"tokens": said.cpu().numpy(), "probabilities": log_probs.exp().cpu().numpy()}

    return Task(words, results)

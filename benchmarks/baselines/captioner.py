"""Captioners in PyTorch: the tutorial's step loop, the same with all taken out of the loop that can be, and the demo's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from case import Task
from cases.captioner import BEAM, CHUNK, WORDS, beam_problem, demo_problem, problem
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from baselines import NCHW, Twin, device, given, training_task
from scratchlv.tokens import END, PAD, START, UNK

Tensor = torch.Tensor


def coordinates(h: int, w: int, there: torch.device) -> Tensor:
    """(h, w, 2): across and down, from -1 to 1."""
    across, down = (torch.linspace(-1, 1, n, device=there) for n in (w, h))
    return torch.stack([across.expand(h, w), down[:, None].expand(h, w)], dim=2)


def regions(features: Tensor) -> Tensor:
    """Features (N, h, w, C) as regions (N, h w, C + 2), each with its place."""
    N, h, w, _ = features.shape
    return torch.cat([features, coordinates(h, w, features.device).expand(N, h, w, 2)], dim=3).reshape(N, h * w, -1)


def unit_size(features: Tensor) -> Tensor:
    """Each picture's features with a mean square of 1."""
    return features * torch.rsqrt(features.square().mean(dim=(1, 2, 3), keepdim=True) + 1e-12)


class Decoder(nn.Module):
    """Soft attention, an LSTM cell, and the deep output."""

    def __init__(self, params: dict[str, Any]) -> None:
        super().__init__()
        V, E = params["embedding.W"].shape
        D, A = params["attention.Wx"].shape
        H = params["attention.Wh"].shape[0]
        self.embedding = nn.Embedding(V, E)
        self.key, self.query, self.score = nn.Linear(D, A), nn.Linear(H, A, bias=False), nn.Linear(A, 1, bias=False)
        self.cell = nn.LSTMCell(E + D, H)
        self.from_h, self.from_z = nn.Linear(H, E, bias=False), nn.Linear(D, E, bias=False)
        self.out = nn.Linear(E, V)

    def tied(self, params: dict[str, Any]) -> Twin:
        twin = Twin(params)
        twin.tie("embedding.W", self.embedding.weight)
        twin.tie_linear(self.key, "attention.Wx", "attention.b")
        twin.tie_linear(self.query, "attention.Wh")
        twin.tie("attention.v", self.score.weight)
        twin.tie_recurrent(self.cell, "decoder")
        twin.tie_linear(self.from_h, "output.Wh")
        twin.tie_linear(self.from_z, "output.Wz")
        twin.tie_linear(self.out, "output.Wo", "output.b")
        return twin

    def start(self, x: Tensor) -> tuple[Tensor, Tensor]:
        zero = torch.zeros(x.shape[0], self.cell.hidden_size, device=x.device)
        return zero, zero


class StepLoop(Decoder):
    """As sgrvinod's tutorial writes it: batch first, everything inside the loop, results put into their places."""

    def forward(self, x: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
        words = self.embedding(tokens[:-1].T)  # (N, T, E)
        h, c = self.start(x)
        N, T, _ = words.shape
        predictions = torch.zeros(N, T, self.out.out_features, device=x.device)
        alphas = torch.zeros(N, T, x.shape[1], device=x.device)
        for t in range(T):
            attention = self.score(torch.tanh(self.key(x) + self.query(h).unsqueeze(1))).squeeze(2)  # (N, L)
            alpha = torch.softmax(attention, dim=1)
            z = (x * alpha.unsqueeze(2)).sum(dim=1)  # (N, D)
            h, c = self.cell(torch.cat([words[:, t, :], z], dim=1), (h, c))
            predictions[:, t, :] = self.out(words[:, t, :] + self.from_h(h) + self.from_z(z))
            alphas[:, t, :] = alpha
        scores = pack_padded_sequence(predictions, lengths, batch_first=True).data
        targets = pack_padded_sequence(tokens[1:].T, lengths, batch_first=True).data
        return F.cross_entropy(scores, targets)


class Hoisted(Decoder):
    """The keys before the loop, the output behind it, weighted sums as a batched product."""

    compiled = False

    def forward(self, x: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
        keys = self.key(x)  # (N, L, A)
        words = self.embedding(tokens[:-1])  # (T, N, E)
        h, c = self.start(x)
        attend = self.attend_compiled if self.compiled else self.attend
        hs, zs = [], []
        for word in words:
            z = attend(x, keys, h)
            h, c = self.cell(torch.cat([word, z], dim=1), (h, c))
            hs.append(h)
            zs.append(z)
        deep = words + self.from_h(torch.stack(hs)) + self.from_z(torch.stack(zs))
        counts = torch.arange(len(words), device=x.device)[:, None] < lengths
        targets = torch.where(counts, tokens[1:], -100)
        return F.cross_entropy(self.out(deep).flatten(0, 1), targets.flatten())

    def attend(self, x: Tensor, keys: Tensor, h: Tensor) -> Tensor:
        e = torch.tanh(keys + self.query(h)[:, None]) @ self.score.weight[0]  # (N, L)
        return torch.bmm(torch.softmax(e, dim=1)[:, None], x)[:, 0]

    attend_compiled = torch.compile(attend)


def features(kind: str, compiled: bool = False, whole: dict[str, Any] | None = None) -> Task:
    """``compiled``: the attention alone; ``whole``: the whole network, with these options of torch.compile."""
    model, batch = problem()
    net: Any = {"StepLoop": StepLoop, "Hoisted": Hoisted}[kind](model.params).to(device())
    net.compiled = compiled
    twin = net.tied(model.params)
    maps, tokens = given(batch.pictures), given(batch.tokens)
    lengths = (
        torch.from_numpy(batch.lengths) if kind == "StepLoop" else given(batch.lengths)
    )  # packing wants them on the CPU
    loss: Any = net if whole is None else torch.compile(net, **whole)
    return training_task(net, lambda: loss(regions(unit_size(maps)), tokens, lengths), twin)


def attend_in_beams(x: Tensor, keys: Tensor, query: Tensor, score: Tensor) -> Tensor:
    """z (N, B, D) of B queries (N, B, A) for the same regions; or, of regions for each beam, B is 1."""
    e = torch.tanh(keys[:, None] + query[:, :, None]) @ score  # (N, B, L)
    return torch.bmm(torch.softmax(e, dim=2), x)


def beam_words(net: Decoder, beam: int, length: int, share: bool, compiled: bool) -> Callable[[Tensor], Any]:
    """What says of regions the best words, so many, that ``beam`` hypotheses of each come to, and their log p; none ends."""
    attend: Any = torch.compile(attend_in_beams) if compiled else attend_in_beams
    V = net.out.out_features
    forbidden = torch.zeros(V, device=device())
    forbidden[[PAD, START, UNK, END]] = -torch.inf

    def words(x: Tensor) -> tuple[Tensor, Tensor]:
        N, keys = len(x), net.key(x)
        if not share:
            x, keys = x.repeat_interleave(beam, dim=0), keys.repeat_interleave(beam, dim=0)
        h = c = torch.zeros(N * beam, net.cell.hidden_size, device=x.device)
        tokens = torch.full((N * beam,), START, device=x.device)
        scores = torch.full((N, beam, 1), -torch.inf, device=x.device)
        scores[:, 0] = 0
        said = torch.empty(N, beam, 0, dtype=torch.int64, device=x.device)
        first = torch.arange(N, device=x.device)[:, None] * beam
        for _ in range(length):
            word = net.embedding(tokens)
            z = attend(x, keys, net.query(h).view(len(x), -1, keys.shape[2]), net.score.weight[0]).view(N * beam, -1)
            h, c = net.cell(torch.cat([word, z], dim=1), (h, c))
            logits = net.out(word + net.from_h(h) + net.from_z(z))
            allowed = scores + (torch.log_softmax(logits, dim=1) + forbidden).view(N, beam, V)
            best, found = allowed.view(N, -1).topk(beam)
            parents, chosen = found // V, found % V
            rows = (first + parents).view(-1)
            said = torch.cat(
                [said.gather(1, parents[..., None].expand(-1, -1, said.shape[2])), chosen[..., None]], dim=2
            )
            h, c, tokens, scores = h[rows], c[rows], chosen.view(-1), best[..., None]
        return said[:, 0], scores[:, 0, 0]

    return words


def beam_search(share: bool, compiled: bool) -> Task:
    """The best of the captions that ``BEAM`` hypotheses of each photograph come to, all of a chunk at once."""
    model, features = beam_problem()
    net = Decoder(model.params).to(device()).eval()
    net.tied(model.params)
    words, maps = beam_words(net, BEAM, WORDS, share, compiled), given(features)

    @torch.inference_mode()
    def step() -> list[tuple[Tensor, Tensor]]:
        return [words(regions(unit_size(part))) for part in maps.split(CHUNK)]

    return Task(step, lambda: {"log_probability": torch.cat([scores for _, scores in step()]).double().cpu().numpy()})


class Encoder(nn.Sequential):
    """The demo's conv extractor."""

    def __init__(self, params: dict[str, Any]) -> None:
        layers: list[nn.Module] = []
        for name in ("conv1", "conv2", "conv3"):
            width, _, c_in, c_out = params[f"{name}.W"].shape
            first = name == "conv1"
            layers.append(nn.Conv2d(c_in, c_out, width, 2 if first else 1, width // 2, bias=False))
            layers += [nn.BatchNorm2d(c_out), nn.ReLU(inplace=True)]
            layers += [] if first else [nn.MaxPool2d(2)]
        super().__init__(*layers)

    def tie(self, twin: Twin) -> None:
        convolutions = [layer for layer in self if isinstance(layer, nn.Conv2d)]
        norms = [layer for layer in self if isinstance(layer, nn.BatchNorm2d)]
        for i, (conv, norm) in enumerate(zip(convolutions, norms, strict=True), 1):
            twin.tie(f"conv{i}.W", conv.weight, NCHW)
            twin.tie(f"conv{i}.gamma", norm.weight)
            twin.tie(f"conv{i}.beta", norm.bias)


def demo(channels_last: bool, adam: dict[str, bool]) -> Task:
    """The step of the demo's trainer."""
    model, batch, s = demo_problem()
    net, encoder = Hoisted(model.params).to(device()), Encoder(model.params).to(device())
    twin = net.tied(model.params)
    encoder.tie(twin)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    whole = nn.ModuleList([net, encoder.to(memory_format=layout)])
    optimiser = torch.optim.Adam(whole.parameters(), lr=s.learning_rate, **adam)
    tokens, lengths = given(batch.tokens), given(batch.lengths)

    def loss() -> Tensor:
        x = given(batch.pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
        maps = encoder(x.contiguous(memory_format=layout)).permute(0, 2, 3, 1)
        return net(regions(maps), tokens, lengths)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        loss().backward()
        torch.nn.utils.clip_grad_norm_(whole.parameters(), s.clip)
        optimiser.step()

    return Task(step, training_task(whole, loss, twin).results)

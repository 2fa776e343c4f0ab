"""Whole runs in PyTorch: data, network, clipping, Adam, log and checkpoint, as its users write them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from running import Problem, Stopwatch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from torch.utils.data import DataLoader, Dataset

from baselines import Twin, captioner
from baselines.language_model import Layers
from scratchlv.data.epochs import rows_of_batch
from scratchlv.tokens import END, START
from scratchlv.training.optimisers import learning_rate

Tensor = torch.Tensor
_POOL = 50  # batches: within so many, pairs are sorted by length


# --- data ------------------------------------------------------------------------------------------------------------


class Captions(Dataset):
    """A picture and its words."""

    def __init__(self, data: Any) -> None:
        self.pictures = torch.from_numpy(data.pictures)
        self.picture_of = data.picture_of
        self.captions = [torch.tensor([START, *caption, END]) for caption in data.captions]

    def __len__(self) -> int:
        return len(self.captions)

    def __getitem__(self, k: int) -> tuple[Tensor, Tensor]:
        return self.pictures[self.picture_of[k]], self.captions[k]

    @staticmethod
    def collate(samples: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, ...]:
        pictures, captions = zip(*samples, strict=True)
        return torch.stack(pictures), *padded(captions)


class Pairs(Dataset):
    """The words of a source and of its target."""

    def __init__(self, data: Any) -> None:
        self.sources = [torch.tensor(source) for source in data.sources]
        self.targets = [torch.tensor([START, *target, END]) for target in data.targets]

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, k: int) -> tuple[Tensor, Tensor]:
        return self.sources[k], self.targets[k]

    @staticmethod
    def collate(samples: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, ...]:
        sources, targets = zip(*samples, strict=True)
        lengths = torch.tensor([len(source) for source in sources])
        return pad_sequence(sources), lengths, *padded(targets)  # type: ignore[arg-type]


def padded(sentences: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """(T + 1, N) and how many of the T predictions count."""
    sentences = list(sentences)
    return pad_sequence(sentences), torch.tensor([len(words) - 1 for words in sentences])


def by_length(lengths: np.ndarray, size: int, seed: int) -> Iterator[np.ndarray]:
    """Batches of like lengths, in a new order each epoch, for ever."""
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(len(lengths))[: len(lengths) // size * size]
        pools = [order[at : at + _POOL * size] for at in range(0, len(order), _POOL * size)]
        ordered = np.concatenate([pool[np.argsort(lengths[pool], kind="stable")] for pool in pools])
        yield from rng.permutation(ordered.reshape(-1, size))


def batches(problem: Problem, steps: int, workers: int) -> Iterator[tuple[Any, ...]]:
    """What :func:`loss_of` is given, after the network."""
    s, seed, data = problem.config.settings, problem.config.seed, problem.data
    if problem.name == "lm":
        yield from slices(problem, steps)
        return
    if problem.name == "caption":
        dataset: Any = Captions(data)
        rows: Iterable[Any] = (rows_of_batch(len(dataset), step, s.batch, seed) for step in range(steps))
    else:
        dataset = Pairs(data)
        lengths = np.array([len(source) for source in data.sources])
        rows = (row for row, _ in zip(by_length(lengths, s.batch, seed), range(steps), strict=False))
    sampler = [list(map(int, row)) for row in rows]
    yield from DataLoader(dataset, batch_sampler=sampler, collate_fn=dataset.collate, num_workers=workers)


def slices(problem: Problem, steps: int) -> Iterator[tuple[Tensor, bool]]:
    """The tokens (T + 1, N) of each batch of streams, and whether they begin."""
    streams, unroll = problem.fitted.streams, problem.fitted.unroll
    ids = torch.from_numpy(problem.data.ids)
    length = len(ids) // streams
    columns = ids[: streams * length].view(streams, length).T.contiguous()
    per_epoch = (length - 1) // unroll
    for step in range(steps):
        at = step % per_epoch * unroll
        yield columns[at : at + unroll + 1], at == 0


# --- networks ----------------------------------------------------------------------------------------------------------


class CaptionNetwork(nn.Module):
    def __init__(self, problem: Problem, params: dict[str, Any], drop: bool) -> None:
        super().__init__()
        self.decoder, self.encoder = captioner.Hoisted(params), captioner.Encoder(params)
        self.twin = self.decoder.tied(params)
        self.encoder.tie(self.twin)
        self.encoder.to(memory_format=torch.channels_last)

    def loss(self, pictures: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
        x = pictures.permute(0, 3, 1, 2).float() / 127.5 - 1
        maps = self.encoder(x.contiguous(memory_format=torch.channels_last)).permute(0, 2, 3, 1)
        return self.decoder(captioner.regions(maps), tokens, lengths)


class LanguageNetwork(Layers):
    """The state is carried from batch to batch, and cut."""

    def __init__(self, problem: Problem, params: dict[str, Any], drop: bool) -> None:
        s = problem.config.settings
        super().__init__(len(problem.fitted.vocabulary), s.embedding, s.hidden, s.layers, "lstm")
        self.p = s.dropout if drop else 0.0
        self.recurrent.dropout = self.p  # between the layers
        self.twin = Twin(params)
        self.twin.tie("embedding.W", self.embedding.weight)
        self.tie(self.twin)
        self.twin.tie_linear(self.output, "output.W", "output.b")
        self.state: Any = None

    def loss(self, tokens: Tensor, first: bool) -> Tensor:
        state = None if first else self.state
        h, (last, cell) = self.recurrent(F.dropout(self.embedding(tokens[:-1]), self.p), state)
        self.state = last.detach(), cell.detach()
        return F.cross_entropy(self.output(F.dropout(h, self.p)).flatten(0, 1), tokens[1:].flatten())


class TranslationNetwork(captioner.Decoder):
    """A bidirectional LSTM, and the captioner's decoder: keys before the loop, the output behind it."""

    def __init__(self, problem: Problem, params: dict[str, Any], drop: bool) -> None:
        super().__init__(params)
        s = problem.config.settings
        self.p = s.dropout if drop else 0.0
        self.source = nn.Embedding(*params["source.W"].shape)
        self.encoder = nn.LSTM(s.embedding, s.hidden, s.layers, bidirectional=True)
        self.twin = self.tied(params)
        self.twin.tie("source.W", self.source.weight)
        for k in range(s.layers):
            self.twin.tie_recurrent(self.encoder, f"encoder.{k}.forward", f"_l{k}")
            self.twin.tie_recurrent(self.encoder, f"encoder.{k}.backward", f"_l{k}_reverse")

    def loss(self, source: Tensor, source_lengths: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
        words = F.dropout(self.source(source), self.p)  # (S, N, E)
        packed = pack_padded_sequence(words, source_lengths, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.encoder(packed)[0])
        x = F.dropout(states, self.p).transpose(0, 1).contiguous()  # (N, S, 2H)
        missing = torch.arange(len(source)) >= source_lengths[:, None]  # (N, S)
        keys = self.key(x)
        before = self.embedding(tokens[:-1])  # (T, N, E)
        h, c = self.start(x)
        hs, zs = [], []
        for word in before:
            e = torch.tanh(keys + self.query(h)[:, None]) @ self.score.weight[0]  # (N, S)
            z = torch.bmm(torch.softmax(e.masked_fill(missing, -torch.inf), dim=1)[:, None], x)[:, 0]
            h, c = self.cell(torch.cat([word, z], dim=1), (h, c))
            hs.append(h)
            zs.append(z)
        deep = F.dropout(before + self.from_h(torch.stack(hs)) + self.from_z(torch.stack(zs)), self.p)
        counts = torch.arange(len(before))[:, None] < lengths
        return F.cross_entropy(self.out(deep).flatten(0, 1), torch.where(counts, tokens[1:], -100).flatten())


NETWORKS: dict[str, Callable[..., Any]] = {
    "caption": CaptionNetwork,
    "lm": LanguageNetwork,
    "translate": TranslationNetwork,
}


# --- training ----------------------------------------------------------------------------------------------------------


def first_batch(problem: Problem) -> dict[str, Any]:
    """The loss and the gradients of our first batch, without dropout."""
    net = NETWORKS[problem.name](problem, problem.model().params, False)
    arrays = problem.batch_at(0)._asdict()
    arrays.pop("dropout_seed")
    loss = net.loss(*(torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in arrays.values()))
    loss.backward()
    return {"loss": loss.item(), **net.twin.grads()}


def with_workers(workers: int) -> Callable[[Problem, int], dict[str, Any]]:
    """:func:`train` with so many processes that load data."""
    return partial(train, workers=workers)


def train(problem: Problem, steps: int, workers: int) -> dict[str, Any]:
    """Train for so many steps."""
    s, watch = problem.config.settings, Stopwatch("batches", "model", "update")
    net = NETWORKS[problem.name](problem, problem.model().params, True)
    optimiser = torch.optim.Adam(net.parameters(), lr=s.learning_rate, fused=True)

    def passes(*batch: Any) -> Tensor:
        optimiser.zero_grad(set_to_none=True)
        loss = net.loss(*batch)
        loss.backward()
        return loss

    def update(step: int) -> Tensor:
        norm = torch.nn.utils.clip_grad_norm_(net.parameters(), s.clip, foreach=True)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, steps, s.learning_rate, s.warmup)
        optimiser.step()
        return norm

    items, loaded = 0, batches(problem, steps, workers)
    advance, passes = watch.around("batches", partial(next, loaded)), watch.around("model", passes)
    update = watch.around("update", update)
    with tempfile.TemporaryDirectory(prefix="scratchlv-") as folder:
        began = perf_counter()
        with open(Path(folder) / "log.txt", "w") as log:
            for step in range(steps):
                batch = advance()
                loss = passes(*batch)
                norm = update(step)
                tokens = batch[0] if problem.name == "lm" else batch[-2]
                items += tokens[1:].numel() if problem.name == "lm" else tokens.shape[1]
                if step % 10 == 9:
                    print(step, loss.item(), norm.item(), file=log, flush=True)
        torch.save({"net": net.state_dict(), "optimiser": optimiser.state_dict()}, Path(folder) / "checkpoint.pt")
        seconds = perf_counter() - began
    return {"steps": steps, "seconds": seconds, "items": items, "parts": watch.seconds, "loss": loss.item()}

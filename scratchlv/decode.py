"""Generating words from any model that has ``start`` and ``step``: greedily, by sampling, or by beam search.

A model gives p(y_t | y_1 … y_{t-1}, inputs); the three differ in how they choose from it:

    greedy         y_t = argmax p(y_t | …)
    sample         y_t ~ p(y_t | …)^(1 / temperature), among the k most likely (top-k) and the most likely p (top-p)
    explore        y_t ~ p(y_t | …) itself, several sentences of each input, and the greedy one beside them
    beam_search    the sentence with the highest  log p(y_1 … y_T) / T^a  among those that a beam of B open ones finds

The end symbol fails in two ways, as the lecture says: it never comes (``max_length`` cuts the sentence off, each at its own), or
it comes at once (``min_length`` forbids it until so many words are said). A length counts ``<end>`` where it was said. And what
was likely once is likely again: "a dog with a dog". ``no_repeat`` n forbids the word that would say n words in a row for the
second time (Paulus et al. 2018).

Where a model is on a GPU, words are chosen there (:mod:`scratchlv.cuda.decoding`), by the same rules and with the same draws,
and a sentence comes back once, as a whole: until then, at every eighth word, the GPU is asked whether all have ended.

Shapes: N inputs, B hypotheses for each, T words, V words known.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from scratchlv.arrays import Array, empty
from scratchlv.cuda import decoding
from scratchlv.device import on_gpu, place, to_host
from scratchlv.errors import UserError
from scratchlv.tokens import END, PAD, START, UNK

_NEVER_SAID = (PAD, START, UNK)  # <unk> says that a word was not known, and is none itself
_NO_NUMBERS = "the model's probabilities are no numbers: its weights are damaged; use another checkpoint"
_NO_WORD = "--min-length {}: there is no word to say; the vocabulary has none that is allowed"
_LEAST = -1e6  # for the log of p = 0 where nothing else may be said: finite, so that it is still above the forbidden
_UNENDING = 1 << 30  # words: longer than any sentence
_WIDEST = 1000  # beam: each hypothesis is a copy of the state
_ASKED_EVERY = (
    8  # words: who asks a GPU whether all have ended waits for it, and who does not computes what nobody reads
)


class Generator(Protocol):
    """What a model needs so that words can be drawn from it.

    A state is a (named) tuple of arrays with the batch on axis 0, of None, of such tuples, and of dicts, which are of all
    rows alike (parameters). If it has a field ``alpha`` (N, …), that is where the model looked for the last word.
    """

    def start(self, inputs: Any) -> Any: ...
    def step(self, state: Any, tokens: Array) -> tuple[Array, Any]: ...


class Generated(NamedTuple):
    """One sentence: its tokens, each with its probability, and where the model looked; ``<end>`` is last if it came.

    Probabilities are the model's own: before temperature, top-k, top-p and what is forbidden.
    """

    tokens: Array  # (T,)
    probabilities: Array  # (T,)
    alphas: Array  # (T, …); None when the model does not look
    log_probability: float  # of the whole sentence, in nats

    @property
    def finished(self) -> bool:
        """Whether the model ended the sentence itself."""
        return self.tokens.size > 0 and int(self.tokens[-1]) == END


def greedy(
    model: Generator,
    inputs: Any,
    *,
    max_length: int | Array = 40,
    min_length: int = 0,
    prompt: Array | None = None,
    ban: Sequence[int] = (),
    no_repeat: int = 0,
    say_unknown: bool = False,
) -> list[Generated]:
    """The most likely word, each time, until every sentence has ended or is ``max_length`` long.

    Args:
        model: see :class:`Generator`.
        inputs: what ``model.start`` takes, for N sentences.
        max_length: a sentence is cut off here; or where each is, (N,).
        min_length: ``<end>`` is not said before so many words.
        prompt: tokens (T, N) that are fed first; ``<start>`` when not given.
        ban: tokens that are not said, besides ``<pad>``, ``<start>`` and ``<unk>``, which never are.
        no_repeat: no so many words in a row are said twice; 0: any may be.
        say_unknown: ``<unk>`` is, for whoever puts another word in its place.

    Raises:
        UserError: a length is out of range, or the model gives no numbers.
    """
    draw = _draw(model, inputs, _Greedy(), max_length, min_length, prompt, _banned(ban, say_unknown), no_repeat)
    return _collect(draw, max_length)


def sample(
    model: Generator,
    inputs: Any,
    *,
    seed: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    max_length: int | Array = 40,
    min_length: int = 0,
    prompt: Array | None = None,
    ban: Sequence[int] = (),
) -> list[Generated]:
    """Words sampled, as likely as the model says; what :func:`greedy` takes means the same here.

    What may be said goes through ``temperature``, then ``top_k``, then ``top_p``, and is renormalised. Row n draws from
    its own generator, seeded with (seed, n): what it says does not depend on the rows beside it.

    Args:
        seed: the same seed, the same sentences.
        temperature: log probabilities are divided by it; below 1 the likely words become likelier.
        top_k: only the k most likely words; of equally likely ones the lower tokens.
        top_p: only the smallest set of most likely words that has at least this probability (Holtzman et al. 2020).

    Raises:
        UserError: an option is out of range, or the model gives no numbers.
    """
    sampler = _Sampler(seed, temperature, top_k, top_p)
    return _collect(_draw(model, inputs, sampler, max_length, min_length, prompt, _banned(ban)), max_length)


def explore(
    model: Generator,
    inputs: Any,
    *,
    seed: int | Sequence[int],
    samples: int = 1,
    beside: bool = True,
    max_length: int = 40,
) -> tuple[list[Generated], list[Generated]]:
    """``samples`` sentences of each of N inputs, and the greedy ones (none if not ``beside``), for learning from rewards.

    They are drawn from the model's p as it is, so that their gradient is that of an expectation: what is otherwise never said may
    be. The greedy ones are as :func:`greedy` says them. All are decoded in one batch, the source read once, and those that have
    ended leave it. The samples of input n are those numbered n, N + n, 2 N + n … Where the model looked is not kept.

    Raises:
        UserError: the model gives no numbers.
    """
    rng, state = np.random.default_rng(seed), model.start(inputs)
    N = next(_arrays(state)).shape[0]
    greedy_ones = N if beside else 0
    R = greedy_ones + samples * N
    rows = np.arange(R)  # that are decoded
    state, last = _take(state, rows % max(1, N)), np.full(R, START)
    ended, lengths = np.zeros(R, bool), np.full(R, max_length)
    tokens, log_ps = np.full((R, max_length), PAD), np.zeros((R, max_length))
    for t in range(max_length):
        closed = ended[rows]
        if closed.all():
            break
        if closed.sum() > len(rows) / 4:  # fewer are not worth the copy
            state, last, rows = _take(state, np.flatnonzero(~closed)), last[~closed], rows[~closed]
        log_probs, state = model.step(state, last)  # (rows, V)
        last, own = _explored(log_probs, int(np.searchsorted(rows, greedy_ones)), rng)
        tokens[rows, t], log_ps[rows, t] = last, own
        ends = rows[(last == END) & ~ended[rows]]
        ended[ends], lengths[ends] = True, t + 1
    sentences = [_generated(tokens[r, :T], log_ps[r, :T], None) for r, T in enumerate(lengths.tolist())]
    return sentences[:greedy_ones], sentences[greedy_ones:]


def stream(
    model: Generator,
    inputs: Any,
    *,
    seed: int | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    max_length: int = 40,
    min_length: int = 0,
    prompt: Array | None = None,
    ban: Sequence[int] = (),
) -> Iterator[int]:
    """The tokens of one sentence, each as soon as it is drawn: :func:`sample`'s, or :func:`greedy`'s without a seed.

    Raises:
        UserError: as those two do.
        ValueError: the inputs are not one sentence's, or there are options for sampling without a seed.
    """
    if seed is None and (temperature, top_k, top_p) != (1.0, None, None):
        raise ValueError("temperature, top_k and top_p are for sampling, which needs a seed")
    choose = _Greedy() if seed is None else _Sampler(seed, temperature, top_k, top_p)
    words = _draw(model, inputs, choose, max_length, min_length, prompt, _banned(ban), asked_every=1)
    return (_numbers(word.tokens.item()) for word in words)


def beam_search(
    model: Generator,
    inputs: Any,
    *,
    beam: int = 5,
    length_normalisation: float = 1.0,
    max_length: int | Array = 40,
    min_length: int = 0,
    prompt: Array | None = None,
    ban: Sequence[int] = (),
    no_repeat: int = 0,
    say_unknown: bool = False,
) -> list[Generated]:
    """The best sentence that a beam finds for each input; what :func:`greedy` takes means the same here.

    Each step continues the open hypotheses of an input by every word and keeps the ``beam`` most likely; those that end
    leave the beam (Sutskever et al. 2014). Of the ended ones the best log p / length**length_normalisation is returned;
    one that was cut off only if none ended. Of equals the earlier to end wins, then the better prefix, then the lower
    token. An input is done when none of its open hypotheses can still win, even if it were certain of all that follows.

    Raises:
        UserError: an option is out of range, or the model gives no numbers.
    """
    if not 1 <= beam <= _WIDEST:
        wanted = "1 or more; 1 is greedy decoding" if beam < 1 else f"{_WIDEST:,} or fewer"
        raise UserError(f"--beam {beam}: give {wanted}")
    if not 0 <= length_normalisation <= 10:
        raise UserError(
            f"--length-normalisation {length_normalisation:g}: give 0 to 10; 0 is none, 1 is log p per word"
        )
    _check_no_repeat(no_repeat)
    state, tokens = _begin(model, inputs, max_length, min_length, prompt)
    N, B = len(tokens), beam
    rows, longest = np.arange(N), np.broadcast_to(max_length, N)
    banned = _banned(ban, say_unknown)
    state, tokens = _take(state, np.repeat(rows, B), keep_inputs=True), np.repeat(tokens, B)  # (N B, …)
    if on_gpu(next(_arrays(state))):
        found = decoding.Beam(longest, B, length_normalisation, next(_arrays(state)))
        return _search_on_gpu(model, state, tokens, found, min_length, banned, no_repeat)
    scores = np.full((N, B), -np.inf)  # log p of the open hypotheses; -inf where there is none
    scores[:, 0] = 0
    best, best_at = np.full(N, -np.inf), np.zeros((N, 2), np.int64)  # the best that has ended, and its (step, slot)
    steps: list[_BeamStep] = []
    said = np.empty((N * B, 0), np.int64)  # by each hypothesis
    while (scores > -np.inf).any():
        log_probs, state = model.step(state, tokens)  # (N B, V)
        possible = _without_repeats(log_probs, said, no_repeat)
        allowed = _allowed(possible, _forbidden(len(steps), min_length, banned), min_length)
        V = allowed.shape[1]
        K = min(B, V)  # no hypothesis has more than its B best words among the B best of all
        offered, words_offered = _largest(np.minimum(allowed, 0, out=allowed), K)  # (N B, K)
        scores, found = _largest((scores[..., None] + offered.reshape(N, B, K)).reshape(N, B * K), B)  # (N, B)
        parents, place_offered = np.divmod(found, K)
        words = words_offered.reshape(N, B, K)[rows[:, None], parents, place_offered]
        own = np.reshape(log_probs, (N, B, V))[rows[:, None], parents, words]
        steps.append(_BeamStep(words, own, parents, _alpha(state)))

        ended = words == END
        normalised = np.where(ended, scores / len(steps) ** length_normalisation, -np.inf)
        slot = normalised.argmax(axis=1)
        better = normalised[rows, slot] > best
        best[better] = normalised[better, slot[better]]
        best_at[better] = np.stack([np.full(N, len(steps) - 1), slot], axis=1)[better]
        scores[ended] = -np.inf
        bound = scores.max(axis=1) / longest**length_normalisation  # log p only falls, and the length has an end
        scores[best >= bound] = -np.inf
        cut_off = len(steps) == longest
        for n in np.flatnonzero(cut_off & (best == -np.inf)):  # none ended
            best_at[n] = len(steps) - 1, scores[n].argmax()
        scores[cut_off] = -np.inf
        continued = (rows[:, None] * B + parents).ravel()
        state, tokens = _take(state, continued, keep_inputs=True), words.ravel()
        if no_repeat:
            said = np.concatenate([said[continued], tokens[:, None]], axis=1)
    return [_trace(steps, n, *best_at[n].tolist()) for n in range(N)]


def _search_on_gpu(
    model: Generator,
    state: Any,
    tokens: Array,
    beam: decoding.Beam,
    min_length: int,
    banned: Sequence[int],
    no_repeat: int,
) -> list[Generated]:
    """What :func:`beam_search` does from its first step on, for a model that is on a GPU."""
    steps: list[_BeamStep] = []
    may = _MayOnGpu(min_length, banned, no_repeat, place(np.empty((len(tokens), 0), np.int64), next(_arrays(state))))
    while len(steps) < beam.longest and (len(steps) % _ASKED_EVERY or beam.is_open()):
        log_probs, state = model.step(state, tokens)  # (N B, V)
        said = beam.step(log_probs, may.at(len(steps), log_probs))
        steps.append(_BeamStep(said.tokens, said.log_probs, said.parents, _alpha(state)))
        state, tokens = _take(state, said.rows, keep_inputs=True), said.tokens.ravel()
        may.say(tokens, said.rows)
    best_at, damaged = beam.ended()
    if damaged:
        raise UserError(_NO_NUMBERS)
    if not steps:
        return []  # no rows
    *parts, alphas = _brought(steps)
    looks = [None] * len(steps) if alphas is None else alphas
    steps = [_BeamStep(*step) for step in zip(*parts, looks, strict=True)]
    return [_trace(steps, n, *best_at[n].tolist()) for n in range(beam.N)]


# --- words that are given ----------------------------------------------------------------------------------------


class Reading(NamedTuple):
    """What a model thought of words that it was given, each after the words before it (teacher forcing)."""

    log_probs: Array  # (T, N): log p(y_t | y_1 … y_{t-1}, inputs)
    logit_gradients: Array  # (T, N): ‖∂ log p(y_t) / ∂ logits‖ = ‖onehot(y_t) − p‖
    alphas: Array  # (T, N, …): where it looked; None when it does not look


def read(model: Generator, state: Any, tokens: Array, rows: Array | None = None) -> Reading:
    """Read the words ``tokens`` (T + 1, N), <start> first, from the state that ``model.start`` gave; padding is read as it is.

    ``rows`` (N,): with which row of that state each sentence begins; so one look at a picture serves several sentences.
    """
    state = state if rows is None else _take(state, rows)
    log_probs, gradients, alphas = [], [], []
    for before, word in zip(tokens[:-1], tokens[1:], strict=True):
        scores, state = model.step(state, before)  # (N, V)
        scores = to_host(scores)
        own = scores[np.arange(len(word)), word].astype(np.float64)
        p = np.exp(scores, dtype=np.float64)
        others = np.einsum("nv,nv->n", p, p) - np.exp(2 * own)  # Σ p² of the other words
        log_probs.append(own)
        gradients.append(np.sqrt(np.expm1(own) ** 2 + np.maximum(others, 0)))
        alphas.append(to_host(_alpha(state)))
    looks = alphas and alphas[0] is not None
    return Reading(np.array(log_probs), np.array(gradients), np.stack(alphas) if looks else None)


# --- one word after the other ------------------------------------------------------------------------------------


class _Words(NamedTuple):
    """What was said at one step, in every row."""

    tokens: Array  # (N,)
    log_probs: Array  # (N,)
    alphas: Array  # (N, …), or None


def _draw(
    model: Generator,
    inputs: Any,
    choose: _Greedy | _Sampler,
    max_length: int | Array,
    min_length: int,
    prompt: Array | None,
    banned: Sequence[int],
    no_repeat: int = 0,
    asked_every: int = _ASKED_EVERY,
) -> Iterator[_Words]:
    """Words until every row has ended or is ``max_length`` long; a row that has ended goes on beside the others.

    On a GPU they stay there, and every ``asked_every`` words it is asked whether all have ended.
    """
    _check_no_repeat(no_repeat)
    state, tokens = _begin(model, inputs, max_length, min_length, prompt)  # mistakes show before the first word

    def words_on_gpu() -> Iterator[_Words]:
        nonlocal state, tokens
        like = next(_arrays(state))
        none, lengths = np.zeros(len(tokens), bool), np.broadcast_to(max_length, len(tokens))
        ended, longest, said = place((none, lengths, np.empty((len(tokens), 0), np.int64)), like)
        may = _MayOnGpu(min_length, banned, no_repeat, said)
        for t in range(np.max(max_length, initial=0)):
            if t % asked_every == 0 and bool((ended | (longest <= t)).all()):
                return
            log_probs, state = model.step(state, tokens)
            tokens, own = choose.on_gpu(log_probs, may.at(t, log_probs))
            yield _Words(tokens, own, _alpha(state))
            ended |= tokens == END
            may.say(tokens)

    def words() -> Iterator[_Words]:
        nonlocal state, tokens
        ended = np.zeros(len(tokens), bool)
        said = np.empty((len(tokens), 0), np.int64)
        for t in range(np.max(max_length, initial=0)):
            ended |= max_length <= t
            if ended.all():
                return
            log_probs, state = model.step(state, tokens)
            possible = _without_repeats(log_probs, said, no_repeat)
            tokens = choose(possible, _forbidden(t, min_length, banned), min_length)
            yield _Words(tokens, log_probs[np.arange(len(tokens)), tokens], _alpha(state))
            ended |= tokens == END
            if no_repeat:
                said = np.concatenate([said, tokens[:, None]], axis=1)

    return words_on_gpu() if on_gpu(next(_arrays(state))) else words()


def _begin(
    model: Generator, inputs: Any, max_length: int | Array, min_length: int, prompt: Array | None
) -> tuple[Any, Array]:
    """The state after all of the prompt but its last tokens (N,), and those."""
    shortest = np.min(max_length, initial=_UNENDING)
    if shortest < 1:
        raise UserError(f"--max-length {shortest}: give 1 or more")
    if not 0 <= min_length <= shortest:
        raise UserError(f"--min-length {min_length}: give 0 to {shortest}, the longest that a sentence may be")
    state = model.start(inputs)
    N = next(_arrays(state)).shape[0]
    prompt = np.full((1, N), START) if prompt is None else np.asarray(prompt)
    if prompt.ndim != 2 or prompt.shape[0] < 1 or prompt.shape[1] != N:
        raise ValueError(f"a prompt is one token or more for each of {N} rows, (T, {N}), not {prompt.shape}")
    for tokens in prompt[:-1]:
        _, state = model.step(state, tokens)
    return state, prompt[-1]


def _banned(ban: Sequence[int], say_unknown: bool = False) -> list[int]:
    """The tokens that are not said, wherever it be."""
    return [*(token for token in _NEVER_SAID if token != UNK or not say_unknown), *ban]


def _forbidden(t: int, min_length: int, banned: Sequence[int]) -> list[int]:
    """The tokens that may not be said as number ``t``, from 0."""
    return [*banned, *([END] if t < min_length else [])]


def _check_no_repeat(n: int) -> None:
    if n < 0:
        raise UserError(f"--no-repeat {n}: give 1 or more words in a row, or 0 for any")


def _without_repeats(log_probs: Array, said: Array, n: int) -> Array:
    """The log probabilities (R, V), and -inf where a word would say ``n`` words in a row again that are in ``said`` (R, t)."""
    t = said.shape[1]
    if n == 0 or t < n:
        return log_probs
    possible = log_probs.copy()
    last = said[:, t - n + 1 :]  # (R, n - 1), that the next word follows
    for at in range(t - n + 1):
        again = np.flatnonzero((said[:, at : at + n - 1] == last).all(axis=1))
        possible[again, said[again, at + n - 1]] += -np.inf  # a NaN stays one
    return possible


def _allowed(log_probs: Array, forbidden: Sequence[int], min_length: int) -> Array:
    """The log probabilities (N, V), and -inf where a word may not be said."""
    V = log_probs.shape[1]
    allowed = empty(log_probs.shape, log_probs)
    allowed[...] = log_probs
    allowed[:, forbidden] += -np.inf  # a NaN stays one
    most = allowed.max(axis=1)  # NaN if there is one
    if (most > -np.inf).all():
        return allowed
    if np.isnan(most).any():
        raise UserError(_NO_NUMBERS)
    others = np.setdiff1d(np.arange(V), forbidden)
    if not others.size:
        raise UserError(_NO_WORD.format(min_length))
    stuck = most == -np.inf  # all that may be said has probability 0: then any of it
    allowed[np.ix_(stuck, others)] = _LEAST
    return allowed


@dataclass
class _MayOnGpu:
    """What may be said, as the kernels are told it."""

    min_length: int
    ban: Sequence[int]
    no_repeat: int
    said: Array  # (R, t), if no_repeat
    _never: dict[tuple[int, ...], Array] = field(default_factory=dict)

    def at(self, t: int, log_probs: Array) -> decoding.May:
        """As word number ``t``, from 0."""
        forbidden, V = tuple(_forbidden(t, self.min_length, self.ban)), log_probs.shape[1]
        if forbidden not in self._never:
            if not np.setdiff1d(np.arange(V), forbidden).size:
                raise UserError(_NO_WORD.format(self.min_length))
            self._never[forbidden] = decoding.never(forbidden, V, log_probs)
        return decoding.May(self._never[forbidden], self.said, self.no_repeat)

    def say(self, tokens: Array, rows: Array | None = None) -> None:
        """Remember what was said, by what were these ``rows`` before."""
        if self.no_repeat:
            before = self.said if rows is None else self.said[rows]
            self.said = np.concatenate([before, tokens[:, None]], axis=1)


def _numbers(tokens: Any) -> Any:
    """The tokens, which say by one below 0 that a score on the GPU was no number."""
    if np.any(np.less(tokens, 0)):
        raise UserError(_NO_NUMBERS)
    return tokens


class _Greedy:
    """Takes the most likely words (N,) of log probabilities (N, V)."""

    def __call__(self, log_probs: Array, forbidden: Sequence[int], min_length: int) -> Array:
        return _argmax(log_probs, forbidden, min_length)

    def on_gpu(self, log_probs: Array, may: decoding.May) -> tuple[Array, Array]:
        return decoding.most_likely(log_probs, may)


def _argmax(log_probs: Array, forbidden: Sequence[int], min_length: int) -> Array:
    """The most likely words (N,) that may be said. Mostly they are the most likely of all, which no copy is needed for."""
    tokens = log_probs.argmax(axis=1)  # a NaN, if there is one
    for n, token in enumerate(tokens.tolist()):
        if token in forbidden or not log_probs[n, token] > -np.inf:
            return _allowed(log_probs, forbidden, min_length).argmax(axis=1)
    return tokens


def _explored(log_probs: Array, greedy: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """The most likely words of the first ``greedy`` rows (R, V), those drawn of the others, and their log probabilities."""
    if on_gpu(log_probs):
        draws, V = place(_above_zero(rng, len(log_probs) - greedy), log_probs), log_probs.shape[1]
        best = decoding.most_likely(log_probs[:greedy], decoding.May(decoding.never(_NEVER_SAID, V, log_probs)))
        drawn = decoding.draw(log_probs[greedy:], decoding.never((), V, log_probs), draws, by_score=False)
        tokens, own = to_host(tuple(np.concatenate(pair) for pair in zip(best, drawn, strict=True)))
        return _numbers(tokens), own
    best = _argmax(log_probs[:greedy], _NEVER_SAID, 0)
    tokens = np.concatenate([best, _drawn(log_probs[greedy:], rng)])
    return tokens, log_probs[np.arange(len(tokens)), tokens]


def _above_zero(rng: np.random.Generator, n: int) -> Array:
    """n numbers between 0 and 1: above 0, so that no word of probability 0 is drawn; 1 at most."""
    return 1 - rng.random(n)


def _drawn(log_probs: Array, rng: np.random.Generator) -> Array:
    """Words (N,) drawn from log probabilities (N, V): the inverse of the cumulative distribution."""
    reached = np.exp(log_probs, dtype=np.float64).cumsum(axis=1)
    if not np.isfinite(reached[:, -1]).all():
        raise UserError(_NO_NUMBERS)
    u = _above_zero(rng, len(reached))[:, None]
    return (reached >= u * reached[:, -1:]).argmax(axis=1)


@dataclass
class _Sampler:
    """Samples words (N,) from log probabilities (N, V)."""

    seed: int
    temperature: float
    top_k: int | None
    top_p: float | None
    _generators: list[np.random.Generator] = field(default_factory=list)  # one for each row
    _ahead: list[Array] = field(default_factory=list)  # on a GPU, the draws (N,) of the next words

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UserError(f"--seed {self.seed}: give 0 or more")
        if not 0 < self.temperature < math.inf:
            remedy = "it must be above 0 and finite; --greedy takes the most likely word each time"
            raise UserError(f"--temperature {self.temperature:g}: {remedy}")
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"--top-k {self.top_k}: give 1 or more")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UserError(f"--top-p {self.top_p:g}: give a number above 0, and 1 at most")

    def __call__(self, log_probs: Array, forbidden: Sequence[int], min_length: int) -> Array:
        allowed = _allowed(log_probs, forbidden, min_length)
        N = self._begin(allowed)
        order, p = self._kept(allowed.astype(np.float64))
        reached = p.cumsum(axis=1)
        u = np.array([generator.random() for generator in self._generators])[:, None]
        place = (reached <= u * reached[:, -1:]).sum(axis=1)  # the inverse of the cumulative distribution
        place = np.minimum(place, np.count_nonzero(p, axis=1) - 1)  # u just below 1 may round up
        return order[np.arange(N), place]

    def on_gpu(self, log_probs: Array, may: decoding.May) -> tuple[Array, Array]:
        """The same draws as on the host, a few words of them at a time."""
        N = self._begin(log_probs)
        if not self._ahead:
            draws = np.empty((_ASKED_EVERY, N))
            for n, generator in enumerate(self._generators):
                draws[:, n] = generator.random(_ASKED_EVERY)
            self._ahead = list(place(draws, log_probs))
        how: dict[str, Any] = {"temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p}
        return decoding.draw(log_probs, may.never, self._ahead.pop(0), **how)

    def _begin(self, log_probs: Array) -> int:
        """How many rows there are."""
        N, V = log_probs.shape
        if self.top_k is not None and self.top_k > V:
            raise UserError(f"--top-k {self.top_k}: the vocabulary has {V} words; give 1 to {V}")
        self._generators = self._generators or [np.random.default_rng([self.seed, n]) for n in range(N)]
        return N

    def _kept(self, allowed: Array) -> tuple[Array, Array]:
        """The tokens (N, V), most likely first, and the weight of each: 0 for those that are not kept."""
        order = np.argsort(-allowed, axis=1, kind="stable")  # of equals the lower token first
        ordered = np.take_along_axis(allowed, order, axis=1)
        with np.errstate(over="ignore"):  # a small temperature makes -inf of what is less likely
            p = np.exp((ordered - ordered[:, :1]) / self.temperature)
        if self.top_k is not None:
            p[:, self.top_k :] = 0
        if self.top_p is not None:
            reached = p.cumsum(axis=1)
            before = reached[:, :-1]  # the likelier ones' weight: a word stays while theirs is not enough
            p[:, 1:][before >= self.top_p * reached[:, -1:]] = 0
        return order, p


def _collect(words: Iterable[_Words], max_length: int | Array) -> list[Generated]:
    """The sentences of the rows, each up to its end."""
    steps = list(words)
    if not steps:
        return []  # no rows
    tokens, log_probs, alphas = _brought(steps, axis=1)  # (N, T), (N, T), (N, T, …)
    ends = [int((row == END).argmax()) + 1 if END in row else row.size for row in tokens]
    lengths = np.minimum(ends, max_length).tolist()
    return [
        _generated(_numbers(tokens[n, :T]), log_probs[n, :T], None if alphas is None else alphas[n, :T])
        for n, T in enumerate(lengths)
    ]


def _brought(steps: Sequence[tuple], axis: int = 0) -> tuple:
    """The parts of all steps, each stacked along ``axis``, on the host; None where they are."""
    return to_host(
        tuple(None if parts[0] is None else np.stack(parts, axis=axis) for parts in zip(*steps, strict=True))
    )


def _generated(tokens: Array, log_probs: Array, alphas: Array | None) -> Generated:
    log_probs = log_probs.astype(np.float64)
    return Generated(tokens, np.exp(log_probs), alphas, float(log_probs.sum()))


# --- hypotheses --------------------------------------------------------------------------------------------------


class _BeamStep(NamedTuple):
    """One step of all hypotheses: what each said, and the slot of the hypothesis that it continues."""

    tokens: Array  # (N, B)
    log_probs: Array  # (N, B)
    parents: Array  # (N, B)
    alphas: Array  # (N B, …), by the parents' slots, or None


def _largest(values: Array, k: int) -> tuple[Array, Array]:
    """The k largest of each row of values (N, M), which are used up: largest first, of equals the first. (N, k) each."""
    rows = np.arange(len(values))
    where = np.empty((len(values), k), np.int64)
    largest = np.empty((len(values), k))
    for i in range(k):
        where[:, i] = values.argmax(axis=1)
        largest[:, i] = values[rows, where[:, i]]
        values[rows, where[:, i]] = -np.inf
    return largest, where


def _trace(steps: list[_BeamStep], n: int, last: int, slot: int) -> Generated:
    """The hypothesis of input ``n`` that stands in ``slot`` at the step ``last``, from its last word back to its first."""
    tokens, log_probs, alphas = [], [], []
    for step in reversed(steps[: last + 1]):
        parent = step.parents[n, slot]
        tokens.append(step.tokens[n, slot])
        log_probs.append(step.log_probs[n, slot])
        if step.alphas is not None:
            alphas.append(step.alphas[n * step.tokens.shape[1] + parent])
        slot = parent
    return _generated(np.array(tokens[::-1]), np.array(log_probs[::-1]), np.stack(alphas[::-1]) if alphas else None)


# --- states ------------------------------------------------------------------------------------------------------


def _alpha(state: Any) -> Array:
    return getattr(state, "alpha", None)


def _arrays(state: Any) -> Iterator[Array]:
    """The arrays of a state that have a row for every sentence, however nested."""
    if isinstance(state, tuple):
        for part in state:
            yield from _arrays(part)
    elif state is not None and not isinstance(state, dict):
        yield state


def _take(state: Any, rows: Array, keep_inputs: bool = False) -> Any:
    """The state of ``rows``, in their order. With ``keep_inputs`` what the state names in ``of_inputs`` stays as it is."""
    if isinstance(state, tuple):
        stay = getattr(state, "of_inputs", ()) if keep_inputs else ()
        names = getattr(state, "_fields", (None,) * len(state))
        parts = [
            part if name in stay else _take(part, rows, keep_inputs) for name, part in zip(names, state, strict=True)
        ]
        return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    return state if state is None or isinstance(state, dict) else state[place(rows, state)]

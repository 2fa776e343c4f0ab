"""What a decoder is told about its source: the context z_t of each step, in five ways, and the first state.

    "state"     no z; one vector v is all the decoder gets, as its first state: h_0, c_0 = tanh(W v + b)
    "shortcut"  z_t = v: the vector is joined at every step
    "uniform"   z_t = Σ_l x_l / L: attention that cannot move
    "additive"  z_t = Σ_l α_l x_l, α = softmax(e), e_l = v · tanh(W_x x_l + W_h h_{t-1} + b)     (Bahdanau et al. 2015)
    "dot"       the same with e_l = x_l · W h_{t-1}                                              (Luong et al. 2015)

The query is h_{t-1}, the state before y_{t-1} is read; or, with ``query="current"``, the state after it, and the cell is given
the context of the step before (Luong et al. 2015, "input feeding"; z_0 = 0):

    h_t = cell(h_{t-1}, [W_emb y_{t-1}, z_{t-1}]),  z_t = attention(x, h_t)

What is named by several words is then looked for by all that are said of it: after "a small red", by small and by red.

Three things of Xu et al. 2015 are there to be asked for, where there are regions:

    gate               z_t = β_t Σ_l α_l x_l,  β_t = σ(w_β · h_{t-1} + b_β): how much the decoder cares about the picture now
    init_state "mean"  h_0, c_0 = tanh(W x̄ + b), x̄ the mean of the regions; else they are 0
    hard               in training, regions are drawn (:mod:`scratchlv.models.hard_attention`)

Shapes: N sentences, T steps, L regions (of a picture, or words of a source sentence) of D numbers, A wide attention,
H wide state, E wide embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array, add, as_contiguous, empty
from scratchlv.models.hard_attention import HardAttention
from scratchlv.models.recurrent import LayerState, layer_backward, layer_forward, zero_state
from scratchlv.models.scheduled_sampling import CHOICES
from scratchlv.ops import additive_attention, attention_lstm, dot_product_attention, linear, sigmoid

INIT_STATES = ("zero", "mean")
CONTEXTS = ("state", "shortcut", "uniform", "additive", "dot")
ATTENDING = ("additive", "dot")
QUERIES = ("previous", "current")  # h_{t-1}, which has not read y_{t-1} yet; or h_t, which has
VECTOR = ("state", "shortcut")  # these are given one vector (N, D), the others regions (N, L, D)


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """The context of a decoder, and its widths; ``source`` is D."""

    context: str
    vocabulary: int
    source: int
    embedding: int = 64
    hidden: int = 128
    attention: int = 128
    cell: str = "lstm"
    dropout: float = 0.0  # of the deep output
    input_dropout: float = 0.0  # of the word before
    tied: bool = False  # W_o = W_embᵀ: the output's weights are the embedding's
    copy: bool = False  # words may be copied from the source, see models.copying
    coverage: float = 0.0  # the weight of its coverage loss, in training
    label_smoothing: float = 0.0  # of the loss in training
    query: str = QUERIES[0]  # the state that asks where to look
    sharpening: float = 1.0  # of additive attention when it says something; training knows nothing of it
    gate: bool = False  # of a context that attends
    init_state: str = INIT_STATES[0]  # of a decoder of regions
    doubly_stochastic: float = 0.0  # λ of the penalty, in training
    hard: HardAttention | None = None  # regions are drawn, in training
    own_words: str = CHOICES[0]  # how they are chosen in scheduled sampling

    def __post_init__(self) -> None:
        for what, given, there in (("context", self.context, CONTEXTS), ("query", self.query, QUERIES)):
            if given not in there:
                raise ValueError(f"there is no {what} {given!r}; there are {', '.join(there)}")
        if self.init_state not in INIT_STATES or self.own_words not in CHOICES:
            raise ValueError(f"init_state is one of {', '.join(INIT_STATES)}, own_words of {', '.join(CHOICES)}")
        if self.init_state != INIT_STATES[0] and self.context in VECTOR:
            raise ValueError(f"a decoder with the context {self.context!r} has no regions to begin with the mean of")
        looks = self.context in ATTENDING and self.cell == "lstm"
        if (self.gate or self.doubly_stochastic or self.hard) and not looks:
            raise ValueError("a gate, the doubly stochastic penalty and hard attention are of an LSTM that attends")
        if self.copy and not (looks and self.hard is None):
            raise ValueError("words are copied by an LSTM with soft attention")
        if self.copy and self.label_smoothing or self.coverage and not self.copy:
            raise ValueError("a decoder that copies smooths no labels, and coverage is of one that copies")
        if self.hard and self.doubly_stochastic:
            raise ValueError("the doubly stochastic penalty is of soft attention, not of hard")


class Source(NamedTuple):
    """What the decoder looks at: a vector (N, D), or regions (N, L, D) of which ``mask`` (N, L) says which there are."""

    x: Array
    keys: Array | None = None  # (N, L, A): W_x x + b, for "additive"
    mask: Array | None = None


# --- the first state ---------------------------------------------------------------------------------------------


class InitStateCache(NamedTuple):
    linear: Any
    state: Array  # (N, states · H), after tanh
    alpha: Array | None  # (N, L): what the regions had a part of in their mean; None of a vector


def init_state(
    p: dict, config: DecoderConfig, source: Source, need_dx: bool, train: bool
) -> tuple[LayerState, InitStateCache | None]:
    """Zero; or tanh(W v + b), where the first state is all that the decoder gets, or v is the mean of the regions."""
    zero = zero_state(config.cell, source.x.shape[0], config.hidden, source.x)
    if config.context != "state" and config.init_state == "zero":
        return zero, None
    v, alpha = source.x, None
    if config.context != "state":
        v, alpha = mean_of_regions(source)  # (N, D)
    a, cache = linear.forward(v, p["init_state.W"], p["init_state.b"], need_dx=need_dx, train=train)  # (N, states · H)
    state = np.tanh(a)
    parts = tuple(as_contiguous(part) for part in np.split(state, len(zero), axis=1))
    return parts, InitStateCache(cache, state, alpha) if train else None


def init_state_backward(dstate: LayerState, cache: InitStateCache) -> tuple[Array | None, dict[str, Array]]:
    """The gradient of the source, None where that is data, and the weights' by name."""
    da = np.concatenate(dstate, axis=1) * (1 - cache.state**2)
    dv, dW, db = linear.backward(da, cache.linear)
    return constant_context_backward(dv, cache.alpha), {"init_state.W": dW, "init_state.b": db}


# --- a context that does not move ----------------------------------------------------------------------------------


def constant_context(config: DecoderConfig, source: Source) -> tuple[Array | None, Any]:
    """z (N, D) for every step: nothing, the vector, or the mean of the regions."""
    if config.context == "state":
        return None, None
    if config.context == "shortcut":
        return source.x, None
    return mean_of_regions(source)


def constant_context_backward(dz: Array | None, alpha: Array | None) -> Array | None:
    if alpha is None or dz is None:
        return dz
    dx = empty((*alpha.shape, dz.shape[1]), dz)
    return np.multiply(alpha[:, :, None], dz[:, None], out=dx)


def mean_of_regions(source: Source) -> tuple[Array, Array]:
    """The mean (N, D) of the regions that there are, and each one's part in it (N, L)."""
    alpha = uniform_attention(source.x, source.mask)
    return (alpha[:, None] @ source.x)[:, 0], alpha


def uniform_attention(x: Array, mask: Array | None) -> Array:
    """α = 1/L over the regions that exist, (N, L); 0 where there are none."""
    there = np.ones_like(x, shape=x.shape[:2]) if mask is None else mask.astype(x.dtype)
    return there / np.maximum(there.sum(axis=1, keepdims=True), 1)


def join(words: Array, z: Array | None) -> Array:
    """[W_emb y, z] (T, N, E + D), with the same z (N, D) at every step."""
    if z is None:
        return words
    T, N, E = words.shape
    joined = empty((T, N, E + z.shape[1]), words)
    joined[:, :, :E], joined[:, :, E:] = words, z
    return joined


# --- attention -----------------------------------------------------------------------------------------------------


def attention_keys(p: dict, config: DecoderConfig, x: Array, need_dx: bool, train: bool) -> tuple[Array | None, Any]:
    """W_x x + b (N, L, A), the part of the additive score that is the same at every step."""
    if config.context != "additive":
        return None, None
    return linear.forward(x, p["attention.Wx"], p["attention.b"], need_dx=need_dx, train=train)


def attend(p: dict, config: DecoderConfig, source: Source, h: Array, train: bool) -> tuple[Array, Array, Any]:
    """z (N, D) and α (N, L) for the state ``h`` (N, H); of N B states, B look at each source, one after the other."""
    x, keys, mask = source
    if config.context == "dot":
        query, query_cache = h, None
        (z, alpha), cache = dot_product_attention.forward(x, x, _by_source(h, x), p["attention.W"], mask, train=train)
    else:
        query, query_cache = linear.forward(h, p["attention.Wh"], train=train)  # (N, A)
        (z, alpha), cache = additive_attention.forward(
            x, keys, _by_source(query, x), p["attention.v"], mask, train=train
        )
    z, alpha = z.reshape(len(query), -1), alpha.reshape(len(query), -1)
    return z, alpha, cache if config.context == "dot" else (query_cache, cache)


def _by_source(query: Array, x: Array) -> Array:
    """Queries as attention takes them: one for each source (N, A), or several (N, B, A)."""
    return query if len(query) == len(x) else query.reshape(len(x), -1, query.shape[1])


def for_each(z: Array | None, n: int) -> Array | None:
    """What is made of N sources, for each of n = N B states."""
    return z if z is None or len(z) == n else np.repeat(z, n // len(z), axis=0)


def _attend_backward(
    config: DecoderConfig, dz: Array, cache: Any
) -> tuple[Array, Array | None, Array, dict[str, Array]]:
    """``dx``, ``dkeys`` (None when the regions are their own keys), ``dh`` and the weights' gradients."""
    if config.context == "dot":
        dx, dkeys, dh, dW = dot_product_attention.backward((dz, None), cache)
        return add(dx, dkeys), None, dh, {"attention.W": dW}
    query_cache, attention_cache = cache
    dx, dkeys, dquery, dv = additive_attention.backward((dz, None), attention_cache)
    dh, dWh, _ = linear.backward(dquery, query_cache)
    return dx, dkeys, dh, {"attention.v": dv, "attention.Wh": dWh}


def gated(p: dict, config: DecoderConfig, z: Array, h: Array) -> Array:
    """β z (N, D), as a decoder that speaks has it: β = σ(w · h + b) of the state before, (N, H)."""
    if not config.gate:
        return z
    beta, _ = sigmoid.forward(h @ p["gate.W"] + p["gate.b"], train=False)  # (N,)
    return beta[:, None] * z


class Run(NamedTuple):
    """What the decoder did while it looked: of all steps, and the cache."""

    h: Array  # (T, N, H)
    z: Array  # (T, N, D)
    alpha: Array | None  # (T, N, L); None of cells that look step by step
    looked: Array | None  # (T, N, L): α, or one-hot where a region was drawn
    cache: Any


def attend_through(
    p: dict,
    config: DecoderConfig,
    source: Source,
    words: Array,
    state: LayerState,
    draws: Array | None,
    need_dx: bool,
    train: bool,
) -> Run:
    """Look and run the cell, step by step; ``draws`` (T, N) draw regions, as the room attention_lstm has it."""
    if config.query == "previous":
        return _look_then_read(p, config, source, words, state, draws, need_dx, train)
    joined = join(words[:1], no_context(source.x))
    first, state, read = layer_forward(p, "decoder", config.cell, joined, state, train=train)  # (1, N, H), h_1
    # from here on it is the same loop, which looks with h_t and reads the next word into h_{t+1}: the last has none to read
    following = np.zeros_like(words)
    following[:-1] = words[1:]
    run = _look_then_read(p, config, source, following, state, draws, need_dx, train)
    return run._replace(h=np.concatenate([first, run.h[:-1]]), cache=(read, run.cache))


def attend_through_backward(
    config: DecoderConfig, dhs: Array, dzs: Array, dalphas: Array | None, cache: Any
) -> tuple[Array | None, Array | None, Array, LayerState, dict[str, Array]]:
    """``dx``, ``dkeys`` (None when the regions are their own keys), ``dwords`` (T, N, E), the first state's and the weights'."""
    if config.query == "previous":
        return _look_then_read_backward(config, dhs, dzs, dalphas, cache)
    read, run = cache
    dlater = np.zeros_like(dhs)
    dlater[:-1] = dhs[1:]
    dx, dkeys, dfollowing, dstate, grads = _look_then_read_backward(config, dlater, dzs, dalphas, run)
    djoined, dstate, of_first = layer_backward(dhs[:1], dstate, read)
    for name, d in of_first.items():
        grads[name] += d  # the same cell read the first word
    dwords = np.concatenate([djoined[:, :, : config.embedding], dfollowing[:-1]])
    return dx, dkeys, dwords, dstate, grads


def no_context(x: Array) -> Array:
    """z_0 = 0 (N, D): nothing was looked at yet."""
    return np.zeros_like(x, shape=(x.shape[0], x.shape[-1]))


def _look_then_read(
    p: dict,
    config: DecoderConfig,
    source: Source,
    words: Array,
    state: LayerState,
    draws: Array | None,
    need_dx: bool,
    train: bool,
) -> Run:
    """z_t from h_{t-1}, then the cell on [W_emb y_{t-1}, z_t]."""
    if config.cell != "lstm":
        hs, zs, steps = _attend_step_by_step(p, config, source, words, state, train)
        return Run(hs, zs, None, None, steps)
    x, keys, mask = source
    cell = p["decoder.Wx"], p["decoder.Wh"], p["decoder.b"]
    if config.context == "dot":  # the regions are their own keys
        score: tuple = x, *state, p["attention.W"], None
    else:
        score = keys, *state, p["attention.Wh"], p["attention.v"]
    gate = p.get("gate.W"), p.get("gate.b")
    (hs, zs, alphas), cache = attention_lstm.forward(
        words, x, *score, *cell, mask, *gate, draws, need_dx=need_dx, train=train
    )
    return Run(hs, zs, alphas, cache.looked if train and draws is not None else None, cache)


def _look_then_read_backward(
    config: DecoderConfig, dhs: Array, dzs: Array, dalphas: Array | None, cache: Any
) -> tuple[Array | None, Array | None, Array, LayerState, dict[str, Array]]:
    if config.cell != "lstm":
        return _attend_step_by_step_backward(config, dhs, dzs, cache)
    grads = attention_lstm.backward((dhs, dzs, dalphas), cache)
    g = {"decoder.Wx": grads.dWx, "decoder.Wh": grads.dWh, "decoder.b": grads.db}
    if config.gate:
        g |= {"gate.W": grads.dWg, "gate.b": grads.dbg}
    dstate = grads.dh0, grads.dc0
    if config.context == "dot":
        return add(grads.dx, grads.dkeys), None, grads.dwords, dstate, g | {"attention.W": grads.dWq}
    return grads.dx, grads.dkeys, grads.dwords, dstate, g | {"attention.Wh": grads.dWq, "attention.v": grads.dv}


def _attend_step_by_step(
    p: dict, config: DecoderConfig, source: Source, words: Array, state: LayerState, train: bool
) -> tuple[Array, Array, list]:
    """The same for any cell, with a cache for each step."""
    hs, zs, steps = [], [], []
    for word in words:
        z, _, attention = attend(p, config, source, state[0], train)
        h, state, cell = layer_forward(p, "decoder", config.cell, join(word[None], z), state, train=train)
        hs.append(h[0])
        zs.append(z)
        steps.append((attention, cell))
    return np.stack(hs), np.stack(zs), steps


def _attend_step_by_step_backward(
    config: DecoderConfig, dhs: Array, dzs: Array, steps: list
) -> tuple[Array, Array | None, Array, LayerState, dict[str, Array]]:
    """The same weights at every step: their gradients add up."""
    E = config.embedding
    dwords = np.empty_like(dhs, shape=(*dhs.shape[:2], E))
    g: dict[str, Array] = {}
    dx = dkeys = None
    dstate: LayerState | None = None  # from the step after
    for t in reversed(range(len(steps))):
        attention, cell = steps[t]
        djoined, dstate, cell_grads = layer_backward(dhs[t][None], dstate, cell)
        dwords[t] = djoined[0, :, :E]
        dx_t, dkeys_t, dh, attention_grads = _attend_backward(config, dzs[t] + djoined[0, :, E:], attention)
        dstate = (dstate[0] + dh, *dstate[1:])  # h was used by the cell, and to look
        dx = add(dx, dx_t)
        dkeys = add(dkeys, dkeys_t)
        for name, d in {**cell_grads, **attention_grads}.items():
            g[name] = add(g.get(name), d)
    assert dstate is not None  # there is a step
    return dx, dkeys, dwords, dstate, g

"""The decoder of every model that says something about something: pictures for the captioner, sentences for the translator.

The word before is y_{t-1}; what the model is told about its source, at step t, is z_t:

    h_t = cell(h_{t-1}, [W_emb y_{t-1}, z_t])
    ŷ_t = softmax(W_o (W_emb y_{t-1} + W_h h_t + W_z z_t) + b_o)            the deep output (Pascanu et al. 2014)

Models differ in how z_t is made, and in nothing else: :mod:`scratchlv.models.context` has the five ways.

In training the word before is the true one (teacher forcing), or now and then the model's own
(:mod:`scratchlv.models.scheduled_sampling`). The loss is the mean over words of -log ŷ_t[y_t]; of the attention there may be more
(:mod:`scratchlv.models.doubly_stochastic`, :mod:`scratchlv.models.hard_attention`). Where the regions are words, they may be
copied (:mod:`scratchlv.models.copying`).

Shapes: N sentences, T steps, L regions (of a picture, or words of a source sentence) of D numbers, A wide attention,
H wide state, E wide embedding, V words.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array, add
from scratchlv.device import place
from scratchlv.initialisers import normal, uniform
from scratchlv.models import copying, doubly_stochastic, hard_attention, word_loss
from scratchlv.models.context import (
    ATTENDING,
    VECTOR,
    DecoderConfig,
    Source,
    attend,
    attend_through,
    attend_through_backward,
    attention_keys,
    constant_context,
    constant_context_backward,
    for_each,
    gated,
    init_state,
    init_state_backward,
    join,
    no_context,
)
from scratchlv.models.inference import decoding_params
from scratchlv.models.recurrent import LayerState, init_layer, layer_backward, layer_forward
from scratchlv.models.scheduled_sampling import words_before
from scratchlv.ops import dropout, embedding, linear, log_softmax, pack
from scratchlv.parallel.shares import WHOLE, Part, Ready, nobody_waits

BASELINE = "hard_attention.baseline"  #: its name among the buffers

_OF_WORDS = 1  # beside a batch's seed, that of the dropout of words


class DecoderState(NamedTuple):
    """What the decoder knows between two words; ``alpha`` is where it looked for the last one, if it can look.

    There may be several states to a source, as in a beam: N B of them to N sources, those of a source one after the other.
    """

    x: Array  # (N, D) or (N, L, D)
    keys: Array | None
    mask: Array | None
    layer: LayerState
    alpha: Array | None  # (N, L)
    z: Array | None  # (N, D), what it saw there, where the cell has yet to read it
    copied_from: Array | None  # (N, L), of a decoder that copies: the words of the source, by the extended vocabulary
    params: dict[str, Array]  # as they serve many steps

    @property
    def of_inputs(self) -> tuple[str, ...]:
        """The fields that are the same for all that is said of an input."""
        return "x", "keys", "mask", "copied_from"


class Cache(NamedTuple):
    need_dx: bool
    init_state: Any
    keys: Any
    words: Any
    dropped_words: Any
    context: Any  # of the whole sequence at once, or of each step
    run: Any
    from_h: Any
    from_z: Any
    dropped: Any
    logits: Any
    gate: Any  # of a decoder that copies
    loss: Any
    attention_loss: Any


def init(rng: np.random.Generator, config: DecoderConfig) -> dict[str, Array]:
    """The parameters, by name."""
    V, D, E, H, A = config.vocabulary, config.source, config.embedding, config.hidden, config.attention
    p: dict[str, Array] = {"embedding.W": normal(rng, V, E, scale=0.1)}
    if config.context == "additive":
        p["attention.Wx"] = uniform(rng, D, A)
        p["attention.b"] = np.zeros(A, np.float32)
        p["attention.Wh"] = uniform(rng, H, A)
        p["attention.v"] = normal(rng, A, scale=A**-0.5)
    elif config.context == "dot":
        p["attention.W"] = uniform(rng, H, D)
    if config.context == "state" or config.init_state == "mean":
        width = H * (2 if config.cell == "lstm" else 1)
        p["init_state.W"], p["init_state.b"] = uniform(rng, D, width), np.zeros(width, np.float32)
    if config.gate:
        p["gate.W"], p["gate.b"] = normal(rng, H, scale=H**-0.5), np.zeros(1, np.float32)
    input_size = E if config.context == "state" else E + D
    p.update(init_layer(rng, "decoder", config.cell, input_size, H))
    p["output.Wh"] = uniform(rng, H, E)
    if config.context != "state":
        p["output.Wz"] = uniform(rng, D, E)
    if not config.tied:
        p["output.Wo"] = uniform(rng, E, V)
    p["output.b"] = np.zeros(V, np.float32)
    if config.copy:
        p.update(copying.init_gate(rng, H, D, E))
    return p


def output_weights(p: dict) -> Array:
    """W_o (E, V); where it is tied, that of the embedding, transposed."""
    return p["output.Wo"] if "output.Wo" in p else p["embedding.W"].T


def init_buffers(config: DecoderConfig) -> dict[str, Array]:
    """What is learned without a gradient: the baseline of hard attention, the loss of a word that a model knows nothing of."""
    return {} if config.hard is None else {BASELINE: np.full(1, np.log(config.vocabulary), np.float32)}


# --- training ----------------------------------------------------------------------------------------------------


def forward(
    p: dict,
    config: DecoderConfig,
    x: Array,
    tokens: Array,
    lengths: Array,
    *,
    mask: Array | None = None,
    copied_from: Array | None = None,
    word_weights: Array | None = None,
    scheduled_sampling: float = 0.0,
    baseline: Array | None = None,
    dropout_seed: int = 0,
    part: Part = WHOLE,
    need_dx: bool = True,
    train: bool = True,
) -> tuple[Any, Cache]:
    """Mean loss per word, in nats, and the cache that ``backward`` takes.

    ``x`` is the source: a vector (N, D), or regions (N, L, D) of which ``mask`` (N, L) says which exist. ``tokens`` (T + 1, N):
    <start>, the words, <end>, padding; ``lengths`` (N,): how many of the T predictions count. A decoder that copies is given
    what words its regions are, ``copied_from`` (N, L), by the extended vocabulary, as the ``tokens`` are. ``word_weights``,
    (T, N) or (N,), multiply the losses of the words (:mod:`scratchlv.models.word_loss`). With the probability
    ``scheduled_sampling`` a word before is the model's own, in training. ``baseline`` (1,) is hard attention's, and is moved.
    ``need_dx=False`` says that nobody wants the gradient of the source. Of a ``part`` of a batch the loss is its share of the
    batch's.
    """
    if config.copy and word_weights is not None:
        raise ValueError("a decoder that copies has no word_weights: a reward is for what was generated")
    T = tokens.shape[0] - 1
    counts = np.arange(T, like=lengths)[:, None] < lengths  # (T, N): padding does not count
    keys, keys_cache = attention_keys(p, config, x, need_dx, train)
    source = Source(x, keys, mask)
    state, init_state_cache = init_state(p, config, source, need_dx, train)
    before = tokens[:-1]
    if train and scheduled_sampling > 0:
        begun = DecoderState(*source, state, None, _nothing_seen(config, x), copied_from, decoding_params(p, {}))
        before = words_before(
            begun,
            partial(step, config),
            tokens,
            lengths,
            scheduled_sampling,
            config.own_words,
            dropout_seed,
            part.window,
        )
    if config.copy:
        before = copying.known(before, config.vocabulary)
    words, words_cache = embedding.forward(before, p["embedding.W"], train=train)  # (T, N, E): W_emb y_{t-1}
    dropping = train and config.input_dropout > 0
    words, dropped_words = dropout.forward(
        words, p=config.input_dropout, seed=(dropout_seed, _OF_WORDS), window=part.window, train=dropping
    )
    context = draws = None
    hard = config.hard if train else None
    if config.context in ATTENDING:
        if hard is not None:
            T, N = before.shape
            draws = place(hard_attention.draw(hard, dropout_seed, T, N, part.window), x)
        run = attend_through(p, config, source, words, state, draws, need_dx, train)
        hs, z, run_cache = run.h, run.z, run.cache  # z (T, N, D)
    else:
        z, context = constant_context(config, source)  # (N, D)
        hs, _, run_cache = layer_forward(p, "decoder", config.cell, join(words, z), state, train=train)

    deep, from_h = linear.forward(hs, p["output.Wh"], train=train)  # (T, N, E)
    deep += words
    from_z = None
    if z is not None:
        deep_from_z, from_z = linear.forward(z, p["output.Wz"], train=train)
        deep += deep_from_z
    dropping = train and config.dropout > 0
    deep, dropped = dropout.forward(deep, p=config.dropout, seed=dropout_seed, window=part.window, train=dropping)
    logits, logits_cache = linear.forward(deep, output_weights(p), p["output.b"], train=train)  # (T, N, V)
    gate_cache: Any = None
    loss_cache: Any
    if config.copy:
        gate, gate_cache = copying.gate(p, hs, z, words)
        loss, loss_cache = copying.forward(
            logits, gate, run.alpha, copied_from, tokens[1:], counts, share=part.share, train=train
        )
    else:
        loss, loss_cache = word_loss.forward(
            logits,
            tokens[1:],
            counts,
            word_weights=word_weights,
            each=hard is not None,
            label_smoothing=config.label_smoothing if train else 0.0,
            share=part.share,
            train=train,
        )
    attention_cache = None
    if hard is not None:
        of_draws, attention_cache = hard_attention.forward(
            hard, run, draws, loss_cache.losses, counts, baseline, part.share
        )
        loss = loss + of_draws
    elif train and config.doubly_stochastic > 0:
        penalty, attention_cache = doubly_stochastic.forward(
            run.alpha, counts, mask, config.doubly_stochastic * part.share
        )
        loss = loss + penalty
    elif train and config.coverage > 0:
        of_coverage, attention_cache = copying.coverage_loss(run.alpha, counts, config.coverage * part.share)
        loss = loss + of_coverage
    cache = Cache(
        need_dx,
        init_state_cache,
        keys_cache,
        words_cache,
        dropped_words,
        context,
        run_cache,
        from_h,
        from_z,
        dropped,
        logits_cache,
        gate_cache,
        loss_cache,
        attention_cache,
    )
    return loss, cache


def backward(
    p: dict, config: DecoderConfig, cache: Cache, ready: Ready = nobody_waits
) -> tuple[Array | None, dict[str, Array]]:
    """``dx``, the gradient of the source, and the weights' by name: the lines of ``forward``, from the last to the first.

    ``dx`` is None where the source was data. ``ready`` is told of gradients when they are final, but not of the
    embedding's, which others may use as well.
    """
    g: dict[str, Array] = {}
    dalphas = None  # (T, N, L)
    if config.coverage > 0:
        dalphas = copying.coverage_loss_backward(cache.attention_loss)
    elif cache.attention_loss is not None:
        of_attention = doubly_stochastic if config.hard is None else hard_attention
        dalphas = of_attention.backward(cache.attention_loss)
    if config.copy:
        dlogits, dgate, dcopied = copying.backward(cache.loss)
        dalphas = add(dcopied, dalphas)
    else:
        dlogits = word_loss.backward(cache.loss)
    ddeep, dWo, g["output.b"] = linear.backward(dlogits, cache.logits)
    if cache.dropped is not None:
        (ddeep,) = dropout.backward(ddeep, cache.dropped)
    dz = None
    if cache.from_z is not None:
        attends = config.context in ATTENDING
        dz, g["output.Wz"], _ = linear.backward(ddeep if attends else ddeep.sum(axis=0), cache.from_z)
    dhs, g["output.Wh"], _ = linear.backward(ddeep, cache.from_h)  # (T, N, H)
    if config.copy:
        g.update(copying.gate_backward(dgate, p, cache.gate, dhs, dz, ddeep))
    ready(g)

    if config.context in ATTENDING:
        dx, dkeys, dwords, dstate, grads = attend_through_backward(config, dhs, dz, dalphas, cache.run)
        if dkeys is not None:
            dx, g["attention.Wx"], g["attention.b"] = linear.backward(dkeys, cache.keys, dx=dx)
    else:
        djoined, dstate, grads = layer_backward(dhs, None, cache.run)
        dwords = djoined[:, :, : config.embedding]
        if dz is not None:
            dz += djoined[:, :, config.embedding :].sum(axis=0)  # the same z at every step
        dx = constant_context_backward(dz, cache.context)
    if cache.init_state is not None:
        dx_of_state, init_state_grads = init_state_backward(dstate, cache.init_state)
        dx = add(dx, dx_of_state)  # the regions were looked at, and their mean began the decoder
        g.update(init_state_grads)
    g.update(grads)
    ready(g)
    ddeep += dwords  # the embedding was used by the deep output, and by the cell
    if cache.dropped_words is not None:
        (ddeep,) = dropout.backward(ddeep, cache.dropped_words)
    (g["embedding.W"],) = embedding.backward(ddeep, cache.words)
    if config.tied:
        g["embedding.W"] += dWo.T  # used at both ends: two gradients, added
    else:
        g["output.Wo"] = dWo
    return dx if cache.need_dx else None, g


# --- saying it ---------------------------------------------------------------------------------------------------


def start(
    p: dict,
    config: DecoderConfig,
    x: Array,
    mask: Array | None = None,
    copied_from: Array | None = None,
    *,
    packed: dict[str, Array],
) -> DecoderState:
    """The state before the first word; ``packed`` are weights that were packed before.

    From here on attention is α = softmax(β e), with β = ``config.sharpening``: above 1 it keeps to fewer regions than it was
    trained to (Chorowski et al. 2015), so that what is said of one thing is read from one thing.
    """
    if config.sharpening != 1:
        p = p | {"attention.v": p["attention.v"] * p["attention.v"].dtype.type(config.sharpening)}  # e is linear in v
    layer, _ = init_state(p, config, Source(x, mask=mask), need_dx=False, train=False)
    keys, _ = attention_keys(p, config, x, need_dx=True, train=False)
    alpha = None if config.context in VECTOR else np.zeros_like(x, shape=x.shape[:2])
    params = decoding_params(p, packed)
    if config.tied:
        params["output.Wo"] = pack(output_weights(p))
    return DecoderState(x, keys, mask, layer, alpha, _nothing_seen(config, x), copied_from, params)


def _nothing_seen(config: DecoderConfig, x: Array) -> Array | None:
    """z before the first word, where the cell reads the context of the step before."""
    return no_context(x) if config.context in ATTENDING and config.query == "current" else None


def step(config: DecoderConfig, state: DecoderState, tokens: Array) -> tuple[Array, DecoderState]:
    """The log probabilities (N, V) of the words that may follow ``tokens`` (N,), and the state after them.

    Of a decoder that copies they are (N, V + X): the sources have X words that the vocabulary lacks.
    """
    p = state.params
    if config.copy:
        tokens = copying.known(tokens, config.vocabulary)
    words, _ = embedding.forward(tokens, p["embedding.W"], train=False)  # (N, E)
    if state.z is None:  # look, then read the word and what was seen
        z, alpha = _look(p, config, state, state.layer[0])
        layer = _read(p, config, words, z, state.layer)
    else:  # read the word and what was seen before, then look
        layer = _read(p, config, words, state.z, state.layer)
        z, alpha = _look(p, config, state, layer[0])
    deep, _ = linear.forward(layer[0], p["output.Wh"], train=False)
    deep += words
    if z is not None:
        deep += linear.forward(z, p["output.Wz"], train=False)[0]
    logits, _ = linear.forward(deep, output_weights(p), p["output.b"], train=False)
    log_probs, _ = log_softmax.forward(logits, train=False)
    if config.copy:
        gate, _ = copying.gate(p, layer[0], z, words)
        log_probs = copying.mix(log_probs, gate, alpha, for_each(state.copied_from, len(gate)))
    return log_probs, state._replace(layer=layer, alpha=alpha, z=None if state.z is None else z)


def _look(p: dict, config: DecoderConfig, state: DecoderState, h: Array) -> tuple[Array | None, Array | None]:
    """The context (N, D) that is seen with ``h``, and where; None where there is none."""
    source = Source(state.x, state.keys, state.mask)
    if config.context in ATTENDING:
        z, alpha, _ = attend(p, config, source, h, train=False)
        return gated(p, config, z, h), alpha
    z, alpha = constant_context(config, source)
    return for_each(z, len(h)), for_each(alpha, len(h))


def _read(p: dict, config: DecoderConfig, words: Array, z: Array | None, layer: LayerState) -> LayerState:
    """The state after ``words`` (N, E) and ``z``."""
    _, layer, _ = layer_forward(p, "decoder", config.cell, join(words[None], z), layer, train=False)
    return layer

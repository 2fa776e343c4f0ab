"""Glimpses side by side, each a chain of hops, where one goes on from what the one before found; they count, and compare.

Stacked attention asks all its hops with one growing vector, and answers from all that they found: a first hop that already finds
what the answer says is what the loss asks for at once, and one that finds what the *question* speaks of ("the star right of the
red circle") helps only once the second has learned to go on from there. Here nothing is answered from but what the last hop of a
chain found, so that those before it are free, and the second hop begins where the first was (:mod:`.moved_attention`):

    e^k_l = v^k · tanh(W_x^k x_l + b^k + W_u^k u)               each hop asks of the question u in a way of its own
    α^1   = softmax(e^1)
    α^k   = softmax(e^k) moved from α^{k-1} by r^k,  r^k = W_r^k u + b_r^k
    z     = Σ_l α^K_l x_l

and b_r begins highest for no displacement, so that a hop that has learned nothing looks where the one before did. With
``hops`` of a batch only so many are made: a model learns first what can be answered in one (a curriculum).

A softmax cannot count, since its weights sum to 1 however many there are. An attention with a sigmoid can:

    n     = Σ_l σ(x_l · q + t),  (q, t) = W_n u + b_n

G glimpses of other weights look side by side, as comparing takes ("is the star the same size as the red cross ?"). The last
state of an LSTM knows best what it read last; so odd glimpses ask with u_→, of one that reads the question forwards, and even
ones with u_←, of one that reads it backwards: having learned to find what the only phrase of a question describes, one finds
what the last phrase does, the other what the first does. The answer is found from

    y     = [u_→, u_←, z_1 … z_G, z_1 ⊙ z_2 … z_{G-1} ⊙ z_G, n_1 … n_G]

where a product is large for what is alike. (One glimpse alone has u_→ only.)

Shapes: N questions, L = h w regions, x (N, L, H), u (N, H), S = min(G, 2) of them,
G glimpses of K hops, A wide attention, R displacements.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array, add, as_contiguous, empty
from scratchlv.initialisers import uniform
from scratchlv.models import hop, moved_attention, of_questions
from scratchlv.ops import linear, sigmoid

_NEAR = 3.0  # regions, from which on a displacement is as unlikely at first as any other


class HopCache(NamedTuple):
    look: hop.Cache
    displaced: Any  # of r; None of the first hop
    moved: Any


class GlimpseCache(NamedTuple):
    name: str
    hops: list[HopCache]
    alpha: Array  # (N, L), of the last hop
    gate: Any
    counted: tuple[Array, Any]  # q (N, H), and of σ


class Cache(NamedTuple):
    """What ``backward`` takes."""

    x: Array  # (N, L, H)
    gathered: Any
    glimpses: list[GlimpseCache]
    z: list[Array]


def width(glimpses: int, H: int) -> int:
    """How many numbers the answer is found from."""
    return (readings(glimpses) + 2 * glimpses - 1) * H + glimpses


def readings(glimpses: int) -> int:
    """S, how many ways the question is read: forwards, and backwards if there are two to ask with it."""
    return min(glimpses, 2)


def init(rng: np.random.Generator, glimpses: int, hops: int, H: int, A: int, grid: tuple[int, int]) -> dict[str, Array]:
    """The weights of G glimpses of K hops, over regions ``grid`` (h, w)."""
    params: dict[str, Array] = {}
    stay = moved_attention.nearness(*grid, _NEAR)
    for g in range(1, glimpses + 1):
        params |= {f"glimpse{g}.Wn": uniform(rng, H, H + 1), f"glimpse{g}.bn": np.zeros(H + 1, np.float32)}
        for k in range(1, hops + 1):
            name = _hop(g, k)
            params |= hop.init(rng, name, H, A)
            if k > 1:
                params |= {f"{name}.Wr": np.zeros((H, stay.size), np.float32), f"{name}.br": stay.copy()}
    return params


def forward(
    params: dict,
    x: Array,
    questions: list[Array],
    picture_of: Array,
    grid: tuple[int, int],
    glimpses: int,
    hops: int,
    *,
    train: bool = True,
) -> tuple[Array, Array, Cache | None]:
    """``y`` (N, :func:`width`) from ``x`` (P, L, H) of pictures and ``questions``, S times (N, H); the attention (N, G K, L)."""
    x_of, gathered = of_questions.forward(x, picture_of, train=train)
    alphas: list[Array] = []
    found, counts, caches = [], [], []
    for g in range(1, glimpses + 1):
        chain, u = [], questions[(g - 1) % len(questions)]
        for k in range(1, hops + 1):
            before = alphas[-1] if k > 1 else None
            z, alpha, cache = _look(params, _hop(g, k), x, x_of, u, picture_of, before, grid, train)
            alphas.append(alpha)
            chain.append(cache)
        found.append(z)
        n, gate, counted = _count(params, f"glimpse{g}", x_of, u, train)
        counts.append(n)
        caches.append(GlimpseCache(f"glimpse{g}", chain, alphas[-1], gate, counted))
    alike = [a * b for a, b in zip(found, found[1:], strict=False)]
    y = empty((len(x_of), width(glimpses, x.shape[2])), x_of)
    np.concatenate([*questions, *found, *alike, *counts], axis=1, out=y)
    return y, np.stack(alphas, axis=1), Cache(x_of, gathered, caches, found) if train else None


def backward(dy: Array, cache: Cache) -> tuple[Array, list[Array], dict[str, Array]]:
    """``dx`` (P, L, H), those of the readings, and the gradients of the weights of the hops that were made."""
    g: dict[str, Array] = {}
    G, H = len(cache.glimpses), cache.x.shape[2]
    S = readings(G)
    parts = [as_contiguous(part) for part in np.split(dy, [H * k for k in range(1, S + 2 * G)], axis=1)]
    du, dz, dalike, dn = parts[:S], parts[S : S + G], parts[S + G : -1], parts[-1]
    for k, dproduct in enumerate(dalike):
        dz[k] = dz[k] + dproduct * cache.z[k + 1]
        dz[k + 1] = dz[k + 1] + dproduct * cache.z[k]
    dx_of, dx = None, None
    for k, glimpse in enumerate(cache.glimpses):
        dx_of, of_count, grads = _count_backward(dn[:, k, None], cache.x, glimpse, dx_of)
        g |= grads
        dx_of, dx, of_chain, grads = _chain_backward(dz[k], cache.x, glimpse, dx_of, dx)
        g |= grads
        du[k % S] = du[k % S] + of_count + of_chain
    return add(dx, of_questions.backward(dx_of, cache.gathered)), du, g


def _hop(g: int, k: int) -> str:
    return f"glimpse{g}.hop{k}"


def _look(
    p: dict, name: str, x: Array, x_of: Array, u: Array, picture_of: Array, before: Array | None, grid: Any, train: bool
) -> tuple[Array, Array, HopCache]:
    """``z`` (N, H) and ``alpha`` (N, L) of one hop, which begins where the one ``before`` (N, L) was."""
    (z, alpha), look = hop.forward(p, name, x, x_of, u, picture_of, train=train)
    displaced = moved = None
    if before is not None:
        r, displaced = linear.forward(u, p[f"{name}.Wr"], p[f"{name}.br"], train=train)  # (N, R)
        alpha, moved = moved_attention.forward(alpha, before, r, grid, train=train)
        z = np.einsum("nl,nlh->nh", alpha, x_of)
    return z, alpha, HopCache(look, displaced, moved)


def _chain_backward(
    dz: Array, x_of: Array, glimpse: GlimpseCache, dx_of: Array | None, dx: Array | None
) -> tuple[Array, Array | None, Array, dict[str, Array]]:
    """From the last hop of a chain to its first: what is added to ``dx_of`` and ``dx``, ``du``, the gradients of weights."""
    g: dict[str, Array] = {}
    du, dalpha = None, None
    if glimpse.hops[-1].moved is not None:
        dalpha = np.einsum("nh,nlh->nl", dz, x_of)
        dx_of = add(dx_of, _for_each_region(glimpse.alpha, dz))
        dz = None
    for look, displaced, moved in reversed(glimpse.hops):
        dbefore = None
        if moved is not None:
            dalpha, dbefore, dr = moved_attention.backward(dalpha, moved)
            du_here, g[f"{look.name}.Wr"], g[f"{look.name}.br"] = linear.backward(dr, displaced)
            du = add(du, du_here)
        dx_of, dkeys, du_here, of_look = hop.backward(dz, dalpha, look, dx_of)
        du = add(du, du_here)
        dx, of_keys = hop.keys_backward(dkeys, look, dx)
        g |= of_look | of_keys
        dz, dalpha = None, dbefore
    return dx_of, dx, du, g


def _count(p: dict, name: str, x_of: Array, u: Array, train: bool) -> tuple[Array, Any, tuple[Array, Any]]:
    """``n`` (N, 1), how many regions are as the question asks."""
    gate, cache = linear.forward(u, p[f"{name}.Wn"], p[f"{name}.bn"], train=train)  # (N, H + 1)
    q, t = as_contiguous(gate[:, :-1]), gate[:, -1:]
    s, gated = sigmoid.forward(np.einsum("nlh,nh->nl", x_of, q) + t, train=train)  # (N, L)
    return s.sum(axis=1, keepdims=True), cache, (q, gated)


def _count_backward(
    dn: Array, x_of: Array, glimpse: GlimpseCache, dx_of: Array | None
) -> tuple[Array, Array, dict[str, Array]]:
    q, gated = glimpse.counted
    (de,) = sigmoid.backward(np.repeat(dn, x_of.shape[1], axis=1), gated)  # (N, L)
    dx_of = add(dx_of, _for_each_region(de, q))
    dgate = np.concatenate([np.einsum("nl,nlh->nh", de, x_of), de.sum(axis=1, keepdims=True)], axis=1)
    du, dW, db = linear.backward(dgate, glimpse.gate)
    return dx_of, du, {f"{glimpse.name}.Wn": dW, f"{glimpse.name}.bn": db}


def _for_each_region(weight: Array, row: Array) -> Array:
    """``weight`` (N, L) times ``row`` (N, H): (N, L, H)."""
    return np.multiply(weight[:, :, None], row[:, None], out=empty((*weight.shape, row.shape[1]), row))

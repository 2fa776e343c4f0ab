"""What each page shows: an operation, small inputs for it, and the equation that each line of its reference is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Sizes = dict[str, int]
Normal = Callable[..., np.ndarray]


class Subject(NamedTuple):
    """``sizes`` are defaults, ``most`` the largest that a page can show; ``make(normal, sizes)`` gives inputs and dy."""

    operation: str
    title: str
    sizes: Sizes
    most: Sizes
    make: Callable[[Normal, Sizes], tuple[dict[str, Any], Any]]
    gradients: tuple[str, ...]  # the inputs that have one, in the order of backward's results
    equations: dict[str, str]  # the beginning of a line of the reference, and what it says
    over_time: str = ""  # the weight that a recurrence multiplies its state by
    helpers: tuple[str, ...] = ()  # what the two call and the page shows, each as the room and the name of a function


def _lstm(normal: Normal, n: Sizes) -> tuple[dict[str, Any], Any]:
    T, N, D, H = (n[name] for name in "TNDH")
    inputs = {"x": normal(T, N, D), "h0": normal(N, H), "c0": normal(N, H)}
    inputs |= {"Wx": normal(D, 4 * H) / D**0.5, "Wh": normal(H, 4 * H) / H**0.5, "b": normal(4 * H) / 4}
    return inputs, (normal(T, N, H), normal(N, H))


def _rnn(normal: Normal, n: Sizes) -> tuple[dict[str, Any], Any]:
    T, N, D, H = (n[name] for name in "TNDH")
    inputs = {"x": normal(T, N, D), "h0": normal(N, H)}
    inputs |= {"Wx": normal(D, H) / D**0.5, "Wh": normal(H, H) / H**0.5, "b": normal(H) / 4}
    return inputs, normal(T, N, H)


def _attention(normal: Normal, n: Sizes) -> tuple[dict[str, Any], Any]:
    N, L, D, A = (n[name] for name in "NLDA")
    inputs = {"x": normal(N, L, D), "keys": normal(N, L, A), "query": normal(N, A), "v": normal(A)}
    return inputs, (normal(N, D), None)


def _memory(normal: Normal, n: Sizes) -> tuple[dict[str, Any], Any]:
    N, L, D, K = (n[name] for name in "NLDK")
    inputs = {"x": normal(N, L, D), "keys": normal(N, L, K), "query": normal(N, K), "W": normal(K, K) / K**0.5}
    return inputs, (normal(N, D), None)


def _softmax(normal: Normal, n: Sizes) -> tuple[dict[str, Any], Any]:
    N, V = n["N"], n["V"]
    return {"logits": 2 * normal(N, V), "targets": np.arange(N) * 2 % V}, 1.0


def _conv2d(normal: Normal, n: Sizes) -> tuple[dict[str, Any], Any]:
    N, S, C, M, k = n["N"], n["S"], n["C"], n["M"], n["K"]
    inputs = {"x": normal(N, S, S, C), "W": normal(k, k, C, M) / (k * k * C) ** 0.5, "b": normal(M) / 4}
    return inputs, normal(N, S - k + 1, S - k + 1, M)


def _embedding(normal: Normal, n: Sizes) -> tuple[dict[str, Any], Any]:
    N, V, E = n["N"], n["V"], n["E"]
    tokens = np.arange(N) * 3 % V
    tokens[-1] = tokens[0]  # a word that stands twice: its row gets two gradients
    return {"tokens": tokens, "W": normal(V, E)}, normal(N, E)


_KEPT = {
    "x, keys": "what the forward pass kept",
    "x, h": "what the forward pass kept",
    "p, (kept": "what the forward pass kept",
}
_ATTENTION = {
    "alpha = attention": "α = softmax(e), by the function below",
    "largest =": "the largest score",
    "e = np.exp": "exp(e − largest): no overflow",
    "total =": "Σ_l exp(e_l − largest)",
    "z = alpha": "z = Σ_l α_l x_l",
    **_KEPT,
    "dz, dalpha_out": "what arrives from above",
    "alpha = each": "the attention of each query, of which there is one",
    "dalpha, dx = np": "room for the results",
    "dalpha = dz": "dα_l = dz · x_l",
    "dx = sum_of_outer": "dx_l = α_l dz",
    "de = alpha": "de = α (dα − Σ α dα)",
}

SUBJECTS: dict[str, Subject] = {
    "lstm": Subject(
        "lstm",
        "The LSTM",
        {"T": 4, "N": 1, "D": 3, "H": 4},
        {"T": 8, "N": 2, "D": 6, "H": 6},
        _lstm,
        ("x", "h0", "c0", "Wx", "Wh", "b"),
        {
            "h, c = np": "room for every state",
            "gates = np": "room for every gate",
            "h[0], c[0]": "the states before the first step",
            "a = x[t]": "a_t = x_t Wx + h_{t−1} Wh + b",
            "i, f, o =": "i, f, o = σ(a)",
            "g = np": "g = tanh(a)",
            "c[t + 1] =": "c_t = f c_{t−1} + i g",
            "h[t + 1] =": "h_t = o tanh(c_t)",
            "gates[t]": "the gates are kept for the way back",
            **_KEPT,
            "dh_out, dc_last": "what arrives from above",
            "dx, dWx": "room for the results",
            "db = np": "room for the results",
            "dh = np": "nothing comes back from after the end",
            "dc = np": "what arrives at the last c",
            "dh = dh +": "∂L/∂h_t = what looks at h_t + what step t+1 sends back",
            "i, f, g, o =": "the gates of step t",
            "tanh_c": "tanh(c_t) once more",
            "dc_here": "dc_t += dh o (1 − tanh² c_t)",
            "di =": "di = dc g σ′,  σ′ = i (1 − i)",
            "df =": "df = dc c_{t−1} σ′,  σ′ = f (1 − f)",
            "dg =": "dg = dc i (1 − g²)",
            "do =": "do = dh tanh(c_t) σ′,  σ′ = o (1 − o)",
            "da =": "da: the four, side by side",
            "dc_before": "dc_{t−1} = f dc_t,  dh_{t−1} = da Whᵀ",
            "dx[t]": "dx_t = da Wxᵀ",
            "dWx +=": "dWx += x_tᵀ da",
            "dWh +=": "dWh += h_{t−1}ᵀ da",
            "db +=": "db += Σ_n da",
            "dh, dc =": "one step back",
        },
        "Wh",
    ),
    "rnn": Subject(
        "rnn",
        "The recurrent network",
        {"T": 5, "N": 1, "D": 3, "H": 4},
        {"T": 12, "N": 3, "D": 6, "H": 8},
        _rnn,
        ("x", "h0", "Wx", "Wh", "b"),
        {
            "h = np": "room for every state",
            "h[0] =": "the state before the first step",
            "h[t + 1] =": "h_t = tanh(x_t Wx + h_{t−1} Wh + b)",
            **_KEPT,
            "dx, dWx": "room for the results",
            "db = np": "room for the results",
            "dh = np": "nothing comes back from after the end",
            "dh = dh +": "∂L/∂h_t = what looks at h_t + what step t+1 sends back",
            "da =": "da = dh (1 − h_t²)",
            "dh_before": "dh_{t−1} = da Whᵀ",
            "dx[t]": "dx_t = da Wxᵀ",
            "dWx +=": "dWx += x_tᵀ da",
            "dWh +=": "dWh += h_{t−1}ᵀ da",
            "db +=": "db += Σ_n da",
            "dh = dh_before": "one step back",
        },
        "Wh",
    ),
    "attention": Subject(
        "additive_attention",
        "Soft attention",
        {"N": 1, "L": 4, "D": 3, "A": 3},
        {"N": 2, "L": 9, "D": 6, "A": 6},
        _attention,
        ("x", "keys", "query", "v"),
        {
            "queries = each": "the queries, of which there is one",
            "e = np.stack": "e_l = v · tanh(keys_l + query)",
            **_ATTENTION,
            "new_dx, de = backward": "dx and de, by the function below",
            "queries, dqueries": "the queries, of which there is one",
            "s, de_t": "s = tanh(keys + query) once more",
            "dv =": "dv = Σ_l de_l s_l",
            "dpre =": "dkeys_l = de_l v (1 − s_l²); dquery is their sum",
            "dkeys = add": "dkeys: one query, one term",
        },
        helpers=("softmax.softmax", "additive_attention.backward_to_scores"),
    ),
    "memory": Subject(
        "dot_product_attention",
        "A hop of the memory network",
        {"N": 1, "L": 4, "D": 3, "K": 3},
        {"N": 2, "L": 9, "D": 6, "K": 6},
        _memory,
        ("x", "keys", "query", "W"),
        {
            "q = each": "q = query W",
            "e = scale": "e_l = keys_l · q",
            **_ATTENTION,
            "dx, de = backward": "dx and de, by the function below",
            "dkeys =": "dkeys_l = de_l q",
            "dq =": "dq = Σ_l de_l keys_l",
            "dW =": "dW = queryᵀ dq",
        },
        helpers=("softmax.softmax", "additive_attention.backward_to_scores"),
    ),
    "softmax": Subject(
        "softmax_cross_entropy",
        "Softmax and cross-entropy",
        {"N": 3, "V": 5},
        {"N": 8, "V": 12},
        _softmax,
        ("logits",),
        {
            "places =": "the places that count, and their weights",
            "z, targets": "z: the logits of the places that count",
            "z = z -": "the largest becomes 0: no overflow",
            "e = np": "e = exp z",
            "total": "Σ_v e_v",
            "losses = np": "−log p = log Σ e − z_target",
            "loss = (": "L = mean −log p",
            **_KEPT,
            "dz = p": "dz = p …",
            "dz[np": "… − 1 at the target",
            "dz *=": "times the weight of the place",
            "dlogits = np": "room for the results",
            "dlogits[kept]": "dlogits = (p − onehot) / n",
        },
    ),
    "conv2d": Subject(
        "conv2d",
        "The convolution",
        {"N": 1, "S": 4, "C": 1, "M": 2, "K": 3},
        {"N": 1, "S": 7, "C": 2, "M": 3, "K": 3},
        _conv2d,
        ("x", "W", "b"),
        {
            "padded": "no zeros around it here",
            "y = _zeros": "room for the results",
            "y[..., outputs]": "y += window(i, j) W[i, j]",
            "y += b": "y += b",
            **_KEPT,
            "x, W, bias": "what the forward pass kept",
            "dpadded": "room for the results",
            "window = padded": "the pixels under the next tap, (i, j)",
            "window, dwindow": "the pixels under the next tap, (i, j), and their gradient",
            "dW[i, j": "dW[i, j] = Σ window(i, j)ᵀ dy",
            "dwindow": "dx in window(i, j) += dy W[i, j]ᵀ",
            "dx = dpadded": "the zeros around it drop off",
        },
    ),
    "embedding": Subject(
        "embedding",
        "The embedding",
        {"N": 4, "V": 5, "E": 3},
        {"N": 10, "V": 12, "E": 6},
        _embedding,
        ("W",),
        {"y = W": "y_n = W[token_n]", "dW = np": "room for the results", "np.add.at": "dW[token_n] += dy_n"},
    ),
}

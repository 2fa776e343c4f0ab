"""Kinds of bugs that were once named falsely or not at all: of each a small example, and what is to be said of it.

Each operation is right as it stands; its bug is planted by replacing one text by another.
"""

import importlib.util
import linecache

import pytest

from scratchlv.gradcheck import check

from ..slow import one_of

BEST = """
import numpy as np

def forward(x, W, V):  # of several guesses the best one, element by element
    s = np.einsum("nd,kdh->nkh", x, W)
    best = s.argmax(1)
    top = np.take_along_axis(s, best[:, None], 1)[:, 0]
    return np.tanh(top) @ V, (x, W, V, s, best, top)

def backward(dy, cache):
    x, W, V, s, best, top = cache
    dtop = (dy @ V.T) * (1 - np.tanh(top) ** 2)
    ds = np.zeros(s.shape)
    np.put_along_axis(ds, best[:, None], dtop[:, None], 1)
    return np.einsum("nkh,kdh->nd", ds, W), np.einsum("nd,nkh->kdh", x, ds), np.tanh(top).T @ dy

def inputs():
    r = np.random.default_rng(3)
    return {"x": r.normal(size=(4, 3)), "W": r.normal(size=(3, 3, 5)), "V": r.normal(size=(5, 2))}
"""

SMOOTHED = """
import numpy as np

def forward(z, label, w):  # cross-entropy with weighted, smoothed targets
    lp = z - np.log(np.exp(z).sum(1, keepdims=True))
    hot = np.zeros_like(lp)
    hot[np.arange(len(label)), label] = 1
    soft = 0.9 * hot + 0.1 / z.shape[1]
    return -(w * (soft * lp).sum(1)).mean(), (lp, label, w)

def backward(dloss, cache):
    lp, label, w = cache
    n, k = lp.shape
    hot = np.zeros((n, k))
    hot[np.arange(n), label] = 1
    soft = 0.9 * hot + 0.1 / k
    g = dloss * w[:, None] / n
    return g * (np.exp(lp) - soft), -dloss * (soft * lp).sum(1) / n

def inputs():
    r = np.random.default_rng(5)
    return {"z": r.normal(size=(5, 4)), "label": np.array([1, 3, 0, 2, 3]), "w": r.uniform(0.5, 2, 5)}
"""

PIXELS = """
import numpy as np

def forward(z, g):  # a softmax over the channels of each pixel, weighted
    e = np.exp(z - z.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    return (p * g).sum((2, 3)), (p, g)

def backward(dy, cache):
    p, g = cache
    dg = p * dy[:, :, None, None]
    dp = g * dy[:, :, None, None]
    dz = p * (dp - (p * dp).sum(1, keepdims=True))
    return dz, dg

def inputs():
    r = np.random.default_rng(6)
    return {"z": r.normal(size=(2, 3, 4, 5)), "g": r.normal(size=(2, 3, 4, 5))}
"""

RUNNING = """
import numpy as np

def forward(x, s):  # a running sum along each row, squashed
    u = np.exp(s) * x
    c = np.cumsum(u, axis=1)
    return c / (1 + c**2), (x, s, u, c)

def backward(dy, cache):
    x, s, u, c = cache
    dc = dy * (1 - c**2) / (1 + c**2) ** 2
    du = np.cumsum(dc[:, ::-1], axis=1)[:, ::-1]
    return du * np.exp(s), (du * u).sum(0)

def inputs():
    r = np.random.default_rng(7)
    return {"x": r.normal(size=(3, 5)), "s": r.normal(size=5) * 0.5}
"""

HEADS = """
import numpy as np

def forward(x, W, U):  # rows are split into heads, and each head is normalised over the places
    N, T, D = x.shape
    h = (x @ W).reshape(N, T, 2, 3).transpose(0, 2, 1, 3)
    m = h.mean(2, keepdims=True)
    out = ((h - m) ** 2).transpose(0, 2, 1, 3).reshape(N, T, 6)
    return out @ U, (x, W, U, h, m, out)

def backward(dy, cache):
    x, W, U, h, m, out = cache
    N, T, D = x.shape
    dout = dy @ U.T
    dsq = dout.reshape(N, T, 2, 3).transpose(0, 2, 1, 3)
    dh = 2 * (h - m) * dsq
    dh = dh - dh.mean(2, keepdims=True)
    dxw = dh.transpose(0, 2, 1, 3).reshape(N, T, 6)
    dW = np.einsum("ntd,nth->dh", x, dxw)
    return dxw @ W.T, dW, np.einsum("nth,nto->ho", out, dy)

def inputs():
    r = np.random.default_rng(8)
    return {"x": r.normal(size=(2, 4, 5)), "W": r.normal(size=(5, 6)), "U": r.normal(size=(6, 3))}
"""

SHARES = """
import numpy as np

def forward(v, a, seg):  # of the numbers of a segment the mean, weighted by a
    S = seg.max() + 1
    total = np.bincount(seg, weights=a, minlength=S)
    acc = np.zeros((S, v.shape[1]))
    np.add.at(acc, seg, a[:, None] * v)
    return acc / total[:, None], (v, a, seg, total, acc)

def backward(dy, cache):
    v, a, seg, total, acc = cache
    dacc = dy / total[:, None]
    dtotal = -(dy * acc).sum(1) / total**2
    dv = a[:, None] * dacc[seg]
    da = (v * dacc[seg]).sum(1)
    da += dtotal[seg]
    return dv, da

def inputs():
    r = np.random.default_rng(9)
    return {"v": r.normal(size=(7, 3)), "a": r.uniform(0.5, 2, 7), "seg": np.array([0, 1, 1, 2, 0, 2, 1])}
"""

TAPS = """
import numpy as np

GAP = 2

def later(x, k):
    return np.concatenate([np.zeros_like(x[:k]), x[: len(x) - k]])

def earlier(g, k):
    return np.concatenate([g[k:], np.zeros_like(g[:k])])

def forward(x, w):  # taps that are GAP apart
    y = sum(w[k] * later(x, k * GAP) for k in range(len(w)))
    return np.sin(y), (x, w, y)

def backward(dy, cache):
    x, w, y = cache
    da = dy * np.cos(y)
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for k in range(len(w)):
        dw[k] = (da * later(x, k * GAP)).sum()
        dx += w[k] * earlier(da, k * GAP)
    return dx, dw

def inputs():
    r = np.random.default_rng(10)
    return {"x": r.normal(size=(9, 2)), "w": r.normal(size=3)}
"""

POINTS = """
import numpy as np

def forward(p, A):  # a polynomial in the two coordinates of a point
    u, v = p[:, 0], p[:, 1]
    f = np.stack([u, v, u * v, u**2], 1)
    return f @ A, (u, v, f, A)

def backward(dy, cache):
    u, v, f, A = cache
    df = dy @ A.T
    du = df[:, 0] + df[:, 2] * v + 2 * df[:, 3] * u
    dv = df[:, 1] + df[:, 2] * u
    return np.stack([du, dv], 1), f.T @ dy

def inputs():
    r = np.random.default_rng(11)
    return {"p": r.normal(size=(5, 2)), "A": r.normal(size=(4, 3))}
"""

GATED = """
import numpy as np

def forward(x, W):  # one half of the channels gates the other
    z = x @ W
    h = z.shape[1] // 2
    gate = 1 / (1 + np.exp(-z[:, h:]))
    return z[:, :h] * gate, (x, W, z, gate)

def backward(dy, cache):
    x, W, z, gate = cache
    h = z.shape[1] // 2
    da = dy * gate
    db = dy * z[:, :h] * gate * (1 - gate)
    dz = np.concatenate([da, db], 1)
    return dz @ W.T, x.T @ dz

def inputs():
    r = np.random.default_rng(12)
    return {"x": r.normal(size=(4, 3)), "W": r.normal(size=(3, 6))}
"""

POWER = """
import numpy as np

def forward(b, k):  # numbers to a learned power
    u = 1 + b**2
    return u**k, (b, k, u)

def backward(dy, cache):
    b, k, u = cache
    du = dy * k * u ** (k - 1)
    dk = (dy * u**k * np.log(u)).sum(0)
    return 2 * b * du, dk

def inputs():
    r = np.random.default_rng(13)
    return {"b": r.normal(size=(4, 3)), "k": r.uniform(0.5, 2, 3)}
"""

COUNTED = """
import numpy as np

def forward(x, w, ok):  # a mean over the rows that count
    e = (x @ w) ** 2
    return (e * ok).sum() / ok.sum(), (x, w, ok)

def backward(dloss, cache):
    x, w, ok = cache
    g = dloss * ok / ok.sum()
    de = 2 * (x @ w) * g
    return de[:, None] * w, x.T @ de

def inputs():
    r = np.random.default_rng(14)
    return {"x": r.normal(size=(8, 3)), "w": r.normal(size=3), "ok": np.array([1, 1, 0, 1, 1, 1, 0, 1])}
"""

LEAKY = """
import numpy as np

def forward(x, a, go):  # a leaky sum that is reset where go is 0
    s, out = np.zeros(x.shape[1]), []
    for t in range(len(x)):
        s = a * s * go[t] + x[t]
        out.append(s)
    return np.tanh(np.stack(out)), (a, go, out)

def backward(dy, cache):
    a, go, out = cache
    dx, da, carry = np.zeros_like(dy), np.zeros_like(a), np.zeros_like(a)
    for t in reversed(range(len(dy))):
        ds = dy[t] * (1 - np.tanh(out[t]) ** 2) + carry
        dx[t] = ds
        before = out[t - 1] if t else np.zeros_like(a)
        da += ds * before * go[t]
        carry = ds * a * go[t]
    return dx, da

def inputs():
    r = np.random.default_rng(15)
    return {"x": r.normal(size=(6, 3)), "a": r.uniform(0.5, 0.9, 3), "go": np.array([1, 1, 0, 1, 1, 1])}
"""

DECAY = """
import numpy as np

def forward(k, v, q, a):  # linear attention whose state decays
    S, out, kept = np.zeros((k.shape[1], v.shape[1])), [], []
    for t in range(len(k)):
        kept.append(S)
        S = a[t] * S + np.outer(k[t], v[t])
        out.append(q[t] @ S)
    return np.stack(out), (k, v, q, a, kept)

def backward(dy, cache):
    k, v, q, a, kept = cache
    dk, dv, dq, da = (np.zeros_like(each) for each in (k, v, q, a))
    dS = np.zeros_like(kept[0])
    for t in reversed(range(len(k))):
        S = a[t] * kept[t] + np.outer(k[t], v[t])
        dq[t] = S @ dy[t]
        dS = dS + np.outer(q[t], dy[t])
        dk[t] = dS @ v[t]
        dv[t] = k[t] @ dS
        da[t] = (dS * kept[t]).sum()
        dS = a[t] * dS
    return dk, dv, dq, da

def inputs():
    r = np.random.default_rng(16)
    n = lambda *s: r.normal(size=s)
    return {"k": n(5, 3), "v": n(5, 2), "q": n(5, 3), "a": r.uniform(0.5, 0.95, 5)}
"""

LOGS = """
import numpy as np

TINY = 0.05

def forward(x, W):  # the log of a share, with a floor
    e = np.exp(x @ W)
    p = e / e.sum(1, keepdims=True)
    return np.log(p + TINY), (x, W, p)

def backward(dy, cache):
    x, W, p = cache
    dp = dy / (p + TINY)
    dz = p * (dp - (p * dp).sum(1, keepdims=True))
    return dz @ W.T, x.T @ dz

def inputs():
    r = np.random.default_rng(17)
    return {"x": r.normal(size=(4, 3)), "W": r.normal(size=(3, 5))}
"""

CELL = """
import numpy as np

def forward(x, h, W, U, V):  # a gated recurrence
    tape = []
    for t in range(len(x)):
        u = 1 / (1 + np.exp(-(x[t] @ W + h @ U)))
        c = np.tanh(x[t] @ V)
        tape.append((h, u, c))
        h = u * h + (1 - u) * c
    return h, (x, W, U, V, tape)

def backward(dh, cache):
    x, W, U, V, tape = cache
    dx, dW, dU, dV = (np.zeros_like(each) for each in (x, W, U, V))
    for t in reversed(range(len(x))):
        h, u, c = tape[t]
        dc = dh * (1 - u) * (1 - c**2)
        du = dh * (h - c) * u * (1 - u)
        dW += x[t].T @ du
        dU += h.T @ du
        dV += x[t].T @ dc
        dx[t] = du @ W.T + dc @ V.T
        dh = dh * u + du @ U.T
    return dx, dh, dW, dU, dV

def inputs():
    r = np.random.default_rng(18)
    n = lambda *s: r.normal(size=s) * 0.8
    return {"x": n(4, 3, 2), "h": n(3, 5), "W": n(2, 5), "U": n(5, 5), "V": n(2, 5)}
"""

LAYERS = """
import numpy as np

def forward(x, W, b):  # layers, each with weights of its own, and each beside a shortcut
    kept = [x]
    for k in range(len(W)):
        x = x + np.sin(x @ W[k] + b[k])
        kept.append(x)
    return x, (kept, W, b)

def backward(dy, cache):
    kept, W, b = cache
    dW, db, g = np.zeros_like(W), np.zeros_like(b), dy
    for k in reversed(range(len(W))):
        da = g * np.cos(kept[k] @ W[k] + b[k])
        dW[k] = kept[k].T @ da
        db[k] = da.sum(0)
        g = g + da @ W[k].T
    return g, dW, db

def inputs():
    r = np.random.default_rng(19)
    return {"x": r.normal(size=(4, 3)), "W": r.normal(size=(3, 3, 3)), "b": r.normal(size=(3, 3))}
"""

MEMORY = """
import numpy as np

def forward(x, W, u):  # what was seen before lowers what is looked at
    seen, out, kept = np.zeros(W.shape[1]), [], []
    for t in range(len(x)):
        s = x[t] @ W - u * seen
        a = np.exp(s) / np.exp(s).sum()
        kept.append((seen, a))
        seen = seen + a
        out.append(a)
    return np.stack(out), (x, W, u, kept)

def backward(dy, cache):
    x, W, u, kept = cache
    dx, dW, du = np.zeros_like(x), np.zeros_like(W), np.zeros_like(u)
    dseen = np.zeros_like(u)
    for t in reversed(range(len(x))):
        seen, a = kept[t]
        da = dy[t] + dseen
        ds = a * (da - (a * da).sum())
        dx[t] = W @ ds
        dW += np.outer(x[t], ds)
        du -= ds * seen
        dseen = dseen - ds * u
    return dx, dW, du

def inputs():
    r = np.random.default_rng(20)
    return {"x": r.normal(size=(4, 3)), "W": r.normal(size=(3, 5)), "u": r.normal(size=5)}
"""

SPECTRUM = """
import numpy as np

def forward(x, K, m):  # a batch of matrices, each times a kernel of its own
    y = np.einsum("nij,njk->nik", x, K)
    return np.einsum("nik,k->ni", y, m), (x, K, m, y)

def backward(dy, cache):
    x, K, m, y = cache
    dY = np.einsum("ni,k->nik", dy, m)
    dx = np.einsum("nik,njk->nij", dY, K)
    dK = np.einsum("nij,nik->njk", x, dY)
    return dx, dK, np.einsum("nik,ni->k", y, dy)

def inputs():
    r = np.random.default_rng(21)
    return {"x": r.normal(size=(2, 4, 4)), "K": r.normal(size=(2, 4, 4)), "m": r.normal(size=4)}
"""

SORTED = """
import numpy as np

def forward(x, w):  # the numbers of a row in order, weighted by their place
    order = np.argsort(x, axis=1)
    s = np.take_along_axis(x, order, 1)
    return (s**2) @ w, (x, w, order, s)

def backward(dy, cache):
    x, w, order, s = cache
    ds = 2 * s * dy[:, None] * w
    dx = np.zeros_like(x)
    np.put_along_axis(dx, order, ds, 1)
    return dx, (s**2).T @ dy

def inputs():
    r = np.random.default_rng(22)
    return {"x": r.normal(size=(3, 5)), "w": r.normal(size=5)}
"""

LABELS = """
import numpy as np

def forward(x, W, y):  # cross-entropy
    z = x @ W
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    return -np.log(p[np.arange(len(y)), y]).mean(), (x, W, y, p)

def backward(dloss, cache):
    x, W, y, p = cache
    dz = p.copy()
    dz[np.arange(len(y)), y] -= 1
    dz *= dloss / len(y)
    return dz @ W.T, x.T @ dz

def inputs():
    r = np.random.default_rng(23)
    return {"x": r.normal(size=(6, 3)), "W": r.normal(size=(3, 4)), "y": np.array([0, 2, 1, 3, 3, 0])}
"""

CLOSURE = """
import numpy as np

def layer(scale, power):
    def forward(x, W):
        z = scale * (x @ W)
        return z**power, (x, W, z)

    def backward(dy, cache):
        x, W, z = cache
        dz = dy * power * z ** (power - 1)
        dxw = dz * scale
        return dxw @ W.T, x.T @ dxw

    return forward, backward

forward, backward = layer(0.3, 3)

def inputs():
    r = np.random.default_rng(24)
    return {"x": r.normal(size=(4, 3)), "W": r.normal(size=(3, 2))}
"""

UNDERSCORED = """
import numpy as np

def forward(x, W, b):
    hidden = np.tanh(x @ W)
    return hidden * b, (x, W, b, hidden)

def backward(d_out, cache):
    x, W, b, hidden = cache
    d_hidden = d_out * b
    d_b = (d_out * hidden).sum(0)
    d_pre = d_hidden * (1 - hidden**2)
    return {"d_x": d_pre @ W.T, "d_W": x.T @ d_pre, "d_b": d_b}

def inputs():
    r = np.random.default_rng(25)
    return {"x": r.normal(size=(4, 3)), "W": r.normal(size=(3, 2)), "b": r.normal(size=2)}
"""

NORMS = """
import numpy as np

def unit(v):  # columns of length one
    size = np.sqrt((v * v).sum(0))
    return v / size, size

def back(du, v, size):
    dsize = -(du * v).sum(0) / size**2
    return du / size + dsize * v / size

def forward(x, V, W):
    A, a = unit(V)
    h = np.tanh(x @ A)
    B, b = unit(W)
    return h @ B, (x, V, W, A, a, h, B, b)

def backward(dy, cache):
    x, V, W, A, a, h, B, b = cache
    dz = (dy @ B.T) * (1 - h**2)
    return dz @ A.T, back(x.T @ dz, V, a), back(h.T @ dy, W, b)

def inputs():
    r = np.random.default_rng(26)
    return {"x": r.normal(size=(4, 3)), "V": r.normal(size=(3, 5)), "W": r.normal(size=(5, 2))}
"""

GROUPED = """
import numpy as np

def forward(x):  # groups of three channels, each around its own mean
    n, c, l = x.shape
    g = x.reshape(n, 2, c // 2 * l)
    mean = g.mean(2, keepdims=True)
    return ((g - mean) ** 2).reshape(x.shape), (g, mean, x.shape)

def backward(dy, cache):
    g, mean, shape = cache
    n, c, l = shape
    dg = 2 * (g - mean) * dy.reshape(g.shape)
    dmean = -dg.sum(2, keepdims=True)
    return (dg + dmean / (c // 2 * l)).reshape(shape)

def inputs():
    return {"x": np.random.default_rng(27).normal(size=(2, 6, 4))}
"""

STARTED = """
import numpy as np

def forward(x, s):  # each row begins at its own s, and is summed with weights 1, 2, …
    total = np.zeros(len(x))
    for n in range(len(x)):
        L = x.shape[1]
        total[n] = np.exp(s[n])
        for t in range(L):
            total[n] += (t + 1) * x[n, t] ** 2
    return total, (x, s)

def backward(dy, cache):
    x, s = cache
    dx, ds = np.zeros_like(x), np.zeros_like(s)
    for n in range(len(x)):
        L = x.shape[1]
        for t in range(L):
            dx[n, t] = 2 * (t + 1) * x[n, t] * dy[n]
        ds[n] += np.exp(s[n]) * dy[n]
    return dx, ds

def inputs():
    r = np.random.default_rng(28)
    return {"x": r.normal(size=(3, 5)), "s": r.normal(size=3)}
"""

WINDOWS = """
import numpy as np

def spread(parts, length, step):  # (n, windows, k): each window is added where it was taken
    whole = np.zeros((len(parts), length))
    for j in range(parts.shape[2]):
        whole[:, j : j + step * parts.shape[1] : step] += parts[:, :, j]
    return whole

def forward(x, w):
    k, step = len(w), 2
    count = (x.shape[1] - k) // step + 1
    parts = np.stack([x[:, j : j + step * count : step] for j in range(k)], 2)
    return parts @ w, (parts, w, x.shape[1], step)

def backward(dy, cache):
    parts, w, length, step = cache
    return spread(dy[..., None] * w, length, step), np.einsum("nc,nck->k", dy, parts)

def inputs():
    r = np.random.default_rng(29)
    return {"x": r.normal(size=(2, 7)), "w": r.normal(size=3)}
"""

POOLED = """
import numpy as np

def forward(x):
    n, length = x.shape
    y = np.zeros((n, length // 3))
    for i in range(n):
        for j in range(length // 3):
            y[i, j] = np.max(x[i, 3 * j : 3 * j + 3])
    return y, x

def backward(dy, x):
    dx = np.zeros_like(x)
    for i in range(dy.shape[0]):
        for j in range(dy.shape[1]):
            k = np.argmax(x[i, 3 * j : 3 * j + 3])
            dx[i, 3 * j + k] += dy[i, j]
    return dx

def inputs():
    return {"x": np.random.default_rng(30).normal(size=(2, 6))}
"""

DROPPED = """
import numpy as np

STAYS = 0.8

def forward(x, W, kept):
    a = np.tanh(x @ W)
    return a * kept / STAYS, (x, W, a, kept)

def backward(dy, cache):
    x, W, a, kept = cache
    da = dy * kept / STAYS
    dz = da * (1 - a * a)
    return dz @ W.T, x.T @ dz

def inputs():
    r = np.random.default_rng(31)
    return {"x": r.normal(size=(5, 3)), "W": r.normal(size=(3, 4)), "kept": (r.uniform(size=(5, 4)) < 0.8) * 1.0}

FIXED = ["kept"]
"""

LOGISTIC = """
import numpy as np

def forward(x, w, t):
    p = 1 / (1 + np.exp(-(x @ w)))
    return -np.mean(t * np.log(p) + (1 - t) * np.log(1 - p)) + 0.05 * np.sum(w * w), (x, w, t, p)

def backward(dloss, cache):
    x, w, t, p = cache
    dz = (p - t) / len(t) * dloss
    return np.outer(dz, w), x.T @ dz + 2 * 0.05 * w * dloss

def inputs():
    r = np.random.default_rng(32)
    return {"x": r.normal(size=(7, 3)), "w": r.normal(size=3), "t": (r.uniform(size=7) < 0.5) * 1.0}

FIXED = ["t"]
"""

MIXED = """
import numpy as np

def forward(x, W, V):
    T = len(x)
    h, tape = np.zeros(V.shape[1]), []
    for t in range(T):
        both = np.concatenate([x[t], h])
        n = np.tanh(both @ W)
        tape.append((both, n, h))
        h = 0.5 * h + n @ V
    return h, (tape, W, V, x.shape)

def backward(dh, cache):
    tape, W, V, shape = cache
    T, D = shape
    dx, dW, dV = np.zeros(shape), np.zeros_like(W), np.zeros_like(V)
    for t in reversed(range(T)):
        both, n, h = tape[t]
        dprev = 0.5 * dh
        dV += np.outer(n, dh)
        dn = (V @ dh) * (1 - n * n)
        dW += np.outer(both, dn)
        dboth = W @ dn
        dx[t] = dboth[:D]
        dprev += dboth[D:]
        dh = dprev
    return dx, dW, dV

def inputs():
    r = np.random.default_rng(33)
    return {"x": r.normal(size=(4, 3)), "W": r.normal(size=(5, 6)) * 0.5, "V": r.normal(size=(6, 2)) * 0.5}
"""

QUERY = """
import numpy as np

def forward(keys, query, U):
    pre = np.tanh(keys + query @ U)
    return pre.T @ pre.sum(1), (pre, query, U)

def backward(dy, cache):
    pre, query, U = cache
    dpre = pre.sum(1)[:, None] * dy + (pre @ dy)[:, None]
    da = dpre * (1 - pre**2)
    return da, U @ da.sum(0), np.outer(query, da.sum(0))

def inputs():
    r = np.random.default_rng(34)
    return {"keys": r.normal(size=(5, 4)), "query": r.normal(size=3), "U": r.normal(size=(3, 4))}
"""

SWISH = """
import numpy as np

def slope(u):
    s = 1 / (1 + np.exp(-u))
    return s + u * s * (1 - s)

def forward(x, W):
    u = x @ W
    y = u / (1 + np.exp(-u))
    return y, (x, W, u, y)

def backward(dy, cache):
    x, W, u, y = cache
    du = dy * slope(u)
    return du @ W.T, x.T @ du

def inputs():
    r = np.random.default_rng(35)
    return {"x": r.normal(size=(4, 3)), "W": r.normal(size=(3, 5))}
"""

SCALED = """
import numpy as np

def forward(q, k):
    scale = 1 / np.sqrt(q.shape[1])
    return np.tanh(q @ k.T * scale), (q, k, scale)

def backward(dy, cache):
    q, k, scale = cache
    a = np.tanh(q @ k.T * scale)
    ds = dy * (1 - a**2)
    ds = ds * scale
    return ds @ k, ds.T @ q

def inputs():
    r = np.random.default_rng(36)
    return {"q": r.normal(size=(3, 4)), "k": r.normal(size=(5, 4))}
"""

HINGE = """
import numpy as np

def forward(X, W, y):
    s = X @ W
    m = np.maximum(0, s - s[np.arange(len(y)), y][:, None] + 1)
    m[np.arange(len(y)), y] = 0
    return m.sum(), (X, W, y, m)

def backward(dloss, cache):
    X, W, y, m = cache
    ds = (m > 0).astype(float)
    ds[np.arange(len(y)), y] -= ds.sum(1)
    ds *= dloss
    return ds @ W.T, X.T @ ds

def inputs():
    r = np.random.default_rng(37)
    return {"X": r.normal(size=(6, 4)), "W": r.normal(size=(4, 3)), "y": np.array([0, 2, 1, 1, 0, 2])}
"""

SQUEEZED = """
import numpy as np

def forward(x, W):
    s = x.mean(axis=(2, 3))
    g = np.tanh(s @ W)
    return x * g[:, :, None, None], (x, s, g, W)

def backward(dy, cache):
    x, s, g, W = cache
    dx = dy * g[:, :, None, None]
    dz = (dy * x).sum((2, 3)) * (1 - g**2)
    ds = dz @ W.T
    dx += ds[:, :, None, None] / (x.shape[2] * x.shape[3])
    return dx, s.T @ dz

def inputs():
    r = np.random.default_rng(38)
    return {"x": r.normal(size=(2, 4, 3, 3)), "W": r.normal(size=(4, 4))}
"""

KINDS = {  # the operation, a text in it, what it is replaced by, and words of the first sentence
    "all pieces": (
        BEST, "np.put_along_axis(ds, best[:, None], dtop[:, None], 1)", "ds += dtop[:, None]",
        ["line 14", "put_along_axis", "all places"],
    ),
    "no one-hot": (
        SMOOTHED,
        "    hot[np.arange(n), label] = 1\n    soft = 0.9 * hot + 0.1 / k\n    g",
        "    soft = 0.9 * hot + 0.1 / k\n    g",
        ["line 14", "= 1", "target"],
    ),
    "diagonal over channels": (PIXELS, "p * (dp - (p * dp).sum(1, keepdims=True))", "p * (1 - p) * dp", ["softmax"]),
    "running sum the same way": (
        RUNNING, "np.cumsum(dc[:, ::-1], axis=1)[:, ::-1]", "np.cumsum(dc, axis=1)", ["line 12", "not turned round"],
    ),
    "heads without transpose": (
        HEADS, "dout.reshape(N, T, 2, 3).transpose(0, 2, 1, 3)", "dout.reshape(N, 2, T, 3)", ["line 15", "axes"],
    ),
    "a way by segments": (SHARES, "    da += dtotal[seg]\n", "", ["without the path through `total[:, None]`"]),
    "argument without its gap": (TAPS, "earlier(da, k * GAP)", "earlier(da, k)", ["line 22", "k * GAP"]),
    "later for earlier": (TAPS, "earlier(da, k * GAP)", "later(da, k * GAP)", ["line 22", "later used for earlier"]),
    "stacked in the wrong order": (POINTS, "np.stack([du, dv], 1)", "np.stack([dv, du], 1)", ["line 14", "exchanged"]),
    "halves in the wrong order": (GATED, "np.concatenate([da, db], 1)", "np.concatenate([db, da], 1)", ["line 15", "exchanged"]),
    "the other half": (GATED, "dy * z[:, :h] * gate", "dy * z[:, h:] * gate", ["with `z[:, h:]`"]),
    "power by its exponent": (POWER, "* np.log(u)", "* np.log(k)", ["line 11", "np.log(u)"]),
    "mean over all rows": (COUNTED, "dloss * ok / ok.sum()", "dloss * ok / len(ok)", ["the mask is missing in the normaliser"]),
    "carry without its mask": (LEAKY, "carry = ds * a * go[t]", "carry = ds * a", ["line 19", "go[t]"]),
    "carry without its decay": (DECAY, "        dS = a[t] * dS\n", "", ["a[t]"]),
    "log without its floor": (LOGS, "dy / (p + TINY)", "dy / p", ["line 13", "epsilon"]),
    "kept too late": (
        CELL,
        "        tape.append((h, u, c))\n        h = u * h + (1 - u) * c\n",
        "        h = u * h + (1 - u) * c\n        tape.append((h, u, c))\n",
        ["line 9"],
    ),
    "shortcut of layers": (LAYERS, "g = g + da @ W[k].T", "g = da @ W[k].T", ["line 18", "g + da @ W[k].T"]),
    "memory that is not h": (MEMORY, "da = dy[t] + dseen", "da = dy[t]", ["seen"]),
    "coverage that is kept too late": (
        MEMORY,
        "        kept.append((seen, a))\n        seen = seen + a\n",
        "        seen = seen + a\n        kept.append((seen, a))\n",
        ["line "],
    ),
    "added in each round": (
        STARTED,
        "        ds[n] += np.exp",
        "            ds[n] += np.exp",
        ["line 20"],
    ),
    "letters of an einsum": (SPECTRUM, "nik,njk->nij", "nik,nkj->nij", ["line 11", "nik,njk->nij", "letters of an einsum"]),
    "sorted back the same way": (
        SORTED, "dx = np.zeros_like(x)\n    np.put_along_axis(dx, order, ds, 1)", "dx = np.take_along_axis(ds, order, 1)",
        ["line 12", "put_along_axis"],
    ),
    "argmax for the label": (
        LABELS,
        "dz[np.arange(len(y)), y] -= 1",
        "dz[np.arange(len(y)), p.argmax(1)] -= 1",
        ["line 13", "the class that the model picks, for the target"],
    ),
    "closure's number": (CLOSURE, "dxw = dz * scale", "dxw = dz", ["the 0.3 of `scale * (x @ W)`"]),
    "a helper that is called twice": (
        NORMS,
        "return du / size + dsize * v / size",
        "return du / size",
        ["without the path through `size`, of `v / size`"],
    ),
    "mean over too few": (GROUPED, "dmean / (c // 2 * l)", "dmean / l", ["a mean over the wrong number, a division by"]),
    "underscored": (UNDERSCORED, "d_out * b", "d_out", ["without the factor b"]),
    "windows that overwrite each other": (WINDOWS, ": step] += parts", ": step] = parts", ["line 7", "with +=", "= for +="]),
    "a whole window": (POOLED, "3 * j + k] +=", "3 * j : 3 * j + 3] +=", ["line 17", "given to all places"]),
    "scale of a dropout, a constant of the file": (DROPPED, "dy * kept / STAYS", "dy * kept", ["a dropout scale"]),
    "σ's derivative once more": (LOGISTIC, "(p - t) / len", "(p - t) * p * (1 - p) / len", ["a factor too many"]),
    "a regularisation of another weight": (LOGISTIC, "2 * 0.05", "0.05", ["or that they weigh differently"]),
    "what the same step has set": (MIXED, "dprev += dboth", "dprev = dboth", ["line 26", "= for +="]),
    "a sum over no batch": (QUERY, "U @ da.sum(0)", "U @ da[0]", ["line 12", "sum over axis 0"]),
    "a slope at the output": (SWISH, "slope(u)\n    return", "slope(y)\n    return", ["line 15", "y used for u"]),
    "margins, one for as many as there are": (HINGE, "-= ds.sum(1)", "-= 1", ["line 13", "-= ds.sum(1)"]),
    "margins of all": (HINGE, "(m > 0)", "(m >= 0)", ["line 12", "with > for >="]),
    "a mean over a plane": (SQUEEZED, " / (x.shape[2] * x.shape[3])", "", ["a mean that is missing"]),
    "a scale of an even root": (SCALED, "    ds = ds * scale\n", "", ["* scale", "a scale of 1/√d"]),
    "one from whole columns": (
        LABELS, "dz[np.arange(len(y)), y] -= 1", "dz[:, y] -= 1", ["line 13", "np.arange(len(y)), y", "a wrong index"],
    ),
}  # fmt: skip

SAYS_NOT = {
    "kept too late": ["derivative of σ", "dc in round"],
    "shortcut of layers": ["recurrent", "dh_next"],
    "memory that is not h": ["dh_next", "through h "],
    "coverage that is kept too late": ["a term that is missing"],
    "added in each round": ["mean"],
    "argmax for the label": ["place of a maximum"],
    "underscored": ["dd_"],
    "what the same step has set": ["dh_next", "over time"],
    "σ's derivative once more": ["wrong local"],
    "margins of all": ["ties"],
    "a sum over no batch": ["batch"],
    "a slope at the output": ["from there on"],
    "one from whole columns": ["gradients that"],
}


def report_of(text, folder, name, **options):
    path = folder / f"{name}.py"
    path.write_text(text)
    linecache.checkcache()
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    fixed = getattr(module, "FIXED", ())
    return check(module.forward, module.backward, module.inputs(), fixed=fixed, **options)


@pytest.mark.parametrize(("kind",), one_of(3, zip(KINDS)))  # each takes seconds
def test_is_named_or_its_line_found(kind, tmp_path):
    text, right, wrong, words = KINDS[kind]
    assert text.count(right) == 1
    report = report_of(text.replace(right, wrong), tmp_path, "planted")
    assert not report.ok
    first = report.diagnosis[0]
    assert all(word in first for word in words), report.diagnosis
    assert not any(word in "\n".join(report.diagnosis) for word in SAYS_NOT.get(kind, [])), report.diagnosis


def test_what_explains_some_of_the_gradients_is_not_claimed(tmp_path):
    text, right, wrong, _ = KINDS["kept too late"]  # u (h_t − c) is u² (h_{t−1} − c): but dU is not explained by that
    report = report_of(text.replace(right, wrong), tmp_path, "planted", repair=False)
    assert not any("derivative of σ" in sentence for sentence in report.diagnosis)


@pytest.mark.parametrize(
    "text", dict.fromkeys(kind[0] for kind in KINDS.values()), ids=lambda text: text.split("#")[-1][:20].strip()
)
def test_as_it_stands_it_is_right(text, tmp_path):
    assert report_of(text, tmp_path, "right").verdict == "right"

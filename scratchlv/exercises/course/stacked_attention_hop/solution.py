"""Stacked attention: look, and look again with what was found.

Why: "what is left of the red circle?" takes two looks. The first finds the
circle; only who knows where it is can look left of it. So what was found is
added to the question, and the sum asks the next time (Yang et al. 2016).

One hop. u is the question, v_1 … v_L are the regions of the picture:

    h_l = tanh(v_l Wv + u Wu + b)      the question meets every region
    s_l = h_l · wp                     a score for each region
    p   = softmax(s)                   over the regions
    ṽ   = Σ_l p_l v_l                  what was seen
    u'  = ṽ + u                        the refined question

(The paper adds a number b_p to every score. A softmax does not see it: it
would never get a gradient, and is left out.)

forward(v, u, Wv, Wu, b, wp) -> (u_new, p), cache
    v      (N, L, D)   the regions
    u      (N, D)      the question, as wide as a region so that ṽ + u exists
    Wv, Wu (D, A)      b (A,)      wp (A,)
    u_new  (N, D)      p (N, L)

backward(dy, cache) -> dv, du, dWv, dWu, db, dwp
    dy     (du_new, dp), like (u_new, p)

K hops over the same regions, each with weights of its own. u_0 is the
question, u_k what hop k makes of u_{k−1}:

stack(v, u, Wv, Wu, b, wp) -> (u_K, ps), caches
    Wv, Wu (K, D, A)   b (K, A)    wp (K, A)     one for each hop
    u_K    (N, D)      ps (K, N, L), one array   where each hop looked

stack_backward(dy, caches) -> dv, du, dWv, dWu, db, dwp
    dy     (du_K, dps), like (u_K, ps); the gradients are like stack's inputs.

From float32 come float32 results and gradients.

A tiny example of one hop: one picture, two regions, D = 2, A = 1:

    v = (1, 0), (0, 1)    u = (0, 1)    Wv = (1, −1)ᵀ    Wu = (0, 0)ᵀ
    b = 0, wp = 2:        s = 2 tanh(1), −2 tanh(1) = 1.5232, −1.5232
    p = 0.9546, 0.0454    ṽ = (0.9546, 0.0454)    u' = (0.9546, 1.0454)

    >>> v, u = np.array([[[1.0, 0], [0, 1]]]), np.array([[0.0, 1]])
    >>> Wv, Wu = np.array([[1.0], [-1]]), np.zeros((2, 1))
    >>> (u_new, p), cache = forward(v, u, Wv, Wu, np.zeros(1), np.array([2.0]))
    >>> p.round(4).tolist(), u_new.round(4).tolist()
    ([[0.9546, 0.0454]], [[0.9546, 1.0454]])
    >>> dy = np.array([[3.0, 5]]), np.zeros((1, 2))
    >>> backward(dy, cache)[1].tolist()
    [[3.0, 5.0]]

Here Wu is 0: the question does not ask, it only goes on, and du is du'.
"""

import numpy as np


def softmax(s):
    """s (N, L) -> p (N, L)."""
    p = np.exp(s - s.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def softmax_backward(dp, p):
    """The gradient of s (N, L) from that of p = softmax(s)."""
    return p * (dp - (p * dp).sum(axis=1, keepdims=True))


def forward(v, u, Wv, Wu, b, wp):
    """One hop: v (N, L, D), u (N, D) -> (u_new (N, D), p (N, L)), cache."""
    # <solution>
    h = np.tanh(v @ Wv + (u @ Wu + b)[:, None])  # (N, L, A)
    p = softmax(h @ wp)  # (N, L)
    seen = (p[:, :, None] * v).sum(axis=1)  # (N, D)
    return (seen + u, p), (v, u, Wv, Wu, wp, h, p)
    # </solution>


def backward(dy, cache):
    """dy = (du_new (N, D), dp (N, L)) -> dv, du, dWv, dWu, db, dwp."""
    # <solution>
    du_new, dp_out = dy
    v, u, Wv, Wu, wp, h, p = cache
    dp = (v * du_new[:, None]).sum(axis=2) + dp_out  # (N, L)
    ds = softmax_backward(dp, p)
    dwp = (ds[:, :, None] * h).sum(axis=(0, 1))
    da = ds[:, :, None] * wp * (1 - h**2)  # (N, L, A)
    dq = da.sum(axis=1)  # (N, A): one question for all regions
    dv = p[:, :, None] * du_new[:, None] + da @ Wv.T  # summed, and scored
    du = du_new + dq @ Wu.T  # goes on, and asks
    dWv = v.reshape(-1, v.shape[2]).T @ da.reshape(-1, da.shape[2])
    dWu = u.T @ dq
    db = dq.sum(axis=0)
    return dv, du, dWv, dWu, db, dwp
    # </solution>


def stack(v, u, Wv, Wu, b, wp):
    """K hops: weights (K, …) -> (u_K (N, D), ps (K, N, L)), caches."""
    # <solution>
    ps, caches = [], []
    for k in range(len(Wv)):
        (u, p), cache = forward(v, u, Wv[k], Wu[k], b[k], wp[k])
        ps.append(p)
        caches.append(cache)
    return (u, np.stack(ps)), caches
    # </solution>


def stack_backward(dy, caches):
    """dy = (du_K (N, D), dps (K, N, L)) -> dv, du, dWv, dWu, db, dwp."""
    # <solution>
    du, dps = dy
    dv, hops = 0, []
    for k in reversed(range(len(caches))):
        dv_hop, du, *dweights = backward((du, dps[k]), caches[k])
        dv = dv + dv_hop  # every hop looks at the same regions
        hops.insert(0, dweights)
    return dv, du, *(np.stack(each) for each in zip(*hops, strict=True))
    # </solution>

"""A hop of an end-to-end memory network: ask a story, and get an answer.

Why: a story has more sentences than a state can hold. So they are kept, and
looked up by their content (Sukhbaatar et al. 2015). All is differentiable:
that a sentence matters is learned from the answers alone.

Sentence i of the story has the words w_i1 … w_iJ. Two embeddings make it a key
m_i, which is compared with the question, and a value c_i, which is read:

    m_i = Σ_j l_j ∘ A[w_ij]       c_i = Σ_j l_j ∘ C[w_ij]
    p   = softmax(m_i · u)        over the sentences i
    o   = Σ_i p_i c_i
    u'  = u + o

A sum forgets the order of the words; the vectors l_j tell it a little. For
word j of J and number k of D, both counted from 1:

    l_jk = (1 − j/J) − (k/D) (1 − 2 j/J)

(In this exercise all sentences have J words. ∘ multiplies number by number.)

position_encoding(J, D) -> l (J, D)

forward(stories, u, A, C) -> (u_new, p), cache
    stories (N, S, J)   integers: N stories of S sentences of J words
    u       (N, D)      the questions
    A, C    (V, D)      an embedding for each of V words
    u_new   (N, D)      p (N, S)

backward(dy, cache) -> du, dA, dC
    dy      (du_new, dp), like (u_new, p). Words have no gradient.

softmax and its backward pass are given below.

A tiny example: the encoding for J = 2, D = 2, and one story of two sentences
of two words; V = 3, A = C, and the question is u = (1, 0):

    l_1 = (1/2 − 1/2 · 0, 1/2 − 1 · 0) = (1/2, 1/2)
    l_2 = (0 + 1/2, 0 + 1)             = (1/2, 1)
    A   = (2, 0), (0, 2), (4, 4);   sentences: words 0 1 and 2 0
    m_1 = (1/2, 1/2)∘(2, 0) + (1/2, 1)∘(0, 2) = (1, 2)
    m_2 = (1/2, 1/2)∘(4, 4) + (1/2, 1)∘(2, 0) = (3, 2)
    scores 1, 3;  p = 0.1192, 0.8808;  o = (2.7616, 2);  u' = (3.7616, 2)

    >>> position_encoding(2, 2).tolist()
    [[0.5, 0.5], [0.5, 1.0]]
    >>> A = np.array([[2.0, 0], [0, 2], [4, 4]])
    >>> stories, u = np.array([[[0, 1], [2, 0]]]), np.array([[1.0, 0]])
    >>> (u_new, p), cache = forward(stories, u, A, A)
    >>> p.round(4).tolist(), u_new.round(4).tolist()
    ([[0.1192, 0.8808]], [[3.7616, 2.0]])
    >>> dy = np.array([[0.0, 1]]), np.zeros((1, 2))
    >>> backward(dy, cache)[2].round(4).tolist()
    [[0.0, 0.9404], [0.0, 0.1192], [0.0, 0.4404]]

Word 0 stands in both sentences: 0.9404 = 0.5 · 0.1192 + 1 · 0.8808.
"""

import numpy as np


def softmax(s):
    """s (N, S) -> p (N, S)."""
    p = np.exp(s - s.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def softmax_backward(dp, p):
    """The gradient of s (N, S) from that of p = softmax(s)."""
    return p * (dp - (p * dp).sum(axis=1, keepdims=True))


def position_encoding(J, D):
    """l (J, D)."""
    # <solution>
    j = np.arange(1, J + 1)[:, None]  # (J, 1)
    k = np.arange(1, D + 1)  # (D,)
    return (1 - j / J) - k / D * (1 - 2 * j / J)
    # </solution>


def forward(stories, u, A, C):
    """stories (N, S, J), u (N, D), A and C (V, D) -> (u_new (N, D), p (N, S)), cache."""
    # <solution>
    l = position_encoding(stories.shape[2], u.shape[1])
    m = (l * A[stories]).sum(axis=2)  # (N, S, D): keys
    c = (l * C[stories]).sum(axis=2)  # (N, S, D): values
    p = softmax((m * u[:, None]).sum(axis=2))  # (N, S)
    o = (p[:, :, None] * c).sum(axis=1)  # (N, D)
    return (u + o, p), (stories, u, A, C, l, m, c, p)
    # </solution>


def backward(dy, cache):
    """dy = (du_new (N, D), dp (N, S)) -> du, dA, dC."""
    # <solution>
    du_new, dp_out = dy
    stories, u, A, C, l, m, c, p = cache
    dp = (c * du_new[:, None]).sum(axis=2) + dp_out  # (N, S)
    dc = p[:, :, None] * du_new[:, None]  # (N, S, D)
    ds = softmax_backward(dp, p)
    dm = ds[:, :, None] * u[:, None]  # (N, S, D)
    du = du_new + (ds[:, :, None] * m).sum(axis=1)  # goes on, and asks
    dA, dC = np.zeros_like(A), np.zeros_like(C)
    np.add.at(dA, stories, l * dm[:, :, None])  # a word may stand anywhere, and often
    np.add.at(dC, stories, l * dc[:, :, None])
    return du, dA, dC
    # </solution>

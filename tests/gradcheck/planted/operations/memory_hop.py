"""Memory network: two hops over sentences, each the sum of its words' embeddings."""

import numpy as np

STYLE = "closure"
SIZES = {"N": 2, "S": 3, "L": 4, "D": 3}


def make_inputs(N=2, S=3, L=4, V=6, D=3, seed=0):
    rng = np.random.default_rng(seed)
    story = rng.integers(0, V, size=(N, S, L))
    story[..., -1] = story[..., 0]
    return {
        "story": story,
        "question": rng.integers(0, V, size=(N, L)),
        "A": rng.normal(size=(V, D)),
        "B": rng.normal(size=(V, D)),
        "C": rng.normal(size=(V, D)),
    }


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def memory_network(hops=2):
    def forward(story, question, A, B, C):
        m = A[story].sum(axis=2)
        c = C[story].sum(axis=2)
        u = B[question].sum(axis=1)
        visits = []
        for _ in range(hops):
            p = softmax(np.einsum("nsd,nd->ns", m, u))
            visits.append((u, p))
            u = u + np.einsum("ns,nsd->nd", p, c)
        return u, (story, question, A, B, C, m, c, visits)

    def backward(du, cache):
        story, question, A, B, C, m, c, visits = cache
        dm, dc = np.zeros_like(m), np.zeros_like(c)
        for u, p in reversed(visits):
            dp = np.einsum("nd,nsd->ns", du, c)
            dc += p[:, :, None] * du[:, None, :]
            dscore = p * (dp - (dp * p).sum(1, keepdims=True))
            dm += dscore[:, :, None] * u[:, None, :]
            du = du + np.einsum("ns,nsd->nd", dscore, m)
        dA, dB, dC = np.zeros_like(A), np.zeros_like(B), np.zeros_like(C)
        np.add.at(dA, story, np.repeat(dm[:, :, None, :], story.shape[2], axis=2))
        np.add.at(dC, story, np.repeat(dc[:, :, None, :], story.shape[2], axis=2))
        for n, words in enumerate(question):
            for word in words:
                dB[word] += du[n]
        return dA, dB, dC

    return forward, backward


forward, backward = memory_network()

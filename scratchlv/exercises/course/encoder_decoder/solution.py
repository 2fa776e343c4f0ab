"""Encoder and decoder: one network reads, another writes.

The encoder reads the source, s_1 … s_S, beginning with a state of zero. The
decoder begins with the encoder's last state. In training it is taught: at
step t it reads the true word before, y_{t-1}, and must say y_t. Before the
first word it reads <start>.

    g_i = rnn(E[s_i], g_{i-1}; the encoder's weights)        g_0 = 0
    h_t = rnn(E[y_{t-1}], h_{t-1}; the decoder's weights)    h_0 = g_S
                                                             y_0 = <start>

g_S is all that the decoder gets to know of the source. Both look their words
up in one table, E.

Why: translation. The two sentences have different lengths and orders of
words; a state lies between them. The encoder has no loss of its own: all it
learns comes back to it out of the decoder.

    source (S, N), target (T, N): integers, time is the first axis
    E (V, D)    h (T, N, H), the decoder's states: h[0] is h_1
    enc_Wx (D, H)  enc_Wh (H, H)  enc_b (H,), and the decoder's alike

The table's and the network's forward and backward passes are given. What you
write is how they hang together.

A tiny example: all vectors have one number, and V = 3. The encoder reads
word 2, whose vector is 0.5, and its state is tanh 0.5. The decoder's Wx is 0
and its Wh is 1: whatever it reads, h_1 = tanh(tanh 0.5).

    >>> E = np.array([[7.0], [9.0], [0.5]])
    >>> zero, one, b = np.zeros((1, 1)), np.ones((1, 1)), np.zeros(1)
    >>> source, target = np.array([[2]]), np.array([[0]])
    >>> h, cache = forward(source, target, E, one, zero, b, zero, one, b)
    >>> h.round(4).tolist(), np.tanh(np.tanh(0.5)).round(4).item()
    ([[[0.4318]]], 0.4318)

With dh = 1, the gradient of word 2's vector is the product of two slopes, that
of the decoder, 1 - tanh²(tanh 0.5) = 0.8135, and that of the encoder,
1 - tanh² 0.5 = 0.7864:

    >>> backward(np.ones((1, 1, 1)), cache)[0].round(4).tolist()
    [[0.0], [0.0], [0.6398]]
"""

import numpy as np

START = 1


def embed(words, E):
    """Given: words (T, N) -> their vectors (T, N, D)."""
    return E[words]


def embed_backward(dx, words, V):
    """Given: dx (T, N, D) -> dE (V, D)."""
    dE = np.zeros_like(dx, shape=(V, dx.shape[-1]))
    np.add.at(dE, words, dx)
    return dE


def rnn_forward(x, h0, Wx, Wh, b):
    """Given: x (T, N, D), h0 (N, H) -> every h (T, N, H), cache."""
    h = [h0]
    for x_t in x:
        h.append(np.tanh(x_t @ Wx + h[-1] @ Wh + b))
    return np.stack(h[1:]), (x, np.stack(h), Wx, Wh)


def rnn_backward(dh, cache):
    """Given: dh (T, N, H), of every h -> dx, dh0, dWx, dWh, db."""
    x, h, Wx, Wh = cache
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    dh_next = np.zeros_like(h[0])
    for t in reversed(range(len(x))):
        da = (dh[t] + dh_next) * (1 - h[t + 1] ** 2)
        dx[t], dh_next = da @ Wx.T, da @ Wh.T
        dWx += x[t].T @ da
        dWh += h[t].T @ da
        db += da.sum(axis=0)
    return dx, dh_next, dWx, dWh, db


def forward(source, target, E, enc_Wx, enc_Wh, enc_b, dec_Wx, dec_Wh, dec_b):
    """Every state h (T, N, H) of the decoder, and a cache."""
    # <solution>
    N, H = source.shape[1], enc_b.shape[0]
    x_source = embed(source, E)  # (S, N, D)
    states, encoder = rnn_forward(x_source, np.zeros((N, H)), enc_Wx, enc_Wh, enc_b)  # (S, N, H)
    before = np.concatenate([np.full((1, N), START), target[:-1]])  # (T, N): what the decoder reads
    x_target = embed(before, E)  # (T, N, D)
    h, decoder = rnn_forward(x_target, states[-1], dec_Wx, dec_Wh, dec_b)  # (T, N, H)
    return h, (source, before, states, encoder, decoder, len(E))
    # </solution>


def backward(dh, cache):
    """Gradients of E, enc_Wx, enc_Wh, enc_b, dec_Wx, dec_Wh, dec_b, in this order."""
    # <solution>
    source, before, states, encoder, decoder, V = cache
    dx_target, dlast, *decoder_grads = rnn_backward(dh, decoder)
    dstates = np.zeros_like(states)
    dstates[-1] = dlast  # the decoder took the last state alone
    dx_source, _, *encoder_grads = rnn_backward(dstates, encoder)
    dE = embed_backward(dx_source, source, V) + embed_backward(dx_target, before, V)
    return dE, *encoder_grads, *decoder_grads
    # </solution>

"""A captioner: a picture in, a sentence out, and where it looked at each word.

Why: this is what all the parts were for. You have written them in exercises
before this one; here they are given (put your own in their place, if you
like). What is yours: to put them together, forward, backward, and greedy.

The pictures come as features of L regions, D numbers each. For every step t:

    x        = max(0, features W + b)               the encoder, once
    z, α     = attend(x, h)                         where to look
    logits, h, c = step(word before, z, h, c)       what to say
    loss     = mean over all words that count of −log softmax(logits)[word]

with h = c = 0 before the first step. The word before, at step t, is
tokens[t], embedded (its row of embedding.W); the word to be said is
tokens[t + 1]: teacher forcing. attend comes first, with the h of the step
before. Where tokens[t + 1] is PAD there is no word: it counts neither in the
sum nor in the number that the sum is divided by.

forward(params, features, tokens) -> loss, cache
    params    a dict of arrays: encoder.W (D, R), encoder.b (R,),
              embedding.W (V, E), and those named in ATTENTION and STEP
    features  (N, L, D)     N pictures
    tokens    (T + 1, N)    integers: START, the words, END, then PAD
    loss      a number

backward(dloss, cache) -> grads
    dloss     a number
    grads     a dict with the keys of params, each like its parameter

greedy(params, features, length) -> words, probabilities, alphas
    Say the most probable word each time, beginning after START. What was said
    is the next step's word before. Once a sentence has said END, all that
    follows is PAD with probability 0; alpha is whatever attend gives.
    words         (length, N)      integers
    probabilities (length, N)      of the words, by the softmax
    alphas        (length, N, L)

The parts (their sizes are in the code below):

    attend(x, h, *four weights)            -> z, alpha, cache
    attend_backward(dz, cache)             -> dx, dh, then the four gradients
    step(word, z, h, c, *eight weights)    -> logits, h, c, cache
    step_backward(dlogits, dh, dc, cache)  -> dword, dz, dh, dc, then the eight
    cross_entropy(logits, targets)         -> losses (N,), cache
    cross_entropy_backward(dlosses, cache) -> dlogits

The names of the weights stand in ATTENTION and STEP in the parts' order, so
*(params[name] for name in STEP) hands all eight over.

The check compares all this on small inputs. Then `train` trains your captioner
on drawn scenes, for less than a minute; it has to describe pictures that it
has not seen, truly, and captioner.png shows where it looked.

A tiny example: no weight is other than 0, so all V = 4 words are as probable
as each other, and the loss of a word is ln 4 = 1.3863, whatever the picture:

    >>> sizes = {"D": 2, "R": 3, "A": 2, "E": 3, "H": 2, "V": 4}
    >>> params = {name: np.zeros(s) for name, s in shapes(**sizes).items()}
    >>> features = np.ones((1, 2, 2))
    >>> tokens = np.array([[START], [3], [END], [PAD]])
    >>> loss, cache = forward(params, features, tokens)
    >>> round(float(loss), 4)
    1.3863
    >>> backward(1.0, cache)["output.bo"].tolist()
    [0.25, 0.25, -0.25, -0.25]

Of bo only: each of the two words that count gives (1/4 − onehot) / 2. Greedy
says END if its score is the highest, and is silent then:

    >>> params["output.bo"][END] = 9.0
    >>> words, probabilities, alphas = greedy(params, features, 3)
    >>> words[:, 0].tolist(), probabilities[:, 0].round(3).tolist()
    ([2, 0, 0], [1.0, 0.0, 0.0])
"""

import numpy as np

PAD, START, END = 0, 1, 2
ATTENTION = ("attention.Wx", "attention.Wh", "attention.b", "attention.v")
STEP = (
    "decoder.Ww",
    "decoder.Wz",
    "decoder.Wh",
    "decoder.b",
    "output.Lh",
    "output.Lz",
    "output.Lo",
    "output.bo",
)


def shapes(D, R, A, E, H, V):
    """The shape of each parameter, by name."""
    return {
        "encoder.W": (D, R),
        "encoder.b": (R,),
        "embedding.W": (V, E),
        "attention.Wx": (R, A),
        "attention.Wh": (H, A),
        "attention.b": (A,),
        "attention.v": (A,),
        "decoder.Ww": (E, 4 * H),
        "decoder.Wz": (R, 4 * H),
        "decoder.Wh": (H, 4 * H),
        "decoder.b": (4 * H,),
        "output.Lh": (H, E),
        "output.Lz": (R, E),
        "output.Lo": (E, V),
        "output.bo": (V,),
    }


# --- yours ------------------------------------------------------------------------------------------------------------


def forward(params, features, tokens):
    """features (N, L, D), tokens (T + 1, N) -> loss, a number, and a cache."""
    # <solution>
    x = encode(params, features)
    T, N = tokens.shape[0] - 1, tokens.shape[1]
    H = params["decoder.Wh"].shape[0]
    h, c = np.zeros((N, H), x.dtype), np.zeros((N, H), x.dtype)
    mask = tokens[1:] != PAD  # (T, N)
    total, steps = 0.0, []
    for t in range(T):
        z, _, attention = attend(x, h, *(params[name] for name in ATTENTION))
        word = params["embedding.W"][tokens[t]]  # (N, E)
        logits, h, c, cell = step(word, z, h, c, *(params[name] for name in STEP))
        losses, entropy = cross_entropy(logits, tokens[t + 1])
        total += (losses * mask[t]).sum()
        steps.append((attention, cell, entropy))
    return total / mask.sum(), (params, features, tokens, x, mask, steps)
    # </solution>


def backward(dloss, cache):
    """dloss, a number -> the gradients, a dict like params."""
    # <solution>
    params, features, tokens, x, mask, steps = cache
    grads = {name: np.zeros_like(value) for name, value in params.items()}
    dx, dh, dc = np.zeros_like(x), 0.0, 0.0
    for t in reversed(range(len(steps))):
        attention, cell, entropy = steps[t]
        dlogits = cross_entropy_backward(dloss * mask[t] / mask.sum(), entropy)
        dword, dz, dh, dc, *dweights = step_backward(dlogits, dh, dc, cell)
        for name, dweight in zip(STEP, dweights, strict=True):
            grads[name] += dweight  # every step has the same weights
        np.add.at(grads["embedding.W"], tokens[t], dword)
        dx_t, dh_asked, *dweights = attend_backward(dz, attention)
        for name, dweight in zip(ATTENTION, dweights, strict=True):
            grads[name] += dweight
        dx += dx_t
        dh = dh + dh_asked  # h went into the cell, and asked
    da = dx * (x > 0)
    grads["encoder.W"] = features.reshape(-1, features.shape[2]).T @ da.reshape(-1, da.shape[2])
    grads["encoder.b"] = da.sum(axis=(0, 1))
    return grads
    # </solution>


def greedy(params, features, length):
    """features (N, L, D) -> words (length, N), probabilities (length, N), alphas (length, N, L)."""
    # <solution>
    x = encode(params, features)
    N, H = len(x), params["decoder.Wh"].shape[0]
    h, c = np.zeros((N, H), x.dtype), np.zeros((N, H), x.dtype)
    word, ended = np.full(N, START), np.zeros(N, bool)
    words, probabilities, alphas = [], [], []
    for _ in range(length):
        z, alpha, _ = attend(x, h, *(params[name] for name in ATTENTION))
        logits, h, c, _ = step(params["embedding.W"][word], z, h, c, *(params[name] for name in STEP))
        p = softmax(logits)
        word = np.where(ended, PAD, p.argmax(axis=1))
        words.append(word)
        probabilities.append(np.where(ended, 0, p.max(axis=1)))
        alphas.append(alpha)
        ended = ended | (word == END)
    return np.stack(words), np.stack(probabilities), np.stack(alphas)
    # </solution>


# --- the parts --------------------------------------------------------------------------------------------------------


def encode(params, features):
    """features (N, L, D) -> x (N, L, R)."""
    return np.maximum(features @ params["encoder.W"] + params["encoder.b"], 0)


def softmax(e):
    """e (N, …) -> p like e; each row sums to 1."""
    p = np.exp(e - e.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def attend(x, h, Wx, Wh, b, v):
    """x (N, L, R), h (N, H) -> z (N, R), alpha (N, L), cache."""
    s = np.tanh(x @ Wx + (h @ Wh + b)[:, None])  # (N, L, A)
    alpha = softmax(s @ v)
    z = (alpha[:, None] @ x)[:, 0]
    return z, alpha, (x, h, Wx, Wh, v, s, alpha)


def attend_backward(dz, cache):
    """dz (N, R) -> dx (N, L, R), dh (N, H), dWx, dWh, db, dv."""
    x, h, Wx, Wh, v, s, alpha = cache
    dalpha = (x @ dz[:, :, None])[:, :, 0]
    de = alpha * (dalpha - (alpha * dalpha).sum(axis=1, keepdims=True))
    dv = de.reshape(-1) @ s.reshape(-1, s.shape[2])
    da = de[:, :, None] * v * (1 - s * s)  # (N, L, A)
    dq = da.sum(axis=1)
    dx = alpha[:, :, None] * dz[:, None] + da @ Wx.T
    dWx = x.reshape(-1, x.shape[2]).T @ da.reshape(-1, da.shape[2])
    return dx, dq @ Wh.T, dWx, h.T @ dq, dq.sum(axis=0), dv


def step(word, z, h, c, Ww, Wz, Wh, b, Lh, Lz, Lo, bo):
    """word (N, E), z (N, R), h and c (N, H) -> logits (N, V), the new h and c, cache."""
    a = word @ Ww + z @ Wz + h @ Wh + b  # (N, 4H)
    H = h.shape[1]
    i, f, o = (0.5 + 0.5 * np.tanh(0.5 * a[:, k * H : (k + 1) * H]) for k in (0, 1, 3))
    g = np.tanh(a[:, 2 * H : 3 * H])
    c_new = f * c + i * g
    h_new = o * np.tanh(c_new)
    r = word + h_new @ Lh + z @ Lz  # (N, E)
    return r @ Lo + bo, h_new, c_new, (word, z, h, c, i, f, g, o, c_new, h_new, r, Ww, Wz, Wh, Lh, Lz, Lo)


def step_backward(dlogits, dh_new, dc_new, cache):
    """dlogits (N, V), dh_new and dc_new (N, H) or 0 -> dword, dz, dh, dc, dWw, dWz, dWh, db, dLh, dLz, dLo, dbo."""
    word, z, h, c, i, f, g, o, c_new, h_new, r, Ww, Wz, Wh, Lh, Lz, Lo = cache
    dr = dlogits @ Lo.T
    dh_new = dh_new + dr @ Lh.T
    tanh_c = np.tanh(c_new)
    dc_new = dc_new + dh_new * o * (1 - tanh_c**2)
    da = (dc_new * g * i * (1 - i), dc_new * c * f * (1 - f), dc_new * i * (1 - g**2), dh_new * tanh_c * o * (1 - o))
    da = np.concatenate(da, axis=1)  # (N, 4H)
    inputs = dr + da @ Ww.T, dr @ Lz.T + da @ Wz.T, da @ Wh.T, dc_new * f
    cell = word.T @ da, z.T @ da, h.T @ da, da.sum(axis=0)
    output = h_new.T @ dr, z.T @ dr, r.T @ dlogits, dlogits.sum(axis=0)
    return *inputs, *cell, *output


def cross_entropy(logits, targets):
    """logits (N, V), targets (N,) integers -> losses (N,): −log softmax(logits)[target], and a cache."""
    z = logits - logits.max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return -log_p[np.arange(len(targets)), targets], (np.exp(log_p), targets)


def cross_entropy_backward(dlosses, cache):
    """dlosses (N,) -> dlogits (N, V)."""
    p, targets = cache
    dlogits = p.copy()
    dlogits[np.arange(len(targets)), targets] -= 1
    return dlogits * np.asarray(dlosses, p.dtype)[:, None]


# --- training ---------------------------------------------------------------------------------------------------------


def train(params, features, tokens, batches, rate):
    """Adam, one step for each row of batches (which pictures) -> the trained params, and the loss of each step."""
    mean, square = ({name: np.zeros_like(value) for name, value in params.items()} for _ in range(2))
    losses = []
    for k, batch in enumerate(batches, 1):
        loss, cache = forward(params, features[batch], tokens[:, batch])
        grads = backward(1.0, cache)
        losses.append(float(loss))
        norm = np.sqrt(sum(float((g**2).sum()) for g in grads.values()))
        clip = 1 / max(norm, 1.0)
        now = rate * min(1, k / 50) * 0.5 * (1 + np.cos(np.pi * k / len(batches)))  # up in a line, down in a curve
        new = {}
        for name, value in params.items():
            g = clip * grads[name]
            mean[name] = 0.9 * mean[name] + 0.1 * g
            square[name] = 0.99 * square[name] + 0.01 * g * g
            unbiased = np.sqrt(square[name] / (1 - 0.99**k)) + 1e-8
            new[name] = (value - now * mean[name] / (1 - 0.9**k) / unbiased).astype(value.dtype)
        params = new
    return params, np.array(losses)

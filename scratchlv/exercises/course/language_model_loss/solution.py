"""The loss of a language model: which words go in, which must come out.

A language model reads a word and says how likely each word is to come next.
In training it reads the true sentence, whatever it said itself ("teacher
forcing"). Of the sentence w_1 … w_n:

    inputs     <start>  w_1  …  w_{n-1}  w_n       then <pad>
    targets    w_1      w_2  …  w_n      <end>     then <pad>
    mask       1        1    …  1        1         then 0

The loss is the mean over the words that count, of all sentences together:

    L = Σ_tn mask_tn · l_tn / Σ_tn mask_tn         l_tn = -log p_tn[targets_tn]

with p_tn = softmax(logits_tn). Perplexity is exp(mean loss per word): as
unsure as a fair choice among so many words. Of a text that was read in
batches it is exp of the mean over all its words.

Why: nearly all that can go wrong with a language model's loss is a matter
of counting. It trains in spite of it, and its perplexity is wrong.

    N sentences side by side, T steps: one more than the longest has words
    inputs, targets (T, N) integers    mask (T, N) float64, 0 or 1
    logits (T, N, V), scores of V words

A tiny example: the sentences 5 6 7 and 8.

    >>> inputs, targets, mask = shift([[5, 6, 7], [8]])
    >>> inputs.T.tolist(), targets.T.tolist()
    ([[1, 5, 6, 7], [1, 8, 0, 0]], [[5, 6, 7, 2], [8, 2, 0, 0]])
    >>> mask.T.tolist()
    [[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0]]

One who knows nothing of 9 words gives each 1/9: its perplexity is 9.

    >>> loss, cache = forward(np.zeros((4, 2, 9)), targets, mask)
    >>> float(np.exp(loss).round(6))
    9.0

Two batches, one of 1 word with loss log 2, one of 3 with log 4; the mean loss
is (log 2 + 3 log 4) / 4 = 7/4 log 2:

    >>> round(perplexity([np.log(2), np.log(4)], [1, 3]), 4), round(2**1.75, 4)
    (3.3636, 3.3636)
"""

import numpy as np

PAD, START, END = 0, 1, 2


def log_softmax(z):
    """Given: log softmax over the last axis."""
    z = z - z.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def shift(sentences):
    """N lists of words (integers, a list may be empty) -> inputs, targets, mask."""
    # <solution>
    T, N = max(len(words) for words in sentences) + 1, len(sentences)
    inputs, targets, mask = np.full((T, N), PAD), np.full((T, N), PAD), np.zeros((T, N))
    for n, words in enumerate(sentences):
        steps = len(words) + 1
        inputs[:steps, n] = [START, *words]
        targets[:steps, n] = [*words, END]
        mask[:steps, n] = 1
    return inputs, targets, mask
    # </solution>


def forward(logits, targets, mask):
    """The mean loss per word, a number, and a cache. Some word counts."""
    # <solution>
    log_p = log_softmax(logits)  # (T, N, V)
    losses = -np.take_along_axis(log_p, targets[..., None], axis=-1)[..., 0]  # (T, N)
    words = mask.sum()
    loss = (losses * mask).sum() / words
    return loss, (log_p, targets, mask, words)
    # </solution>


def backward(dloss, cache):
    """dlogits (T, N, V). dloss is a number: 1, if the loss is all there is."""
    # <solution>
    log_p, targets, mask, words = cache
    onehot = np.arange(log_p.shape[-1]) == targets[..., None]
    dlosses = dloss * mask / words  # (T, N)
    return dlosses[..., None] * (np.exp(log_p) - onehot)
    # </solution>


def perplexity(losses, words):
    """Of a text that was read in batches: losses[k] is the mean over words[k] words."""
    # <solution>
    losses, words = np.array(losses), np.array(words)
    return float(np.exp((losses * words).sum() / words.sum()))
    # </solution>

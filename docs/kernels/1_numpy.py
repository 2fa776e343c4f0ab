"""log softmax, first version: NumPy, a pass over the memory for each operation."""

import numpy as np


def forward(logits, *, train=True):
    z = logits - logits.max(-1, keepdims=True)
    y = z - np.log(np.exp(z).sum(-1, keepdims=True))
    return y, y


def backward(dy, y):
    return (dy - np.exp(y) * dy.sum(-1, keepdims=True),)

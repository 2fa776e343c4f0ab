"""The encoding of several sizes; stories whose words repeat, of one sentence, of one word."""

import numpy as np

from scratchlv.exercises import call, pair


def cases(rng, N, S, J, D, V):
    def hop(case, N=N, S=S, J=J, D=D, V=V, stories=None):
        stories = rng.integers(0, V, (N, S, J)) if stories is None else stories
        u, A, C = (rng.standard_normal(shape) for shape in ((N, D), (V, D), (V, D)))
        return pair("forward", "backward", case=case, stories=stories, u=u, A=A, C=C)

    yield call("position_encoding", J=2, D=2)
    yield call("position_encoding", case="more words than numbers", J=J, D=D)
    yield call("position_encoding", case="more numbers than words", J=3, D=6)
    yield call("position_encoding", case="one word", J=1, D=D)
    no_word_twice = rng.permutation(4).reshape(1, 2, 2)
    yield hop("one story, no word twice", N=1, S=2, J=2, D=2, V=4, stories=no_word_twice)
    yield hop("several stories, whose words repeat")
    yield hop(
        "the same word everywhere but once", V=3, stories=np.where(np.arange(J) == rng.integers(0, J, (N, S, 1)), 1, 2)
    )
    yield hop("one sentence", S=1)
    yield hop("sentences of one word", J=1)

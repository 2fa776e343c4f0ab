"""What is said on a GPU is what is said on the CPU: the kernels of ``decoding.cu``, and decoding on a stand-in for CuPy."""

import re

import numpy as np
import pytest

from scratchlv import decode
from scratchlv.cuda import decoding, load
from scratchlv.cuda.emulator import ORDERS, turns, why_not, without_barrier
from scratchlv.errors import UserError
from scratchlv.tokens import END, PAD, START, UNK

from ..test_decode import Chain, State, chains
from . import stand_in
from .stand_in import Gpu

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
NEVER = (PAD, START, UNK)


def log_probs(rows=5, V=133, seed=0, sharpness=3.0, ties=False):
    """More words than a block has threads, in no round number."""
    z = sharpness * np.random.default_rng(seed).standard_normal((rows, V))
    z = np.round(z) if ties else z
    return (z - np.log(np.exp(z).sum(axis=1, keepdims=True))).astype(np.float32)


HARD = {
    "plain": log_probs(),
    "ties": log_probs(ties=True),
    "all alike": np.full((3, 65), -np.log(65), np.float32),
    "one word": np.zeros((2, 1), np.float32),
    "33 words": log_probs(4, 33),
    "what is never said is likeliest": log_probs() + np.float32(9) * np.isin(np.arange(133), NEVER),
    "some are impossible": np.where(log_probs(ties=True) > -7, log_probs(ties=True), np.float32(-np.inf)),
    "all are impossible": np.full((3, 37), -np.inf, np.float32),
}
hard = pytest.mark.parametrize("z", HARD.values(), ids=HARD.keys())
orders = pytest.mark.parametrize("order", ORDERS)


def may(z, tokens=NEVER, said=None, no_repeat=0):
    return decoding.May(decoding.never(tokens, z.shape[1], z), said, no_repeat)


def forbidden(z):
    """NEVER, but something is left to say."""
    return NEVER if z.shape[1] > len(NEVER) + 1 else ()


# --- the kernels -----------------------------------------------------------------------------------------------------


@orders
@hard
def test_the_most_likely_word(z, order):
    with turns(order, seed=3):
        tokens, own = decoding.most_likely(z, may(z, forbidden(z)))
    wanted = decode._argmax(z, list(forbidden(z)), 0)
    np.testing.assert_array_equal(tokens, wanted)
    np.testing.assert_array_equal(own, z[np.arange(len(z)), wanted])


SAID = np.array([[5, 6, 7, 5, 6], [9, 9, 9, 9, 9], [4, 5, 6, 7, 8], [5, 6, -1, 5, 6], [8, 2, 8, 2, 8]])


@orders
@pytest.mark.parametrize("n", [1, 2, 3, 5, 6])
def test_no_words_in_a_row_are_said_twice(n, order):
    z = log_probs()
    z[:, [7, 9, 2, 4, 8]] = 0  # they would be said
    with turns(order, seed=3):
        tokens, own = decoding.most_likely(z, may(z, said=SAID, no_repeat=n))
    wanted = decode._argmax(decode._without_repeats(z, np.where(SAID < 0, 132, SAID), n), list(NEVER), 0)
    np.testing.assert_array_equal(tokens, wanted)
    np.testing.assert_array_equal(own, z[np.arange(5), wanted])


HOW = {
    "all words": {},
    "cold": {"temperature": 0.3},
    "hot": {"temperature": 4.0},
    "near zero": {"temperature": 1e-300},
    "top 1": {"top_k": 1},
    "top 7": {"top_k": 7},
    "top p": {"top_p": 0.6},
    "top p 1": {"top_p": 1.0},
    "top p near zero": {"top_p": 1e-12},
    "all three": {"temperature": 1.7, "top_k": 9, "top_p": 0.8},
}


@hard
@pytest.mark.parametrize("how", HOW.values(), ids=HOW.keys())
def test_a_draw_is_that_of_the_host(z, how):
    options = {"temperature": 1.0, "top_k": None, "top_p": None} | how
    options["top_k"] = options["top_k"] and min(options["top_k"], z.shape[1])
    here, there = decode._Sampler(seed=3, **options), decode._Sampler(seed=3, **options)
    for t in range(2):
        wanted = here(z, list(forbidden(z)), 0)
        tokens, own = there.on_gpu(z, may(z, forbidden(z)))
        np.testing.assert_array_equal(tokens, wanted, err_msg=f"word {t}")
        np.testing.assert_array_equal(own, z[np.arange(len(z)), wanted])


@orders
def test_the_order_of_the_threads_changes_no_draw(order):
    z, u = log_probs(ties=True), np.random.default_rng(1).random(5)
    expected = decoding.draw(z, may(z).never, u, temperature=1.7, top_k=90, top_p=0.9)
    with turns(order, seed=3):
        found = decoding.draw(z, may(z).never, u, temperature=1.7, top_k=90, top_p=0.9)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("u", [1e-12, 0.1, 0.5, 0.999999, 1.0])
def test_a_draw_in_the_order_of_the_vocabulary(u):
    class Drawn:
        def random(self, n):
            return np.full(n, 1 - u)

    few = np.full((1, 5), -np.inf, np.float32)
    few[0, [1, 3]] = np.log(0.5)
    for z in (log_probs(), log_probs(ties=True), few):
        tokens, own = decoding.draw(z, decoding.never((), z.shape[1], z), np.full(len(z), u), by_score=False)
        np.testing.assert_array_equal(tokens, decode._drawn(z, Drawn()))
        np.testing.assert_array_equal(own, z[np.arange(len(z)), tokens])


def test_each_word_is_drawn_as_often_as_it_should():
    """u runs over [0, 1): the share of each word is its probability."""
    n, p = 200, np.array([0.1, 0, 0.3, 0.05, 0.55])
    with np.errstate(divide="ignore"):
        z = np.tile(np.log(p).astype(np.float32), (n, 1))
    tokens, _ = decoding.draw(z, decoding.never((), 5, z), (np.arange(n) + 0.5) / n)
    np.testing.assert_allclose(np.bincount(tokens, minlength=5) / n, p, atol=1 / n)


@orders
@hard
@pytest.mark.parametrize("B", [1, 3])
def test_a_step_of_a_beam(z, B, order):
    """Of two inputs, with hypotheses of which one is not there, as the host takes it."""
    rng, V = np.random.default_rng(5), z.shape[1]
    z = np.resize(z, (2 * B, V))
    scores = -rng.random((2, B)) * 3
    scores[:, 2::4] = -np.inf
    beam = decoding.Beam([9, 9], B, 0.7, z)
    beam.scores[...], beam.steps = scores, 2
    with turns(order, seed=3):
        step = beam.step(z, may(z, forbidden(z)))
    wanted_scores, parents, words = host_step(z, scores, forbidden(z))
    there = wanted_scores > -np.inf
    np.testing.assert_array_equal(step.parents[there], parents[there])
    np.testing.assert_array_equal(step.tokens[there], words[there])
    own = z[np.arange(2)[:, None] * B + step.parents, step.tokens]
    np.testing.assert_array_equal(step.log_probs, own)
    np.testing.assert_array_equal(step.rows, (np.arange(2)[:, None] * B + step.parents).ravel())
    ended = there & (words == END)
    normalised = np.where(ended, wanted_scores / 3**0.7, -np.inf)
    np.testing.assert_array_equal(beam.best, normalised.max(axis=1))
    open_scores = np.where(ended, -np.inf, wanted_scores)
    open_scores[beam.best >= open_scores.max(axis=1) / 9**0.7] = -np.inf
    np.testing.assert_array_equal(beam.scores, open_scores)
    np.testing.assert_array_equal(beam.open, (open_scores > -np.inf).any(axis=1))
    at, damaged = beam.ended()
    assert not damaged
    for n in np.flatnonzero(ended.any(axis=1)):
        assert at[n].tolist() == [2, normalised[n].argmax()]


def test_a_step_of_a_wide_beam():
    """Of more hypotheses than a warp has lanes, and more candidates than a block has threads."""
    test_a_step_of_a_beam(log_probs(ties=True), 40, "shuffled")


def host_step(z, scores, never):
    N, B = scores.shape
    K = min(B, z.shape[1])
    offered, words = decode._largest(np.minimum(decode._allowed(z, list(never), 0), 0), K)
    scores, found = decode._largest((scores[..., None] + offered.reshape(N, B, K)).reshape(N, B * K), B)
    parents, place = np.divmod(found, K)
    return scores, parents, words.reshape(N, B, K)[np.arange(N)[:, None], parents, place]


@pytest.mark.parametrize("token", [PAD, 17])
def test_what_is_no_number_is_found(token):
    z = log_probs()
    z[2, token] = np.nan
    for tokens, own in (decoding.most_likely(z, may(z)), decoding.draw(z, may(z).never, np.full(5, 0.5))):
        assert tokens[2] == -1
        assert np.isnan(own[2])
        assert (np.delete(tokens, 2) >= 0).all()
    beam = decoding.Beam([9], 5, 1.0, z)
    beam.step(z, may(z))
    assert beam.ended()[1]


def barriers():
    lines = load("decoding.cu").path.read_text("utf-8").splitlines()
    return [n for n, line in enumerate(lines, 1) if "__syncthreads(" in line.split("//")[0]]


def outcome():
    z = log_probs(16, ties=True)
    said = np.array([[5, 6, 130, 5, 6]] * 16)
    z[:, 130] = 0  # its bit is cleared by a thread that does not set it
    beam = decoding.Beam([9], 16, 1.0, z)  # candidates for several warps
    beam.scores[...] = -np.arange(16)
    found = [*decoding.most_likely(z, may(z, said=said, no_repeat=3))]
    found += decoding.draw(z, may(z).never, np.full(16, 0.7), top_k=90, top_p=0.7)
    found += beam.step(z, may(z, said=said, no_repeat=3))
    return [part.tobytes() for part in found]


@pytest.mark.parametrize("line", barriers())
def test_every_barrier_is_needed(line):
    expected = outcome()
    for order in ORDERS:
        with turns(order, seed=7), without_barrier("decoding.cu", line):
            if outcome() != expected:
                return
    pytest.fail(f"decoding.cu:{line} can be left out, and nothing is noticed")


# --- decoding --------------------------------------------------------------------------------------------------------


class ChainOnGpu(Chain):
    """Its state is on the GPU, and its scores; in between it reckons on the host, which is not counted."""

    def start(self, tables):
        return _there(super().start(tables))

    def step(self, state, tokens):
        before = Gpu.round_trips
        here = decode.to_host((state, tokens))
        scores, state = super().step(State(*here[0]), here[1])
        Gpu.round_trips = before
        return _there(scores.astype(np.float32)), _there(state)


def _there(value):
    return decode.place(value, stand_in.zeros(1))


class ChainOnHost(Chain):
    def step(self, state, tokens):
        scores, state = super().step(state, tokens)
        return scores.astype(np.float32), state


@pytest.fixture
def gpu(monkeypatch):
    stand_in.install(monkeypatch)


WAYS = {
    "greedy": decode.greedy,
    "greedy, no repeats": lambda *a, **k: decode.greedy(*a, no_repeat=2, **k),
    "sample": lambda *a, **k: decode.sample(*a, seed=3, **k),
    "sample, top k": lambda *a, **k: decode.sample(*a, seed=3, temperature=2.0, top_k=3, **k),
    "sample, top p": lambda *a, **k: decode.sample(*a, seed=4, temperature=2.0, top_p=0.8, **k),
    "beam": decode.beam_search,
    "beam, wide, no repeats": lambda *a, **k: decode.beam_search(*a, beam=9, no_repeat=2, **k),
    "beam of one": lambda *a, **k: decode.beam_search(*a, beam=1, length_normalisation=0, **k),
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())


@every_way
@pytest.mark.parametrize(
    "options",
    [
        {"max_length": 20},
        {"max_length": 3},
        {"max_length": 12, "min_length": 5},
        {"max_length": 9, "ban": (4, 6)},
        {"max_length": 9, "prompt": np.array([[START] * 7, [5] * 7])},
        {"max_length": np.array([2, 9, 4, 1, 12, 7, 3])},
    ],
    ids=str,
)
@pytest.mark.parametrize("looks", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_the_same_is_said(gpu, way, options, looks):
    tables = chains(7)
    wanted, found = way(ChainOnHost(looks), tables, **options), way(ChainOnGpu(looks), tables, **options)
    assert len(found) == len(wanted)
    for here, there in zip(wanted, found, strict=True):
        np.testing.assert_array_equal(there.tokens, here.tokens)
        np.testing.assert_array_equal(there.probabilities, here.probabilities)
        assert there.log_probability == here.log_probability
        assert (there.alphas is None) == (not looks)
        if looks:
            np.testing.assert_array_equal(there.alphas, here.alphas)


@every_way
def test_a_sentence_comes_back_once(gpu, way):
    tables = chains(4)
    tables[..., END] = -30  # nobody ends
    way(ChainOnGpu(), tables, max_length=3)
    short, Gpu.round_trips = Gpu.round_trips, 0
    way(ChainOnGpu(), tables, max_length=17)
    assert short <= 9
    assert Gpu.round_trips == short + 2, "asked before words 8 and 16 whether all have ended, and no more"


@every_way
def test_it_stops_soon_after_all_have_ended(gpu, way):
    tables = chains(4)
    tables[..., END] = 30
    model = ChainOnGpu()
    way(model, tables, max_length=40)
    assert model.steps == decode._ASKED_EVERY


@every_way
def test_damaged_weights(gpu, way):
    tables = chains(3)
    tables[1] = np.nan
    with pytest.raises(UserError, match="no numbers"):
        way(ChainOnGpu(), tables, max_length=5)


@every_way
def test_no_rows(gpu, way):
    assert way(ChainOnGpu(), chains(0), max_length=5) == []


@every_way
def test_nothing_is_left_to_say(gpu, way):
    with pytest.raises(UserError, match="there is no word to say"):
        way(ChainOnGpu(), chains(2), min_length=2, max_length=5, ban=(4, 5, 6, 7))


def test_a_stream_is_the_sentence(gpu):
    tables = chains(1, seed=3)
    said = decode.sample(ChainOnHost(), tables, seed=5, max_length=12)[0].tokens.tolist()
    assert list(decode.stream(ChainOnGpu(), tables, seed=5, max_length=12)) == said
    with pytest.raises(UserError, match="no numbers"):
        list(decode.stream(ChainOnGpu(), tables * np.nan, max_length=3))


def test_exploring_says_the_same_with_the_same_draws(gpu):
    tables = chains(6)
    wanted = decode.explore(ChainOnHost(), tables, seed=5, samples=3, max_length=12)
    found = decode.explore(ChainOnGpu(), tables, seed=5, samples=3, max_length=12)
    for here, there in zip(wanted[0] + wanted[1], found[0] + found[1], strict=True):
        np.testing.assert_array_equal(there.tokens, here.tokens)
        np.testing.assert_array_equal(there.probabilities, here.probabilities)
    with pytest.raises(UserError, match="no numbers"):
        decode.explore(ChainOnGpu(), tables * np.nan, seed=5, max_length=3)


def test_words_that_are_given_are_read_there(gpu):
    tables, words = chains(4), np.array([[START] * 4, [5, 6, 7, 4], [4, 4, END, 5]])
    wanted, found = (
        decode.read(model, model.start(tables), words) for model in (ChainOnHost(), ChainOnGpu())
    )  # fmt: skip
    for here, there in zip(wanted, found, strict=True):
        np.testing.assert_array_equal(there, here)


def test_the_file_says_what_it_holds():
    head = load("decoding.cu").path.read_text("utf-8").split("#include")[0]
    assert [name for name in load("decoding.cu") if not re.search(rf"\b{name}\b", head)] == []

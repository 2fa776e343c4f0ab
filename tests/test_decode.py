"""Decoding, on Markov chains small enough that every sentence can be tried."""

import itertools
import math
from typing import NamedTuple

import numpy as np
import pytest

from scratchlv.decode import Generated, beam_search, explore, greedy, sample, stream
from scratchlv.errors import UserError
from scratchlv.tokens import END, PAD, START, UNK

from .slow import one_of

V = 8  # <pad> <start> <end> <unk> o a b c
O, A, B, C = 4, 5, 6, 7


class Inner(NamedTuple):
    tables: np.ndarray  # (N, V, V, V): log p of a word after the two before
    nothing: None


class State(NamedTuple):
    inner: tuple[Inner, tuple[np.ndarray]]
    before: np.ndarray  # (N,)
    alpha: np.ndarray | None  # (N, 3): the row's number and the two words that were looked at


class Chain:
    """A model that knows the last two words: its state must follow its hypothesis, and its table its input."""

    def __init__(self, looks: bool = True) -> None:
        self.looks = looks
        self.steps = 0

    def start(self, tables: np.ndarray) -> State:
        N = len(tables)
        return State((Inner(tables, None), (np.arange(N),)), np.zeros(N, int), np.zeros((N, 3)) if self.looks else None)

    def step(self, state: State, tokens: np.ndarray) -> tuple[np.ndarray, State]:
        self.steps += 1
        (inner, (number,)), rows = state.inner, np.arange(len(tokens))
        looked = np.stack([number, state.before, tokens], axis=1).astype(float) if self.looks else None
        return inner.tables[rows, state.before, tokens], State(state.inner, tokens, looked)


def chains(n: int, seed: int = 0, sharpness: float = 2.0) -> np.ndarray:
    """Log probabilities (n, V, V, V) that have nothing regular, with much for what is never said too."""
    logits = sharpness * np.random.default_rng(seed).standard_normal((n, V, V, V))
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def table(**rows: dict[int, float]) -> np.ndarray:
    """One chain (1, V, V, V) from the probabilities after a word: ``table(start={A: 0.6, …}, a={…}, …)``."""
    p = np.zeros((V, V))
    for name, nexts in rows.items():
        for token, probability in nexts.items():
            p[{"start": START, "a": A, "b": B, "c": C}[name], token] = probability
    with np.errstate(divide="ignore"):
        return np.broadcast_to(np.log(p), (1, V, V, V)).copy()


def log_p(chain: np.ndarray, tokens, prompt=(START,)) -> np.ndarray:
    """The log probability of each of ``tokens`` in one chain (V, V, V), by its definition."""
    said = [0, *prompt, *tokens]
    at = len(prompt) + 1
    return np.array([chain[said[i - 2], said[i - 1], said[i]] for i in range(at, len(said))])


def sentences(max_length: int, min_length: int = 0, words=(O, A, B, C)):
    """Every sentence that ends."""
    for n in range(min_length, max_length):
        for said in itertools.product(words, repeat=n):
            yield (*said, END)


def score(chain: np.ndarray, tokens, a: float) -> float:
    return log_p(chain, tokens).sum() / len(tokens) ** a


def plain_beam(chain: np.ndarray, beam: int, a: float, max_length: int) -> list[int]:
    """Beam search as one would first write it: one input, lists, no early stop."""
    opened, ended = [((), 0.0)], []
    for _ in range(max_length):
        longer = [((*h, w), s + log_p(chain, (*h, w))[-1]) for h, s in opened for w in (END, O, A, B, C)]
        kept = sorted(longer, key=lambda hs: -hs[1])[:beam]
        ended += [h for h, _ in kept if h[-1] == END]
        opened = [(h, s) for h, s in kept if h[-1] != END]
    if not ended:
        return list(opened[0][0])
    return list(max(ended, key=lambda h: score(chain, h, a)))


def said(generated: list[Generated]) -> list[list[int]]:
    return [g.tokens.tolist() for g in generated]


def check_bookkeeping(generated: list[Generated], tables: np.ndarray) -> None:
    """Probabilities are the model's own for these words, and the attention is the one that was had at each."""
    assert len(generated) == len(tables)
    for n, g in enumerate(generated):
        own = log_p(tables[n], g.tokens)
        np.testing.assert_allclose(g.probabilities, np.exp(own), rtol=1e-12)
        assert g.log_probability == pytest.approx(own.sum(), rel=1e-12)
        before = [0, START, *g.tokens]
        expected = [(n, before[t], before[t + 1]) for t in range(len(g.tokens))]
        np.testing.assert_array_equal(g.alphas, expected)
        assert END not in g.tokens[:-1]


WAYS = {
    "greedy": greedy,
    "sample": lambda *args, **kwargs: sample(*args, seed=3, **kwargs),
    "sample hot": lambda *args, **kwargs: sample(*args, seed=3, temperature=2.0, top_k=5, top_p=0.9, **kwargs),
    "beam": beam_search,
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())

# --- all of them -------------------------------------------------------------------------------------------------


@every_way
def test_probabilities_and_attention_belong_to_the_words(way):
    tables = chains(9)
    generated = way(Chain(), tables, max_length=6)
    check_bookkeeping(generated, tables)
    assert {g.finished for g in generated} == {True, False} or way is beam_search
    assert len({g.tokens.size for g in generated}) > 1


@every_way
def test_a_batch_says_what_each_says_alone(way):
    """Alone is row 0, so only what is not drawn by row can be compared for sampling: see the test of its rows below."""
    tables = chains(6, seed=1)
    if way in (greedy, beam_search):
        alone = [way(Chain(), tables[n : n + 1], max_length=8)[0].tokens.tolist() for n in range(6)]
        assert said(way(Chain(), tables, max_length=8)) == alone
    else:
        assert said(way(Chain(), tables, max_length=8))[:4] == said(way(Chain(), tables[:4], max_length=8))


@every_way
def test_what_is_never_said(way):
    tables = chains(20, seed=2)
    tables[..., [PAD, START, UNK]] += 5  # the model would love to
    tokens = np.concatenate([g.tokens for g in way(Chain(), tables, max_length=10)])
    assert set(tokens.tolist()) == {END, O, A, B, C}
    tokens = np.concatenate([g.tokens for g in way(Chain(), tables, max_length=10, ban=(O, B))])
    assert set(tokens.tolist()) == {END, A, C}


@every_way
def test_an_end_that_never_comes(way):
    never = table(start={A: 1}, a={A: 0.5, B: 0.5}, b={A: 0.25, B: 0.75})
    (g,) = way(Chain(), never, max_length=11)
    assert len(g.tokens) == len(g.alphas) == 11 and not g.finished


@every_way
def test_an_end_that_comes_at_once(way):
    at_once = table(start={END: 1}, a={END: 1}, b={END: 1}, c={END: 1})
    (g,) = way(Chain(), at_once)
    assert g.tokens.tolist() == [END] and g.finished and g.probabilities == [1] and g.log_probability == 0
    (g,) = way(Chain(), at_once, min_length=3, max_length=9)
    assert len(g.tokens) == 4 and g.finished and END not in g.tokens[:3]
    np.testing.assert_array_equal(g.probabilities[:3], 0)  # the model's own: it would not have said these


@every_way
def test_the_limits_are_met_exactly(way):
    tables = chains(30, seed=3)
    for low, high in ((0, 1), (2, 3), (3, 3), (0, 6)):
        for g in way(Chain(), tables, min_length=low, max_length=high):
            words = len(g.tokens) - g.finished
            assert low <= words <= len(g.tokens) <= high


@every_way
def test_each_sentence_may_have_a_longest_length_of_its_own(way):
    """Together they say what each says alone, cut off where it is."""
    tables, longest = chains(9, seed=3), np.array([1, 2, 3, 4, 5, 6, 9, 12, 20])
    together = way(Chain(), tables, max_length=longest)
    lengths = [len(g.tokens) for g in together]
    assert (lengths <= longest).all() and len(set(lengths)) > 3
    repeated = [way(Chain(), tables, max_length=int(most))[n] for n, most in enumerate(longest)]
    assert said(together) == said(repeated)
    with pytest.raises(UserError, match="--max-length 0"):
        way(Chain(), tables[:2], max_length=np.array([3, 0]))


@every_way
def test_sentences_that_do_not_end_are_cut_off_each_at_its_own_length(way):
    endless = np.repeat(table(start={A: 1.0}, a={A: 0.5, B: 0.3, C: 0.2}, b={A: 0.6, C: 0.4}, c={B: 1.0}), 3, axis=0)
    assert [len(g.tokens) for g in way(Chain(), endless, max_length=np.array([2, 5, 9]))] == [2, 5, 9]


@pytest.mark.parametrize("beam", [1, 3])
def test_an_unknown_word_is_said_where_that_is_asked_for(beam):
    tables = table(start={UNK: 0.9, A: 0.1}, a={END: 1.0})
    tables[:, :, UNK, :] = tables[:, :, A, :]
    search = greedy if beam == 1 else lambda *args, **more: beam_search(*args, beam=beam, **more)
    assert said(search(Chain(), tables)) == [[A, END]]
    assert said(search(Chain(), tables, say_unknown=True)) == [[UNK, END]]


@every_way
def test_a_prompt_is_fed_first(way):
    """The chain remembers two words, so a prompt of three must have been fed in order, its first word forgotten."""
    tables = chains(3, seed=4)
    prompt = np.array([[START] * 3, [A, B, C], [C, C, A]])
    for n, g in enumerate(way(Chain(), tables, prompt=prompt, max_length=6)):
        np.testing.assert_allclose(g.probabilities, np.exp(log_p(tables[n], g.tokens, prompt[:, n])), rtol=1e-12)
    moved = np.array([[A, B, C], [C, C, A]])  # no <start>: a stream of text has none
    assert said(way(Chain(), tables, prompt=moved, max_length=6)) == said(
        way(Chain(), tables, prompt=prompt, max_length=6)
    )


@every_way
@pytest.mark.parametrize("shape", [(2,), (0, 2), (2, 3), (1, 2, 1)])
def test_a_prompt_that_does_not_fit(way, shape):
    with pytest.raises(ValueError, match="prompt"):
        way(Chain(), chains(2), prompt=np.full(shape, START))


@every_way
def test_a_model_that_does_not_look(way):
    generated = way(Chain(looks=False), chains(3), max_length=5)
    assert [g.alphas for g in generated] == [None] * 3
    assert said(generated) == said(way(Chain(), chains(3), max_length=5))


@every_way
def test_no_inputs(way):
    assert way(Chain(), chains(0)) == []


@every_way
def test_nothing_given_is_changed(way):
    tables, prompt = chains(2), np.full((1, 2), START)
    way(Chain(), tables, prompt=prompt, max_length=5, min_length=2)
    assert (tables == chains(2)).all() and (prompt == START).all()


@every_way
def test_damaged_weights(way):
    with pytest.raises(UserError, match="damaged"):
        way(Chain(), np.full((1, V, V, V), np.nan))


@every_way
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 0}, "--max-length 0"),
        ({"min_length": -1}, "--min-length -1"),
        ({"min_length": 6, "max_length": 5}, "--min-length 6: give 0 to 5"),
        ({"min_length": 1, "ban": (O, A, B, C)}, "--min-length 1: there is no word"),
    ],
)
def test_lengths_out_of_range(way, options, message):
    with pytest.raises(UserError, match=message):
        way(Chain(), chains(1), **options)


@every_way
def test_nothing_is_drawn_once_every_sentence_has_ended(way):
    """Even if one that has ended would go on to say other words beside the rest."""
    short, long = table(start={END: 1}, a={A: 1}), table(start={A: 1}, a={B: 1}, b={END: 1})
    short[:, :, END, A] = 0
    model = Chain()
    assert said(way(model, np.concatenate([short, long]), max_length=40)) == [[END], [A, B, END]]
    assert model.steps == 3


@pytest.mark.parametrize("model", ["attention", "uniform", "shortcut", "naive"])
def test_a_beam_leaves_what_is_of_inputs_where_it_is_and_nothing_else(monkeypatch, model):
    """What a picture is like is the same for all that is said of it; what was said so far is not."""
    from scratchlv.models.captioner import Captioner, CaptionerConfig
    from scratchlv.models.decoder import DecoderState

    rng = np.random.default_rng(0)
    config = CaptionerConfig(vocabulary=9, embedding=6, hidden=7, attention=5, feature_channels=4, model=model)
    captioner = Captioner(config)
    captioner.params = {
        name: rng.normal(0, 1, each.shape).astype(np.float32) for name, each in captioner.params.items()
    }
    pictures = rng.standard_normal((6, 2, 3, 4)).astype(np.float32)
    found = beam_search(captioner, pictures, beam=4, max_length=8)
    monkeypatch.setattr(DecoderState, "of_inputs", ())
    moved = beam_search(captioner, pictures, beam=4, max_length=8)
    for one, other in zip(found, moved, strict=True):
        np.testing.assert_array_equal(one.tokens, other.tokens)
        np.testing.assert_allclose(one.log_probability, other.log_probability, rtol=1e-5)
        if one.alphas is not None:
            np.testing.assert_allclose(one.alphas, other.alphas, rtol=1e-4)
    assert len({each.log_probability for each in found}) > 1


# --- greedy ------------------------------------------------------------------------------------------------------


def test_greedy_says_the_most_likely_each_time():
    tables = chains(8, seed=5)
    for n, g in enumerate(greedy(Chain(), tables, max_length=7)):
        here = [0, START]
        for token in g.tokens:
            allowed = {w: tables[n, here[-2], here[-1], w] for w in (END, O, A, B, C)}
            assert token == max(allowed, key=allowed.get)
            here.append(token)


def test_greedy_takes_the_lower_of_equals():
    (g,) = greedy(Chain(), table(start={C: 0.4, B: 0.4, END: 0.2}, b={C: 0.5, END: 0.5}))
    assert g.tokens.tolist() == [B, END]


# --- beam search -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("a", [0.0, 0.7, 1.0])
@pytest.mark.parametrize(("low", "words"), [(0, (O, A, B, C)), (2, (A, B, C))])
def test_a_wide_beam_finds_the_best_sentence_there_is(a, low, words):
    tables = chains(12, seed=6)
    ban = [w for w in (O, A, B, C) if w not in words]
    found = beam_search(Chain(), tables, beam=350, max_length=4, min_length=low, length_normalisation=a, ban=ban)
    best = [max(sentences(4, low, words), key=lambda tokens: score(chain, tokens, a)) for chain in tables]
    assert said(found) == [list(tokens) for tokens in best]
    assert len({len(tokens) for tokens in best}) > 1
    check_bookkeeping(found, tables)


@pytest.mark.parametrize("beam", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("a", [0.0, 0.7, 1.0, 2.0])
def test_a_narrow_beam_does_what_one_would_first_write(beam, a):
    """In the batch, and with the early stop, the result is the one that goes on to the end for each alone."""
    tables = chains(25, seed=7, sharpness=1.5)
    expected = [plain_beam(chain, beam, a, max_length=7) for chain in tables]
    assert said(beam_search(Chain(), tables, beam=beam, length_normalisation=a, max_length=7)) == expected


def test_a_beam_of_one_is_greedy():
    tables = chains(30, seed=8)
    one, most_likely = beam_search(Chain(), tables, beam=1, max_length=9), greedy(Chain(), tables, max_length=9)
    for x, y in zip(one, most_likely, strict=True):
        for ours, theirs in zip(x, y, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_the_trap_that_greedy_walks_into():
    """The likelier first word leads to nothing likely."""
    trap = table(start={A: 0.6, B: 0.4}, a={A: 0.34, B: 0.33, C: 0.33}, b={END: 1}, c={END: 1})
    assert greedy(Chain(), trap, max_length=5)[0].tokens[0] == A
    (g,) = beam_search(Chain(), trap, beam=2, max_length=5)
    assert g.tokens.tolist() == [B, END] and g.log_probability == pytest.approx(math.log(0.4))


def test_length_normalisation_decides_between_short_and_long():
    two_ways = table(start={END: 0.5, A: 0.5}, a={B: 0.8, C: 0.2}, b={END: 0.8, A: 0.2}, c={END: 1})
    assert said(beam_search(Chain(), two_ways, length_normalisation=0)) == [[END]]
    assert said(beam_search(Chain(), two_ways, length_normalisation=1)) == [[A, B, END]]


def test_of_equals_the_earlier_to_end_then_the_lower_token():
    equals = table(start={C: 0.5, B: 0.5}, b={END: 0.5, A: 0.5}, c={END: 0.5, A: 0.5}, a={END: 1})
    assert said(beam_search(Chain(), equals, length_normalisation=0)) == [[B, END]]
    means = table(start={END: 0.25, A: 0.25, B: 0.5}, a={END: 0.25, B: 0.75}, b={B: 1})  # log 1/4 = 1/2 log 1/16
    assert said(beam_search(Chain(), means, max_length=5)) == [[END]]


def test_a_log_probability_that_rounding_left_above_zero_is_zero():
    """Else a word that is certain would be worth something, and longer sentences with it."""
    certain = table(start={END: 1, A: 1}, a={END: 1})
    certain[certain == 0] = 1e-7
    certain[..., START, END] = 0
    assert said(beam_search(Chain(), certain, beam=2, max_length=5)) == [[END]]


def test_a_cut_off_hypothesis_loses_to_any_that_ended():
    tables = table(start={A: 0.99, END: 0.01}, a={A: 0.999, END: 0.001})
    (g,) = beam_search(Chain(), tables, beam=2, max_length=5)
    assert g.finished
    (g,) = beam_search(Chain(), tables, beam=1, max_length=5)  # too narrow for the end
    assert g.tokens.tolist() == [A] * 5 and not g.finished


def test_a_search_stops_when_nothing_open_can_win():
    sure = table(start={A: 0.9, B: 0.1}, a={END: 0.9, B: 0.1}, b={B: 0.9, END: 0.1})
    model = Chain()
    assert said(beam_search(model, sure, max_length=40, length_normalisation=0)) == [[A, END]]
    assert model.steps == 2
    # normalised, log 0.1 over 40 words could still be the better mean than log 0.81 over 2: the search must go on
    model = Chain()
    beam_search(model, sure, max_length=40, length_normalisation=1)
    assert model.steps > 2


def test_a_beam_wider_than_there_are_hypotheses():
    line = table(start={A: 1}, a={B: 1}, b={END: 1})
    assert said(beam_search(Chain(), line, beam=50, max_length=5)) == [[A, B, END]]
    assert said(beam_search(Chain(), line, beam=50, max_length=1)) == [[A]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam": 0}, "--beam 0"),
        ({"length_normalisation": -0.5}, "--length-normalisation -0.5"),
        ({"length_normalisation": math.nan}, "--length-normalisation nan"),
        ({"length_normalisation": 1e9}, r"--length-normalisation 1e\+09"),
    ],
)
def test_beam_options_out_of_range(options, message):
    with pytest.raises(UserError, match=message):
        beam_search(Chain(), chains(1), **options)


# --- sampling ----------------------------------------------------------------------------------------------------

FIRST = {END: 0.1, O: 0.05, A: 0.4, B: 0.25, C: 0.2}


def frequencies(n: int = 20_000, seed: int = 0, **options) -> np.ndarray:
    """How often each word (V,) is the first of ``n`` sentences of a chain that begins as ``FIRST`` says."""
    tables = np.broadcast_to(table(start=FIRST), (n, V, V, V))
    first = [g.tokens[0] for g in sample(Chain(looks=False), tables, seed=seed, max_length=1, **options)]
    return np.bincount(first, minlength=V) / n


def weights(power: float = 1.0, words=FIRST) -> np.ndarray:
    p = np.zeros(V)
    for w in words:
        p[w] = FIRST[w] ** power
    return p / p.sum()


@pytest.mark.parametrize(
    ("options", "expected"),
    one_of(
        2,
        [
            ({}, weights()),
            ({"temperature": 0.5}, weights(2)),
            ({"temperature": 2.0}, weights(0.5)),
            ({"top_k": 2}, weights(words=(A, B))),
            ({"top_p": 0.6}, weights(words=(A, B))),  # 0.4 is not enough, 0.65 is
            ({"top_p": 0.3}, weights(words=(A,))),
            ({"top_p": 0.94}, weights(words=(A, B, C, END))),
            ({"top_p": 1.0}, weights()),
            ({"temperature": 0.5, "top_k": 3, "top_p": 0.85}, weights(2, (A, B, C))),  # squared: 0.610, 0.238, 0.152
            ({"temperature": 0.5, "top_k": 3, "top_p": 0.84}, weights(2, (A, B))),
            ({"ban": (A,)}, weights(words=(END, O, B, C))),
            ({"min_length": 1}, weights(words=(O, A, B, C))),
        ],
    ),
)
def test_words_come_as_often_as_they_should(options, expected):
    """Within 5 standard deviations of a binomial: a right sampler fails with p < 6e-7 a word (and the seed is fixed)."""
    n = 20_000
    found = frequencies(n, **options)
    assert (found[expected == 0] == 0).all()
    assert (np.abs(found - expected) <= 5 * np.sqrt(expected * (1 - expected) / n)).all()


def test_later_words_are_drawn_from_where_the_first_led():
    """The second word after A, in the same terms as above: its draw must not repeat the first's."""
    n = 20_000
    tables = np.broadcast_to(table(start={A: 0.5, B: 0.5}, a={C: 0.3, B: 0.7}, b={C: 0.3, A: 0.7}), (n, V, V, V))
    tokens = np.array([g.tokens for g in sample(Chain(looks=False), tables, seed=1, max_length=2)])
    after_a = tokens[tokens[:, 0] == A, 1]
    assert abs((after_a == C).mean() - 0.3) <= 5 * math.sqrt(0.3 * 0.7 / len(after_a))


def test_top_k_of_equals_keeps_the_lower_tokens():
    equal = table(start={C: 0.25, B: 0.25, A: 0.25, O: 0.25})
    tables = np.broadcast_to(equal, (200, V, V, V))
    tokens = {int(g.tokens[0]) for g in sample(Chain(), tables, seed=0, top_k=2, max_length=1)}
    assert tokens == {O, A}


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_p": 1e-12}, {"temperature": 1e-4}, {"temperature": 1e-300}])
def test_what_leaves_only_the_most_likely_is_greedy(options):
    tables = chains(20, seed=9)
    sampled = sample(Chain(), tables, seed=5, max_length=8, **options)
    assert said(sampled) == said(greedy(Chain(), tables, max_length=8))
    check_bookkeeping(sampled, tables)  # the model's own probabilities, not 1


def test_a_seed_is_a_sentence():
    tables = chains(10, seed=10, sharpness=0.3)
    first, again, other = (said(sample(Chain(), tables, seed=s, max_length=12)) for s in (1, 1, 2))
    assert first == again != other
    same = np.repeat(tables[:1], 10, axis=0)
    assert len({tuple(t) for t in said(sample(Chain(), same, seed=1, max_length=12))}) > 5  # rows differ


def test_a_row_does_not_depend_on_the_rows_beside_it():
    tables = chains(6, seed=11, sharpness=0.3)
    assert said(sample(Chain(), tables[:3], seed=1)) == said(sample(Chain(), tables, seed=1))[:3]


def test_an_impossible_word_is_not_drawn_while_another_is_possible():
    tables = np.broadcast_to(table(start={A: 1e-30, B: 1 - 1e-30}), (500, V, V, V))
    assert {int(g.tokens[0]) for g in sample(Chain(), tables, seed=0, max_length=1)} == {B}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0}, "--temperature 0: it must be above 0 .* --greedy takes the most likely word each time"),
        ({"temperature": -1.5}, "--temperature -1.5"),
        ({"temperature": math.nan}, "--temperature nan"),
        ({"temperature": math.inf}, "--temperature inf"),
        ({"top_k": 0}, "--top-k 0"),
        ({"top_k": V + 1}, f"--top-k 9: the vocabulary has {V} words"),
        ({"top_p": 0}, "--top-p 0"),
        ({"top_p": 1.01}, "--top-p 1.01"),
        ({"top_p": math.nan}, "--top-p nan"),
        ({"seed": -1}, "--seed -1"),
    ],
)
def test_sampling_options_out_of_range(options, message):
    with pytest.raises(UserError, match=message):
        sample(Chain(), chains(1), **{"seed": 0, **options})
    with pytest.raises(UserError, match=message):
        list(stream(Chain(), chains(1), **{"seed": 0, **options}))


def test_top_k_may_be_the_whole_vocabulary():
    np.testing.assert_array_equal(frequencies(500, top_k=V), frequencies(500))


# --- streams -----------------------------------------------------------------------------------------------------


def test_a_stream_is_the_sentence():
    tables = chains(1, seed=12, sharpness=0.5)
    options = {"max_length": 15, "min_length": 4, "prompt": np.array([[START], [B]]), "ban": (O,)}
    assert list(stream(Chain(), tables, **options)) == said(greedy(Chain(), tables, **options))[0]
    settings = {"seed": 4, "temperature": 1.3, "top_k": 4, "top_p": 0.95}
    drawn = list(stream(Chain(), tables, **settings, **options))
    assert drawn == said(sample(Chain(), tables, **settings, **options))[0]
    assert all(type(token) is int for token in drawn)


def test_a_word_is_there_as_soon_as_it_is_drawn():
    model = Chain()
    words = stream(model, table(start={A: 1}, a={B: 1}, b={END: 1}))
    for t, expected in enumerate([A, B, END], 1):
        assert next(words) == expected and model.steps == t
    with pytest.raises(StopIteration):
        next(words)
    assert model.steps == 3


def test_a_mistake_shows_before_the_first_word():
    with pytest.raises(UserError, match="--temperature"):
        stream(Chain(), chains(1), seed=0, temperature=0)
    with pytest.raises(UserError, match="--max-length"):
        stream(Chain(), chains(1), max_length=0)
    with pytest.raises(ValueError, match="needs a seed"):
        stream(Chain(), chains(1), top_k=3)
    with pytest.raises(ValueError, match="size 1"):
        next(stream(Chain(), chains(2)))


# --- to learn from rewards -------------------------------------------------------------------------------------------


def test_exploring_draws_from_the_model_itself():
    """Of 3 chains 20,000 sentences of up to two words each: every share is within 5 standard deviations of its p."""
    tables, n = chains(3), 20_000
    _, drawn = explore(Chain(), tables, seed=0, samples=n, beside=False, max_length=2)
    assert len(drawn) == 3 * n
    for row in range(3):
        counts: dict[tuple[int, ...], int] = {}
        for sentence in drawn[row::3]:
            key = tuple(sentence.tokens.tolist())
            counts[key] = counts.get(key, 0) + 1
        for one in range(V):
            others = [()] if one == END else [(other,) for other in range(V)]
            for other in others:
                words = (one, *other)
                p = math.exp(log_p(tables[row], words).sum())
                assert abs(counts.get(words, 0) - n * p) <= 5 * math.sqrt(n * p * (1 - p)) + 1e-9, words


@pytest.mark.parametrize("samples", [1, 2])
def test_beside_what_is_drawn_stand_the_greedy_ones(samples):
    """Rows leave the batch when they end: what the others say, and how likely it is, stays what it was."""
    tables = chains(7, seed=3)
    best, drawn = explore(Chain(), tables, seed=1, samples=samples, max_length=12)
    alone = greedy(Chain(looks=False), tables, max_length=12)
    assert [g.tokens.tolist() for g in best] == [g.tokens.tolist() for g in alone]
    assert [g.log_probability for g in best] == pytest.approx([g.log_probability for g in alone])
    assert len({len(g.tokens) for g in drawn}) > 2
    for k, sentence in enumerate(drawn):
        words = sentence.tokens.tolist()
        assert sentence.log_probability == pytest.approx(log_p(tables[k % 7], words).sum())
        assert END not in words[:-1] and (sentence.finished or len(words) == 12)


def test_a_row_that_has_ended_is_not_decoded_for_long():
    """All but one of eight end at once: the model is asked for few rows more."""

    class Counting(Chain):
        rows = 0

        def step(self, state, tokens):
            self.rows += len(tokens)
            return super().step(state, tokens)

    ends, goes_on = table(start={END: 1}), table(start={A: 1}, a={A: 1})
    model = Counting()
    _, drawn = explore(model, np.concatenate([*[ends] * 7, goes_on]), seed=0, beside=False, max_length=10)
    assert [len(g.tokens) for g in drawn] == [1] * 7 + [10]
    assert model.rows == 8 + 9


def test_exploring_the_same_seed_says_the_same():
    said = [[g.tokens.tolist() for g in explore(Chain(), chains(4), seed=(5, step))[1]] for step in (1, 1, 2)]
    assert said[0] == said[1] != said[2]
    assert explore(Chain(), chains(0), seed=0) == ([], [])


def test_exploring_what_are_no_numbers():
    with pytest.raises(UserError, match="no numbers"):
        explore(Chain(), np.full((2, V, V, V), np.nan), seed=0, beside=False)


def repeats(tokens, n) -> bool:
    some = list(zip(*(tokens[i:] for i in range(n)), strict=False))
    return len(set(some)) < len(some)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("beam", [None, 1, 4])
def test_no_words_in_a_row_are_said_twice(n, beam):
    """And all that is not forbidden stays as it was: a sentence that repeats nothing is the same with and without."""
    tables = chains(40, seed=5)

    def say(**how):
        said = greedy(Chain(), tables, **how) if beam is None else beam_search(Chain(), tables, beam=beam, **how)
        return [g.tokens.tolist() for g in said]

    free, held = say(max_length=9, min_length=4), say(max_length=9, min_length=4, no_repeat=n)
    assert any(repeats(tokens, n) for tokens in free)
    assert not any(repeats(tokens, n) for tokens in held if enough(tokens, n))
    if beam in (None, 1):
        assert [a for a in free if not repeats(a, n)] == [
            b for a, b in zip(free, held, strict=True) if not repeats(a, n)
        ]


def enough(tokens, n) -> bool:
    """Whether there were words that had not been said: of a few words there are no more than so many different rows."""
    return len(tokens) <= (V - 4) ** n


def test_the_best_sentence_without_repeats_is_found():
    """A wide beam finds what a search of all sentences finds."""
    tables = chains(6, seed=9)
    for row, g in enumerate(beam_search(Chain(), tables, beam=400, max_length=4, no_repeat=2)):
        every = [
            words
            for length in range(4)
            for open_ in itertools.product([t for t in range(V) if t not in (PAD, START, UNK, END)], repeat=length)
            if not repeats(words := (*open_, END), 2)
        ]
        best = max(every, key=lambda words: log_p(tables[row], words).sum() / len(words))
        assert tuple(g.tokens.tolist()) == best


def test_probabilities_are_the_models_own_where_a_word_was_forbidden():
    tables = chains(20, seed=5)
    for row, g in enumerate(greedy(Chain(), tables, max_length=6, no_repeat=1)):
        np.testing.assert_allclose(np.log(g.probabilities), log_p(tables[row], g.tokens.tolist()), rtol=1e-6)


def test_fewer_than_no_words_in_a_row_are_a_mistake():
    for search in (greedy, beam_search):
        with pytest.raises(UserError, match="--no-repeat -1: give 1 or more"):
            search(Chain(), chains(1), no_repeat=-1)

import numpy as np

from scratchlv.exercises import call


def cases(rng, K, V, T):
    log_probs = np.array([[-3.0, -0.5, -1.0], [-0.5, -0.75, -9.0]])
    yield step("the example", log_probs, [-2.5, -2.0], [False, True], 0)
    yield step("beam 0 has the best two", log_probs, [-0.1, -9.0], [False, False], 2)
    yield step("a beam ends, beside one that has not", log_probs, [-2.5, -2.0], [False, False], 0)
    none = np.zeros(K, bool)
    yield step(f"K = {K}, V = {V}, none is finished", random(rng, K, V), rng.normal(-3, 1, K), none, V - 1)
    first = np.full(K, -np.inf)
    first[0] = 0
    yield step("the first step: only beam 0 is there", np.tile(random(rng, 1, V), (K, 1)), first, none, 0)
    some = np.arange(K) % 2 == 1
    yield step("every other beam is finished", random(rng, K, V), rng.normal(-3, 0.5, K), some, V - 1)
    likely = random(rng, K, V)
    likely[:, V // 2] = -0.01
    yield step("`end` is likely", likely, rng.normal(-3, 1, K), none, V // 2)
    yield step("all are finished", random(rng, K, V), rng.normal(-3, 1, K), ~none, 0)
    equal = np.full((K, V), -np.log(V))
    yield step("all words are equally likely", equal, np.full(K, -1.0), none, 0)
    yield step("a single beam", random(rng, 1, V), [-1.0], [False], 0)

    tokens, parents = np.array([[5, 6], [7, 8]]), np.array([[0, 0], [1, 0]])
    yield call("sentence", case="the example", tokens=tokens, parents=parents, slot=0)
    tokens, parents = rng.permutation(T * K).reshape(T, K), rng.integers(0, K, (T, K))
    for slot in range(min(K, 3)):
        yield call("sentence", case=f"T = {T}, K = {K}, slot {slot}", tokens=tokens, parents=parents, slot=slot)


def step(case, log_probs, scores, finished, end):
    arrays = {"log_probs": log_probs, "scores": np.array(scores), "finished": np.array(finished)}
    return call("beam_step", case=case, **arrays, end=end)


def random(rng, K, V):
    z = 2 * rng.standard_normal((K, V))
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))

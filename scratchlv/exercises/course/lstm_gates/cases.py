import numpy as np

from scratchlv.exercises import call


def sigmoid(x):
    with np.errstate(over="ignore"):  # exp(-x) = inf gives 0
        return 1 / (1 + np.exp(-x))


def made(parts, c_before, order="ifgo"):
    by_name = {name: (np.tanh if name == "g" else sigmoid)(part) for name, part in zip(order, parts, strict=True)}
    i, f, g, o = (by_name[name] for name in "ifgo")
    c = f * c_before + i * g
    return i, f, g, o, c, o * np.tanh(c)


def step(case, a, c_before):
    parts = np.split(a, 4, axis=1)
    i, f, g, o, c, h = made(parts, c_before)
    gates = np.concatenate([i, f, g, o], axis=1)
    I, F, O, G = [sigmoid(p) for p in parts[:3]] + [np.tanh(parts[3])]
    other = F * c_before + I * G
    interleaved = [a[:, k::4] for k in range(4)]
    i2, f2, g2, o2, c2, h2 = made(interleaved, c_before)
    places = np.stack([i2, f2, g2, o2], axis=2).reshape(a.shape)
    known = {
        "the order of the gates is i, f, o, g: it should be i, f, g, o": (
            np.concatenate([I, F, O, G], axis=1),
            other,
            O * np.tanh(other),
        ),
        "the tanh of c is missing in h": (gates, c, o * c),
        "i and f are exchanged in c": (gates, i * c_before + f * g, o * np.tanh(i * c_before + f * g)),
        "g has a σ: it is a tanh": (
            np.concatenate([i, f, sigmoid(parts[2]), o], axis=1),
            f * c_before + i * sigmoid(parts[2]),
            o * np.tanh(f * c_before + i * sigmoid(parts[2])),
        ),
        "c_before is missing: c is i g alone": (gates, i * g, o * np.tanh(i * g)),
        "the gates of a unit are read side by side, a[n, 4 j + …]: each gate is a quarter of the row": (places, c2, h2),
        "gates holds the pre-activations a, not i, f, g, o": (a, c, h),
        "h is made of c_before, and not of the new c": (gates, c, o * np.tanh(c_before)),
    }
    names = ("gates", "c", "h")
    wrong = {sentence: dict(zip(names, arrays, strict=True)) for sentence, arrays in known.items()}
    return call("step", case=case, expect={"gates": gates, "c": c, "h": h}, known=wrong, a=a, c_before=c_before)


def cases(rng, N, H):
    yield step("the example", np.array([[0.0, 0.0, 1.0, 0.0]]), np.array([[2.0]]))
    yield step("one row of two units", np.array([[1.0, -1, 2, 0.5, 0.3, -0.6, -2, 3]]), np.array([[0.5, -1.5]]))
    yield step("several rows", rng.standard_normal((N, 4 * H)), rng.standard_normal((N, H)))
    yield step("pre-activations of several hundred", 300 * rng.standard_normal((N, 4 * H)), rng.standard_normal((N, H)))
    yield step("no rows", np.zeros((0, 4 * H)), np.zeros((0, H)))


def grade(learner, rng, N, H):
    """That nothing is asked of the allocator."""
    count = learner.call("asked_for", rng.standard_normal((N, 4 * H)), rng.standard_normal((N, H)))
    if count:
        learner.refuse(
            "the numbers are right, but step asks for memory while it runs",
            stage="memory",
            expected="0 allocations in a call",
            came=f"{count} for {N} rows",
        )

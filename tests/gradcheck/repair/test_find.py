"""Bugs planted in operations as students write them: the line is found, and harm is kept away."""

import importlib.util
import os
import sys
import time

import numpy as np
import pytest

from scratchlv.gradcheck.evidence import Evidence
from scratchlv.gradcheck.repair.apart import MEMORY, apart
from scratchlv.gradcheck.repair.find import find_repairs

from ...slow import one_of

RNN = """
import numpy as np

def forward(x, h0, Wx, Wh, b):
    hs = [h0]
    for t in range(len(x)):
        hs.append(np.tanh(x[t] @ Wx + hs[t] @ Wh + b))
    return np.stack(hs[1:]), (x, hs, Wx, Wh)

def backward(dy, cache):
    x, hs, Wx, Wh = cache
    dx, dWx, dWh = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh)
    db = np.zeros(Wh.shape[1])
    dh_next = np.zeros_like(hs[0])
    for t in reversed(range(len(x))):
        dh = dy[t] + dh_next
        da = dh * (1 - hs[t + 1] ** 2)
        dWx += x[t].T @ da
        dWh += hs[t].T @ da
        db += da.sum(axis=0)
        dx[t] = da @ Wx.T
        dh_next = da @ Wh.T
    return dx, dh_next, dWx, dWh, db

def inputs(rng, k):
    T, N, D, H = 3 + k, 2 + k, 3 + k, 4 + k
    g = rng.standard_normal
    return dict(x=g((T, N, D)), h0=g((N, H)), Wx=g((D, H)), Wh=g((H, H)) * 0.6, b=g(H))
"""

CLASSES = """
import numpy as np

def relu_mask(z):
    return z > 0

class Layer:
    def __init__(self, W, b):
        self.W, self.b = W, b

    def __call__(self, x):
        self.x = x
        self.z = x @ self.W + self.b
        return np.maximum(self.z, 0)

    def backward(self, dh):
        dz = dh * relu_mask(self.z)
        self.dW = self.x.T @ dz
        self.db = dz.sum(0)
        return dz @ self.W.T

def forward(x, W, b, t):
    layer = Layer(W, b)
    y = layer(x)
    return ((y - t) ** 2).sum() / len(x), (layer, y, t)

def backward(dloss, cache):
    layer, y, t = cache
    dy = 2 * (y - t) / len(y) * dloss
    dx = layer.backward(dy)
    return dx, layer.dW, layer.db, -dy

def inputs(rng, k):
    n, d, m = 4 + k, 3 + k, 5 + k
    g = rng.standard_normal
    return dict(x=g((n, d)), W=g((d, m)), b=g(m), t=g((n, m)))
"""

CLOSURES = """
import numpy as np

def softmax_layer(scale):
    def forward(x, gain):
        e = np.exp(scale * x - (scale * x).max(-1, keepdims=True))
        p = e / e.sum(-1, keepdims=True)
        return gain * p, (p, gain)

    def backward(dy, cache):
        p, gain = cache
        dp = dy * gain
        dgain = (dy * p).sum(0)
        dx = scale * p * (dp - (dp * p).sum(-1, keepdims=True))
        return dx, dgain

    return forward, backward

forward, backward = softmax_layer(1.7)

def inputs(rng, k):
    return dict(x=rng.standard_normal((3 + k, 5 + k)), gain=rng.standard_normal(5 + k))
"""

LAMBDA = """
import numpy as np

forward = lambda x, a: (a * np.sin(x), (x, a))
backward = lambda dy, c: (dy * c[1] * np.cos(c[0]), (dy * np.sin(c[0])).sum(axis=0))

def inputs(rng, k):
    return dict(x=rng.standard_normal((3 + k, 4 + k)), a=rng.standard_normal(4 + k))
"""


CROSS_ENTROPY = """
import numpy as np

def forward(x, W, y):
    e = np.exp(x @ W)
    p = e / e.sum(1, keepdims=True)
    return -np.log(p[np.arange(len(y)), y]).mean(), (x, W, p, y)

def backward(dloss, cache):
    x, W, p, y = cache
    dz = p.copy()
    dz[np.arange(len(y)), y] -= 1
    dz *= dloss / len(y)
    return dz @ W.T, x.T @ dz, None

def inputs(rng, k):
    return dict(x=rng.standard_normal((5 + k, 3)), W=rng.standard_normal((3, 4 + k)), y=rng.integers(0, 4, 5 + k))
"""

TWO_PATHS = """
import os
import numpy as np

def forward(x, W):
    h = np.tanh(x @ W)
    return h.sum(1) + (x ** 2).sum(1), (x, W, h)

def backward(dy, cache):
    x, W, h = cache
    if len(x) == 0:
        os._exit(1)
    dz = dy[:, None] * (1 - h ** 2)
    dx = dz @ W.T + 2 * x * dy[:, None]
    return dx, x.T @ dz

def inputs(rng, k):
    return dict(x=rng.standard_normal((4 + k, 3)), W=rng.standard_normal((3, 5 + k)))
"""


def load(text, folder, name):
    path = folder / f"{name}.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(f"{name}_{abs(hash(text))}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def named(names, gradients):
    return {name: grad for name, grad in zip(names, gradients, strict=True) if grad is not None}


def failing(folder, text, old="", new="", wrong=None):
    """The evidence of an operation with a bug, its module, and tests on its inputs, a fresh seed and other shapes."""
    assert old in text
    good, bad = load(text, folder, "good"), load(wrong or text.replace(old, new, 1), folder, "bad")
    evidence, tests = None, []
    for k, seed in ((0, 0), (0, 1), (1, 2)):
        inputs = good.inputs(np.random.default_rng(seed), k)
        y, cache = good.forward(**inputs)
        dy = np.random.default_rng(seed).standard_normal(np.shape(y)) + 0.1
        true = named(inputs, good.backward(dy, cache))
        y, cache = bad.forward(**inputs)

        def run(dy, cache=cache, inputs=inputs):
            return named(inputs, bad.backward(dy, cache))

        def test(run=run, dy=dy, true=true):
            return {name: right(grad, true[name]) for name, grad in run(dy).items()}

        tests.append(test)
        evidence = evidence or Evidence(inputs, {}, true, [], y, dy, cache, run)
    try:
        evidence.analytic = dict(evidence.backward(evidence.dy))
        evidence.wrong = [name for name, good in tests[0]().items() if not good]
    except Exception:
        evidence.wrong = list(evidence.numeric)
    return evidence, bad, tests


def right(grad, true):
    return np.shape(grad) == true.shape and bool(np.abs(grad - true).max() <= 1e-6 * np.abs(true).max())


def repairs(folder, text, old="", new="", **settings):
    evidence, bad, tests = failing(folder, text, old, new)
    return find_repairs(bad.backward, evidence, tests, forward=bad.forward, **settings)


BUGS = [
    (RNN, "dh = dy[t] + dh_next", "dh = dy[t]", "dh = dy[t] + dh_next"),
    (RNN, "dWx += x[t].T", "dWx = x[t].T", "dWx += x[t].T @ da"),
    (RNN, "dWh += hs[t].T", "dWh += hs[t + 1].T", "dWh += hs[t].T @ da"),
    (RNN, "da @ Wh.T", "da @ Wh", "dh_next = da @ Wh.T"),
    (RNN, "(1 - hs[t + 1] ** 2)", "(1 - hs[t + 1])", "da = dh * (1 - hs[t + 1] ** 2)"),
    (RNN, "da.sum(axis=0)", "da.mean(axis=0)", "db += da.sum(axis=0)"),
    (RNN, "reversed(range(len(x)))", "range(len(x))", "for t in reversed(range(len(x))):"),
    (RNN, "        dh_next = da @ Wh.T\n", "", None),
    (CLASSES, "/ len(y) * dloss", "/ len(y)", "dy = 2 * (y - t) / len(y) * dloss"),
    (CLASSES, "dh * relu_mask(self.z)", "dh", "dz = dh * (self.z > 0)"),
    (CLASSES, "return z > 0", "return z < 0", "return z > 0"),
    (CLASSES, "self.db = dz.sum(0)", "self.db = dz.sum(1)", "self.db = dz.sum(0)"),
    (CLASSES, "self.x.T @ dz", "self.x @ dz", "self.dW = self.x.T @ dz"),
    (CLOSURES, "p * (dp - (dp * p).sum(-1, keepdims=True))", "p * (1 - p) * dp", None),
    (CLOSURES, "dx = scale * p", "dx = -scale * p", None),
    (CLOSURES, "return dx, dgain", "return dgain, dx", "return dx, dgain"),
    (CROSS_ENTROPY, "y] -= 1", "y] += 1", "dz[np.arange(len(y)), y] -= 1"),
    (CROSS_ENTROPY, "    dz *= dloss / len(y)\n", "    dz /= len(y)\n", None),
    (LAMBDA, "np.cos(c[0])", "-np.cos(c[0])", None),
]


@pytest.mark.parametrize(("text", "old", "new", "mend"), one_of(3, BUGS))
def test_line_of_a_planted_bug_is_found(tmp_path, text, old, new, mend):
    found = repairs(tmp_path, text, old, new)
    assert 1 <= len(found) <= 2
    assert not any(repair.partial or repair.also for repair in found)
    changed = text[: text.index(old)].count("\n") + 1 - (not new)
    assert changed in {repair.line for repair in found}
    source = text.replace(old, new, 1).splitlines()
    assert all(repair.code == source[repair.line - 1].strip() for repair in found)
    if mend is not None:
        assert mend in {repair.mend for repair in found}


def test_what_a_repair_says(tmp_path):
    (found,) = repairs(tmp_path, RNN, "dWh += hs[t].T", "dWh = hs[t].T")
    assert found.how == "with +="
    assert found.cause == "= for += over time"
    assert found.right == ("x", "h0", "Wx", "Wh", "b")
    said = "line 19, `dWh = hs[t].T @ da`:"
    assert found.sentence() == f"{said} with += (`dWh += hs[t].T @ da`) every gradient is right"
    assert found.sentence(show_mend=False) == f"{said} if this line is changed, every gradient is right"


def test_two_lines_are_mended_together(tmp_path):
    text = CLASSES.replace("self.db = dz.sum(0)", "self.db = dz.mean(0)").replace("self.x.T @ dz", "-self.x.T @ dz")
    evidence, bad, tests = failing(tmp_path, CLASSES, wrong=text)
    (found,) = find_repairs(bad.backward, evidence, tests)
    lines = {repair.line for repair in (found, *found.also)}
    assert lines == {
        number for number, line in enumerate(text.splitlines(), 1) if "dz.mean" in line or "-self.x" in line
    }
    assert found.sentence().count("line ") == 2


def test_a_repair_of_some_gradients_says_so(tmp_path):
    text = CLASSES.replace("self.db = dz.sum(0)", "self.db = np.sort(dz.sum(0)) ** 3 + 5")
    evidence, bad, tests = failing(tmp_path, CLASSES, wrong=text.replace("self.x.T @ dz", "-self.x.T @ dz"))
    (found,) = find_repairs(bad.backward, evidence, tests, seconds=4)
    assert found.partial and found.right == ("W",)
    assert found.sentence().endswith("dW is right")


def test_what_fits_one_shape_alone_is_no_repair(tmp_path):
    """A division by 4 fits on the first inputs alone, where there are four examples."""
    evidence, bad, tests = failing(tmp_path, CLASSES, "/ len(y) * dloss", "/ 1 * dloss")
    alone = find_repairs(bad.backward, evidence, tests[:1])
    both = find_repairs(bad.backward, evidence, tests)
    assert alone and both
    assert all("4" not in repair.how for repair in both)


@pytest.mark.slow
@pytest.mark.parametrize("harm", ["[0 for _ in iter(int, 1)]", "print('x' * 10_000)", "np.ones(10**11)", "os._exit(3)"])
def test_harm_stays_in_the_child(tmp_path, capfd, harm):
    """An edit of the condition lets it loose."""
    text = RNN.replace("import numpy as np", "import os\nimport numpy as np")
    text = text.replace("    return dx, dh_next", f"    if len(dx) == 0: {harm}\n    return dx, dh_next")
    began = time.perf_counter()
    found = repairs(tmp_path, text, "dWh += hs[t].T", "dWh = hs[t].T", seconds=4)
    assert time.perf_counter() - began < 6
    assert found
    assert capfd.readouterr() == ("", "")


def test_a_backward_that_ends_its_process_costs_nothing(tmp_path):
    text = RNN.replace("import numpy as np", "import os\nimport numpy as np").replace(
        "dh_next = da @ Wh.T", "os._exit(1)"
    )
    evidence, _, _ = failing(tmp_path, RNN, "da @ Wh.T", "da @ Wh")
    module = load(text, tmp_path, "deadly")
    assert find_repairs(module.backward, evidence, [lambda: {"x": module.backward(evidence.dy, evidence.cache)}]) == []


def test_nothing_is_changed_here(tmp_path):
    evidence, bad, tests = failing(tmp_path, RNN, "da @ Wh.T", "da @ Wh")
    code, before = bad.backward.__code__, bad.backward(evidence.dy, evidence.cache)
    assert find_repairs(bad.backward, evidence, tests)
    assert bad.backward.__code__ is code
    assert all(map(np.array_equal, before, bad.backward(evidence.dy, evidence.cache)))
    assert evidence.inputs["x"].flags.writeable


def test_without_fork(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "fork")
    evidence, bad, tests = failing(tmp_path, RNN, "da @ Wh.T", "da @ Wh")
    code, out = bad.backward.__code__, sys.stdout
    (found,) = find_repairs(bad.backward, evidence, tests)
    assert found.mend == "dh_next = da @ Wh.T"
    assert bad.backward.__code__ is code and sys.stdout is out and evidence.inputs["x"].flags.writeable


@pytest.mark.slow
def test_an_edit_that_ends_the_process_costs_itself_alone(tmp_path):
    """The edits of the condition come before what is found by its value."""
    (found, *_) = repairs(tmp_path, TWO_PATHS, " + 2 * x * dy[:, None]", "")
    assert found.line == 14 and "2 * x * dy" in found.mend


def test_memory_is_limited():
    def work(emit):
        emit("before")
        np.zeros(MEMORY)
        emit("after")

    assert apart(work, 5) == (["before"], False)


def test_time_is_limited():
    def work(emit):
        emit("before")
        time.sleep(30)

    began = time.perf_counter()
    assert apart(work, 0.3) == (["before"], True)
    assert time.perf_counter() - began < 5


def test_what_computes_too_long_ends_by_its_own_processor_time():
    def work(emit):
        emit("before")
        while True:
            pass

    assert apart(work, 0.3) == (["before"], True)


GATE = """
import numpy as np

def gate(x):
    return 1 / (1 + np.exp(x))

def forward(x):
    return x / (1 + np.exp(-x)), (x, gate(x))

def backward(dy, cache):
    x, _ = cache
    s = gate(x)
    return (dy * (s + x * s * (1 - s)),)

def inputs(rng, k):
    return dict(x=rng.standard_normal((3, 4 + k)))
"""


def test_what_forward_uses_is_left_alone(tmp_path):
    evidence, bad, tests = failing(tmp_path, GATE.replace("np.exp(x)", "np.exp(-x)"), wrong=GATE)
    free = find_repairs(bad.backward, evidence, tests)
    bound = find_repairs(bad.backward, evidence, tests, forward=bad.forward)
    assert 5 in {repair.line for repair in free}
    assert 5 not in {repair.line for repair in bound}


def test_no_source_no_repair():
    scope = {}
    exec("def backward(dy, cache):\n    return -dy,", scope)
    evidence = Evidence({"x": np.ones(3)}, {"x": -np.ones(3)}, {"x": np.ones(3)}, ["x"], dy=np.ones(3))
    evidence.backward = lambda dy: {"x": scope["backward"](dy, None)[0]}
    assert find_repairs(scope["backward"], evidence, [lambda: {"x": False}], seconds=1) == []

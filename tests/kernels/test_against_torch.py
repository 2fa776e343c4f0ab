"""PyTorch as an oracle: the same operation, and its gradients by autograd, in float64. Needs PyTorch, else skipped."""

import numpy as np
import pytest

from scratchlv import ops

torch = pytest.importorskip("torch", reason="PyTorch is the oracle here; it is not a dependency")
F = torch.nn.functional
rng = np.random.default_rng(0)


def normal(*shape):
    return rng.standard_normal(shape)


def channels_first(x):
    return x.permute(0, 3, 1, 2)


def channels_last(y):
    return y.permute(0, 2, 3, 1)


def assert_agrees(name, inputs, oracle, **settings):
    """``oracle`` maps torch tensors, given as ``inputs`` are, to an output or a tuple of outputs."""
    reference = getattr(ops, name).variant("reference")
    y, cache = reference.forward(*inputs, **settings)
    tensors = [None if value is None else torch.tensor(value) for value in inputs]
    leaves = [tensor.requires_grad_() for tensor in tensors if tensor is not None and tensor.is_floating_point()]
    expected = oracle(*tensors)
    outputs, results = (y, expected) if isinstance(y, tuple) else ((y,), (expected,))
    dy = tuple(normal(*np.shape(output)) for output in outputs)
    for got, true in zip(outputs, results, strict=True):
        np.testing.assert_allclose(got, true.detach().numpy(), rtol=1e-10, atol=1e-12)
    grads = reference.backward(dy if isinstance(y, tuple) else dy[0], cache)
    true_grads = torch.autograd.grad(results, leaves, [torch.as_tensor(part) for part in dy])
    for got, true in zip([grad for grad in grads if grad is not None], true_grads, strict=True):
        np.testing.assert_allclose(got, true.numpy(), rtol=1e-9, atol=1e-11)


def test_matmul():
    assert_agrees("matmul", [normal(5, 3), normal(3, 4)], lambda a, b: a @ b)


def test_linear():
    assert_agrees("linear", [normal(4, 3, 5), normal(5, 2), normal(2)], lambda x, W, b: F.linear(x, W.T, b))


def test_embedding():
    assert_agrees("embedding", [rng.integers(0, 7, (4, 3)), normal(7, 5)], F.embedding)


def recurrent(network, Wx, Wh, b):
    """``run(x, *states) -> (y, *last states)`` of a network of torch.nn with our weights."""
    gates = Wx.shape[1]
    of_x, of_h = b[:gates], torch.zeros(gates, dtype=b.dtype)
    if len(b) > gates:  # a GRU's: the last part is a bias of what comes from h
        of_h = torch.cat([of_h[: 2 * gates // 3], b[gates:]])
    weights = {"weight_ih_l0": Wx.T, "weight_hh_l0": Wh.T, "bias_ih_l0": of_x, "bias_hh_l0": of_h}

    def run(x, *states):
        states = tuple(state[None] for state in states)
        y, last = torch.func.functional_call(network, weights, (x, states if len(states) > 1 else states[0]))
        return y, *(state[0] for state in (last if len(states) > 1 else [last]))

    return run


def one_by_one(run, lengths, x, *states):
    """Each sequence by itself, its last state repeated: all y, and the last states but the first, which y ends with."""
    rows = []
    for n, length in enumerate(lengths.tolist()):
        y, last, *others = run(x[:length, n : n + 1], *(state[n : n + 1] for state in states))
        rows.append((torch.cat([y, last[None].expand(len(x) - length, -1, -1)]), *others))
    ys, *others = zip(*rows, strict=True)
    return torch.cat(ys, 1), *(torch.cat(parts) for parts in others)


@pytest.mark.parametrize("lengths", [None, [4, 1, 3]])
def test_rnn(lengths):
    T, N, D, H = 4, 3, 5, 2
    inputs = [normal(T, N, D), normal(N, H), normal(D, H), normal(H, H), normal(H)]

    def oracle(x, h0, Wx, Wh, b, lengths=None):
        run = recurrent(torch.nn.RNN(D, H).double(), Wx, Wh, b)
        return run(x, h0)[0] if lengths is None else one_by_one(run, lengths, x, h0)[0]

    assert_agrees("rnn", [*inputs, np.array(lengths)] if lengths else inputs, oracle)


def test_rnn_with_sigmoid():
    def oracle(x, h, Wx, Wh, b):
        rows = []
        for x_t in x:
            h = torch.sigmoid(x_t @ Wx + h @ Wh + b)
            rows.append(h)
        return torch.stack(rows)

    inputs = [normal(4, 3, 5), normal(3, 2), normal(5, 2), normal(2, 2), normal(2)]
    assert_agrees("rnn", inputs, oracle, nonlinearity="sigmoid")


@pytest.mark.parametrize("lengths", [None, [4, 1, 3]])
def test_gru(lengths):
    T, N, D, H = 4, 3, 5, 2
    inputs = [normal(T, N, D), normal(N, H), normal(D, 3 * H), normal(H, 3 * H), normal(4 * H)]

    def oracle(x, h0, Wx, Wh, b, lengths=None):
        run = recurrent(torch.nn.GRU(D, H).double(), Wx, Wh, b)
        return run(x, h0)[0] if lengths is None else one_by_one(run, lengths, x, h0)[0]

    assert_agrees("gru", [*inputs, np.array(lengths)] if lengths else inputs, oracle)


def test_gru_that_resets_before_the_product():
    def oracle(x, h, Wx, Wh, b):
        rows = []
        for x_t in x:
            (xr, xz, xn), (Wr, Wz, Wn) = (x_t @ Wx + b).chunk(3, 1), Wh.chunk(3, 1)
            r, z = torch.sigmoid(xr + h @ Wr), torch.sigmoid(xz + h @ Wz)
            h = torch.lerp(torch.tanh(xn + (r * h) @ Wn), h, z)
            rows.append(h)
        return torch.stack(rows)

    inputs = [normal(4, 3, 5), normal(3, 2), normal(5, 6), normal(2, 6), normal(6)]
    assert_agrees("gru", inputs, oracle, reset="before")


@pytest.mark.parametrize("lengths", [None, [4, 1, 3]])
def test_lstm(lengths):
    T, N, D, H = 4, 3, 5, 2
    inputs = [normal(T, N, D), normal(N, H), normal(N, H), normal(D, 4 * H), normal(H, 4 * H), normal(4 * H)]

    def oracle(x, h0, c0, Wx, Wh, b, lengths=None):
        run = recurrent(torch.nn.LSTM(D, H).double(), Wx, Wh, b)
        if lengths is None:
            y, _, c = run(x, h0, c0)
            return y, c
        return one_by_one(run, lengths, x, h0, c0)

    assert_agrees("lstm", [*inputs, np.array(lengths)] if lengths else inputs, oracle)


@pytest.mark.parametrize("masked", [False, True])
def test_additive_attention(masked):
    inputs = [normal(3, 5, 2), normal(3, 5, 4), normal(3, 4), normal(4)]
    if masked:
        inputs.append(np.array([[1, 1, 0, 1, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1]], bool))

    def oracle(x, keys, query, v, mask=None):
        e = torch.tanh(keys + query[:, None]) @ v
        alpha = torch.softmax(e if mask is None else e.masked_fill(~mask, -torch.inf), 1)
        return torch.einsum("nl,nld->nd", alpha, x), alpha

    assert_agrees("additive_attention", inputs, oracle)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("bilinear", [False, True])
def test_dot_product_attention(bilinear, masked):
    Q = 6 if bilinear else 4
    inputs = [normal(3, 5, 2), normal(3, 5, 4), normal(3, Q), normal(Q, 4) if bilinear else None]
    if masked:
        inputs.append(np.array([[1, 1, 0, 1, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1]], bool))

    def oracle(x, keys, query, W, mask=None):
        q, mask = (query if W is None else query @ W)[:, None], None if mask is None else mask[:, None]
        one_hot = torch.eye(5, dtype=x.dtype).expand(3, 5, 5)  # looking at these shows where it looked
        return tuple(
            F.scaled_dot_product_attention(q, keys, values, attn_mask=mask, scale=0.7)[:, 0] for values in (x, one_hot)
        )

    assert_agrees("dot_product_attention", inputs, oracle, scale=0.7)


MASK_OF_QUERIES = np.array([[1, 1, 0, 1, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1]], bool)


@pytest.mark.parametrize("settings", [{}, {"causal": True}, {"causal": True, "offset": 1}])
@pytest.mark.parametrize("masked", [False, True])
def test_additive_attention_of_several_queries(settings, masked):
    T, L = 4, 5
    seen = np.tri(T, L, settings.get("offset", 0), dtype=bool) if settings else np.ones((T, L), bool)
    if masked:
        seen = seen & MASK_OF_QUERIES[:, None]

    def oracle(x, keys, query, v):
        e = torch.tanh(keys[:, None] + query[:, :, None]) @ v
        alpha = torch.softmax(e.masked_fill(~torch.tensor(seen), -torch.inf), -1)
        return alpha @ x, alpha, e

    inputs = [normal(3, L, 2), normal(3, L, 6), normal(3, T, 6), normal(6)]
    mask = MASK_OF_QUERIES if masked else None
    assert_agrees("additive_attention", inputs, oracle, mask=mask, scores=True, **settings)


@pytest.mark.parametrize("settings", [{}, {"causal": True}, {"mask": MASK_OF_QUERIES}])
@pytest.mark.parametrize("T", [2, 5, 7])
def test_dot_product_attention_of_several_queries(settings, T):
    """PyTorch's ``is_causal`` is ours without an offset, also where T and L differ."""
    L = 5

    def oracle(x, keys, query, W):
        mask = None if "mask" not in settings else torch.tensor(settings["mask"])[:, None]
        one_hot = torch.eye(L, dtype=x.dtype).expand(3, L, L)  # looking at these shows where it looked
        of_torch = {"attn_mask": mask, "is_causal": "causal" in settings, "scale": 0.7}
        return tuple(F.scaled_dot_product_attention(query @ W, keys, values, **of_torch) for values in (x, one_hot))

    inputs = [normal(3, L, 2), normal(3, L, 4), normal(3, T, 6), normal(6, 4)]
    assert_agrees("dot_product_attention", inputs, oracle, scale=0.7, **settings)


@pytest.mark.parametrize("masked", [False, True])
def test_softmax_cross_entropy(masked):
    targets, mask = rng.integers(0, 5, (4, 3)), rng.random((4, 3)) < 0.6 if masked else None

    def oracle(logits, targets):
        if masked:
            targets = targets.masked_fill(~torch.tensor(mask), -100)
        return F.cross_entropy(logits.reshape(-1, 5), targets.reshape(-1), ignore_index=-100)

    assert_agrees("softmax_cross_entropy", [normal(4, 3, 5), targets], oracle, mask=mask)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignored", [False, True])
def test_softmax_cross_entropy_with_settings(ignored, weighted, label_smoothing, reduction):
    targets, weights = rng.integers(0, 5, (4, 3)), rng.random(5) if weighted else None
    settings = {"label_smoothing": label_smoothing, "reduction": reduction}
    if ignored:
        targets[0], settings["ignore_index"] = -7, -7

    def oracle(logits, targets):
        weight = torch.tensor(weights) if weighted else None
        return F.cross_entropy(logits.movedim(-1, 1), targets, weight, **settings)

    assert_agrees("softmax_cross_entropy", [normal(4, 3, 5), targets], oracle, class_weights=weights, **settings)


@pytest.mark.parametrize("settings", [{}, {"stride": 2, "padding": 1}, {"groups": 3}, {"padding": ((0, 2), (1, 0))}])
def test_conv2d(settings):
    groups = settings.get("groups", 1)
    (top, bottom), (left, right) = ((p, p), (p, p)) if isinstance(p := settings.get("padding", 0), int) else p

    def oracle(x, W, b):
        x = F.pad(channels_first(x), (left, right, top, bottom))
        return channels_last(F.conv2d(x, W.permute(3, 2, 0, 1), b, settings.get("stride", 1), groups=groups))

    assert_agrees("conv2d", [normal(2, 7, 8, 6), normal(3, 2, 6 // groups, 9), normal(9)], oracle, **settings)


@pytest.mark.parametrize("settings", [{}, {"stride": 2, "padding": 1}])
def test_depthwise_conv2d(settings):
    def oracle(x, W, b):
        weight = W.permute(2, 0, 1)[:, None]
        return channels_last(F.conv2d(channels_first(x), weight, b, groups=len(weight), **settings))

    assert_agrees("depthwise_conv2d", [normal(2, 7, 8, 5), normal(3, 3, 5), normal(5)], oracle, **settings)


@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2), (2, 3)])
@pytest.mark.parametrize("ties", [False, True])
def test_max_pool2d(size, stride, ties):
    x = rng.integers(0, 3, (2, 7, 9, 5)).astype(float) if ties else normal(2, 7, 9, 5)
    settings = {"size": size, "stride": stride}
    assert_agrees("max_pool2d", [x], lambda x: channels_last(F.max_pool2d(channels_first(x), size, stride)), **settings)


@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2), (2, 3)])
def test_avg_pool2d(size, stride):
    settings = {"size": size, "stride": stride}
    assert_agrees(
        "avg_pool2d",
        [normal(2, 7, 9, 5)],
        lambda x: channels_last(F.avg_pool2d(channels_first(x), size, stride)),
        **settings,
    )


def test_batch_norm2d():
    def oracle(x, gamma, beta):
        return channels_last(F.batch_norm(channels_first(x), None, None, gamma, beta, training=True))

    assert_agrees("batch_norm2d", [normal(3, 5, 4, 2), normal(2), normal(2)], oracle)


@pytest.mark.parametrize("momentum", [0.1, 0.4])
def test_the_running_statistics_of_batch_norm2d(momentum):
    net = torch.nn.BatchNorm2d(2, momentum=momentum, eps=1e-3, dtype=torch.float64)
    mean, var, (gamma, beta) = np.zeros(2), np.ones(2), (np.ones(2), np.zeros(2))
    settings = {"momentum": momentum, "eps": 1e-3}
    for step in range(3):
        x = normal(3, 5, 4, 2)
        expected = channels_last(net(channels_first(torch.tensor(x))))
        running = {"running_mean": mean, "running_var": var}
        y, cache = ops.batch_norm2d.variant("reference").forward(x, gamma, beta, **running, **settings)
        np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-10, atol=1e-12, err_msg=str(step))
        mean, var = cache.running_mean, cache.running_var
    np.testing.assert_allclose(mean, net.running_mean.numpy(), rtol=1e-12)
    np.testing.assert_allclose(var, net.running_var.numpy(), rtol=1e-12)


@pytest.mark.parametrize("eps", [1e-12, 0.1])
def test_rms_norm_of_rows(eps):
    assert_agrees("rms_norm", [normal(6, 5)], lambda x: F.rms_norm(x, (5,), eps=eps), eps=eps)


@pytest.mark.parametrize("cap", [None, 0.7])
def test_relu(cap):
    assert_agrees("relu", [normal(3, 5)], lambda x: torch.clamp(x, 0, cap), cap=cap)


@pytest.mark.parametrize("variant", ["reference", "numba_cpu"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adam(variant, weight_decay):
    parameter = torch.nn.Parameter(torch.tensor(normal(13)))
    settings = {"lr": 0.01, "weight_decay": weight_decay}
    optimizer = torch.optim.AdamW([parameter], betas=(0.8, 0.99), eps=1e-6, **settings)
    params, m, v = parameter.detach().numpy().copy(), np.zeros(13), np.zeros(13)
    for t in range(1, 6):
        grads = normal(13)
        parameter.grad = torch.tensor(grads)
        optimizer.step()
        ops.adam.variant(variant).step(params, grads, m, v, t, beta1=0.8, beta2=0.99, eps=1e-6, **settings)
    np.testing.assert_allclose(params, parameter.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("variant", ["reference", "numba_cpu"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_sgd(variant, weight_decay, momentum, nesterov):
    start = normal(13)
    parameter = torch.nn.Parameter(torch.tensor(start))
    settings = {"lr": 0.01, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov}
    optimizer = torch.optim.SGD([parameter], **settings)
    params, state = start.copy(), [np.zeros(13)] * (momentum > 0)
    for _ in range(5):
        grads = normal(13)
        parameter.grad = torch.tensor(grads)
        optimizer.step()
        ops.sgd.variant(variant).step(params, grads, *state, **settings)
    np.testing.assert_allclose(params, parameter.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("variant", ["reference", "numba_cpu"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_rmsprop(variant, weight_decay, momentum):
    start = normal(13)
    parameter = torch.nn.Parameter(torch.tensor(start))
    settings = {"lr": 0.01, "eps": 1e-6, "weight_decay": weight_decay, "momentum": momentum}
    optimizer = torch.optim.RMSprop([parameter], alpha=0.9, **settings)
    params, v, state = start.copy(), np.zeros(13), [np.zeros(13)] * (momentum > 0)
    for _ in range(5):
        grads = normal(13)
        parameter.grad = torch.tensor(grads)
        optimizer.step()
        ops.rmsprop.variant(variant).step(params, grads, v, *state, rho=0.9, **settings)
    np.testing.assert_allclose(params, parameter.detach().numpy(), rtol=1e-11)

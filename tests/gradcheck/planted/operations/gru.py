"""GRU over a batch of sequences (T, N, D)."""

import numpy as np

STYLE = "closure"
SIZES = {"T": 3, "N": 4, "D": 2, "H": 3}


def make_inputs(T=3, N=4, D=2, H=3, seed=0):
    rng = np.random.default_rng(seed)
    inputs = {"x": rng.normal(size=(T, N, D)), "h0": rng.normal(size=(N, H))}
    inputs |= {name: rng.normal(size=(D, H)) for name in ("Wz", "Wr", "Wn")}
    inputs |= {name: rng.normal(size=(H, H)) for name in ("Uz", "Ur", "Un")}
    return inputs


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def make_gru():
    def forward(x, h0, Wz, Wr, Wn, Uz, Ur, Un):
        h, hs, steps = h0, [], []
        for x_t in x:
            z = sigmoid(x_t @ Wz + h @ Uz)
            r = sigmoid(x_t @ Wr + h @ Ur)
            n = np.tanh(x_t @ Wn + (r * h) @ Un)
            steps.append((x_t, h, z, r, n))
            h = (1 - z) * n + z * h
            hs.append(h)
        return np.array(hs), (steps, (Wz, Wr, Wn, Uz, Ur, Un))

    def backward(dhs, cache):
        steps, weights = cache
        Wz, Wr, Wn, Uz, Ur, Un = weights
        dWz, dWr, dWn, dUz, dUr, dUn = [np.zeros_like(W) for W in weights]
        dx = []
        dh = np.zeros_like(dhs[0])
        for t in reversed(range(len(steps))):
            x_t, h_prev, z, r, n = steps[t]
            dh = dh + dhs[t]
            dn = dh * (1 - z)
            dz = dh * (h_prev - n)
            da_n = dn * (1 - n**2)
            da_z = dz * z * (1 - z)
            drh = da_n @ Un.T
            dr = drh * h_prev
            da_r = dr * r * (1 - r)
            dWz += x_t.T @ da_z
            dWr += x_t.T @ da_r
            dWn += x_t.T @ da_n
            dUz += h_prev.T @ da_z
            dUr += h_prev.T @ da_r
            dUn += (r * h_prev).T @ da_n
            dx.append(da_z @ Wz.T + da_r @ Wr.T + da_n @ Wn.T)
            dh = dh * z + drh * r + da_z @ Uz.T + da_r @ Ur.T
        return np.array(dx[::-1]), dh, dWz, dWr, dWn, dUz, dUr, dUn

    return forward, backward


forward, backward = make_gru()

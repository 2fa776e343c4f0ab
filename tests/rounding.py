"""Numbers as tensor cores take them."""

import numpy as np


def rounded(x, precision):
    """To 11 significant bits (TF32, ties away from zero) or 8 (bfloat16, ties to even)."""
    if precision == "float32":
        return x
    mantissa, exponent = np.frexp(x.astype(np.float64))
    if precision == "bf16":
        return np.ldexp(np.rint(mantissa * 2**8), exponent - 8)
    return np.ldexp(np.sign(mantissa) * np.floor(np.abs(mantissa) * 2**11 + 0.5), exponent - 11)

"""The matrix product: what is particular to it (the forms that the rooms use inside are in test_building_blocks.py)."""

import numpy as np
import pytest

from scratchlv.kernels.matmul.micro_kernels import COLUMNS, ROWS
from scratchlv.ops import matmul

rng = np.random.default_rng(0)
variants = pytest.mark.parametrize("variant", ["reference", "numba_cpu"])


@variants
@pytest.mark.parametrize("m", [1, 3, 4, ROWS - 1, ROWS, ROWS + 1, 2 * ROWS + 1])
@pytest.mark.parametrize("n", [1, COLUMNS - 1, COLUMNS, COLUMNS + 1, 2 * COLUMNS + 1])
def test_products_of_whole_numbers_are_exact(variant, m, n):
    """On either side of the edges of a tile, and where the way of computing changes."""
    a, b, dc = (rng.integers(-9, 10, shape) for shape in ((m, 7), (7, n), (m, n)))
    module = matmul.variant(variant)
    c, cache = module.forward(a.astype(np.float32), b.astype(np.float32))
    da, db = module.backward(dc.astype(np.float32), cache)
    for got, expected in ((c, a @ b), (da, dc @ b.T), (db, a.T @ dc)):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("m", [2, ROWS + 2])
def test_nan_stays_in_its_row_and_its_column(m):
    """Ragged tiles are computed with rows that are there only to fill them: they must not spread."""
    module, n = matmul.variant("numba_cpu"), COLUMNS + 3
    a, b = np.ones((m, 5), np.float32), np.ones((5, n), np.float32)
    a[-1, 0], b[0, -1] = np.nan, np.nan
    spoiled = np.zeros((m, n), bool)
    spoiled[-1], spoiled[:, -1] = True, True
    np.testing.assert_array_equal(np.isnan(module.forward(a, b)[0]), spoiled)


@variants
def test_shapes_that_do_not_fit_are_refused(variant):
    with pytest.raises(ValueError, match=r"multiply|mismatch"):
        matmul.variant(variant).forward(np.zeros((3, 4), np.float32), np.zeros((5, 2), np.float32))

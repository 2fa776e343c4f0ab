"""``benchmarks/products.py``: every library multiplies the same, and what is made of times. Nothing is timed here."""

import numpy as np
import pytest


@pytest.fixture
def multiplying(benchmarks):
    return benchmarks("multiplying")


@pytest.fixture
def products(benchmarks):
    return benchmarks("products")


@pytest.mark.parametrize("which", ["x W", "dy Wᵀ", "xᵀ dy"])
@pytest.mark.parametrize("library", ["ours", "ours, W packed", "MKL", "OpenBLAS"])
def test_each_library_multiplies_what_the_product_says(multiplying, which, library):
    if library == "MKL":
        pytest.importorskip("torch", reason="MKL is called through PyTorch")
    product = multiplying.Product("a", 5, 3, 4, which)
    a, b, c = multiplying.operands(product)
    x_or_dy, W_or_dy = a.astype(float), b.astype(float)
    expected = {
        "x W": lambda: x_or_dy @ W_or_dy,
        "dy Wᵀ": lambda: x_or_dy @ W_or_dy.T,
        "xᵀ dy": lambda: x_or_dy.T @ W_or_dy,
    }
    multiplying.CALLS[library](product, a, b, c)()
    np.testing.assert_allclose(c, expected[which](), rtol=1e-5, atol=1e-6)


def test_the_shapes_are_those_of_a_layer(multiplying):
    for product in multiplying.PRODUCTS[:3]:
        a, b, c = multiplying.operands(product)
        assert product.flops == 2 * 640 * 512 * 2048
        assert {a.shape, b.shape, c.shape} == {(640, 512), (512, 2048), (640, 2048)}
    assert len({product.name for product in multiplying.PRODUCTS}) == len(multiplying.PRODUCTS)


def test_names_choose(products, capsys):
    assert [each.name for each in products.choose(["gates"])] == ["gates:forward", "gates:dx", "gates:dW"]
    assert [each.name for each in products.choose(["step", "gates:dW"])] == ["gates:dW", "step:forward"]
    with pytest.raises(SystemExit) as ended:
        products.choose(["gru"])
    assert ended.value.code == 2
    assert "'gru'" in capsys.readouterr().err


@pytest.fixture
def row(products, multiplying):
    times = {"ours": [2.0, 2.0, 4.0], "MKL": [2.0, 2.5, 2.5], "OpenBLAS": [9.0]}  # ms
    product = multiplying.Product("a", 1000, 1000, 1000, "x W")
    return products.row(product, 1, times, dict.fromkeys(times, {}))


def test_speeds_are_those_of_times(row):
    assert row["libraries"]["ours"]["median_gflops"] == 1000
    assert row["libraries"]["MKL"]["median_gflops"] == 800
    assert row["libraries"]["MKL"]["p20_gflops"] == pytest.approx(2000 / 2.2, rel=1e-3)
    assert row["of_best_median"] == 1.25
    assert row["of_best_p20"] == pytest.approx(1.1, rel=1e-3)


def test_a_product_above_the_ceiling_is_said_loudly(products, row):
    products.finish([row], 1001.0)
    assert row["exceeds"] == []
    assert row["of_peak"] == pytest.approx(0.999, rel=1e-3)
    assert "EXCEEDS" not in products.table([row])
    products.finish([row], 950.0)
    assert row["exceeds"] == ["ours"]
    assert "EXCEEDS THE CEILING: ours" in products.table([row])


def test_another_product_is_refused(products):
    ours = {"a": np.float32([1, 2])}
    products.compare({"ours": ours, "MKL": {"a": np.float32([1, 2.00001])}})
    for wrong in ([1, 2.001], [1, np.nan]):
        with pytest.raises(products.Refused, match="MKL: a differs"):
            products.compare({"ours": ours, "MKL": {"a": np.float32(wrong)}})

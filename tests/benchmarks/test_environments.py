"""``benchmarks/environments.py``: what the sides are told. Which kernels a library then takes, only it knows."""

import importlib

import pytest


@pytest.fixture
def environments(benchmarks):
    return benchmarks("environments")


def test_every_library_is_held_to_the_same_vectors(environments, monkeypatch):
    found = {"SIMD Extensions": {"found": ["X86_V3", "X86_V4", "AVX512_ICL"]}}
    monkeypatch.setattr(environments.np, "show_config", lambda mode: found)
    avx2, sse = environments.held_to("avx2"), environments.held_to("sse")
    assert avx2.keys() == sse.keys() == environments.ISAS["avx2"].keys() | {"NPY_DISABLE_CPU_FEATURES"}
    assert avx2["NPY_DISABLE_CPU_FEATURES"] == "X86_V4 AVX512_ICL"
    assert sse["NPY_DISABLE_CPU_FEATURES"] == "X86_V3 X86_V4 AVX512_ICL"
    assert environments.held_to(None) == {}
    found["SIMD Extensions"]["found"] = []
    assert "NPY_DISABLE_CPU_FEATURES" not in environments.held_to("avx2")


def test_what_is_freed_is_held_again(environments, monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    assert "OPENBLAS_CORETYPE" not in environments.freed(environments.variables())
    assert environments.variables("avx2")["OPENBLAS_CORETYPE"] == "Haswell"
    assert environments.variables(threads=3)["MKL_NUM_THREADS"] == "3"


def test_what_decides_is_recorded_and_no_paths(environments):
    told = {"SCRATCHLV_VECTORS": "8", "SCRATCHLV_CACHE": "/home/me", "LD_PRELOAD": "/tmp/intel.so", "HOME": "/home/me"}
    assert environments.recorded(told) == {"SCRATCHLV_VECTORS": "8", "LD_PRELOAD": "mkl_serv_intel_cpu_true"}


@pytest.mark.parametrize("text", ["0", "", "1,,2", "-1", "two", "1025"])
def test_numbers_of_threads_that_cannot_be(benchmarks, text):
    arguments = benchmarks("arguments")
    with pytest.raises(arguments.argparse.ArgumentTypeError, match="1 to 1024"):
        arguments.numbers(text)
    assert arguments.numbers("1,2") == [1, 2]


def test_how_our_threads_wait_is_not_told_to_others(environments, monkeypatch):
    """scratchlv sets it where it is imported, and children would inherit it."""
    importlib.import_module("scratchlv.kernels.building_blocks")
    monkeypatch.setenv("GOMP_SPINCOUNT", "2000")
    assert "GOMP_SPINCOUNT" not in environments.variables("avx2", 2)

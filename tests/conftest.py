"""Settings that all tests share."""

import os

import pytest

# Some tests compare one thread with two, also on a machine with one core; read when Numba is imported.
os.environ.setdefault("NUMBA_NUM_THREADS", str(max(2, os.cpu_count() or 1)))


def pytest_addoption(parser):
    parser.addoption(
        "--backend",
        choices=("cpu", "cuda"),
        default="cpu",
        help="where tests/cuda runs kernels and models: on the CPU that plays a GPU, or on the GPU through CuPy",
    )


@pytest.fixture(scope="session")
def backend(request):
    """ "cpu" or "cuda"; without a GPU that can be used, tests that are to run on one are skipped."""
    name = request.config.getoption("--backend")
    if name == "cuda":
        from scratchlv.cuda.availability import what_is_wrong

        problem = what_is_wrong()
        if problem is not None:
            pytest.skip(f"--backend cuda: {problem}")
    return name

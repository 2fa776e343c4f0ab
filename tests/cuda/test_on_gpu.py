"""``on_gpu.py``, the checks on a GPU, with the stand-in for CuPy."""

import importlib
import shutil
import sys

import numpy as np
import pytest

from scratchlv import ops
from scratchlv.cuda import load, sources
from scratchlv.cuda.emulator import why_not
from scratchlv.cuda.on_gpu import compile_options

from . import stand_in
from .stand_in import Gpu

needs_compiler = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


@pytest.mark.slow
@needs_compiler
def test_the_checks_on_a_gpu_run_and_see_a_wrong_kernel(monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", [*sys.path])
    stand_in.install(monkeypatch)
    script = importlib.import_module(".on_gpu", __package__)
    assert script.check(["relu", "softmax_cross_entropy", "adam"]) == 0
    assert sum(script.not_right(what, *found) for what, found in script.others().items()) == 0
    said = capsys.readouterr().out
    assert "adam: 2 versions, 7 cases: right" in said
    assert "product in bf16, version 6: right" in said
    for name, function in (("relu", "forward"), ("adam", "step")):
        module = getattr(ops, name).variant("cuda")
        monkeypatch.setattr(module, function, changed(getattr(module, function)))
        assert script.check([name]) > 0


def changed(function):
    """Ours, with one number of what it makes off by a little."""

    def off(*args, **settings):
        result = function(*args, **settings)
        made = settings["params"] if result is None else result[0]
        if made.size:
            made.reshape(-1)[:1] += 1e-3
        return result

    return off


# --- what CuPy's cache on disk knows a kernel by ---------------------------------------------------------------------


def test_a_header_that_was_changed_makes_other_options(monkeypatch, tmp_path):
    """CuPy's cache knows a file's text and its options, and never sees what the file includes."""
    folder = shutil.copytree(sources.headers(), tmp_path / "headers")
    monkeypatch.setattr(sources, "headers", lambda: folder)
    paths = {path.stem: path for path in sources.sources()}
    of = {name: compile_options(paths[name]) for name in ("adam", "lstm", "softmax")}
    with open(folder / "recurrent.cuh", "a", encoding="utf-8") as header:
        header.write("// changed\n")
    assert compile_options(paths["lstm"]) != of["lstm"]
    assert compile_options(paths["softmax"]) == of["softmax"]
    with open(folder / "scratchlv.cuh", "a", encoding="utf-8") as header:  # which float4.cuh includes
        header.write("// changed\n")
    assert compile_options(paths["adam"]) != of["adam"]


@needs_compiler
def test_the_options_are_given_to_cupy(monkeypatch):
    stand_in.install(monkeypatch)
    launch_relu()
    path = load("relu.cu").path
    assert Gpu.options["relu.cu"] == compile_options(path)


def launch_relu():
    import cupy

    return ops.relu.variant("cuda").forward(cupy.asarray(np.ones((3, 5), np.float32)))


# --- shared memory ---------------------------------------------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize("V", [12_224, 12_225, 12_288, 12_289])
def test_what_a_kernel_declares_counts_where_shared_memory_ends(monkeypatch, V):
    """Up to 12,288 scores lie in 48 KB, but the kernel declares 384 bytes of its own."""
    stand_in.install(monkeypatch)
    import cupy

    logits, targets = np.zeros((2, V), np.float32), np.int64([0, V - 1])
    loss, _ = ops.softmax_cross_entropy.variant("cuda").forward(cupy.asarray(logits), targets)
    assert float(loss) == pytest.approx(np.log(V), rel=1e-6)


def test_more_than_the_chip_has_is_refused(monkeypatch):
    stand_in.install(monkeypatch)
    monkeypatch.setattr(Gpu, "shared_memory", 64 * 1024)
    engine = load("softmax_cross_entropy.cu").engine(on_gpu=True)
    with pytest.raises(
        ValueError, match=r"cross_entropy_3: 384 bytes .* and 65400 more for a block; this GPU gives a block 65536"
    ):
        engine._function("cross_entropy_3", False, 65_400)


def test_each_device_is_asked_for_itself(monkeypatch):
    stand_in.install(monkeypatch)
    engine = load("softmax_cross_entropy.cu").engine(on_gpu=True)
    for device in (0, 1, 0):
        monkeypatch.setattr(Gpu, "current", device)
        assert engine._function("cross_entropy_3", False, 60_000).max_dynamic_shared_size_bytes == 60_000

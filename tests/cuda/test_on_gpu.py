"""``on_gpu.py``, the checks on a GPU, with the stand-in for CuPy."""

import importlib
import sys

import pytest

from scratchlv import ops
from scratchlv.cuda.emulator import why_not

from . import stand_in

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

"""Kernels are compiled for a GPU while the data is still read."""

import pytest

from scratchlv.cuda import ahead, load
from scratchlv.cuda.sources import sources

from . import stand_in
from .stand_in import Gpu


def compile_all():
    for thread in ahead.compile_ahead():
        thread.join(60)
        assert not thread.is_alive()


def test_every_file_is_compiled_as_it_will_be_launched(monkeypatch):
    stand_in.install(monkeypatch)
    compile_all()
    assert {file for file, _ in Gpu.compiled} == {path.name for path in sources()} - {"ceilings.cu"}
    assert {file for file, cooperative in Gpu.compiled if cooperative} == {
        "lstm.cu",
        "rnn.cu",
        "additive_attention_lstm.cu",
        "dot_attention_lstm.cu",
    }
    assert set(Gpu.compiled.values()) == {1}


def test_several_threads_share_the_files(monkeypatch):
    stand_in.install(monkeypatch)
    monkeypatch.setattr(ahead, "usable_cores", lambda: type("Cores", (), {"n": 5}))
    assert len(ahead.compile_ahead()) == 4
    compile_all()


def test_a_file_that_does_not_compile_is_told_of_where_it_is_launched(monkeypatch, capsys):
    stand_in.install(monkeypatch)

    def fails(module, log_stream=None):
        raise RuntimeError(f"{module._path.name} does not compile")

    monkeypatch.setattr(stand_in.RawModule, "compile", fails)
    compile_all()
    assert ahead.main() == 1
    assert "relu.cu: 0.0 s: FAILED: relu.cu does not compile\n" in capsys.readouterr().out
    with pytest.raises(RuntimeError, match=r"relu.cu does not compile"):
        load("relu.cu").engine(on_gpu=True).compile()

"""NCCL's part, with a stand-in for CuPy: streams whose work is only done when somebody waits for it, and a NCCL among threads."""

import ctypes
import sys
import types

import numpy as np
import pytest

from scratchlv.errors import UserError
from scratchlv.parallel import mpi, nccl
from scratchlv.parallel.nccl import NCCLTeam
from scratchlv.parallel.team import Memory, joined
from scratchlv.training.trainer import Trainer, TrainSettings
from tests.parallel.threads import ThreadTeam, run_together
from tests.training.test_data_parallel import Line, batch_at


class GPUArray(np.ndarray):
    """An array whose address is asked for as CuPy's is."""

    @property
    def data(self):
        return types.SimpleNamespace(ptr=self.ctypes.data)


def on_gpu(array):
    return np.asarray(array).view(GPUArray)


class Stream:
    """Work that waits in line: it is done when an event behind it is waited for."""

    ptr = 0

    def __init__(self, non_blocking=False):
        self.line = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def wait_event(self, event):
        if event.stream is not self:
            for work in event.stream.line[: event.place]:
                work()
            event.stream.line[: event.place] = [lambda: None] * event.place


class Event:
    def __init__(self, disable_timing=False):
        self.stream = self.place = None

    def record(self, stream):
        self.stream, self.place = stream, len(stream.line)


def view(address, count, kind):
    number = {7: ctypes.c_float, 8: ctypes.c_double}[kind]
    return np.ctypeslib.as_array((number * count).from_address(address))


def stand_in(team):
    """CuPy as one of the threads of ``team`` sees it."""
    compute, made = Stream(), []

    def new_stream(non_blocking=False):
        made.append(Stream())
        return made[-1]

    class Communicator:
        def __init__(self, size, name, rank):
            assert (size, name, rank) == (team.size, (1, 2), team.rank)

        def allReduce(self, send, receive, count, kind, op, stream):
            assert op == 0

            def work():
                parts = team.exchange(view(send, count, kind).copy())
                view(receive, count, kind)[...] = np.add.reduce(parts)

            made[0].line.append(work)

        def allGather(self, send, receive, count, kind, stream):
            parts = team.exchange(view(send, count, kind).copy())
            view(receive, count * team.size, kind)[...] = np.concatenate(parts)

    library = types.SimpleNamespace(
        get_unique_id=lambda: (1, 2), NcclCommunicator=Communicator, NCCL_FLOAT32=7, NCCL_FLOAT64=8, NCCL_SUM=0
    )
    cuda = types.SimpleNamespace(nccl=library, Stream=new_stream, Event=Event, get_current_stream=lambda: compute)
    return types.SimpleNamespace(cuda=cuda)


class OfThreads(NCCLTeam, ThreadTeam):
    """What is NCCL's by NCCL, all else by threads instead of MPI."""

    exchange, broadcast, gather = ThreadTeam.exchange, ThreadTeam.broadcast, ThreadTeam.gather
    wait, abort, broadcast_array = ThreadTeam.wait, ThreadTeam.abort, ThreadTeam.broadcast_array


def trained(team):
    gpu_team = OfThreads(team, stand_in(team))
    model = Line()
    with joined(gpu_team):
        model.params = {name: on_gpu(array) for name, array in model.params.items()}
        trainer = Trainer(model, batch_at, TrainSettings(steps=9, learning_rate=0.1), show_progress=False)
        for _ in range(9):
            trainer.train_step()
    return {name: np.array(array) for name, array in model.params.items()}


@pytest.mark.parametrize("P, shards", [(1, 0), (2, 0), (3, 0), (2, 4)])
def test_gpus_compute_what_one_process_would(P, shards, monkeypatch):
    monkeypatch.setattr("scratchlv.arrays.memory.empty", lambda shape, dtype: on_gpu(np.empty(shape, dtype)))
    alone = Trainer(Line(), batch_at, TrainSettings(steps=9, learning_rate=0.1), show_progress=False)
    for _ in range(9):
        alone.train_step()
    for found in run_together(P, trained, shards=shards):
        for name, array in alone.model.params.items():
            np.testing.assert_allclose(found[name], array, rtol=1e-10)


def test_a_sum_is_not_there_before_it_is_waited_for():
    def work(team):
        gpu_team = OfThreads(team, stand_in(team))
        rows, out = Memory(on_gpu(np.full((1, 5), team.rank + 1.0))), on_gpu(np.zeros(5))
        under_way = gpu_team.start_sum(rows, slice(0, 5), out, 0)
        before = out.tolist()
        assert not under_way.advance()
        gpu_team.finish([under_way])
        return before, out.tolist()

    assert run_together(2, work) == [([0.0] * 5, [3.0] * 5)] * 2


def fake_cupy(monkeypatch, gpus, **more):
    used = []
    runtime = types.SimpleNamespace(getDeviceCount=lambda: gpus)
    device = lambda number: types.SimpleNamespace(use=lambda: used.append(number))  # noqa: E731
    cuda = types.SimpleNamespace(runtime=runtime, Device=device, **more)
    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(cuda=cuda))
    return used


def test_each_process_has_a_gpu_of_its_own(monkeypatch):
    world = types.SimpleNamespace(hosts=["a", "b", "b"], rank=2, size=3)
    monkeypatch.setattr(mpi, "start", lambda shards: world)
    monkeypatch.setattr(nccl, "NCCLTeam", lambda world, cupy: "a team")
    used = fake_cupy(monkeypatch, 2, nccl=types.SimpleNamespace(available=True))
    assert nccl.start() == "a team"
    assert used == [1]
    fake_cupy(monkeypatch, 1, nccl=types.SimpleNamespace(available=True))
    with pytest.raises(UserError, match="2 processes on b have 1 GPUs"):
        nccl.start()
    fake_cupy(monkeypatch, 1, nccl=types.SimpleNamespace(available=False))
    with pytest.raises(UserError, match="needs NCCL"):
        nccl.start()

"""A team whose processes are threads of this one: what several compute together, without an MPI."""

import contextvars
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from scratchlv.parallel.team import Sum, Team, add_rows, joined


class _Meeting:
    """Where the threads leave what the others shall have."""

    def __init__(self, size):
        self.barrier = threading.Barrier(size, timeout=60)
        self.left = {}
        self.sums = {}
        self.lock = threading.Lock()


class ThreadTeam(Team):
    """One member; messages arrive when they like."""

    def __init__(self, meeting, rank, size, shards):
        super().__init__(shards)
        self._meeting, self.rank, self.size = meeting, rank, size
        self.hosts = [f"host{k}" for k in range(size)]
        self._turn = {}

    def exchange(self, value):
        self._meeting.left[self.rank] = value
        self._meeting.barrier.wait()
        found = [self._meeting.left[rank] for rank in range(self.size)]
        self._meeting.barrier.wait()
        return found

    def broadcast(self, value):
        return self.exchange(value)[0]

    def broadcast_array(self, array):
        array[...] = self.exchange(array.copy())[0]

    def gather(self, array):
        return np.stack(self.exchange(np.array(array)))

    def start_sum(self, rows, part, out, number, to_all=False):
        self._turn[number] = turn = self._turn.get(number, -1) + 1
        mine = slice(None) if to_all else self.owned(part.stop - part.start)[self.rank]
        out[part] = np.nan  # of what is not its own nobody may read a sum
        return _ThreadSum(self, rows.own[:, part], out[part], (number, turn), mine)

    def share(self, values, owned):
        found = self.exchange([values.own[part].copy() for part in owned[self.rank]])
        for parts, arrays in zip(owned, found, strict=True):
            for part, array in zip(parts, arrays, strict=True):
                values.own[part] = array

    def wait(self, done):
        began = time.perf_counter()
        while not done():
            if self._meeting.barrier.broken:
                raise threading.BrokenBarrierError
            time.sleep(1e-4)
        self.waited += time.perf_counter() - began

    def abort(self, sentence, status=2):
        self._meeting.barrier.abort()
        raise AssertionError(sentence)


class _ThreadSum(Sum):
    def __init__(self, team, parts, out, key, mine):
        self.team, self.out, self.key, self.parts, self.mine = team, out, key, parts.copy(), mine
        self.lazy = random.randrange(3)
        self._post()

    def _post(self):
        if self.lazy == 0:
            with self.team._meeting.lock:
                self.team._meeting.sums.setdefault(self.key, {})[self.team.rank] = self.parts
        self.lazy -= 1

    def advance(self):
        if self.lazy >= 0:
            self._post()
        found = self.team._meeting.sums.get(self.key, {})
        if len(found) < self.team.size:
            return False
        add_rows(np.concatenate([found[rank] for rank in range(self.team.size)])[:, self.mine], self.out[self.mine])
        return True


def run_together(size, work, shards=0, divides=True):
    """``work(team)`` in each of ``size`` threads that are a team; what each returned."""
    meeting = _Meeting(size)

    def run(rank):
        team = ThreadTeam(meeting, rank, size, shards)
        team.divides = divides
        try:
            with joined(team):
                return work(team)
        except BaseException:
            meeting.barrier.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        futures = [pool.submit(contextvars.copy_context().run, run, rank) for rank in range(size)]
        errors = [error for error in (future.exception() for future in futures) if error is not None]
        real = [error for error in errors if not isinstance(error, threading.BrokenBarrierError)]
        if errors:
            raise (real or errors)[0]
        return [future.result() for future in futures]

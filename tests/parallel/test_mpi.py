"""A team of real processes: sums in order, errors of one that are those of all, and sentences where it cannot begin."""

import importlib.util
import os
import re
import subprocess
import sys

import pytest

from scratchlv.errors import UserError
from scratchlv.parallel import mpi
from tests.parallel.mpi import environment, needs_mpi, program, run

_SUMS = """
import random, sys, time
import numpy as np
from scratchlv.errors import UserError
from scratchlv.parallel import mpi, one_machine
from scratchlv.parallel.team import SharedError

shards, seen = int(sys.argv[1]), sys.argv[2] == "seen"
if not seen:
    one_machine._FOLDER = "/nowhere"
team = mpi.start(shards)
rng = np.random.default_rng(7)
k = (shards or team.size) // team.size
for n in (1, 2, 3, 1000, 300_001):
    # of sizes so different that another order of the additions has other bits
    whole = (rng.standard_normal((team.size * k, n)) * 10.0 ** rng.integers(-6, 6, (team.size * k, 1))).astype(np.float32)
    expected = whole[0].copy()
    for row in whole[1:]:
        expected += row
    rows = team.memory((k, n), whole)
    assert (rows.everybody is not None) == (seen and team.size > 1)
    for turn in range(4):
        rows.own[...] = whole[team.rank * k : (team.rank + 1) * k]
        cuts = [0, n // 3, n // 2, n]
        out = np.full(n, np.nan, np.float32)
        time.sleep(random.random() * 0.003)
        parts = [slice(a, b) for a, b in zip(cuts, cuts[1:])]
        sums = [team.start_sum(rows, part, out, i, to_all=turn % 2 == 0) for i, part in enumerate(parts)]
        random.shuffle(sums)
        left = list(sums)
        while left:
            left = [each for each in left if not each.advance()]
            time.sleep(0)
        mine = [(part.start, team.owned(part.stop - part.start)[team.rank]) for part in parts]
        own = [slice(first + part.start, first + part.stop) for first, part in mine]
        for part in [slice(0, n)] if turn % 2 == 0 else own:
            assert out[part].tobytes() == expected[part].tobytes(), (n, turn)
        team.exchange(0)  # nobody reads the rows any more

    values = team.memory((n,), whole, common=n == 1000)
    owned = [[slice(0, 0), part] for part in team.owned(n)]
    for turn in range(3):
        for part in owned[team.rank]:
            values.own[part] = expected[part] + turn
        time.sleep(random.random() * 0.003)
        team.share(values, owned)
        assert values.own.tobytes() == (expected + turn).tobytes(), (n, turn)
        team.exchange(0)
    if n == 1000 and seen and team.size > 1:
        values.own[team.rank] = -1.0
        team.exchange(0)
        assert values.own[: team.size].tolist() == [-1.0] * team.size, "one array for all"
assert team.exchange({"rank": team.rank, "long": "x" * 10_000 * team.rank})[-1]["rank"] == team.size - 1
assert team.broadcast(list(range(team.rank, 9))) == list(range(9))
assert team.gather(np.full((2, 3), team.rank, np.int16)).tolist() == [[[r] * 3] * 2 for r in range(team.size)]
array = np.full(5, float(team.rank))
team.broadcast_array(array)
assert array.tolist() == [0.0] * 5

def fail():
    raise UserError(f"of {team.rank}")

try:
    team.together(fail if team.rank == team.size - 1 else int)
except UserError as error:
    assert isinstance(error, SharedError) or team.size == 1
    assert str(error) == f"of {team.size - 1}"
else:
    raise AssertionError("nothing was raised")
assert team.waited >= 0
assert team.on_this_host == team.size
team.close()
print("well", flush=True)
"""


@needs_mpi
@pytest.mark.parametrize("P, shards", [(1, 0), (2, 0), (3, 0), (2, 4), (3, 6)])
@pytest.mark.parametrize("how", ["seen", "sent"])
def test_sums_are_in_order_and_all_hear_of_all(tmp_path, P, shards, how):
    status, out, err = run(P, program(tmp_path, _SUMS), shards, how)
    assert (status, "".join(out.split())) == (0, "well" * P), err  # the launcher mixes lines with their ends


_TRAINED = """
import sys
from pathlib import Path
import numpy as np
from scratchlv.parallel import mpi
from scratchlv.parallel.team import joined
from tests.parallel.small_jobs import make
from tests.training.test_data_parallel import trained

name, steps, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
team = mpi.start()
team.divides = sys.argv[4] == "one machine"
own = folder / str(team.rank)
own.mkdir()
job = make(name, own, steps)
with joined(team):
    together = trained(job, steps)
alone = trained(job, steps) if team.rank == team.size - 1 else None
if alone is not None:
    for parameter, array in alone.model.params.items():
        np.testing.assert_allclose(together.model.params[parameter], array, rtol=1e-6, atol=1e-8, err_msg=parameter)
team.exchange(0)
team.close()
print("well", flush=True)
"""


@needs_mpi
@pytest.mark.parametrize(
    "P, name, steps, where",
    [
        (2, "captioner", 2, "one machine"),
        (3, "lm", 3, "one machine"),
        (2, "lm", 3, "several"),
        *(
            pytest.param(P, name, 60, where, marks=pytest.mark.slow)
            for P in (2, 3, 4)
            for name in ("lm", "captioner", "vqa")
            for where in ("one machine", "several")
        ),
    ],
)
def test_processes_compute_what_one_alone_would(tmp_path, P, name, steps, where):
    """With batch normalisation, whose statistics are those of all, and dropout."""
    status, out, err = run(P, program(tmp_path, _TRAINED), name, steps, tmp_path, where, timeout=600)
    assert (status, "".join(out.split())) == (0, "well" * P), err  # the launcher mixes lines with their ends


_BITS = """
import sys, zlib
from pathlib import Path
import numpy as np
from scratchlv.parallel import mpi
from scratchlv.parallel.team import joined
from tests.parallel.small_jobs import make
from tests.training.test_data_parallel import trained

team = mpi.start(6)
own = Path(sys.argv[1]) / f"{team.size}-{team.rank}"
own.mkdir()
with joined(team):
    found = trained(make("captioner", own), dtype=np.float32)
print(f"<{zlib.crc32(found.flat.values.tobytes())}>", flush=True)
team.close()
"""


@needs_mpi
@pytest.mark.slow
def test_with_shards_every_number_of_processes_computes_the_same_bits(tmp_path):
    said = []
    for P in (1, 2, 3):
        status, out, err = run(P, program(tmp_path, _BITS), tmp_path)
        assert status == 0, err
        said += re.findall(r"<\d+>", out)
    assert len(said) == 6
    assert len(set(said)) == 1


_AVERAGED = """
import dataclasses, random, time
from scratchlv.parallel import mpi
from scratchlv.parallel.team import Team, joined
from scratchlv.training.averaging import Averaging
from scratchlv.training.trainer import Trainer
from tests.training.test_data_parallel import SETTINGS, Line, batch_at

def work(team):
    settings = dataclasses.replace(SETTINGS, steps=60, averaging=Averaging(first=5), validate_every=2)
    model, seen = Line(), []

    def validate():
        time.sleep(random.random() * 0.004 if team.size > 1 else 0)
        seen.append((model.params["w"][0], model.params["b"][0]))
        return {"loss": 1.0}

    with joined(team):
        trainer = Trainer(model, batch_at, settings, None, validate, show_progress=False)
        trainer.run()
    return seen, trainer

team = mpi.start()
(found, together), (expected, alone) = work(team), work(Team())
assert together.flat.memory.everybody is not None
for one, other in zip(found, expected, strict=True):
    assert max(abs(a - b) for a, b in zip(one, other)) < 1e-9, (one, other)
for name, array in alone.model.params.items():
    assert abs(together.model.params[name] - array).max() < 1e-9
team.exchange(0)
team.close()
print("well", flush=True)
"""


@needs_mpi
@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="the system has no memory that processes share as a folder")
def test_the_mean_of_weights_takes_the_place_of_weights_that_all_have(tmp_path):
    """None sees the last weights for the mean, or the mean for the last weights, however late it comes."""
    status, out, err = run(3, program(tmp_path, _AVERAGED))
    assert (status, "".join(out.split())) == (0, "well" * 3), err


@needs_mpi
def test_an_error_of_one_ends_all(tmp_path):
    text = """
import time
from scratchlv.parallel import mpi
team = mpi.start()
if team.rank == 1:
    team.abort("scratchlv: process 1: no space")
team.exchange(0)
"""
    status, _, err = run(2, program(tmp_path, text), timeout=30)
    assert status != 0
    assert err.count("scratchlv: process 1: no space") == 1
    assert "was killed" not in err


@needs_mpi
def test_shards_that_cannot_be_divided_are_refused():
    world = type("World", (), {"rank": 0, "size": 3})()
    with pytest.raises(UserError, match="3 processes cannot share 4 shards alike"):
        mpi.MPITeam(world, 4)


@needs_mpi
def test_without_a_launcher_it_says_how_to_start():
    code = "from scratchlv.parallel import mpi; mpi.start()"
    alone = {name: value for name, value in environment().items() if name not in mpi._SIZES}
    found = subprocess.run([sys.executable, "-c", code], env=alone, capture_output=True, text=True)
    assert "this one is alone: start it by mpiexec -n 2" in found.stderr
    other = alone | {"OMPI_COMM_WORLD_SIZE": "2"}
    found = subprocess.run([sys.executable, "-c", code], env=other, capture_output=True, text=True)
    assert "it was built for another MPI" in found.stderr


def test_without_mpi4py_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(UserError, match=r"needs MPI .*pip install 'scratchlv\[mpi\]'"):
        mpi.start()


def test_ci_has_it():
    """Where all is tested nothing is skipped in silence."""
    if "CI" in os.environ:
        assert importlib.util.find_spec("mpi4py") is not None

"""Scenes that are drawn in parallel."""

import multiprocessing
import subprocess
import sys

import numpy as np
import pytest

from scratchlv.cores import Cores
from scratchlv.data import drawn
from scratchlv.data.scenes import World, draw, scene, split_index
from scratchlv.errors import UserError


def test_drawn_in_parallel_scenes_are_the_same(monkeypatch):
    world = World((3, 4))
    here = drawn.draw_scenes(7, "val", 30, world)
    monkeypatch.setattr(drawn, "_FEW", 1)
    monkeypatch.setattr(drawn, "_CHUNK", 8)
    monkeypatch.setattr(drawn, "usable_cores", lambda: Cores(2, ""))
    parallel = drawn.draw_scenes(7, "val", 30, world)
    assert parallel[0] == here[0] == [scene(7, split_index("val", i), world) for i in range(30)]
    np.testing.assert_array_equal(parallel[1], here[1])
    np.testing.assert_array_equal(here[1][3], draw(here[0][3]))


# Three chunks of two scenes, in two processes, at the top of a script.
SCRIPT = """
print("begun")
from scratchlv.data import drawn
from scratchlv.data.scenes import World
from scratchlv.cores import Cores
drawn._FEW, drawn._CHUNK, drawn.usable_cores = 1, 2, lambda: Cores(2, "")
scenes, pictures = drawn.draw_scenes(5, "val", 6, World())
print(len(scenes), pictures.sum())
"""


def test_a_script_without_a_main_guard_draws_and_begins_once(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    ended = subprocess.run([sys.executable, tmp_path / "script.py"], capture_output=True, text=True, timeout=300)
    scenes, pictures = drawn.draw_scenes(5, "val", 6, World())
    assert ended.stdout.split() == ["begun", str(len(scenes)), str(pictures.sum())], ended.stderr


def test_the_main_module_is_there_again_afterwards(monkeypatch):
    monkeypatch.setattr(drawn, "_FEW", 1)
    monkeypatch.setattr(drawn, "_CHUNK", 2)
    monkeypatch.setattr(drawn, "usable_cores", lambda: Cores(2, ""))
    main = sys.modules["__main__"]
    _, parallel = drawn.draw_scenes(5, "val", 6, World())
    assert sys.modules["__main__"] is main
    monkeypatch.undo()
    np.testing.assert_array_equal(parallel, drawn.draw_scenes(5, "val", 6, World())[1])


def test_a_process_that_the_system_ends_is_told(monkeypatch):
    monkeypatch.setattr(drawn, "_FEW", 1)
    monkeypatch.setattr(drawn, "_CHUNK", 2)
    monkeypatch.setattr(drawn, "usable_cores", lambda: Cores(2, ""))

    def killed(results, scenes, pictures):
        for process in multiprocessing.active_children():
            process.kill()
        return list(results)

    monkeypatch.setattr(drawn, "_collect", killed)
    with pytest.raises(UserError, match="the system ended a process that drew scenes"):
        drawn.draw_scenes(5, "val", 6, World())

"""Barriers of a CUDA C file, left out one by one where a CPU plays a GPU."""

from scratchlv.cuda.emulator import ORDERS, turns, without_barrier


def assert_each_is_needed(engine, is_right, count):
    """``is_right()`` meets ``count`` barriers of the ``engine``; without any of them it is False in some order of the threads."""
    engine.barriers_met()
    assert is_right()
    barriers = engine.barriers_met()
    assert len(barriers) == count
    for site in barriers:
        missed = []
        for order in ORDERS:
            with turns(order, seed=7), without_barrier(*site):
                missed.append(not is_right())
        assert any(missed), site

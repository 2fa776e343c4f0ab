"""The model of scaling: what it must say whatever the constants are."""

import math

import pytest


@pytest.fixture
def scaling(benchmarks):
    return benchmarks("scaling")


@pytest.fixture
def slow(scaling):
    return scaling.Network("slow", 1e-4, 1e8)


@pytest.fixture
def fast(scaling):
    return scaling.Network("fast", 1e-6, 1e12)


@pytest.fixture
def of(scaling):
    return scaling.Constants(compute=0.2, spread=0.0, window=0.05, bytes=8e6)


def test_one_process_alone_is_as_fast_as_itself(scaling, of, slow):
    assert scaling.efficiency(of, 1, slow, 1e-6) == 1
    assert scaling.step_seconds(of._replace(spread=1.0, meetings=9), 1, slow, 1e-6) == of.compute


def test_efficiency_falls_with_processes_and_rises_with_the_network(scaling, of, slow, fast):
    for network in (slow, fast):
        values = [scaling.efficiency(of._replace(spread=0.01), P, network, 1e-6) for P in scaling.PROCESSES]
        assert values == sorted(values, reverse=True)
        assert 0 < values[-1] < values[0] < 1
    assert scaling.efficiency(of, 8, fast, 1e-6) > scaling.efficiency(of, 8, slow, 1e-6)


def test_the_formula_by_hand(scaling, of, slow):
    took = 2 * 7 / 8 * 8e6 / 1e8 + 2e-4 + 2 * 7 * 8 * 1e-6
    assert scaling.exchange(of, 8, slow, 1e-6) == pytest.approx(took)
    of = of._replace(spread=0.01, meetings=6)
    expected = 0.2 + 0.01 * math.sqrt(2 * math.log(8)) + 6 * 1e-4 * 3 + took - 0.05
    assert scaling.step_seconds(of, 8, slow, 1e-6) == pytest.approx(expected)


def test_on_one_machine_the_processors_carry_the_bytes_and_take_turns(scaling, of):
    pings = {"latency": 1e-4, "bandwidth": 1e8, "overhead": 1e-6}
    took = 2 * 2 * 3 / 4 * 8e6 / 1e8 + 2e-4 + 2 * 3 * 8 * 1e-6
    assert scaling.here_seconds(of, 4, 4, pings) == pytest.approx(0.2 + took), "nothing is hidden"
    assert scaling.here_seconds(of, 4, 2, pings) == pytest.approx(2 * (0.2 + took))
    assert scaling.here_seconds(of, 1, 2, pings) == 0.2


def test_along_trees_latency_grows_with_the_logarithm(scaling, of, slow):
    took = 2 * 7 / 8 * 8e6 / 1e8 + 2 * 1e-4 * 3
    assert scaling.exchange(of, 8, slow._replace(trees=True), 1.0) == pytest.approx(took)


def test_what_fits_into_the_backward_pass_costs_nothing(scaling, of, fast):
    assert scaling.step_seconds(of, 2, fast, 1e-9) == of.compute


def test_a_gpu_computes_faster_and_so_scales_worse(scaling, of, fast):
    assert scaling.efficiency(of, 64, fast._replace(speed=300.0), 1e-6) < scaling.efficiency(of, 64, fast, 1e-6)


def test_rows_of_an_embedding_are_sent_where_they_are_few(scaling, of):
    of = of._replace(embedding=4e6, tokens=700, vocabulary=10_000)
    assert of.sent(1) == pytest.approx(4e6 + 4e6 * scaling.sparse_gain(700, 10_000, 1))
    assert of.sent(256) == 8e6
    assert scaling.distinct_words(1, 10_000) == pytest.approx(1)
    assert scaling.distinct_words(10**9, 50) == pytest.approx(50)


def test_the_curves_are_drawn(scaling, of):
    document = {"predicted": scaling.predictions({"lm": of}, 1e-6)}
    assert set(document["predicted"]["lm"]) == {network.name for network in scaling.NETWORKS}
    svg = scaling.plot(document)
    assert svg.startswith("<svg")
    assert svg.count("<polyline") == len(scaling.NETWORKS)


def test_buckets_are_the_trainers(scaling):
    from scratchlv.training.data_parallel import BUCKET

    assert scaling.BUCKET == BUCKET


def test_steps_that_are_slow_do_not_move_what_is_typical(scaling):
    assert scaling.typical([1.0, 1.1, 0.9, 50.0, 1.0]) == (1.0, pytest.approx(0.14826))


def test_what_is_waited_for_the_last_to_come_is_told_from_messages(scaling, monkeypatch):
    class Team:
        waited = 0.0

        def wait(self, took):
            self.waited += took

        def exchange(self, came):
            return [came, [15.0, 10.0, 31.0]]  # the other process is later, earlier, and later than this one's wait

    team, clock = Team(), iter([10.0, 20.0, 30.0])
    monkeypatch.setattr(scaling.time, "perf_counter", lambda: next(clock))
    meetings = scaling.Meetings(team)
    for took in (6.0, 3.0, 0.5):
        team.wait(took)
    assert meetings.of_messages() == [1.0, 3.0, 0.0]
    assert team.wait == meetings._wait, "the team is as it was"

"""The latency controller on a fake clock: no sleeping, every duration drawn from a seeded generator."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from metaembed_rag.budget import LADDER
from metaembed_rag.errors import InputError
from metaembed_rag.search.latency import LatencyController, Rung
from metaembed_rag.search.plan import Plan

#: Calibrated seconds of five plans: 5, 10, 20, 40, 80 ms, with a p95 of 1.2 times the p50.
RUNGS = [Rung(Plan(budget), 0.005 * 2**n, 0.006 * 2**n, 0.5 + n / 10) for n, budget in enumerate(LADDER)]


class Machine:
    """Answers queries in simulated time: calibrated seconds, times the load, times log-normal noise."""

    def __init__(self, seed: int = 0, noise: float = 0.08) -> None:
        self.controller = LatencyController(RUNGS)
        self.random = random.Random(seed)
        self.noise = noise
        self.positions: list[int] = []
        self.late: list[bool] = []

    def ask(self, count: int, target: float, load: float = 1.0) -> None:
        for _ in range(count):
            choice = self.controller.choose(target)
            seconds = RUNGS[choice.position].p50 * load * self.random.lognormvariate(0, self.noise)
            self.controller.observe(choice, seconds)
            self.positions.append(choice.position)
            self.late.append(seconds > target)


def steps(positions):
    """Directions of the changes: +1 up, -1 down."""
    return [1 if after > before else -1 for before, after in pairwise(positions) if after != before]


def affordable(target, load):
    """The best rung whose real p95 is within the target."""
    fitting = [place for place, rung in enumerate(RUNGS) if rung.p50 * load * 1.14 <= target]
    return max(fitting, default=0)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("load", [0.3, 0.6, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("target", [0.012, 0.03, 0.1])
def test_it_converges_within_20_queries_to_what_the_machine_affords(target, load, seed):
    machine = Machine(seed)
    machine.ask(120, target, load)
    reached = machine.positions[20]
    assert affordable(target * 0.8, load) <= reached <= affordable(target, load)
    assert all(abs(place - reached) <= 1 for place in machine.positions[20:])
    if affordable(target, load) or RUNGS[0].p50 * load * 1.14 <= target:
        assert sum(machine.late[20:]) <= 5


@pytest.mark.parametrize("load", [0.5, 1.0, 3.0])
def test_a_longer_target_never_gets_a_cheaper_plan(load):
    reached = []
    for target in (0.004, 0.008, 0.015, 0.03, 0.06, 0.12, 0.5):
        machine = Machine(seed=3)
        machine.ask(60, target, load)
        reached.append(machine.positions[-1])
    assert reached == sorted(reached)
    assert reached[0] == 0
    assert reached[-1] == len(RUNGS) - 1


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("noise", [0.0, 0.05, 0.15, 0.3])
def test_200_steady_queries_see_one_step_back_and_forth_at_most(noise, seed):
    machine = Machine(seed, noise)
    machine.ask(20, 0.05)
    machine.ask(200, 0.05)
    changes = steps(machine.positions[20:])
    assert sum(before != after for before, after in pairwise(changes)) <= 1
    assert sum(machine.late[20:]) <= 10  # a p95 is kept


def test_a_late_query_steps_down_at_once():
    controller = LatencyController(RUNGS)
    choice = controller.choose(0.05)
    controller.observe(choice, 0.051)
    assert controller.choose(0.05).position == choice.position - 1


def test_it_recovers_after_a_load_spike():
    machine = Machine()
    machine.ask(100, 0.06)
    before = machine.positions[-1]
    machine.ask(30, 0.06, load=6.0)
    assert machine.positions[-1] <= affordable(0.06, 6.0)
    machine.ask(60, 0.06)
    assert machine.positions[-1] == before


def test_a_spike_of_a_few_queries_is_forgiven_too():
    machine = Machine()
    machine.ask(100, 0.06)
    before = machine.positions[-1]
    machine.ask(3, 0.06, load=6.0)
    assert machine.positions[-1] < before
    machine.ask(60, 0.06)
    assert machine.positions[-1] == before


def test_a_plan_that_proved_itself_may_be_late_as_often_as_a_p95_allows():
    machine = Machine()
    machine.ask(60, 0.06)
    before = machine.positions[-1]
    for _ in range(2):
        choice = machine.controller.choose(0.06)
        machine.controller.observe(choice, 1.0)
        machine.ask(40, 0.06)
        assert set(machine.positions[-40:]) == {before}


def test_the_second_late_query_of_a_spike_steps_down():
    machine = Machine()
    machine.ask(60, 0.06)
    before = machine.positions[-1]
    machine.ask(3, 0.06, load=6.0)
    assert machine.positions[-3:][:2] == [before, before]
    assert machine.positions[-1] < before


def test_a_target_out_of_reach_is_said_to_be():
    machine = Machine()
    assert not machine.controller.choose(0.001).reachable
    assert machine.controller.choose(0.05).reachable
    machine.ask(40, 0.05, load=50.0)
    choice = machine.controller.choose(0.05)
    assert choice.position == 0
    assert not choice.reachable
    assert choice.p95 > 0.05


def test_what_one_target_learns_of_the_load_serves_the_others():
    machine = Machine()
    machine.ask(40, 0.05, load=5.0)
    assert machine.controller.choose(0.03).position == affordable(0.03, 5.0)


@pytest.mark.parametrize("target", [0, -1, float("nan"), float("inf"), True, "20"])
def test_what_is_no_latency_is_refused(target):
    with pytest.raises(InputError, match="latency_ms"):
        LatencyController(RUNGS).choose(target)


def test_no_plan_is_no_controller():
    with pytest.raises(InputError):
        LatencyController([])

"""Anytime search: on a fake clock for its timing, on real indexes for its answers."""

from __future__ import annotations

import numpy as np
import pytest

from metaembed_rag import LADDER, Budget
from metaembed_rag.errors import InputError
from metaembed_rag.search.plan import Plan
from metaembed_rag.search.query import Asked
from metaembed_rag.search.searcher import Searcher
from metaembed_rag.search.stream import Step, pick_steps, stream_answers
from metaembed_rag.store.filters import Filter

STEPS = [Step(Plan(budget), 0.01 * 2**n) for n, budget in enumerate(LADDER)]
ROWS = np.eye(16, 128, dtype=np.float32)
TEXTS = ["The first ferry leaves at six.", "Beans are roasted at 210 degrees.", "The library opens on Sundays."]


class Clock:
    """Time that passes only in searches: as long as the plan is predicted to take, times ``load``."""

    def __init__(self, load: float = 1.0) -> None:
        self.now = 0.0
        self.load = load

    def __call__(self) -> float:
        return self.now

    def pass_time(self, plan: Plan) -> None:
        self.now += self.load * next(step.seconds for step in STEPS if step.plan == plan)


class SlowSearcher(Searcher):
    """Takes simulated time and finds nothing."""

    def __init__(self, clock: Clock) -> None:
        self.passing = clock

    def encode(self, queries, tokens):
        return [Asked(ROWS[:tokens])], 0.0

    def find(self, asked, plan, conditions, top_k):
        self.passing.pass_time(plan)
        return [], 0.0


def reached(seconds, load=1.0, known_load=1.0):
    clock = Clock(load)
    answers = list(
        stream_answers(SlowSearcher(clock), ROWS, STEPS, Filter(), 5, seconds=seconds, load=known_load, clock=clock)
    )
    return [one.answer.budget for one in answers], answers[-1].final, clock.now


def test_without_a_deadline_every_step_answers():
    budgets, final, _ = reached(None)
    assert budgets == list(LADDER)
    assert final


def test_a_step_that_would_end_late_is_not_begun():
    budgets, final, ended = reached(0.08)  # 10 + 20 + 40 ms fit, another 80 do not
    assert budgets == list(LADDER[:3])
    assert final
    assert ended <= 0.08


def test_a_step_that_ends_late_gives_no_answer():
    budgets, final, _ = reached(0.08, load=1.2)  # 12 + 24 ms; the third ends after 84 ms
    assert budgets == list(LADDER[:2])
    assert not final


def test_known_load_is_reckoned_with():
    assert reached(0.08, load=1.5, known_load=1.5)[0] == list(LADDER[:2])
    assert reached(0.08, load=1.5, known_load=1.5)[1]


def test_the_first_answer_always_comes():
    assert reached(0.001)[0] == [Budget(1, 1)]


def test_steps_that_take_hardly_longer_are_left_out():
    steps = [Step(Plan(budget), seconds) for budget, seconds in zip(LADDER, (1, 1.1, 2.5, 2.6, 3), strict=True)]
    assert [step.plan.budget for step in pick_steps(steps)] == [LADDER[0], LADDER[2], LADDER[4]]


def test_a_stream_ends_with_the_full_answer(index):
    index.add_texts(TEXTS)
    answers = list(index.stream("when does the boat leave?", top_k=2))
    assert [hits.budget for hits in answers] == list(LADDER)
    assert [hits.final for hits in answers] == [False] * 4 + [True]
    full = index.search("when does the boat leave?", top_k=2)
    assert [(hit.id, pytest.approx(hit.score, abs=1e-5)) for hit in answers[-1]] == [
        (hit.id, hit.score) for hit in full
    ]


async def test_an_asynchronous_stream_gives_the_same(index):
    index.add_texts(TEXTS)
    answers = [hits async for hits in index.astream("boat", filter={"source": {"not": "x"}})]
    assert [[hit.id for hit in hits] for hits in answers] == [[hit.id for hit in hits] for hits in index.stream("boat")]


def test_an_empty_index_streams_one_empty_answer(index):
    assert [list(hits) for hits in index.stream("boat")] == [[]]


def test_a_stream_refuses_bad_input_when_called(index):
    with pytest.raises(InputError):
        index.stream("")
    with pytest.raises(InputError):
        index.stream("boat", latency_ms=0)

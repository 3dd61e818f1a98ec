"""The controller: which plan a latency target affords, query after query.

A target is a p95 over the whole time of a query, encoding included. Calibration says what each plan costs on a quiet
machine; how much slower things are just now is one factor, learnt from the queries as they are answered:

    predicted p95 of a plan = its calibrated p50 * the 95th percentile of (observed / calibrated p50) lately

The best plan whose prediction fits is the first choice. A late query steps down at once, unless the plan has proved
itself and this is one of the few that a p95 allows; of a load spike, the second late query does. Stepping up asks for
a run of queries on time whose figures say that the better plan fits. A plan that was late is not tried again for a
while, longer each time, unless the load it was late under has gone: so a steady machine sees a steady plan.
"""

from __future__ import annotations

import math
import statistics
import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from metaembed_rag.errors import InputError
from metaembed_rag.search.calibration import Measured
from metaembed_rag.search.plan import Plan

#: A target that nobody means, beyond which numbers lose their sense.
_MOST_SECONDS = 1e9
#: Part of the target that a prediction may fill.
MARGIN = 0.9
#: Queries on time that a step up asks for.
EVIDENCE = 8
#: Ratios that tell the load, and the change of their median from which older ones no longer count.
WINDOW = 64
CHANGED = 1.4
#: Load as a share of what it was when a plan was late, below which that no longer speaks against the plan.
RELIEF = 0.7
#: Ratios from which on their own 95th percentile is believed.
ENOUGH = 40
#: Queries before a plan that was late is tried again, at first and at most.
WAIT, LONGEST_WAIT = 200, 3200
#: Queries from which on a plan has proved itself, queries it is judged by, and the share of them that may be late.
PROVEN, RECORD, ALLOWED = 20, 200, 0.05
#: Targets whose state is kept.
TARGETS = 32


@dataclass(frozen=True, slots=True)
class Rung:
    """A plan of the front, with its calibrated seconds and quality."""

    plan: Plan
    p50: float
    p95: float
    quality: float

    @classmethod
    def of(cls, measured: Measured) -> Rung:
        """From a calibration's milliseconds."""
        total = measured.total
        return cls(measured.plan, total.p50 / 1000, max(total.p95, total.p50) / 1000, measured.quality)


@dataclass(frozen=True, slots=True)
class Choice:
    """A plan for the next query.

    Attributes:
        target: seconds asked for.
        position: of the plan on the ladder of rungs, from 0.
        plan: what to run.
        p50, p95: predicted seconds under the present load.
        reachable: False where even the cheapest plan is predicted to miss the target.
    """

    target: float
    position: int
    plan: Plan
    p50: float
    p95: float
    reachable: bool


@dataclass(slots=True)
class _Block:
    """Why a rung is not tried: when that began, the load then, and for how many queries at most."""

    since: int
    level: float
    wait: int


@dataclass(slots=True)
class _Track:
    """The state of one target."""

    position: int
    queries: int = 0
    since_step: int = 0
    blocks: dict[int, _Block] = field(default_factory=dict)
    strikes: dict[int, int] = field(default_factory=dict)
    records: dict[int, deque[bool]] = field(default_factory=dict)


class Load:
    """How much slower queries are than calibrated, lately: a window of ratios."""

    def __init__(self) -> None:
        self._ratios: deque[float] = deque(maxlen=WINDOW)

    def add(self, ratio: float) -> None:
        """Note a query's observed over its calibrated seconds; forget older ones if things have changed."""
        self._ratios.append(ratio)
        if len(self._ratios) >= 2 * EVIDENCE:
            values = list(self._ratios)
            before, now = statistics.median(values[:-EVIDENCE]), statistics.median(values[-EVIDENCE:])
            if not before / CHANGED <= now <= before * CHANGED:
                self._ratios = deque(values[-EVIDENCE:], maxlen=WINDOW)

    def level(self, last: int) -> float:
        """The median of the last ratios; 1 before there are any."""
        return statistics.median(list(self._ratios)[-last:] or [1.0])

    def spread(self, prior: float, *, cautious: bool = False) -> float:
        """The factor on a calibrated p50 below which 95 % of queries stay.

        Args:
            prior: p95 over p50 as calibrated, which speaks for what too few queries do not show.
            cautious: among few queries believe the worst one; otherwise it is as likely an outlier.
        """
        if not self._ratios:
            return prior
        ordered = sorted(self._ratios)
        seen = ordered[math.floor(0.95 * (len(ordered) - 1))]
        if len(ordered) < EVIDENCE:
            return max(prior, seen)
        if cautious and len(ordered) < ENOUGH:
            return max(ordered[-1], prior * statistics.median(ordered))
        return seen


class LatencyController:
    """Picks plans for latency targets. Thread-safe.

    Args:
        rungs: cheapest first, each better than the one before: ``Calibration.front``.
    """

    def __init__(self, rungs: Sequence[Rung]) -> None:
        if not rungs:
            raise InputError("a latency target needs at least one measured plan")
        self.rungs = tuple(rungs)
        self._load = Load()
        self._tracks: OrderedDict[float, _Track] = OrderedDict()
        self._lock = threading.Lock()

    def choose(self, target: float) -> Choice:
        """The plan for the next query under a target in seconds.

        Raises:
            InputError: the target is not a positive, finite number.
        """
        check_target(target)
        with self._lock:
            track = self._track(target)
            return self._choice(target, track.position)

    def observe(self, choice: Choice, seconds: float) -> None:
        """Report how long the query of a choice really took, from query to answer."""
        with self._lock:
            track = self._track(choice.target)
            self._load.add(seconds / self.rungs[choice.position].p50)
            track.queries += 1
            track.since_step += 1
            self._deepen_blocks(track)
            if choice.position != track.position:
                return  # it was under way while another one stepped
            record = track.records.setdefault(track.position, deque(maxlen=RECORD))
            record.append(seconds > choice.target)
            if _is_late(record):
                self._step_down(track, choice.target)
            elif track.since_step >= EVIDENCE:
                self._step_up(track, choice.target)

    @property
    def load(self) -> float:
        """How much slower than calibrated queries were lately: the median of a few ratios."""
        with self._lock:
            return self._load.level(EVIDENCE)

    def predict(self, position: int, *, cautious: bool = False) -> tuple[float, float]:
        """Predicted p50 and p95 of a rung in seconds under the present load."""
        rung = self.rungs[position]
        spread = self._load.spread(rung.p95 / rung.p50, cautious=cautious)
        return rung.p50 * self._load.level(EVIDENCE), rung.p50 * spread

    # -- inside ----------------------------------------------------------------------------------------

    def _choice(self, target: float, position: int) -> Choice:
        p50, p95 = self.predict(position)
        return Choice(target, position, self.rungs[position].plan, p50, p95, position > 0 or p95 <= target)

    def _track(self, target: float) -> _Track:
        track = self._tracks.get(target)
        if track is None:
            track = self._tracks[target] = _Track(self._best_fit(target))
            if len(self._tracks) > TARGETS:
                self._tracks.popitem(last=False)
        self._tracks.move_to_end(target)
        return track

    def _best_fit(self, target: float, *, cautious: bool = False) -> int:
        places = range(len(self.rungs))
        return max(
            (place for place in places if self.predict(place, cautious=cautious)[1] <= MARGIN * target), default=0
        )

    def _step_down(self, track: _Track, target: float) -> None:
        place = track.position
        if place > 0:
            strikes = track.strikes[place] = track.strikes.get(place, 0) + 1
            wait = min(WAIT * 2 ** (strikes - 1), LONGEST_WAIT)
            track.blocks[place] = _Block(track.queries, self._load.level(5), wait)
            track.records.pop(place)
            track.position = min(place - 1, self._best_fit(target))
        track.since_step = 0

    def _step_up(self, track: _Track, target: float) -> None:
        best = self._best_fit(target, cautious=True)
        for place in range(track.position + 1, best + 1):
            if self._blocked(track, place):
                best = place - 1
                break
        if best > track.position:
            track.position = best
            track.since_step = 0

    def _blocked(self, track: _Track, place: int) -> bool:
        block = track.blocks.get(place)
        if block is None:
            return False
        relieved = self._load.level(EVIDENCE) < RELIEF * block.level
        if relieved or track.queries - block.since >= block.wait:
            del track.blocks[place]
            if relieved:
                # It was the load, not the plan.
                track.strikes.pop(place, None)
            return False
        return True

    def _deepen_blocks(self, track: _Track) -> None:
        # The first late query of a spike comes before the load shows: the next ones tell what it was late under.
        level = self._load.level(5)
        for block in track.blocks.values():
            if track.queries - block.since < EVIDENCE:
                block.level = max(block.level, level)


def _is_late(record: Sequence[bool]) -> bool:
    """Whether the last query of a rung's record was late, and more than a p95 allows."""
    if not record[-1]:
        return False
    last = [record[place] for place in range(max(0, len(record) - 3), len(record))]
    return len(record) < PROVEN or sum(record) > ALLOWED * len(record) or sum(last) > 1


def check_target(seconds: float) -> None:
    """Refuse what is no latency.

    Raises:
        InputError: not a positive, finite number.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < _MOST_SECONDS:
        raise InputError("latency_ms must be a positive number of milliseconds")

"""Calibration: what plans cost and are worth on one index, as measured there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metaembed_rag.budget import Budget
from metaembed_rag.errors import IndexMismatchError, InputError
from metaembed_rag.search.loss import PrecisionLoss
from metaembed_rag.search.machine import describe_machine
from metaembed_rag.search.plan import Plan, needs_whole

if TYPE_CHECKING:
    import os

    from matplotlib.figure import Figure

#: Written into every stored calibration; others are measured anew.
VERSION = 1

#: Quality by which a plan must beat a cheaper one to be worth its time.
WORTH = 0.002

#: How much of the quality of a budget's best plan its fastest one must keep.
KEPT = 0.01

#: Growth of an index beyond which its figures are stale.
GROWTH = 1.25


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds at the 50th and 95th percentile."""

    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class Measured:
    """One plan on the index that was calibrated.

    Attributes:
        plan: what ran.
        encode, search, total: for query encoding, for the store, and from query to answer.
        overlap: mean share of the full budget's first ``top_k`` pages that are among its own, 0 to 1.
        ndcg: nDCG@``top_k`` where queries were labelled, else None.
        stages: median milliseconds of each of the plan's stages.
    """

    plan: Plan
    encode: Timing
    search: Timing
    total: Timing
    overlap: float
    ndcg: float | None = None
    stages: tuple[float, ...] = ()

    @property
    def quality(self) -> float:
        """The nDCG where it is known, else the overlap."""
        return self.overlap if self.ndcg is None else self.ndcg


def pareto_front(measured: Iterable[Measured]) -> tuple[Measured, ...]:
    """Those of the plans that no other beats, fastest first: each is better than the one before it."""
    front: list[Measured] = []
    for one in sorted(measured, key=lambda one: (one.total.p50, -one.quality)):
        if not front or one.quality >= front[-1].quality + WORTH:
            front.append(one)
    return tuple(front)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Plans measured on an index.

    Attributes:
        measured: every plan tried.
        points: windows in the index then.
        groups: document Meta Tokens stored then.
        model: fingerprint of the model.
        machine: what it ran on.
        created: UTC time in ISO 8601.
        queries: how many were asked.
        top_k: pages compared.
        labelled: qualities are nDCG against labels, not overlap with the full budget.
        loss: what storage costs; None where all vectors are kept in float32, or where the model looks at pages.
    """

    measured: tuple[Measured, ...]
    points: int
    groups: tuple[int, ...]
    model: str
    machine: str
    created: str
    queries: int
    top_k: int
    labelled: bool
    loss: PrecisionLoss | None = None

    @property
    def front(self) -> tuple[Measured, ...]:
        """The Pareto front: each plan is slower than the one before it, and better."""
        return pareto_front(self.measured)

    def plan_for(self, budget: Budget) -> Plan | None:
        """The fastest plan of a budget that keeps its quality; None where none was measured."""
        same = [one for one in self.measured if one.plan.budget == budget]
        best = max((one.quality for one in same), default=0.0)
        good = [one for one in same if one.quality >= best - KEPT]
        return min(good, key=lambda one: one.search.p50).plan if good else None

    def stale(
        self, *, points: int, groups: Sequence[int], machine: str | None = None, model: str | None = None
    ) -> list[str]:
        """Why the figures no longer hold, in words; empty while they do.

        Args:
            points: windows in the index now.
            groups: document Meta Tokens stored now.
            machine: None is this one.
            model: fingerprint of the model that asks, which may read queries otherwise; None if it is not known yet.
        """
        reasons = []
        if not self.points / GROWTH <= points <= self.points * GROWTH:
            reasons.append(f"it held {self.points} windows then and holds {points} now")
        if tuple(groups) != self.groups:
            reasons.append(f"it stored {list(self.groups)} document Meta Tokens then and stores {list(groups)} now")
        if any(needs_whole(one.plan.budget) and not one.plan.whole for one in self.measured):
            reasons.append("it ranked a page by its best window alone, and searches now rank it by all of them")
        if model not in (None, self.model):
            reasons.append(f"model {self.model} asked then and {model} asks now")
        here = machine or describe_machine()
        if here != self.machine:
            reasons.append(f"it was measured on {self.machine} and runs on {here}")
        return reasons

    def table(self) -> list[dict[str, Any]]:
        """The front as rows for people: plan, milliseconds, quality."""
        return [
            {
                "budget": str(one.plan.budget),
                "plan": one.plan.describe(),
                "encode_p50_ms": round(one.encode.p50, 2),
                "search_p50_ms": round(one.search.p50, 2),
                "total_p50_ms": round(one.total.p50, 2),
                "total_p95_ms": round(one.total.p95, 2),
                "overlap": round(one.overlap, 4),
                "ndcg": None if one.ndcg is None else round(one.ndcg, 4),
            }
            for one in self.front
        ]

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw quality against latency, the front as a line; written to ``path`` as PNG, SVG or PDF if given.

        Raises:
            InputError: the picture cannot be written there.
            MissingDependencyError: matplotlib is not installed.
        """
        from metaembed_rag.search.plot import check_picture, plot_calibration

        if path is not None:
            check_picture(Path(path))
        figure = plot_calibration(self)
        if path is not None:
            try:
                figure.savefig(Path(path), dpi=144)
            except OSError as error:
                raise InputError(f"{path} cannot be written ({error.strerror}); name another file") from error
        return figure

    def to_dict(self) -> dict[str, Any]:
        """JSON values; ``from_dict`` reads them."""
        measured = [{**asdict(one), "plan": one.plan.to_dict()} for one in self.measured]
        return {**asdict(self), "version": VERSION, "groups": list(self.groups), "measured": measured}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Calibration:
        """Read what ``to_dict`` made.

        Raises:
            IndexMismatchError: it was made by another version, or is damaged.
        """
        if content.get("version") != VERSION:
            raise IndexMismatchError("this index was calibrated by another version; run: metaembed calibrate")
        try:
            measured = tuple(
                Measured(
                    plan=Plan.from_dict(one["plan"]),
                    encode=Timing(**one["encode"]),
                    search=Timing(**one["search"]),
                    total=Timing(**one["total"]),
                    overlap=one["overlap"],
                    ndcg=one["ndcg"],
                    stages=tuple(one["stages"]),
                )
                for one in content["measured"]
            )
            rest = {
                key: value for key, value in content.items() if key not in ("version", "measured", "groups", "loss")
            }
            loss = None if content.get("loss") is None else PrecisionLoss(**content["loss"])
            return cls(measured=measured, groups=tuple(content["groups"]), loss=loss, **rest)
        except (KeyError, TypeError, ValueError) as error:
            raise IndexMismatchError(
                f"the calibration kept in this index is damaged ({error}); run: metaembed calibrate"
            ) from error

"""Explanation: which plan a search took, why, and how long each part of it was predicted to take and took."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from metaembed_rag.hit import Hits
    from metaembed_rag.search.calibration import Measured
    from metaembed_rag.search.plan import Plan


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a search, and its milliseconds.

    Attributes:
        name: what it does.
        predicted_ms: as calibrated, under the present load; None where nothing was calibrated.
        observed_ms: this time.
    """

    name: str
    predicted_ms: float | None
    observed_ms: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """What ``MetaEmbedIndex.explain`` found; ``str`` shows it as a table.

    Attributes:
        query: what was asked.
        plan: what ran.
        target_ms: the latency asked for, or None.
        predicted_p95_ms: of the whole, under the present load; None without a target.
        reachable: False where even the cheapest plan is predicted to miss the target.
        parts: encoding and the plan's stages, in order.
        hits: the answer.
        notes: what to know about the figures.
    """

    query: str
    plan: Plan
    target_ms: float | None
    predicted_p95_ms: float | None
    reachable: bool
    parts: tuple[Part, ...]
    hits: Hits = field(repr=False)
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        head = [f"query: {self.query}", f"plan: {self.plan.describe()}"]
        if self.target_ms is not None:
            verdict = "can be met" if self.reachable else "cannot be met: this is the cheapest plan"
            head.append(f"target: {self.target_ms:g} ms, predicted p95 {self.predicted_p95_ms:.1f} ms, {verdict}")
        width = max(len(part.name) for part in self.parts)
        lines = [f"{'':{width}}  predicted ms  observed ms"]
        lines += [_line(part.name, part.predicted_ms, part.observed_ms, width) for part in self.parts]
        predicted = [part.predicted_ms for part in self.parts]
        known = [one for one in predicted if one is not None]
        total = sum(known) if len(known) == len(predicted) else None
        lines.append(_line("total", total, sum(part.observed_ms for part in self.parts), width))
        return "\n".join([*head, *lines, *(f"note: {note}" for note in self.notes)])


def make_parts(
    plan: Plan, measured: Measured | None, load: float, encoding: float, stages: Sequence[float]
) -> tuple[Part, ...]:
    """Encoding and stages of a plan.

    Args:
        plan: what ran.
        measured: its figures, if it was calibrated.
        load: how much slower than these things are now.
        encoding: seconds observed for the query's Meta Tokens.
        stages: seconds observed for each stage.
    """
    known = [None] * (1 + len(stages)) if measured is None else [measured.encode.p50, *measured.stages]
    names = ["encode the query", *plan.stages]
    return tuple(
        Part(name, None if predicted is None else predicted * load, observed * 1000)
        for name, predicted, observed in zip(names, known, [encoding, *stages], strict=True)
    )


def _line(name: str, predicted: float | None, observed: float, width: int) -> str:
    shown = "-" if predicted is None else f"{predicted:.1f}"
    return f"{name:{width}}  {shown:>12}  {observed:>11.1f}"

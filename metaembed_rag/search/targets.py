"""Targets: the calibration kept in an index, and the controller that turns latency targets into plans by it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from metaembed_rag.budget import LADDER, Budget
from metaembed_rag.errors import IndexMismatchError, InputError
from metaembed_rag.search.calibrate import Labels, calibrate
from metaembed_rag.search.calibration import Calibration, Measured, pareto_front
from metaembed_rag.search.latency import Choice, LatencyController, Rung, check_target
from metaembed_rag.search.loss import SAMPLE, PrecisionLoss, measure_precision
from metaembed_rag.search.plan import MIDDLE, Plan
from metaembed_rag.search.questions import make_queries
from metaembed_rag.search.searcher import Searcher
from metaembed_rag.store.store import Store

if TYPE_CHECKING:
    from metaembed_rag.embedding.model import MetaEmbed

logger = logging.getLogger(__name__)

#: Where the store keeps the calibration.
KEY = "calibration"

#: Queries of a calibration, and of the short one that the first latency target of an index begins with.
QUERIES, QUICK_QUERIES = 40, 8


class Targets:
    """Calibration and controller of one index, made when first needed. Thread-safe.

    Args:
        store: what is searched; keeps the calibration.
        searcher: runs the plans.
        model: gives the model, loading it on first use.
        loaded: the model's fingerprint, None before it was loaded.
    """

    def __init__(
        self, store: Store, searcher: Searcher, model: Callable[[], MetaEmbed], loaded: Callable[[], str | None]
    ) -> None:
        self._store = store
        self._searcher = searcher
        self._model = model
        self._fingerprint = loaded
        self._lock = threading.RLock()
        self._loaded = False
        self._calibration: Calibration | None = None
        self._controller: LatencyController | None = None
        self._groups: tuple[int, ...] = ()

    @property
    def calibration(self) -> Calibration | None:
        """The figures kept in the index; None before it was calibrated, or if only another version can read them."""
        with self._lock:
            if not self._loaded:
                content = self._store.annotation(KEY)
                try:
                    self._calibration = None if content is None else Calibration.from_dict(content)
                except IndexMismatchError as error:
                    logger.warning("%s", error)
                self._loaded = True
            return self._calibration

    def calibrate(
        self,
        queries: Sequence[str] | None = None,
        *,
        labels: Labels | None = None,
        count: int = QUERIES,
        advance: Callable[[int, int], None] | None = None,
    ) -> Calibration:
        """Measure, keep the figures in the index, and steer by them from now on.

        Args:
            queries: None makes ``count`` from stored pages.
            labels: see ``calibrate``.
            count: queries to make.
            advance: told the steps done and their number.
        """
        chosen = make_queries(self._store.sample_texts(count).values()) if queries is None else list(queries)
        if queries is None and not chosen and self._store.points:
            raise InputError(
                "the index holds no text to make queries from: calibrate it with your own, by "
                "index.calibrate(queries=[...]) or metaembed calibrate --queries FILE"
            )
        found = calibrate(
            self._searcher,
            self._store,
            chosen,
            model=self._model().fingerprint,
            labels=labels,
            advance=advance,
        )
        found = replace(found, loss=self._precision_loss(chosen))
        self._store.annotate(KEY, found.to_dict())
        with self._lock:
            self._calibration, self._loaded, self._controller = found, True, None
        return found

    def choose(self, seconds: float) -> Choice:
        """The plan for the next query under a target; calibrates shortly if that was never done here."""
        check_target(seconds)
        return self._steering().choose(seconds)

    def observe(self, choice: Choice, seconds: float) -> None:
        """Report how long the query of a choice took."""
        with self._lock:
            controller = self._controller
        if controller is not None and choice.position < len(controller.rungs):
            controller.observe(choice, seconds)

    def plan_for(self, budget: Budget) -> Plan | None:
        """The measured plan of a budget, while the figures hold."""
        calibration = self.calibration
        return None if calibration is None or self.stale() else calibration.plan_for(budget)

    def rungs(self) -> tuple[Measured, ...]:
        """The measured plans that the index can run as it is now, each slower and better than the one before."""
        calibration = self.calibration
        return () if calibration is None else pareto_front(one for one in calibration.measured if self._runs(one.plan))

    def stale(self) -> list[str]:
        """Why the figures no longer hold, in words; empty while they do or where there are none."""
        calibration, schema = self.calibration, self._store.schema
        if calibration is None or schema is None:
            return []
        return calibration.stale(points=self._store.points, groups=schema.groups, model=self._fingerprint())

    def summary(self) -> dict[str, Any] | None:
        """When the calibration was made, the windows then, and why it is stale; None where there is none."""
        calibration = self.calibration
        if calibration is None:
            return None
        return {"created": calibration.created, "points": calibration.points, "stale": self.stale()}

    def measured(self, plan: Plan) -> Measured | None:
        """The figures of a plan."""
        calibration = self.calibration
        if calibration is None:
            return None
        return next((one for one in calibration.measured if one.plan == plan), None)

    def load(self) -> float:
        """How much slower than calibrated queries with a target were lately; 1 before there were any."""
        with self._lock:
            return 1.0 if self._controller is None else self._controller.load

    # -- inside ----------------------------------------------------------------------------------------

    def _precision_loss(self, queries: Sequence[str]) -> PrecisionLoss | None:
        schema = self._store.schema
        if schema is None or (schema.precision == "f32" and schema.page_vectors is None):
            return None
        texts = self._store.sample_texts(SAMPLE, seed=1)
        encoded, _ = self._searcher.encode(list(queries), LADDER[-1].query)
        stored = self._store.vectors(list(texts))
        return measure_precision(schema, self._model(), texts, stored, [asked.rows for asked in encoded])

    def _steering(self) -> LatencyController:
        with self._lock:
            groups = () if self._store.schema is None else self._store.schema.groups
            if self._controller is None or groups != self._groups:
                if not self.rungs():
                    logger.info("calibrating with %d queries: no latency is known of this index yet", QUICK_QUERIES)
                    self.calibrate(count=QUICK_QUERIES)
                for reason in self.stale():
                    logger.warning("the calibration is stale: %s; run: metaembed calibrate", reason)
                rungs = self.rungs()
                # The first calls of a process are slow whatever the plan; they should not speak against it.
                self._searcher.warm_up(rungs[0].plan)
                self._controller = LatencyController([Rung.of(one) for one in rungs])
                self._groups = groups
            return self._controller

    def _runs(self, plan: Plan) -> bool:
        groups = () if self._store.schema is None else self._store.schema.groups
        return plan.budget.document in groups and (plan.narrow is None or MIDDLE.document in groups)

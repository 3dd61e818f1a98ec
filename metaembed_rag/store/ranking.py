"""From windows that an engine found to ranked pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from metaembed_rag.scoring import RUN, best_run
from metaembed_rag.store.engine import Engine, Matched, Scored, Stage, chunks
from metaembed_rag.store.filters import Filter, match

#: Pages that are ranked by all of their windows for each result, and windows that are found for them: on FinanceBench,
#: where a page has three, the best 10 pages by one window hold the best 5 by all of them (benchmarks/mini/LOG.md).
RANKED_PER_RESULT = 2
FOUND_PER_RESULT = 4
#: Windows that are found beyond the results wanted, at most: engines set memory aside for all that are asked for.
MOST_MORE = 1000


def windows_wanted(pages: int, *, whole: bool) -> int:
    """Windows to find for so many results: pages may have several, so that many and some.

    Args:
        pages: results wanted.
        whole: the pages found will be ranked by all of their windows.
    """
    return 8 + (min(pages * FOUND_PER_RESULT, pages + MOST_MORE) if whole else pages)


def best_per_page(found: Sequence[Scored]) -> list[Scored]:
    """The best window of each page, best first; ties in the order of the pages' ids."""
    best: dict[str, Scored] = {}
    for scored in found:
        page = scored.payload["id"]
        if page not in best or scored.score > best[page].score:
            best[page] = scored
    return sorted(best.values(), key=lambda scored: (-scored.score, scored.payload["id"]))


def by_whole_pages(engine: Engine, stage: Stage, found: Sequence[Scored], condition: Filter) -> list[Scored] | None:
    """Score pages by all of their windows, as ``page_maxsim`` does, and order them anew.

    Args:
        engine: holds the windows.
        stage: the vector and the query rows.
        found: one window of each page.
        condition: what other windows of a page must match, as the one found did.

    Returns:
        None if a page was replaced in between, as another client of a server may do.
    """
    asked = [scored for scored in found if not _is_whole(scored)]
    windows = _windows(engine, stage, [scored.payload["id"] for scored in asked], condition)
    if any(scored.id not in {one.id for one in windows.get(_key(scored), ())} for scored in asked):
        return None
    anew = [replace(scored, score=_page_score(windows[_key(scored)], whole=True)) for scored in asked]
    return best_per_page([*anew, *(scored for scored in found if _is_whole(scored))])


def score_pages(engine: Engine, stage: Stage, pages: Sequence[str], condition: Filter) -> dict[str, float]:
    """Scores of pages by all of their windows, or by the best one, as the stage has it; a page that is gone is absent.

    Args:
        engine: holds the windows.
        stage: the last one of a search.
        pages: their ids.
        condition: what windows must match.
    """
    rows = replace(stage, query=np.atleast_2d(stage.query))
    windows = _windows(engine, rows, pages, condition)
    scores: dict[str, float] = {}
    for (page, _), members in windows.items():
        scores[page] = max(_page_score(members, whole=stage.whole), scores.get(page, -math.inf))
    return scores


def _windows(
    engine: Engine, stage: Stage, pages: Sequence[str], condition: Filter
) -> dict[tuple[str, str], list[Matched]]:
    """The windows of pages in their order, by ``_key``: while one is replaced, both versions of it may be there."""
    windows: dict[tuple[str, str], dict[int, Matched]] = {}
    for chunk in chunks(pages):
        for matched in _similarities(engine, stage, condition & match("id", *chunk), RUN * len(chunk)):
            windows.setdefault(_key(matched), {})[matched.payload["window"]] = matched
    return {page: [members[window] for window in sorted(members)] for page, members in windows.items()}


def _key(window: Scored | Matched) -> tuple[str, str]:
    """Whose windows are scored together: those of a page as it was written at one time."""
    return window.payload["id"], window.payload["version"]


def _page_score(windows: Sequence[Matched], *, whole: bool) -> float:
    """MaxSim over all windows of a page (of a longer one, its best run), or of its best one."""
    best = np.stack([window.scores for window in windows], axis=1)
    return float(best_run(best).sum() if whole else best.sum(axis=0).max())


def _similarities(engine: Engine, stage: Stage, condition: Filter, expected: int) -> list[Matched]:
    """Of all points that match; ``expected`` is a guess of how many."""
    limit = expected + 1
    while (found := engine.similarities(stage.vector, stage.query, condition, limit)) is None:
        limit *= 4
    return found


def _is_whole(window: Scored) -> bool:
    """Whether a window is known to be all of its page: the first one carries the page's text."""
    text = window.payload.get("text")
    return text is not None and list(window.payload["span"]) == [0, len(text)]

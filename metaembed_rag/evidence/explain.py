"""explain_match: from a query and a hit to its evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from metaembed_rag.budget import Budget, BudgetLike
from metaembed_rag.errors import InputError, MetaEmbedError
from metaembed_rag.evidence.evidence import Evidence
from metaembed_rag.evidence.lines import Layout, Place, lay_out
from metaembed_rag.evidence.score import best_matches, leave_out, read_alone, token_similarities
from metaembed_rag.hit import Hit
from metaembed_rag.pages import Page, read_page
from metaembed_rag.scoring import best_run
from metaembed_rag.search.query import Query, check_query, describe_query, embed_queries

if TYPE_CHECKING:
    from PIL.Image import Image

    from metaembed_rag.index import MetaEmbedIndex

FloatArray: TypeAlias = npt.NDArray[np.float32]

#: How evidence is found; the first is the default, for the reasons measured in benchmarks/results/evidence.md.
Method: TypeAlias = Literal["alone", "occlusion", "states"]
METHODS: tuple[str, ...] = get_args(Method)

#: Rows and columns that a picture is cut into for a backbone that sees, and how much of a cell's size is seen
#: around it.
_GRID = (8, 5)
_AROUND = 0.5
_GRID_DPI = 110


def explain_match(
    index: MetaEmbedIndex, query: Query, hit: Hit, *, method: Method = "alone", budget: BudgetLike | None = None
) -> Evidence:
    """Which words, lines and regions of a page answer a query.

    Args:
        index: where the hit was found.
        query: as for ``search``.
        hit: the page. Its file is read again for the places of its words; without it there is evidence in the text.
        method: "alone" scores each line as if it were a page of its own, with the same Meta Tokens and MaxSim;
            "occlusion" leaves each line out and sees what the page's score loses; "states" compares the query's
            Meta Tokens with the page's own last-layer token states, in one pass.
        budget: Meta Tokens that take part; None is the hit's own.

    Raises:
        InputError: no such method, or the page has neither text nor a picture that the model sees.
        BudgetError: the budget is malformed.
    """
    check_query(query)
    if method not in METHODS:
        raise InputError(f"method {method!r} is not known: use {', '.join(METHODS)}")
    if not isinstance(hit, Hit):
        raise InputError(f"evidence is shown for a Hit of a search, not for a {type(hit).__name__}")
    wanted = hit.budget if budget is None else Budget.parse(budget)
    model = index.model
    rows = embed_queries(lambda: model, [query], wanted.query, model.dim)[0]
    page, picture, note = _read_again(hit)
    whole = _page_scores(index, rows, hit, wanted)
    if picture is not None and getattr(model, "sees", False):
        cells = _cells()
        crops: list[str | Image] = [_crop(picture, cell) for cell in cells]
        scores = read_alone(model, rows, crops, wanted)
        layout = Layout((), (), tuple(Place((0, 0), cell, range(0)) for cell in cells))
        nothing = np.zeros((len(rows), 0), dtype=np.float32)
        return Evidence(describe_query(query), hit, "alone", whole, note, layout, nothing, nothing, scores)
    layout = lay_out(hit.text, page)
    if not layout.lines:
        raise InputError(f"page {hit.page} of {hit.source} has no text, so there is nothing to show evidence in")
    words = token_similarities(model, rows, hit.text, layout.words)
    if method == "alone":
        texts: list[str | Image] = [hit.text[line.span[0] : line.span[1]] for line in layout.lines]
        lines = read_alone(model, rows, texts, wanted)
    elif method == "occlusion":
        lines = leave_out(model, rows, hit.text, layout.lines, wanted)
    else:
        lines = _highest(words, layout.lines)
    blocks = _highest(lines, [_lines_of(layout, block) for block in layout.blocks])
    return Evidence(describe_query(query), hit, method, whole, note, layout, lines, words, blocks)


def _page_scores(index: MetaEmbedIndex, rows: FloatArray, hit: Hit, budget: Budget) -> FloatArray:
    """The page's best match for each query Meta Token: the terms of its score."""
    stored = index.vectors([hit.id]).get(hit.id)
    if stored is None:
        stored = index.model.encode_documents([hit.passage], budget=budget)
    return best_run(best_matches(rows, stored, budget.document))


def _read_again(hit: Hit) -> tuple[Page | None, Image | None, str]:
    """The page as its file shows it now, its picture, and what is wrong with either."""
    if hit.route == "text":
        return None, None, ""
    try:
        page = read_page(hit.source, hit.page, ocr="always" if hit.route == "ocr" else "never")
        picture = page.image(_GRID_DPI)
    except (MetaEmbedError, OSError) as error:
        return None, None, f"no places on the page: {getattr(error, 'reason', '') or error}"
    if page.text != hit.text:
        return None, picture, "no places on the page: the file has changed since it was indexed; index it again"
    return page, picture, ""


def _highest(scores: FloatArray, groups: list[range] | tuple[Place, ...]) -> FloatArray:
    """Each query Meta Token's highest score in each group of columns: ``[q, n]`` -> ``[q, groups]``."""
    columns = [group.words if isinstance(group, Place) else group for group in groups]
    best = [scores[:, column.start : column.stop].max(axis=1) for column in columns]
    return np.stack(best, axis=1).astype(np.float32)


def _lines_of(layout: Layout, block: Place) -> range:
    inside = [
        index
        for index, line in enumerate(layout.lines)
        if block.words.start <= line.words.start and line.words.stop <= block.words.stop
    ]
    return range(inside[0], inside[-1] + 1)


def _cells() -> list[tuple[float, float, float, float]]:
    rows, columns = _GRID
    return [
        (column / columns, row / rows, (column + 1) / columns, (row + 1) / rows)
        for row in range(rows)
        for column in range(columns)
    ]


def _crop(picture: Image, cell: tuple[float, float, float, float]) -> Image:
    """The cell with some of its surroundings, without which a line cut in two cannot be read."""
    across, down = _AROUND * (cell[2] - cell[0]), _AROUND * (cell[3] - cell[1])
    return picture.crop(
        (
            round(max(0.0, cell[0] - across) * picture.width),
            round(max(0.0, cell[1] - down) * picture.height),
            round(min(1.0, cell[2] + across) * picture.width),
            round(min(1.0, cell[3] + down) * picture.height),
        )
    )

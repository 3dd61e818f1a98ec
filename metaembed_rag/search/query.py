"""What a search may be asked with, and the query Meta Tokens it becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from metaembed_rag.errors import InputError
from metaembed_rag.pages.clean import check_text
from metaembed_rag.store.words import Terms

if TYPE_CHECKING:
    from PIL.Image import Image

    from metaembed_rag.embedding.model import MetaEmbed

FloatArray: TypeAlias = npt.NDArray[np.float32]

#: A text (never a path), a PIL picture, query Meta Tokens ``[q, dim]``, or a mapping: ``{"text": ..., "image": ...}``,
#: or ``{"text": ..., "vectors": ...}``, Meta Tokens with the text whose words a hybrid search goes by.
Query: TypeAlias = "str | Image | Mapping[str, Any] | FloatArray"


@dataclass(frozen=True, slots=True)
class Asked:
    """A query as it is searched for.

    Attributes:
        rows: its Meta Tokens ``[q, dim]``.
        words: its words; None where it has none, or where the index keeps none.
    """

    rows: FloatArray
    words: Terms | None = None


def check_query(query: Query) -> None:
    """Refuse what no search can be made of.

    Raises:
        InputError: nothing of what ``Query`` names, an empty text, or rows that are not finite ``[q, dim]``.
    """
    if isinstance(query, str):
        if not check_text("a query", query).strip():
            raise InputError("a query must not be empty")
    elif isinstance(query, np.ndarray):
        _check_rows(query)
    elif isinstance(query, Mapping):
        if set(query) not in ({"text"}, {"image"}, {"text", "image"}, {"text", "vectors"}):
            raise InputError(
                "a query mapping has the keys 'text' and 'image', or 'text' and 'vectors', not "
                f"{sorted(map(str, query))}"
            )
        if "text" in query and not check_text("a query's text", query["text"]).strip() and set(query) == {"text"}:
            raise InputError("a query must not be empty")
        if "vectors" in query:
            _check_rows(query["vectors"])
    elif not _is_picture(query):
        raise InputError(
            "a query is a text, a PIL picture, a mapping of 'text' and 'image', or a float32 array of query Meta "
            f"Tokens, not {type(query).__name__}"
        )


def embed_queries(model: Callable[[], MetaEmbed], queries: Sequence[Query], tokens: int, dim: int) -> list[FloatArray]:
    """Query Meta Tokens of each query: float32 ``[at most tokens, dim]``.

    Args:
        model: called only if something has to be encoded.
        queries: checked by ``check_query``.
        tokens: query Meta Tokens wanted.
        dim: width of the stored vectors.

    Raises:
        InputError: vectors of another width.
    """
    given = [_given_rows(query) for query in queries]
    for rows in given:
        if rows is not None and rows.shape[1] != dim:
            raise InputError(f"query vectors have {rows.shape[1]} dimensions, but the index holds {dim}")
    waiting = [query for query, rows in zip(queries, given, strict=True) if rows is None]
    encoded = iter(model().encode_queries(cast("list[str]", waiting), budget=(tokens, 1)) if waiting else ())
    return [next(encoded) if rows is None else rows[:tokens].astype(np.float32, copy=False) for rows in given]


def is_encoded(query: Query) -> bool:
    """Whether a query brings its Meta Tokens."""
    return _given_rows(query) is not None


def query_text(query: Query) -> str:
    """The text of a query, empty for a picture or vectors alone."""
    if isinstance(query, Mapping):
        return str(query.get("text") or "")
    return query if isinstance(query, str) else ""


def describe_query(query: Query) -> str:
    """A query as one line for people."""
    if isinstance(query, np.ndarray):
        return f"{len(query)} query Meta Tokens"
    return query_text(query) or "picture"


def _given_rows(query: Query) -> FloatArray | None:
    rows: FloatArray | None = query.get("vectors") if isinstance(query, Mapping) else query  # type: ignore[assignment]
    return rows if isinstance(rows, np.ndarray) else None


def _check_rows(rows: object) -> None:
    if not isinstance(rows, np.ndarray):
        raise InputError(f"query vectors are a float32 array [query Meta Tokens, dim], not {type(rows).__name__}")
    if rows.ndim != 2 or 0 in rows.shape or not np.isfinite(rows).all():
        raise InputError(f"query vectors must be finite rows [query Meta Tokens, dim], not {list(rows.shape)}")


def _is_picture(query: object) -> bool:
    from PIL.Image import Image

    return isinstance(query, Image)

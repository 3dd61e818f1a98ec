"""What a search may be asked with, and the query Meta Tokens it becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from metaembed_rag.errors import InputError
from metaembed_rag.pages.clean import check_text

if TYPE_CHECKING:
    from PIL.Image import Image

    from metaembed_rag.embedding.model import MetaEmbed

FloatArray: TypeAlias = npt.NDArray[np.float32]

#: A text (never a path), a PIL picture, ``{"text": ..., "image": ...}``, or query Meta Tokens ``[q, dim]``.
Query: TypeAlias = "str | Image | Mapping[str, Any] | FloatArray"


def check_query(query: Query) -> None:
    """Refuse what no search can be made of.

    Raises:
        InputError: nothing of what ``Query`` names, an empty text, or rows that are not finite ``[q, dim]``.
    """
    if isinstance(query, str):
        if not check_text("a query", query).strip():
            raise InputError("a query must not be empty")
    elif isinstance(query, np.ndarray):
        if query.ndim != 2 or 0 in query.shape or not np.isfinite(query).all():
            raise InputError(f"query vectors must be finite rows [query Meta Tokens, dim], not {list(query.shape)}")
    elif isinstance(query, Mapping):
        if not query or set(query) - {"text", "image"}:
            raise InputError(f"a query mapping has the keys 'text' and 'image', not {sorted(map(str, query))}")
        if "text" in query:
            check_text("a query's text", query["text"])
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
    for query in queries:
        if isinstance(query, np.ndarray) and query.shape[1] != dim:
            raise InputError(f"query vectors have {query.shape[1]} dimensions, but the index holds {dim}")
    waiting = [query for query in queries if not isinstance(query, np.ndarray)]
    encoded = iter(model().encode_queries(cast("list[str]", waiting), budget=(tokens, 1)) if waiting else ())
    return [
        query[:tokens].astype(np.float32, copy=False) if isinstance(query, np.ndarray) else next(encoded)
        for query in queries
    ]


def describe_query(query: Query) -> str:
    """A query as one line for people."""
    if isinstance(query, str):
        return query
    if isinstance(query, np.ndarray):
        return f"{len(query)} query Meta Tokens"
    if isinstance(query, Mapping):
        return str(query.get("text") or "picture")
    return "picture"


def _is_picture(query: object) -> bool:
    from PIL.Image import Image

    return isinstance(query, Image)

"""Meta Tokens as LlamaIndex's flat lists of numbers, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from metaembed_rag.budget import FULL
from metaembed_rag.errors import InputError

FloatArray = npt.NDArray[np.float32]

#: Numbers of a picture's embedding are multiplied by this. A float32 times it is exact in a double, so it is told from
#: an embedding of text, and undone, without loss; one part in a million is far below any difference that matters.
_PICTURE_MARK = 1.0 + 2.0**-20

_UNIT = 1e-3


class DocumentRows(NamedTuple):
    """A document's Meta Tokens.

    Attributes:
        rows: float32 ``[64, dim]``, of unit length.
        picture: they were made from a picture, not from text alone.
    """

    rows: FloatArray
    picture: bool


def flatten(rows: FloatArray, *, picture: bool = False) -> list[float]:
    """``rows [n, dim]`` one after the other: 16 of a query, 64 of a document.

    Args:
        rows: Meta Tokens.
        picture: leave the mark of a picture, which a MetaEmbedVectorStore looks for on nodes that have one.
    """
    values = rows.astype(np.float64).ravel()
    return [float(value) for value in (values * _PICTURE_MARK if picture else values)]


def query_rows(flat: Sequence[float], dim: int) -> FloatArray:
    """The rows of a flat query embedding, or of the mean of several.

    Args:
        flat: what ``MetaEmbedEmbedding`` gave for a query.
        dim: width of a Meta Token.

    Returns:
        float32 ``[16, dim]``, rows of unit length.

    Raises:
        InputError: it is not one: the message says what it is instead, where its length tells.
    """
    return unit_rows(_reshape(flat, dim, FULL.query, "query"))


def document_rows(flat: Sequence[float], dim: int) -> DocumentRows:
    """The rows of a flat document embedding.

    Args:
        flat: what ``MetaEmbedEmbedding`` gave for a text or a picture.
        dim: width of a Meta Token.

    Raises:
        InputError: it is not one.
    """
    values = _reshape(flat, dim, FULL.document, "document")
    picture = not _is_float32(values) and _is_float32(values / _PICTURE_MARK)
    rows = (values / _PICTURE_MARK if picture else values).astype(np.float32)
    if np.abs(np.linalg.norm(rows, axis=1) - 1.0).max() > _UNIT:
        raise InputError(
            "an embedding was changed on its way, or made by another model: its Meta Tokens are not of unit length"
        )
    return DocumentRows(rows, picture)


def is_query(flat: Sequence[float], dim: int) -> bool:
    """Whether a flat embedding, of whatever origin, is one of a query: 16 rows of unit length."""
    if len(flat) != FULL.query * dim:
        return False
    lengths = np.linalg.norm(np.asarray(flat, dtype=np.float64).reshape(-1, dim), axis=1)
    return bool(np.abs(lengths - 1.0).max() <= _UNIT)


def unit_rows(rows: npt.NDArray[np.floating]) -> FloatArray:
    """Rows of unit length; those that are stay as they are, to the bit.

    Raises:
        InputError: a row has no direction.
    """
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    if not np.isfinite(lengths).all() or lengths.min() < _UNIT:
        raise InputError("an embedding holds a row of zeros, or values that are not finite")
    if np.abs(lengths - 1.0).max() > _UNIT:
        rows = rows / lengths
    return np.asarray(rows, dtype=np.float32)


def _reshape(flat: Sequence[float], dim: int, wanted: int, what: str) -> npt.NDArray[np.float64]:
    if len(flat) != wanted * dim:
        other = {FULL.query: "a query", FULL.document: "a document"}.get(
            len(flat) // dim if len(flat) % dim == 0 else 0
        )
        found = f"{len(flat)} numbers" if other is None else f"the embedding of {other}"
        raise InputError(
            f"a {what} embedding of this index has {wanted} x {dim} numbers, and this is {found}: "
            "make it with MetaEmbedEmbedding and the index's own model"
        )
    return np.asarray(flat, dtype=np.float64).reshape(wanted, dim)


def _is_float32(values: npt.NDArray[np.float64]) -> bool:
    return bool((values.astype(np.float32).astype(np.float64) == values).all())

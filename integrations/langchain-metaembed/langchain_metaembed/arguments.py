"""Reading the arguments that the components share."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from metaembed_rag.errors import InputError
from metaembed_rag.index import MetaEmbedIndex

if TYPE_CHECKING:
    from metaembed_rag import MetaEmbed


def open_index(
    index: MetaEmbedIndex | str | os.PathLike[str],
    model: str | Path | MetaEmbed | None = None,
    *,
    create: bool,
) -> tuple[MetaEmbedIndex, bool]:
    """The index, and whether it was opened here, so that whoever asked has to close it.

    Args:
        index: an index, or the path of one.
        model: for a path: the model that embeds; None is "mini".
        create: make an index at a path where there is none.

    Raises:
        InputError: ``index`` is neither, or a model is given with an open index, which has its own.
        IndexNotFoundError: there is none at the path and ``create`` is False.
    """
    if isinstance(index, MetaEmbedIndex):
        if model is not None:
            raise InputError("an open index has its model already: give model= to MetaEmbedIndex instead")
        return index, False
    if isinstance(index, (str, os.PathLike)):
        return MetaEmbedIndex(index, model="mini" if model is None else model, create=create), True
    raise InputError(f"index must be a MetaEmbedIndex or the path of one, not {type(index).__name__}")


def refuse_unknown(where: str, unknown: Iterable[str], known: Collection[str]) -> None:
    """Keywords that mean nothing are refused: LangChain would drop them in silence.

    Raises:
        TypeError: ``unknown`` holds something.
    """
    names = sorted(unknown)
    if names:
        raise TypeError(f"{where} does not take {', '.join(names)}; it takes {', '.join(known)}")

"""The backbone's own token states beside the Meta Tokens, and whom the Meta Tokens attend to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers.util import batch_to_device

from metaembed_rag.embedding.build import parts
from metaembed_rag.embedding.prepended import PrependedTransformer

if TYPE_CHECKING:
    from metaembed_rag.embedding.model import MetaEmbed

FloatArray: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TokenStates:
    """One pass over a stretch of text.

    Attributes:
        spans: ``(start, end)`` characters of each token of the text.
        states: float32 ``[tokens, dim]``: last-layer states of these tokens, projected and of unit length.
        meta: float32 ``[meta tokens, dim]``: the embedding, from the same pass.
    """

    spans: list[tuple[int, int]]
    states: FloatArray
    meta: FloatArray


def text_states(model: MetaEmbed, text: str, task: Literal["query", "document"] = "document") -> Iterator[TokenStates]:
    """The states of a text's tokens: one item a window of a document, one for a query.

    A backbone whose input does not hold the text's tokens in one piece, ahead of the Meta Tokens, gives nothing.
    """
    module, head = parts(model.encoder)
    if isinstance(module, PrependedTransformer):
        return
    transformer = cast("Any", module)  # text or vision: both have preprocess and forward
    windows = [(text, 0)] if task == "query" else [(window.text, window.span[0]) for window in model.windows(text)]
    for part, start in windows:
        with model._lock:
            encoding = transformer.words(part, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
            features = transformer.preprocess([part], task=task)
            place = _find(features["input_ids"][0].tolist(), list(encoding["input_ids"]))
            if place is None:
                continue
            first, last = place
            features = batch_to_device(features, model.encoder.device)
            with torch.inference_mode():
                read = transformer.forward(features)
                said = head.embed_text(read["token_embeddings"][0, first:last], asking=task == "query").cpu().numpy()
                meta = head(read)["token_embeddings"][0].cpu().numpy()
        spans = [(start + begin, start + end) for begin, end in encoding["offset_mapping"][: last - first]]
        yield TokenStates(spans, said, meta)


def _find(row: list[int], wanted: list[int]) -> tuple[int, int] | None:
    """Where ``wanted``, or as much of it as a cut row holds, stands in ``row``."""
    if not wanted:
        return None
    best: tuple[int, int] | None = None
    for first in range(len(row)):
        if row[first] != wanted[0]:
            continue
        length = 0
        while length < len(wanted) and first + length < len(row) and row[first + length] == wanted[length]:
            length += 1
        if best is None or length > best[1] - best[0]:
            best = (first, first + length)
        if length == len(wanted):
            break
    return best

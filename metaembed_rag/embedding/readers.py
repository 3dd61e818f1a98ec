"""A backbone that reads queries with weights of their own."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from peft import PeftModel
from torch import nn

from metaembed_rag.errors import ModelError


class TwoReaders(nn.Module):
    """What reads documents, and beside it what reads queries. Whoever asks for anything else asks the first.

    A question is a dozen words that look for what they do not say, a page is what it says: layers that suit one need
    not suit the other. Documents stay as they are when only the reading of queries is trained.

    Args:
        documents: the backbone that reads documents.
        queries: one of the same shape.
    """

    def __init__(self, documents: nn.Module, queries: nn.Module) -> None:
        super().__init__()
        self.documents = documents
        self.queries = queries

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("documents"), name)

    def forward(self, *, asking: bool, **inputs: Any) -> Any:
        """The states of queries (``asking``) or of documents; ``inputs`` as the backbone takes them."""
        return (self.queries if asking else self.documents)(**inputs)

    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        """Refuse: one folder of a backbone cannot hold both.

        Raises:
            ModelError: always.
        """
        raise ModelError(
            "queries are read with weights of their own, which this way of saving would lose: use "
            "MetaEmbed.save_pretrained"
        )


def with_query_reader(backbone: nn.Module, folder: Path) -> TwoReaders:
    """A backbone beside a copy into which the LoRA weights of ``folder`` are merged.

    Both share the vocabulary's rows, half of what a small backbone weighs. The folder may move the rows of query Meta
    Tokens there, which no document has.
    """
    rows = backbone.get_input_embeddings()  # type: ignore[operator]
    queries = copy.deepcopy(backbone, {id(rows): rows})
    adapted = PeftModel.from_pretrained(queries, str(folder), use_safetensors=True)
    return TwoReaders(backbone, adapted.merge_and_unload())

"""The table of backbone families: what differs between backbones, and nowhere else.

Adding a family is one entry here and one test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from metaembed_rag.errors import ModelError


@dataclass(frozen=True, slots=True)
class Family:
    """How a kind of backbone takes Meta Tokens.

    Attributes:
        reserved_token: name of the n-th vocabulary entry that the backbone's pretraining left unused.
        lora_targets: pattern of the linear layers that get a low-rank adapter, matched against their full names.
        embedding: name of the input embedding module, whose Meta Token rows are trained.
        prefix_attention: the backbone is bidirectional, so nesting needs a mask (see ``tokens``).
    """

    reserved_token: Callable[[int], str]
    lora_targets: str
    embedding: str
    prefix_attention: bool


FAMILIES: dict[str, Family] = {
    "bert": Family(
        reserved_token=lambda n: f"[unused{n}]",
        lora_targets=r".*encoder\.layer\.\d+\..*\.(query|key|value|dense)",
        embedding="word_embeddings",
        prefix_attention=True,
    ),
}


def family_of(model_type: str) -> Family:
    """The entry for a transformers ``model_type``.

    Raises:
        ModelError: no entry.
    """
    try:
        return FAMILIES[model_type]
    except KeyError:
        known = ", ".join(sorted(FAMILIES))
        raise ModelError(f"backbone type {model_type!r} is not supported yet; supported: {known}") from None

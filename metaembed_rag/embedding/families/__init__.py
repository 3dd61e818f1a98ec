"""The table of backbone families: what differs between backbones, and nowhere else.

Adding a family is one entry here and one test.
"""

from __future__ import annotations

from metaembed_rag.embedding.families.encoders import BERT, MODERNBERT
from metaembed_rag.embedding.families.family import Family, Vision
from metaembed_rag.embedding.families.llava import LLAVA
from metaembed_rag.embedding.families.mllama import MLLAMA
from metaembed_rag.embedding.families.paligemma import PALIGEMMA
from metaembed_rag.embedding.families.qwen import QWEN2_5_VL, QWEN3_VL
from metaembed_rag.errors import ModelError

__all__ = ["FAMILIES", "Family", "Vision", "family_of"]

#: transformers' ``model_type`` -> how that kind of backbone takes Meta Tokens.
FAMILIES: dict[str, Family] = {
    "bert": BERT,
    "modernbert": MODERNBERT,
    "qwen2_5_vl": QWEN2_5_VL,
    "qwen3_vl": QWEN3_VL,
    "mllama": MLLAMA,
    "paligemma": PALIGEMMA,
    "llava": LLAVA,
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
        raise ModelError(
            f"backbone type {model_type!r} is not supported; supported: {known} "
            "(a new one is an entry in metaembed_rag/embedding/families)"
        ) from None

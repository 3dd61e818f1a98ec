"""PaliGemma: a picture of one size, attention bidirectional over picture and text, causal over Meta Tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from metaembed_rag.embedding.families.family import (
    DECODER_LORA,
    Family,
    Features,
    Pictures,
    Vision,
    check_fixed_cost,
    named_rows,
    running_positions,
)

if TYPE_CHECKING:
    from PIL.Image import Image


def _cost(config: Any) -> int:
    return int((config.vision_config.image_size // config.vision_config.patch_size) ** 2)


def _limit(processor: Any, config: Any, visual_tokens: int) -> None:
    check_fixed_cost(_cost(config), visual_tokens)


def _process(processor: Any, config: Any, pictures: Sequence[Image], rows: Sequence[int], count: int) -> Pictures:
    return Pictures(dict(processor(images=list(pictures), return_tensors="pt")), [_cost(config)] * len(pictures))


def _inputs(backbone: Any, features: Features, meta_tokens: int) -> dict[str, Any]:
    """Prefix-LM attention: type 0 sees all of type 0, type 1 sees what stands before it. Positions start at 1."""
    types = features["input_ids"].new_zeros(features["input_ids"].shape)
    types[:, -meta_tokens:] = 1
    return {"token_type_ids": types, "position_ids": running_positions(features["attention_mask"]) + 1}


#: 99 unused entries.
PALIGEMMA = Family(
    reserve=named_rows("<unused{n}>"),
    lora_targets=DECODER_LORA,
    embedding="embed_tokens",
    vision=Vision(
        layout="{picture}<bos>{text}\n",
        picture="{tokens}",
        limit=_limit,
        process=_process,
        inputs=_inputs,
    ),
)

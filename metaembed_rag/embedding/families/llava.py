"""Llava: a vision tower, a projector, and any causal language model."""

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
    running_positions,
    spare_rows,
)

if TYPE_CHECKING:
    from PIL.Image import Image


def _cost(config: Any) -> int:
    """Patches, plus the tower's class token where the config keeps it ("full")."""
    vision = config.vision_config
    patches = (vision.image_size // vision.patch_size) ** 2
    has_class_token = "clip" in vision.model_type
    return int(patches + (has_class_token and config.vision_feature_select_strategy == "full"))


def _limit(processor: Any, config: Any, visual_tokens: int) -> None:
    check_fixed_cost(_cost(config), visual_tokens)


def _process(processor: Any, config: Any, pictures: Sequence[Image], rows: Sequence[int], count: int) -> Pictures:
    features = processor(images=list(pictures), return_tensors="pt")
    return Pictures({"pixel_values": features["pixel_values"]}, [_cost(config)] * len(pictures))


def _inputs(backbone: Any, features: Features, meta_tokens: int) -> dict[str, Any]:
    return {"position_ids": running_positions(features["attention_mask"])}


#: The spare rows depend on the language model: thousands with Qwen2 (llava-interleave), 62 with Vicuna
#: (llava-1.5), which hold 16 query and 46 document Meta Tokens.
LLAVA = Family(
    reserve=spare_rows,
    lora_targets=DECODER_LORA,
    embedding="embed_tokens",
    vision=Vision(
        layout="{bos}{picture}{text}",
        picture="{tokens}\n",
        limit=_limit,
        process=_process,
        inputs=_inputs,
    ),
)

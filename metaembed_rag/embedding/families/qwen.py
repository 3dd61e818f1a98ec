"""Qwen2.5-VL and Qwen3-VL: pictures of any shape, positions in time, height and width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from metaembed_rag.embedding.families.family import (
    DECODER_LORA,
    Family,
    Features,
    Pictures,
    Vision,
    running_positions,
    spare_rows,
)

if TYPE_CHECKING:
    from PIL.Image import Image


def _limit(processor: Any, config: Any, visual_tokens: int) -> None:
    """A visual token is ``merge_size`` x ``merge_size`` patches; the processor keeps the picture's shape."""
    pixels = (processor.patch_size * processor.merge_size) ** 2
    processor.size = {
        "shortest_edge": min(int(processor.size["shortest_edge"]), visual_tokens * pixels),
        "longest_edge": visual_tokens * pixels,
    }


def _process(processor: Any, config: Any, pictures: Sequence[Image], rows: Sequence[int], count: int) -> Pictures:
    features = dict(processor(images=list(pictures), return_tensors="pt"))
    grid = features["image_grid_thw"]
    return Pictures(features, (grid.prod(dim=-1) // processor.merge_size**2).tolist())


def _inputs(backbone: Any, features: Features, meta_tokens: int) -> dict[str, Any]:
    if "image_grid_thw" not in features:
        # Without pictures the backbone would count padding as positions.
        return {"position_ids": running_positions(features["attention_mask"])}
    # The backbone works out three-dimensional positions where it is told which tokens are visual.
    return {"mm_token_type_ids": (features["input_ids"] == backbone.config.image_token_id).int()}


_VISION = Vision(
    layout="<|im_start|>user\n{picture}{text}<|im_end|>\n",
    picture="<|vision_start|>{tokens}<|vision_end|>",
    limit=_limit,
    process=_process,
    inputs=_inputs,
)

#: 271 spare rows (3B) or more.
QWEN2_5_VL = Family(reserve=spare_rows, lora_targets=DECODER_LORA, embedding="embed_tokens", vision=_VISION)

#: 267 spare rows.
QWEN3_VL = Family(reserve=spare_rows, lora_targets=DECODER_LORA, embedding="embed_tokens", vision=_VISION)

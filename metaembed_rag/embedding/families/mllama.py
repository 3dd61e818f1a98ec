"""Llama-3.2-Vision: pictures in tiles, read by cross-attention from a single placeholder token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from metaembed_rag.embedding.families.family import (
    DECODER_LORA,
    Family,
    Features,
    Pictures,
    Vision,
    named_rows,
    running_positions,
)

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor


def _limit(processor: Any, config: Any, visual_tokens: int) -> None:
    """Whole tiles only: the real 11B spends 1,601 visual tokens a tile, so 1,024 still give it one."""
    vision = config.vision_config
    tile = (vision.image_size // vision.patch_size) ** 2 + 1
    processor.max_image_tiles = min(vision.max_num_tiles, max(1, visual_tokens // tile))


def _process(processor: Any, config: Any, pictures: Sequence[Image], rows: Sequence[int], count: int) -> Pictures:
    """One entry a row of the batch: rows without a picture hold zeros, and ``aspect_ratio_ids`` 0."""
    made = processor(images=[[picture] for picture in pictures], return_tensors="pt")
    features: dict[str, Tensor] = {}
    for name in ("pixel_values", "aspect_ratio_ids", "aspect_ratio_mask"):
        features[name] = made[name].new_zeros((count, *made[name].shape[1:]))
        features[name][list(rows)] = made[name]
    # The tower needs something to attend to even where there is nothing to see.
    features["aspect_ratio_mask"][:, :, 0] = 1
    _fit_tiles(features, processor, config)
    return Pictures(features, [1] * len(pictures))


def _fit_tiles(features: dict[str, Tensor], processor: Any, config: Any) -> None:
    """Pad to the tiles that the tower's tables are made for, and number aspect ratios as its config does.

    The processor numbers the ratios that its own, perhaps smaller, limit allows.
    """
    import torch

    vision, limit = config.vision_config, processor.max_image_tiles
    ratios = [[high, wide] for high in range(1, limit + 1) for wide in range(1, limit + 1) if high * wide <= limit]
    numbers = torch.tensor([0, *(vision.supported_aspect_ratios.index(ratio) + 1 for ratio in ratios)])
    features["aspect_ratio_ids"] = numbers[features["aspect_ratio_ids"]]
    absent = vision.max_num_tiles - limit
    pixels, mask = features["pixel_values"], features["aspect_ratio_mask"]
    features["pixel_values"] = torch.nn.functional.pad(pixels, (0, 0) * 3 + (0, absent))
    features["aspect_ratio_mask"] = torch.nn.functional.pad(mask, (0, absent))


def _inputs(backbone: Any, features: Features, meta_tokens: int) -> dict[str, Any]:
    inputs: dict[str, Any] = {"position_ids": running_positions(features["attention_mask"])}
    if "pixel_values" in features:
        # A token looks at the tiles of a picture that stands at or before it.
        seen = (features["input_ids"] == backbone.config.image_token_id).cumsum(dim=-1).clamp(max=1)
        tiles = features["aspect_ratio_mask"] * (features["aspect_ratio_ids"] > 0)[..., None]
        inputs["cross_attention_mask"] = seen[:, :, None, None] * tiles[:, None]
    return inputs


def _prepare(backbone: Any) -> None:
    """Let tokens that see no picture pass a cross-attention layer unchanged.

    transformers skips these layers for a batch without pictures, but in a batch of both lets a text row attend to
    all of another row's padding. A row would then depend on its neighbours.
    """
    import torch

    def keep(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        sees = kwargs.get("full_text_row_masked_out_mask")
        return output if sees is None else torch.where(sees[:, 0] > 0, output, args[0])

    for layer in backbone.language_model.layers:
        if hasattr(layer, "cross_attn"):
            layer.register_forward_hook(keep, with_kwargs=True)


#: 200 and more reserved entries.
MLLAMA = Family(
    reserve=named_rows("<|reserved_special_token_{n}|>"),
    lora_targets=DECODER_LORA,
    embedding="embed_tokens",
    vision=Vision(
        layout="{picture}<|begin_of_text|>{text}",
        picture="{tokens}",
        limit=_limit,
        process=_process,
        inputs=_inputs,
        prepare=_prepare,
    ),
)

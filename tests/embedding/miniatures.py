"""Backbones of the real transformers classes, small enough for a CPU, with random weights and a real tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    CLIPVisionConfig,
    Gemma2Config,
    GemmaConfig,
    LlavaConfig,
    LlavaModel,
    MllamaConfig,
    MllamaModel,
    ModernBertConfig,
    ModernBertModel,
    PaliGemmaConfig,
    PaliGemmaModel,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLModel,
    Qwen2Config,
    Qwen3VLConfig,
    Qwen3VLModel,
    SiglipVisionConfig,
)
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil
from transformers.models.mllama.image_processing_pil_mllama import MllamaImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

#: Meta Tokens of the miniatures: few, so that their embeddings stay small.
QUERY_TOKENS, DOCUMENT_TOKENS = 4, 8
HIDDEN = 32
_TEXT: dict[str, Any] = {
    "hidden_size": HIDDEN,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    # Larger than for training, so that every token leaves its mark on the states.
    "initializer_range": 0.2,
}
_TOWER: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}


def make_tokenizer(
    folder: Path, names: dict[str, str], special: Sequence[str], reserved: Sequence[str] = ()
) -> dict[str, int]:
    """A byte-level BPE tokenizer without merges: every byte a token, then the special and the reserved ones."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={byte: index for index, byte in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, special=True) for token in special])
    # As in real vocabularies, reserved entries are matched in any text.
    backend.add_tokens([AddedToken(token, normalized=False) for token in reserved])
    if "cls_token" in names:
        first, last = (backend.token_to_id(names[key]) for key in ("cls_token", "sep_token"))
        backend.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", first), ("[SEP]", last)]
        )
    PreTrainedTokenizerFast(tokenizer_object=backend, **names).save_pretrained(folder)
    return backend.get_vocab()


def bert(folder: Path) -> None:
    names = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]"}
    vocabulary = make_tokenizer(folder, names, [*names.values()], [f"[unused{n}]" for n in range(12)])
    text = {key: value for key, value in _TEXT.items() if key != "num_key_value_heads"}
    BertModel(BertConfig(vocab_size=len(vocabulary), **text)).save_pretrained(folder)


def modernbert(folder: Path, *, reserved: int = 12) -> None:
    names = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]"}
    vocabulary = make_tokenizer(folder, names, [*names.values()], [f"[unused{n}]" for n in range(reserved)])
    text = {key: value for key, value in _TEXT.items() if key != "num_key_value_heads"}
    config = ModernBertConfig(
        vocab_size=len(vocabulary),
        local_attention=8,
        global_attn_every_n_layers=2,
        pad_token_id=vocabulary["[PAD]"],
        **text,
    )
    ModernBertModel(config).save_pretrained(folder)


def _qwen_tokens(folder: Path) -> dict[str, int]:
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"]
    return make_tokenizer(folder, {"pad_token": "<|endoftext|>", "eos_token": "<|im_end|>"}, special)


def _qwen_ids(vocabulary: dict[str, int]) -> dict[str, int]:
    return {
        "image_token_id": vocabulary["<|image_pad|>"],
        "vision_start_token_id": vocabulary["<|vision_start|>"],
        "vision_end_token_id": vocabulary["<|vision_end|>"],
    }


def qwen2_5_vl(folder: Path, *, spare: int = 12) -> None:
    vocabulary = _qwen_tokens(folder)
    config = Qwen2_5_VLConfig(
        text_config={
            **_TEXT,
            "vocab_size": len(vocabulary) + spare,
            "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0},
        },
        vision_config={
            "depth": 2,
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_heads": 2,
            "out_hidden_size": HIDDEN,
            "fullatt_block_indexes": [1],
            "window_size": 56,
        },
        **_qwen_ids(vocabulary),
    )
    Qwen2_5_VLModel(config).save_pretrained(folder)
    Qwen2VLImageProcessorPil().save_pretrained(folder)


def qwen3_vl(folder: Path) -> None:
    vocabulary = _qwen_tokens(folder)
    config = Qwen3VLConfig(
        text_config={
            **_TEXT,
            "head_dim": 8,
            "vocab_size": len(vocabulary) + 12,
            "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0},
        },
        vision_config={
            "depth": 2,
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_heads": 2,
            "out_hidden_size": HIDDEN,
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0],
        },
        **_qwen_ids(vocabulary),
    )
    Qwen3VLModel(config).save_pretrained(folder)
    Qwen2VLImageProcessorPil(patch_size=16).save_pretrained(folder)


def mllama(folder: Path) -> None:
    names = {
        "bos_token": "<|begin_of_text|>",
        "eos_token": "<|end_of_text|>",
        "pad_token": "<|finetune_right_pad_id|>",
    }
    reserved = [f"<|reserved_special_token_{n}|>" for n in range(12)]
    vocabulary = make_tokenizer(folder, names, [*names.values(), *reserved, "<|image|>"])
    config = MllamaConfig(
        text_config={
            **_TEXT,
            "num_hidden_layers": 3,
            "cross_attention_layers": [1],
            "vocab_size": len(vocabulary) - 1,
            "pad_token_id": vocabulary["<|finetune_right_pad_id|>"],
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        },
        vision_config={
            "hidden_size": 16,
            "attention_heads": 2,
            "num_hidden_layers": 1,
            "num_global_layers": 1,
            "intermediate_size": 24,
            "intermediate_layers_indices": [0],
            "vision_output_dim": 32,
            "image_size": 28,
            "patch_size": 14,
        },
        image_token_index=vocabulary["<|image|>"],
    )
    model = MllamaModel(config)
    for layer in model.language_model.layers:
        if hasattr(layer, "cross_attn"):
            # The gates start closed; opened, they let a picture through.
            torch.nn.init.constant_(layer.cross_attn_attn_gate, 0.7)
            torch.nn.init.constant_(layer.cross_attn_mlp_gate, 0.7)
    model.save_pretrained(folder)
    MllamaImageProcessorPil(size={"height": 28, "width": 28}).save_pretrained(folder)


def paligemma(folder: Path, *, language: type[GemmaConfig] | type[Gemma2Config] = GemmaConfig) -> None:
    names = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>"}
    vocabulary = make_tokenizer(folder, names, [*names.values(), "<image>"], [f"<unused{n}>" for n in range(12)])
    config = PaliGemmaConfig(
        text_config=language(vocab_size=len(vocabulary), head_dim=8, **_TEXT),
        vision_config=SiglipVisionConfig(
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=1,
            num_attention_heads=2,
            image_size=28,
            patch_size=14,
        ),
        projection_dim=HIDDEN,
        image_token_index=vocabulary["<image>"],
    )
    PaliGemmaModel(config).save_pretrained(folder)
    SiglipImageProcessorPil(size={"height": 28, "width": 28}).save_pretrained(folder)


def llava(folder: Path) -> None:
    vocabulary = make_tokenizer(folder, {"pad_token": "<|endoftext|>"}, ["<|endoftext|>", "<image>"])
    config = LlavaConfig(
        text_config=Qwen2Config(vocab_size=len(vocabulary) + 12, **_TEXT),
        vision_config=CLIPVisionConfig(
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=28,
            patch_size=14,
        ),
        image_token_index=vocabulary["<image>"],
    )
    LlavaModel(config).save_pretrained(folder)
    LlavaImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}).save_pretrained(folder)


#: ``model_type`` -> writes a backbone folder.
MINIATURES: dict[str, Callable[[Path], None]] = {
    "bert": bert,
    "modernbert": modernbert,
    "qwen2_5_vl": qwen2_5_vl,
    "qwen3_vl": qwen3_vl,
    "mllama": mllama,
    "paligemma": paligemma,
    "llava": llava,
}
SEEING = [name for name in MINIATURES if name not in ("bert", "modernbert")]

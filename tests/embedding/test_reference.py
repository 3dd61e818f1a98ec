"""Inputs against references: each backbone reads text as transformers alone lets it, and pictures as its processor."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from transformers import LlavaProcessor, MllamaProcessor, PaliGemmaProcessor

from metaembed_rag.embedding.build import build_encoder, parts

from .miniatures import MINIATURES

TEXT = "the ferry leaves at six, and the last one comes back at nine"
PICTURE = Image.effect_noise((90, 40), 80).convert("RGB")


@pytest.mark.parametrize("family", MINIATURES)
def test_the_text_is_read_as_the_backbone_alone_reads_it(miniature, family):
    encoder = build_encoder(miniature(family), device="cpu")
    transformer, _ = parts(encoder)
    features = encoder.preprocess([TEXT], task="query", budget=2)
    ids = features["input_ids"][:, :-2]
    # PaliGemma reads what it is given as a prefix only where it is told so.
    extra = {"token_type_ids": torch.zeros_like(ids)} if family == "paligemma" else {}
    with torch.inference_mode():
        states = transformer.forward(dict(features))["token_embeddings"][:, :-2]
        alone = transformer.model(input_ids=ids, attention_mask=torch.ones_like(ids), **extra).last_hidden_state
    torch.testing.assert_close(states, alone, atol=1e-5, rtol=0)


def mllama(transformer):
    return MllamaProcessor(transformer.image_processor, transformer.tokenizer), f"<|image|><|begin_of_text|>{TEXT}"


def paligemma(transformer):
    transformer.image_processor.image_seq_length = 4
    return PaliGemmaProcessor(transformer.image_processor, transformer.tokenizer), f"<image>{TEXT}"


def llava(transformer):
    processor = LlavaProcessor(
        transformer.image_processor,
        transformer.tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    return processor, f"<image>\n{TEXT}"


@pytest.mark.parametrize("reference", [mllama, paligemma, llava])
def test_a_picture_is_read_as_the_processor_of_transformers_reads_it(miniature, reference):
    encoder = build_encoder(miniature(reference.__name__), device="cpu")
    transformer, _ = parts(encoder)
    processor, prompt = reference(transformer)
    expected = processor(images=[PICTURE], text=[prompt], return_tensors="pt")
    features = encoder.preprocess([{"text": TEXT, "image": PICTURE}], task="query", budget=2)
    assert features["input_ids"][0, :-2].tolist() == expected["input_ids"][0].tolist()
    if reference is paligemma:
        expected["token_type_ids"] = torch.zeros_like(expected["input_ids"])
    with torch.inference_mode():
        states = transformer.forward(dict(features))["token_embeddings"][:, :-2]
        alone = transformer.model(**expected).last_hidden_state
    torch.testing.assert_close(states, alone, atol=1e-5, rtol=0)

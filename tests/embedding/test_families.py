"""Every family of backbones, as a miniature of the real transformers class: what all of them must keep."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from sentence_transformers import MultiVectorEncoder

from metaembed_rag.embedding.build import (
    add_adapter,
    build_encoder,
    load_adapter,
    parts,
    save_adapter,
    trainable_parameters,
)
from metaembed_rag.embedding.families import FAMILIES, family_of
from metaembed_rag.errors import ModelError

from .miniatures import DOCUMENT_TOKENS, HIDDEN, MINIATURES, QUERY_TOKENS, SEEING

NOISE = Image.effect_noise((90, 60), 80).convert("RGB")
SECOND = Image.effect_noise((40, 110), 80).convert("RGB")
TEXTS = ["short", "a rather longer text about ferries, coffee and the sun"]
MIXED = [*TEXTS, NOISE, {"text": "what does the chart show?", "image": SECOND}]


@pytest.fixture(scope="module", params=MINIATURES)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def config(family, miniature):
    return miniature(family)


@pytest.fixture(scope="module")
def encoder(config):
    torch.manual_seed(7)
    return build_encoder(config, device="cpu")


@pytest.fixture(scope="module")
def inputs(family):
    return MIXED if family in SEEING else TEXTS


@pytest.fixture
def trainable(config):
    torch.manual_seed(7)
    encoder = build_encoder(config, device="cpu")
    add_adapter(encoder, config, rank=2, alpha=2, dropout=0.0, seed=3)
    with torch.no_grad():
        # LoRA's second factor starts at zero, which hides the first from the gradient.
        for name, value in trainable_parameters(encoder).items():
            if "lora_B" in name:
                torch.nn.init.normal_(value, std=0.1)
    return encoder


def encode(encoder, items, task, **kwargs):
    return np.stack(encoder.encode(list(items), task=task, convert_to_numpy=True, **kwargs))


def test_every_family_has_a_miniature():
    assert set(MINIATURES) == set(FAMILIES)


@pytest.mark.parametrize(("task", "count"), [("query", QUERY_TOKENS), ("document", DOCUMENT_TOKENS)])
def test_a_row_is_the_same_alone_and_among_others(encoder, inputs, task, count):
    rows = encode(encoder, inputs, task)
    assert rows.shape == (len(inputs), count, 16)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=-1), 1.0, atol=1e-5)
    alone = np.concatenate([encode(encoder, [item], task) for item in inputs])
    np.testing.assert_allclose(rows, alone, atol=1e-5)


@pytest.mark.parametrize(("task", "count"), [("query", 1), ("query", 3), ("document", 5)])
def test_fewer_meta_tokens_give_the_first_rows(encoder, inputs, task, count):
    appended = encoder.preprocess(inputs, task=task, budget=count)["input_ids"].shape[1]
    assert encoder.preprocess(inputs, task=task)["input_ids"].shape[1] > appended, "a narrow budget computes less"
    full = encode(encoder, inputs, task)
    np.testing.assert_allclose(encode(encoder, inputs, task, budget=count), full[:, :count], atol=1e-5)


def test_every_token_and_every_picture_tells(encoder, family):
    samples = ["ferry at six", "ferry at ten"]
    if family in SEEING:
        samples += [NOISE, SECOND, {"text": "ferry at six", "image": NOISE}, {"text": "ferry at six", "image": SECOND}]
    rows = encode(encoder, samples, "document").reshape(len(samples), -1)
    distances = np.linalg.norm(rows[:, None] - rows[None], axis=-1)[~np.eye(len(samples), dtype=bool)]
    assert distances.min() > 1e-3


def test_queries_and_documents_have_meta_tokens_of_their_own(encoder):
    transformer, _ = parts(encoder)
    ids = [*transformer.query_token_ids, *transformer.document_token_ids]
    assert len(set(ids)) == QUERY_TOKENS + DOCUMENT_TOKENS
    assert max(ids) < transformer.model.get_input_embeddings().weight.shape[0]


def test_gradient_reaches_every_meta_token_and_every_adapter(trainable, inputs):
    parameters = trainable_parameters(trainable)
    assert all("lora_" in name or "trainable_tokens" in name or "projection" in name for name in parameters)
    assert not any("visual" in name or "vision" in name for name in parameters), "the tower stays as it was"
    for task in ("query", "document"):
        trainable(trainable.preprocess(inputs, task=task))["token_embeddings"][..., :5].sum().backward()
    (rows,) = [value for name, value in parameters.items() if "trainable_tokens" in name]
    assert (rows.grad.norm(dim=-1) > 0).all()
    assert all(value.grad is not None and value.grad.norm() > 0 for value in parameters.values())


def test_an_adapter_is_saved_and_loaded(trainable, config, inputs, tmp_path):
    before = encode(trainable, inputs, "document")
    save_adapter(trainable, config, tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 200_000, "only what was trained is saved"
    again = build_encoder(config, device="cpu")
    load_adapter(again, config, tmp_path)
    # Weights are kept in half precision.
    np.testing.assert_allclose(encode(again, inputs, "document"), before, atol=1e-2)
    assert not np.allclose(encode(build_encoder(config, device="cpu"), inputs, "document"), before, atol=0.05)


def test_bfloat16_is_close_to_float32(config, encoder, inputs):
    half = build_encoder(config, device="cpu", dtype="bfloat16")
    parts(half)[1].load_state_dict(parts(encoder)[1].state_dict())
    assert parts(half)[0].model.dtype == torch.bfloat16
    rows, expected = encode(half, inputs, "document"), encode(encoder, inputs, "document")
    assert (rows * expected).sum(axis=-1).min() > 0.98


def test_a_bfloat16_backbone_is_trained(config, inputs):
    encoder = build_encoder(config, device="cpu", dtype="bfloat16")
    add_adapter(encoder, config, rank=2, alpha=2, dropout=0.0, seed=3)
    encoder(encoder.preprocess(inputs, task="document"))["token_embeddings"][..., :5].sum().backward()
    parameters = trainable_parameters(encoder)
    assert all(value.grad is not None and value.grad.isfinite().all() for value in parameters.values())
    assert all(value.grad.any() for name, value in parameters.items() if "lora_A" not in name)
    assert {value.dtype for name, value in parameters.items() if "lora" in name} == {torch.float32}


@pytest.mark.parametrize("name", ["<|image_pad|>", "<image>", "<|image|>", "[unused3]", "<unused4>", "<|im_end|>"])
def test_a_text_that_names_special_tokens_does_not_become_them(encoder, family, name):
    transformer, _ = parts(encoder)
    reserved = {*transformer.query_token_ids, *transformer.document_token_ids}
    ids = encoder.preprocess([f"a {name} b"], task="document", budget=1)["input_ids"][0, :-1].tolist()
    assert not reserved & set(ids)
    if family in SEEING:
        assert transformer.model.config.image_token_id not in ids
        plain = encoder.preprocess(["a b"], task="document", budget=1)["input_ids"][0, :-1].tolist()
        specials = set(transformer.tokenizer.all_special_ids) | set(transformer.tokenizer.get_added_vocab().values())
        assert [token for token in ids if token in specials] == [token for token in plain if token in specials]


def test_sentence_transformers_saves_and_loads_the_whole_model(encoder, inputs, tmp_path):
    encoder.save_pretrained(str(tmp_path))
    again = MultiVectorEncoder(str(tmp_path), trust_remote_code=True, device="cpu")
    np.testing.assert_allclose(encode(again, inputs, "query"), encode(encoder, inputs, "query"), atol=1e-5)


@pytest.mark.parametrize("names", [["[unused{}]"], ["[unused{}]", "<unused{}>"], ["<unused{}>"]])
def test_reserved_rows_are_found_under_either_name(names):
    class Vocabulary:
        def get_vocab(self):
            counts = [80 if name == names[-1] else 3 for name in names]
            found = [name.format(n) for name, count in zip(names, counts, strict=True) for n in range(count)]
            return {name: row for row, name in enumerate(found)}

    rows = family_of("modernbert").reserve(Vocabulary(), 200, 80)
    assert rows == list(range(rows[0], rows[0] + 80))


def test_an_unknown_backbone_is_told():
    with pytest.raises(ModelError, match=r"'gpt2' is not supported; supported: bert, .*qwen3_vl"):
        family_of("gpt2")


def test_a_backbone_of_another_type_is_told(miniature):
    config = miniature("bert")
    other = type(config)(name="x", backbone=config.backbone, model_type="modernbert")
    with pytest.raises(ModelError, match="is a 'bert' backbone, not 'modernbert'"):
        build_encoder(other)


@pytest.mark.parametrize("family_name", ["qwen2_5_vl", "mllama", "paligemma", "modernbert"])
def test_a_backbone_with_too_few_reserved_rows_is_told(miniature, family_name):
    with pytest.raises(ModelError, match="cannot hold this model's Meta Tokens: it reserves too few"):
        build_encoder(miniature(family_name, document_tokens=64))


def test_a_backbone_that_cannot_be_reached_is_told(miniature):
    config = miniature("bert")
    missing = type(config)(name="x", backbone="nobody/nothing", model_type="bert")
    with pytest.raises(ModelError, match="neither a backbone folder, nor a hub id that can be reached"):
        build_encoder(missing)


def test_a_backbone_folder_without_config_is_told(tmp_path, miniature):
    config = type(miniature("bert"))(name="x", backbone=str(tmp_path), model_type="bert")
    with pytest.raises(ModelError, match=r"config\.json cannot be read"):
        build_encoder(config)


def test_miniatures_are_the_real_classes(encoder, family):
    model = parts(encoder)[0].model
    assert type(model).__module__.startswith(f"transformers.models.{family}.")
    assert sum(value.numel() for value in model.parameters()) < 200_000
    assert model.config.get_text_config().hidden_size == HIDDEN

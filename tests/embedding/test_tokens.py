"""Meta Tokens on the real default backbone, untrained: nesting, padding, and what the head gives back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sentence_transformers import MultiVectorEncoder

from metaembed_rag.embedding.build import (
    add_adapter,
    build_encoder,
    load_adapter,
    save_adapter,
    trainable_parameters,
)
from metaembed_rag.embedding.cells import cell_means
from metaembed_rag.embedding.config import ModelConfig
from metaembed_rag.embedding.positions import meta_positions
from metaembed_rag.embedding.tokens import ASKING, META_TOKENS, MetaTokenHead, prefix_attention_mask
from metaembed_rag.errors import InputError, ModelError

CONFIG = ModelConfig(name="test", backbone="all-MiniLM-L6-v2", query_tokens=4, document_tokens=8, dim=32)
TEXTS = ["short", "a rather longer text about packages, ferries and the coffee that they carry"]


@pytest.fixture(
    scope="module",
    params=[
        {},
        {"positions": "anchored"},
        {"positions": "anchored", "pooled_text": True},
        {"positions": "anchored", "first_projection": True},
        {"positions": "anchored", "first_projection": True, "weighted_queries": True, "division_weights": (1.0, 0.5)},
        {"positions": "anchored", "merged_tokens": 6},
    ],
    ids=["fixed", "anchored", "pooled", "first", "weighed", "merged"],
)
def encoder(request):
    built = build_encoder(replace(CONFIG, **request.param), device="cpu")
    with torch.no_grad():
        # As in a trained one, the first projection differs from the other.
        for parameter in built[1].parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return built


def encode(encoder, texts, task, **kwargs):
    return np.stack(encoder.encode(texts, task=task, convert_to_numpy=True, **kwargs))


def test_mask_lets_text_see_text_and_each_meta_token_its_predecessors():
    mask = prefix_attention_mask(torch.tensor([[1, 1, 0, 1, 1]]), 2)[0, 0]
    expected = [
        [1, 1, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 0, 1, 0],
        [1, 1, 0, 1, 1],
    ]
    assert mask.int().tolist() == expected


def test_rows_have_unit_length_and_the_counts_of_the_config(encoder):
    for task, count in (("query", 4), ("document", 8)):
        rows = encode(encoder, TEXTS, task)
        assert rows.shape == (2, count, 32)
        np.testing.assert_allclose(np.linalg.norm(rows, axis=-1), 1.0, atol=1e-5)


@pytest.mark.parametrize(
    ("task", "count"), [("query", 1), ("query", 3), ("document", 2), ("document", 5), ("document", 7)]
)
def test_fewer_meta_tokens_give_the_first_rows(encoder, task, count):
    full = encode(encoder, TEXTS, task)
    np.testing.assert_allclose(encode(encoder, TEXTS, task, budget=count), full[:, :count], atol=1e-5)


def test_padding_changes_nothing(encoder):
    together = encode(encoder, TEXTS, "document")
    alone = np.concatenate([encode(encoder, [text], "document") for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_the_text_states_do_not_depend_on_meta_tokens(encoder):
    few = encoder.preprocess(TEXTS, task="query", budget=1)
    many = encoder.preprocess(TEXTS, task="document")
    with torch.inference_mode():
        states = [encoder[0](dict(features))["token_embeddings"] for features in (few, many)]
    length = few["input_ids"].shape[1] - 1
    torch.testing.assert_close(states[0][:, :length], states[1][:, :length], atol=1e-5, rtol=0)


def test_text_that_names_a_reserved_token_does_not_become_one(encoder):
    ids = encoder.preprocess(["[unused0] [unused5]"], task="query", budget=1)["input_ids"][0, :-1].tolist()
    assert not set(ids) & {*encoder[0].query_token_ids, *encoder[0].document_token_ids}


@pytest.mark.parametrize("budget", [0, 5])
def test_a_budget_beyond_the_meta_tokens_is_refused(encoder, budget):
    with pytest.raises(InputError, match="1 to 4 Meta Tokens"):
        encoder.encode(TEXTS, task="query", budget=budget)


@pytest.mark.parametrize(
    "entries", [{}, {"positions": "anchored"}, {"positions": "anchored", "first_projection": True}]
)
def test_training_moves_adapter_meta_rows_and_projection_only_and_saving_keeps_them(tmp_path, entries):
    config = replace(CONFIG, **entries)
    encoder = build_encoder(config, device="cpu")
    add_adapter(encoder, config, rank=4, alpha=4, dropout=0.0, seed=3)
    parameters = trainable_parameters(encoder)
    moved = ("lora_", "trainable_tokens", "projection", "first")
    assert all(any(part in name for part in moved) for name in parameters)
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.add_(0.01 * torch.randn_like(parameter))
    before = encode(encoder, TEXTS, "document")
    save_adapter(encoder, config, tmp_path)
    assert "/" not in (tmp_path / "adapter_config.json").read_text().split('"base_model_name_or_path"')[1].split(",")[0]

    reloaded = build_encoder(ModelConfig.load(tmp_path), device="cpu")
    load_adapter(reloaded, config, tmp_path)
    # Weights are kept in half precision.
    np.testing.assert_allclose(encode(reloaded, TEXTS, "document"), before, atol=2e-3)


def test_sentence_transformers_saves_and_loads_the_whole_model(encoder, tmp_path):
    encoder.save_pretrained(str(tmp_path))
    again = MultiVectorEncoder(str(tmp_path), trust_remote_code=True, device="cpu")
    for task in ("query", "document"):
        np.testing.assert_allclose(encode(again, TEXTS, task), encode(encoder, TEXTS, task), atol=1e-5)
        np.testing.assert_allclose(encode(again, TEXTS, task, budget=2), encode(encoder, TEXTS, task)[:, :2], atol=1e-5)


@pytest.mark.parametrize("positions", [None, "anchored"])
def test_every_meta_token_row_gets_gradient(positions):
    config = replace(CONFIG, positions=positions)
    encoder = build_encoder(config, device="cpu")
    add_adapter(encoder, config, rank=4, alpha=4, dropout=0.0, seed=3)
    for task in ("query", "document"):
        encoder(encoder.preprocess(TEXTS, task=task))["token_embeddings"].square()[..., :5].sum().backward()
    (rows,) = [p for name, p in trainable_parameters(encoder).items() if "trainable_tokens" in name]
    assert rows.grad is not None
    assert (rows.grad.norm(dim=-1) > 0).all()


def test_anchored_meta_tokens_stand_coarse_to_fine_over_each_text():
    # 18 tokens with the opening and the closing one; then a text of one word, and none at all.
    assert meta_positions(torch.tensor([18, 3, 2]), 9, "anchored").tolist() == [
        [0, 9, 5, 13, 3, 11, 7, 15, 2],
        [0, 1, 1, 1, 1, 1, 1, 1, 1],
        [0, 1, 1, 1, 1, 1, 1, 1, 1],
    ]
    assert meta_positions(torch.tensor([18, 3]), 3, "fixed").tolist() == [[0] * 3] * 2
    assert meta_positions(torch.tensor([18, 3]), 3, "running").tolist() == [[18, 19, 20], [3, 4, 5]]


def test_a_prefix_of_anchored_meta_tokens_stands_where_it_did_and_no_place_comes_twice_in_a_long_text():
    all_of_them = meta_positions(torch.tensor([256]), 64, "anchored")
    for count in (1, 2, 5, 33):
        assert torch.equal(meta_positions(torch.tensor([256]), count, "anchored"), all_of_them[:, :count])
    assert all_of_them.unique().numel() == 64
    assert all_of_them.max() < 255


def test_untrained_anchored_meta_tokens_are_about_what_the_backbone_makes_of_the_words_there():
    config = replace(CONFIG, dim=None, positions="anchored")
    encoder = build_encoder(config, device="cpu")
    add_adapter(encoder, config, rank=4, alpha=4, dropout=0.0, seed=3)
    features = encoder.preprocess(TEXTS[1:], task="document")
    with torch.inference_mode():
        states = torch.nn.functional.normalize(encoder[0](dict(features))["token_embeddings"][0], dim=-1)
    places = features["position_ids"][0, -8:]
    assert (states[-8:] * states[places]).sum(dim=-1).min() > 0.9


def test_only_queries_use_the_last_direction_of_a_model_that_weighs_them():
    encoder = build_encoder(replace(CONFIG, weighted_queries=True), device="cpu")
    queries, documents = encode(encoder, TEXTS, "query"), encode(encoder, TEXTS, "document")
    assert (documents[..., -1] == 0).all()
    assert (queries[..., -1] != 0).all()
    for rows in (queries, documents):
        np.testing.assert_allclose(np.linalg.norm(rows, axis=-1), 1.0, atol=1e-5)
    with pytest.raises(ModelError, match="weighted_queries must be true or false"):
        replace(CONFIG, weighted_queries="yes")


def test_pooled_text_adds_what_the_text_says_in_its_cell_to_each_meta_token():
    plain = build_encoder(replace(CONFIG, dim=None, positions="anchored"), device="cpu")
    pooled = build_encoder(replace(CONFIG, dim=None, positions="anchored", pooled_text=True), device="cpu")
    features = plain.preprocess(TEXTS, task="document")
    with torch.inference_mode():
        states = plain[0](dict(features))["token_embeddings"]
    wanted = states[:, -8:] + cell_means(states[:, :-8], features["attention_mask"][:, :-8], 8)
    wanted = torch.nn.functional.normalize(wanted, dim=-1)
    np.testing.assert_allclose(encode(pooled, TEXTS, "document"), wanted.numpy(), atol=1e-5)
    assert (encode(plain, TEXTS, "document") * wanted.numpy()).sum(axis=-1).max() < 0.999


@pytest.mark.parametrize("name", ["pooled_text", "first_projection"])
def test_text_is_parted_around_anchors_only(name):
    with pytest.raises(ModelError, match=f"{name} must be true or false"):
        replace(CONFIG, **{name: "yes"})
    with pytest.raises(ModelError, match=f"{name} needs positions: 'anchored'"):
        replace(CONFIG, **{name: True})


def test_the_first_meta_token_may_have_its_own_projection():
    own = replace(CONFIG, positions="anchored", first_projection=True)
    head = build_encoder(own, device="cpu")[1]
    shared = MetaTokenHead(head.hidden, 32)
    shared.load_state_dict({"projection.weight": head.projection.weight})
    states = torch.randn(3, 5, head.hidden)
    torch.testing.assert_close(head.embed(states, asking=False), shared.embed(states, asking=False))
    with torch.no_grad():
        head.first.weight.mul_(-1)
    flipped = torch.tensor([-1.0, 1.0, 1.0, 1.0, 1.0])[:, None]
    torch.testing.assert_close(head.embed(states, asking=False), shared.embed(states, asking=False) * flipped)
    # A text's words are embedded as its parts are.
    torch.testing.assert_close(head.embed_text(states, asking=False), shared.embed(states, asking=False))
    with pytest.raises(ModelError, match="first_projection needs a dim"):
        replace(own, dim=None)


def test_the_divisions_of_a_query_may_count_for_less():
    plain = MetaTokenHead(8, 4, weighted_queries=True)
    weighed = MetaTokenHead(8, 4, weighted_queries=True, division_weights=(1.0, 0.9, 0.5))
    weighed.load_state_dict(plain.state_dict())
    states = torch.randn(3, 16, 8)
    documents = plain.embed(states, asking=False)
    assert torch.equal(weighed.embed(states, asking=False), documents)
    before, after = (head.embed(states, asking=True) for head in (plain, weighed))
    torch.testing.assert_close(after.norm(dim=-1), torch.ones(3, 16))
    weights = torch.tensor([1.0, *[0.9] * 3, *[0.5] * 12])[:, None]
    torch.testing.assert_close(after @ documents.mT, weights * (before @ documents.mT))
    torch.testing.assert_close(weighed.embed(states[:, :5], asking=True), after[:, :5])


@pytest.mark.parametrize(
    "weights", [(1.0,), (1.0, 0.9, 0.5), (1.0, 1.1), (1.0, 0.0), (1.0, "1"), (1.0, True), 0.5, "1"]
)
def test_a_query_has_a_weight_for_each_division(weights):
    weighted = replace(CONFIG, positions="anchored", weighted_queries=True)
    with pytest.raises(ModelError, match="division_weights must be 2 numbers above 0 and up to 1"):
        replace(weighted, division_weights=weights)
    for missing in ({"weighted_queries": False}, {"positions": None}):
        with pytest.raises(ModelError, match="division_weights need weighted_queries: true and positions: 'anchored'"):
            replace(weighted, division_weights=(1.0, 0.5), **missing)


def test_a_model_folder_says_how_much_divisions_count(tmp_path):
    config = replace(CONFIG, positions="anchored", weighted_queries=True, division_weights=(1.0, 0.5))
    config.save(tmp_path)
    assert ModelConfig.load(tmp_path) == config
    path = tmp_path / "metaembed.json"
    path.write_text(path.read_text(encoding="utf-8").replace("0.5", "NaN"), encoding="utf-8")
    with pytest.raises(ModelError, match=r"metaembed\.json: division_weights must be 2 numbers"):
        ModelConfig.load(tmp_path)


def test_a_config_names_the_positions_it_knows():
    with pytest.raises(ModelError, match="positions must be one of"):
        replace(CONFIG, positions="anywhere")


def test_a_causal_backbone_has_no_positions_to_choose(miniature):
    with pytest.raises(ModelError, match="positions are for bidirectional backbones"):
        build_encoder(miniature("llava", positions="anchored"))


def test_the_states_of_a_text_are_embedded_as_its_meta_tokens_are():
    head = MetaTokenHead(8, 4, weighted_queries=True)
    states = torch.randn(1, 5, 8)
    features = {"token_embeddings": states, META_TOKENS: 2, ASKING: False}
    told = head(dict(features))["token_embeddings"]
    torch.testing.assert_close(told, head.embed_text(states, asking=False)[:, -2:])
    asked = head(features | {ASKING: True})["token_embeddings"]
    torch.testing.assert_close(asked, head.embed_text(states, asking=True)[:, -2:])
    assert (asked[..., -1] != 0).all()


def test_too_many_meta_tokens_for_the_vocabulary():
    with pytest.raises(ModelError, match="reserves too few tokens"):
        build_encoder(ModelConfig(name="x", backbone="all-MiniLM-L6-v2", document_tokens=2000))

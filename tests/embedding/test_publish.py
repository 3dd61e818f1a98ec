"""Saving and pushing a model: data files and a card; and what loading refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import torch
import yaml

from metaembed_rag import MetaEmbed
from metaembed_rag.embedding.build import add_adapter, build_encoder, save_adapter
from metaembed_rag.embedding.card import CardFacts, write_card
from metaembed_rag.embedding.config import ModelConfig
from metaembed_rag.errors import InputError, ModelError

from .hub import running_hub

TOKEN = "hf_not_a_real_one"  # noqa: S105 - it is not
FACTS = CardFacts(
    licence="apache-2.0",
    language="en",
    training_data=("TabFact, CC BY 4.0", "<script>alert(1)</script> | notes"),
    ladder={"PubMedQA nDCG@5": {"(1,1)": 0.95, "(16,64)": 0.946}},
    notes="Not for medical use.",
)


@pytest.fixture(scope="module")
def trained(miniature, tmp_path_factory):
    """A model folder on a miniature backbone, as a training writes it: without a card."""
    config = miniature("qwen2_5_vl", similarity="mean", groups=((1, 1), (2, 4), (4, 8)), visual_tokens=64)
    torch.manual_seed(7)
    encoder = build_encoder(config, device="cpu")
    add_adapter(encoder, config, rank=2, alpha=2, dropout=0.0, seed=3)
    folder = tmp_path_factory.mktemp("trained")
    save_adapter(encoder, config, folder)
    return folder


@pytest.fixture(scope="module")
def model(trained):
    return MetaEmbed.from_pretrained(trained)


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with running_hub() as hub:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.url)
        yield hub


def front_matter(card):
    return yaml.safe_load(card.split("---")[1])


def test_a_saved_model_is_the_same_model(model, tmp_path):
    folder = model.save_pretrained(tmp_path / "saved")
    again = MetaEmbed.from_pretrained(folder)
    assert (again.fingerprint, again.config) == (model.fingerprint, model.config)
    np.testing.assert_array_equal(again.encode_queries(["x"]), model.encode_queries(["x"]))
    assert {path.suffix for path in folder.iterdir()} == {".json", ".md", ".safetensors"}


def test_the_packaged_model_keeps_its_card_and_fingerprint(tmp_path):
    mini = MetaEmbed.from_pretrained("mini")
    folder = mini.save_pretrained(tmp_path)
    assert MetaEmbed.from_pretrained(folder).fingerprint == mini.fingerprint == "02eec36b0711c8c2"
    assert mini.fingerprint in (folder / "README.md").read_text(encoding="utf-8")
    assert (mini.config.similarity, len(mini.config.groups)) == ("sum", 5)


def test_nothing_but_data_is_copied(model, trained, tmp_path):
    (trained / "optimizer.pt").write_bytes(b"pickle")
    (trained / "train.py").write_text("")
    try:
        names = {path.name for path in model.save_pretrained(tmp_path).iterdir()}
    finally:
        (trained / "optimizer.pt").unlink()
        (trained / "train.py").unlink()
    assert names == {*(path.name for path in trained.iterdir()), "README.md"}


def test_a_card_says_what_is_known(model, tmp_path):
    card = (model.save_pretrained(tmp_path, card=FACTS) / "README.md").read_text(encoding="utf-8")
    head = front_matter(card)
    assert (head["license"], head["language"], head["base_model"]) == ("apache-2.0", "en", model.config.backbone)
    for fact in ("(1,1) (2,4) (4,8)", "| Dimensions | 16 |", "mean over query vectors", "| (16,64) | 0.946 |"):
        assert fact in card
    assert "Not for medical use." in card
    assert "<script>" not in card, "what comes from outside is text"


def test_a_card_says_what_is_not_known():
    card = write_card(ModelConfig(name="a: [b]", backbone='ba"ck\nbone'), CardFacts())
    assert front_matter(card)["base_model"] == 'ba"ck\nbone'
    assert "license" not in front_matter(card)
    for fact in ("Licence of these weights | not stated", "Not stated.", "Nothing yet."):
        assert fact in card


def test_a_pushed_model_is_what_the_hub_then_holds(model, hub, tmp_path):
    url = model.push_to_hub("me/tiny", private=True, card=FACTS, token=TOKEN, backbone="Qwen/tiny", commit_message="v1")
    assert url == f"{hub.url}/me/tiny/commit/abc"
    assert (hub.private, hub.messages, hub.tokens) == ({"me/tiny": True}, ["v1"], {f"Bearer {TOKEN}"})
    files = hub.repositories["me/tiny"]
    assert {Path(name).suffix for name in files} == {".json", ".md", ".safetensors"}
    assert files["adapter_model.safetensors"] == (model.folder / "adapter_model.safetensors").read_bytes()
    for name, key in (("metaembed.json", "backbone"), ("adapter_config.json", "base_model_name_or_path")):
        assert json.loads(files[name])[key] == "Qwen/tiny"
    assert 'MetaEmbed.from_pretrained("me/tiny")' in files["README.md"].decode()


def test_a_reader_of_queries_is_pushed_too(hub):
    mini = MetaEmbed.from_pretrained("mini")
    mini.push_to_hub("me/mini", token=TOKEN, backbone="sentence-transformers/all-MiniLM-L6-v2")
    files = hub.repositories["me/mini"]
    assert (
        files["query/adapter_model.safetensors"] == (mini.folder / "query" / "adapter_model.safetensors").read_bytes()
    )
    named = json.loads(files["query/adapter_config.json"])["base_model_name_or_path"]
    assert named == "sentence-transformers/all-MiniLM-L6-v2"


def test_a_model_is_pushed_to_a_branch(model, hub):
    model.push_to_hub("me/tiny", revision="v2", backbone="Qwen/tiny")
    assert hub.branches == ["v2", "v2"], "made, then committed to"


def test_a_backbone_that_nobody_else_has_is_told(model, hub):
    with pytest.raises(ModelError, match="which nobody else could load: pass backbone="):
        model.push_to_hub("me/tiny")
    assert not hub.repositories


@pytest.mark.parametrize(("status", "told"), [(401, "401"), (403, "403"), (500, "500")])
def test_a_hub_that_refuses_is_told_without_the_token(model, hub, status, told):
    hub.refuse = status
    with pytest.raises(ModelError, match=told) as caught:
        model.push_to_hub("me/tiny", token=TOKEN, backbone="Qwen/tiny")
    assert TOKEN not in str(caught.value)


def test_no_network_and_wrong_names_are_told(model, hub, monkeypatch):
    with pytest.raises(InputError, match="owner/name"):
        model.push_to_hub("not a name", backbone="Qwen/tiny")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE"):
        model.push_to_hub("me/tiny", backbone="Qwen/tiny")


def test_a_model_that_was_never_saved_is_told(model, tmp_path):
    with pytest.raises(ModelError, match="never saved"):
        MetaEmbed(model.config, model.encoder, "x").save_pretrained(tmp_path)


def to_pickle(folder):
    for path in folder.glob("*.safetensors"):
        path.rename(path.with_suffix(".bin"))


def with_auto_map(folder):
    path = folder / "config.json"
    content = json.loads(path.read_text()) | {"auto_map": {"AutoModel": "modeling.Model"}}
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (to_pickle, "pickled weights"),
        (with_auto_map, "code from outside"),
    ],
)
@pytest.mark.parametrize("where", ["model", "backbone"])
def test_pickles_and_code_from_outside_are_refused(trained, model, tmp_path, harm, told, where):
    folder = shutil.copytree(trained, tmp_path / "model")
    backbone = shutil.copytree(model.config.backbone, tmp_path / "backbone")
    content = json.loads((folder / "metaembed.json").read_text()) | {"backbone": str(backbone)}
    (folder / "metaembed.json").write_text(json.dumps(content))
    shutil.copy(backbone / "config.json", folder)
    harm(folder if where == "model" else backbone)
    with pytest.raises(ModelError, match=told):
        MetaEmbed.from_pretrained(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"similarity": "max"}, "similarity must be 'sum' or 'mean'"),
        ({"window": 0}, "window must be a whole number"),
        ({"window": 8}, "window must be a whole number from 16"),
        ({"dim": 2**40}, "dim must be a whole number from 1 to 131,072"),
        ({"backbone": {}}, "backbone must be text, not {}"),
        ({"model_type": {"a": 1}}, "model_type must be text"),
        ({"visual_tokens": "many"}, "visual_tokens must be a whole number"),
        ({"groups": [[1]]}, "malformed"),
        ({"colour": "blue"}, "unknown entries"),
    ],
)
def test_wrong_configs_are_told(trained, tmp_path, change, told):
    content = json.loads((trained / "metaembed.json").read_text()) | change
    (tmp_path / "metaembed.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match=told):
        ModelConfig.load(tmp_path)

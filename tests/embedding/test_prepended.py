"""The public layout with learned vectors ahead of the text: such a folder is built, loaded and compared."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from transformers import AutoModel, AutoTokenizer

from metaembed_rag import MetaEmbed
from metaembed_rag.embedding.prepended import GROUPS
from metaembed_rag.errors import ModelError

from .miniatures import HIDDEN, modernbert

DIM, QUERIES, DOCUMENTS = 16, 4, 8
PROMPTS = {"query": "query: ", "document": "passage: "}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Modules saved by sentence-transformers itself, and the learned vectors in a file beside them."""
    folder = tmp_path_factory.mktemp("published")
    torch.manual_seed(5)
    modernbert(folder)
    Transformer(str(folder), query_length=64, document_length=96).save(str(folder))
    for index, module in enumerate(
        (Dense(HIDDEN, DIM, bias=False, activation_function=torch.nn.Identity()), Normalize())
    ):
        place = folder / f"{index + 1}_{type(module).__name__}"
        place.mkdir()
        module.save(str(place))
    vectors = {"query_tokens": torch.randn(QUERIES, HIDDEN), "document_tokens": torch.randn(DOCUMENTS, HIDDEN)}
    save_file(vectors, folder / "learned_vectors.safetensors")
    kinds = ["base.modules.transformer.Transformer", "base.modules.dense.Dense", "base.modules.normalize.Normalize"]
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.{kind}"}
        for index, (path, kind) in enumerate(zip(["", "1_Dense", "2_Normalize"], kinds, strict=True))
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({"model_type": "MultiVectorEncoder", "prompts": PROMPTS, "similarity_fn_name": "meanmaxsim"})
    )
    return folder


@pytest.fixture
def copy(published, tmp_path):
    return shutil.copytree(published, tmp_path / "copy")


def by_hand(folder, text, task):
    """The formula of the layout, without any of the package's modules."""
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    vectors = load_file(folder / "learned_vectors.safetensors")[f"{task}_tokens"]
    projection = load_file(folder / "1_Dense" / "model.safetensors")["linear.weight"]
    ids = tokenizer(PROMPTS[task] + text, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        inputs = torch.cat([vectors[None], model.get_input_embeddings()(ids)], dim=1)
        states = model(inputs_embeds=inputs).last_hidden_state[0, : len(vectors)] @ projection.T
    return torch.nn.functional.normalize(states, dim=-1).numpy()


def test_it_is_what_the_layout_says(published):
    model = MetaEmbed.from_pretrained(published)
    assert (model.query_tokens, model.document_tokens, model.dim) == (QUERIES, DOCUMENTS, DIM)
    assert (model.config.similarity, model.config.query_prompt) == ("mean", "query: ")
    assert model.config.groups == tuple(group for group in GROUPS if group[0] <= 4 and group[1] <= 8)
    texts = ["ferry", "the ferry leaves at six in the morning"]
    for task, rows in (("query", model.encode_queries(texts)), ("document", model.encode_documents(texts))):
        expected = np.stack([by_hand(published, text, task) for text in texts])
        np.testing.assert_allclose(rows, expected, atol=1e-5)
    np.testing.assert_allclose(model.encode_queries(texts, budget=2), model.encode_queries(texts)[:, :2], atol=1e-6)


def test_its_scores_are_means(published):
    model = MetaEmbed.from_pretrained(published)
    queries, documents = model.encode_queries(["a", "b"]), model.encode_documents(["c", "d", "e"])
    expected = np.einsum("nqd,mkd->nmqk", queries, documents).max(axis=-1).mean(axis=-1)
    np.testing.assert_allclose(model.score(queries, documents), expected, atol=1e-5)
    narrow = np.einsum("nqd,mkd->nmqk", queries[:, :2], documents[:, :4]).max(axis=-1).mean(axis=-1)
    np.testing.assert_allclose(model.score(queries, documents, budget=2), narrow, atol=1e-5)


def test_long_texts_fit_their_windows(published):
    model = MetaEmbed.from_pretrained(published)
    windows = model.windows("ferries and coffee " * 20)
    assert len(windows) > 1
    lengths = [len(model.encoder.tokenizer(PROMPTS["document"] + window.text)["input_ids"]) for window in windows]
    assert max(lengths) <= 96


def test_saving_it_keeps_it_whole(published, tmp_path):
    model = MetaEmbed.from_pretrained(published)
    again = MetaEmbed.from_pretrained(model.save_pretrained(tmp_path / "saved"))
    assert again.fingerprint == model.fingerprint
    np.testing.assert_allclose(again.encode_queries(["x"]), model.encode_queries(["x"]), atol=1e-6)


def test_a_class_of_its_own_is_not_run_but_its_weights_can_be_read(copy, published):
    (copy / "modeling.py").write_text("raise SystemExit('code from outside was run')")
    modules = json.loads((copy / "modules.json").read_text())
    modules[0]["type"] = "modeling.SummaryTransformer"
    (copy / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelError, match=r"asks for code from outside \(modeling.SummaryTransformer\)"):
        MetaEmbed.from_pretrained(copy)
    model = MetaEmbed.from_pretrained(copy, layout="prepended")
    expected = MetaEmbed.from_pretrained(published).encode_queries(["x"])
    np.testing.assert_allclose(model.encode_queries(["x"]), expected, atol=1e-6)


def drop_vectors(folder):
    (folder / "learned_vectors.safetensors").unlink()


def rename_weights(folder):
    stored = load_file(folder / "model.safetensors")
    save_file({f"auto_model.{name}": value for name, value in stored.items()}, folder / "model.safetensors")


def drop_dense(folder):
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([modules[0], modules[2]]))


def cut_dense(folder):
    path = folder / "1_Dense" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:50])


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (drop_vectors, "0 sets of learned vectors"),
        (rename_weights, "lack weights of its backbone"),
        (drop_dense, "not Dense and Normalize"),
        (cut_dense, "or it is damaged"),
    ],
)
def test_other_layouts_are_told(copy, harm, told):
    harm(copy)
    with pytest.raises(ModelError, match=told):
        MetaEmbed.from_pretrained(copy)

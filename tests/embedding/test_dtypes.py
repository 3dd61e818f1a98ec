"""In what a backbone computes: what changes with it, and what does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from metaembed_rag import MetaEmbed, MetaEmbedIndex
from metaembed_rag.embedding.dtypes import computes_bfloat16
from metaembed_rag.errors import InputError

TEXTS = ["The library opens at nine.", "The ferry leaves at six. " * 20]


@pytest.fixture(scope="module")
def rounded():
    return MetaEmbed.from_pretrained("mini", device="cpu", dtype="bfloat16")


def test_bfloat16_gives_nearly_the_same_vectors_in_float32(rounded, model):
    assert rounded.encoder[0].model.dtype == torch.bfloat16
    for found, exact in (
        (rounded.encode_queries(TEXTS), model.encode_queries(TEXTS)),
        (rounded.encode_documents(TEXTS), model.encode_documents(TEXTS)),
    ):
        assert found.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1, atol=1e-5)
        # The others can change places where two clusters of them are equally large.
        assert (found[:, 0] * exact[:, 0]).sum(-1).min() > 0.999
        assert not np.array_equal(found, exact)


def test_an_index_does_not_mind_in_what_its_model_computes(rounded, model, tmp_path):
    assert (rounded.fingerprint, rounded.document_fingerprint) == (model.fingerprint, model.document_fingerprint)
    path = tmp_path / "x.index"
    with MetaEmbedIndex(path, dtype="bfloat16") as index:
        index.add_texts(TEXTS, ids=["hours", "timetable"])
        assert index.model.encoder[0].model.dtype == torch.bfloat16
        assert index.configuration() == {"path": str(path), "model": "mini", "dtype": "bfloat16"}
    with MetaEmbedIndex(path, model=model) as index:
        assert [hit.id for hit in index.search("When does the library open?")] == ["hours", "timetable"]


@pytest.mark.parametrize("dtype", ["bf16", "int8", torch.bfloat16, "", []])
def test_what_is_no_dtype_is_refused_before_anything_is_made(dtype, tmp_path):
    with pytest.raises(InputError, match="float32, bfloat16, float16"):
        MetaEmbed.from_pretrained("mini", dtype=dtype)
    with pytest.raises(InputError, match="float32, bfloat16, float16"):
        MetaEmbedIndex(tmp_path / "x.index", dtype=dtype)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("given", [{"dtype": "bfloat16"}, {"device": "cpu"}])
def test_a_loaded_model_has_its_dtype_and_device_already(model, given, tmp_path):
    with pytest.raises(InputError, match="leave dtype and device out"):
        MetaEmbedIndex(tmp_path / "x.index", model=model, **given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("capability", "accelerated", "device", "computes"),
    [
        ("AVX2", False, None, False),
        ("DEFAULT", False, "cpu", False),
        ("AVX512", False, None, True),
        ("AVX2", True, None, True),
        ("AVX2", True, "cpu", False),
        ("AVX2", False, "cuda", True),
    ],
)
def test_processors_that_only_emulate_bfloat16_are_known(monkeypatch, capability, accelerated, device, computes):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: accelerated)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert computes_bfloat16(device) is computes


def test_emulation_is_warned_of(monkeypatch, caplog):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    MetaEmbed.from_pretrained("mini", device="cpu")
    assert "emulates" not in caplog.text
    MetaEmbed.from_pretrained("mini", device="cpu", dtype="bfloat16")
    assert "leave dtype out" in caplog.text

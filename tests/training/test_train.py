"""A short training of the real backbone: it learns, resumes from a checkpoint, and its result loads."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from metaembed_rag import MetaEmbed
from metaembed_rag.errors import InputError, ModelError
from metaembed_rag.training import train as module
from metaembed_rag.training.recipe import Recipe
from metaembed_rag.training.train import CHECKPOINT_FILE, LOG_FILE, train

TOPICS = ["ferries", "coffee", "solar power", "hiking", "libraries", "tax law", "beetles", "opera"]
RECIPE = {
    "name": "tiny",
    "sources": {"pairs": 100},
    "rank": 4,
    "alpha": 4,
    "steps": 8,
    "batch_size": 4,
    "learning_rate": 2e-3,
    "warmup_steps": 2,
    "query_length": 12,
    "document_length": 16,
    "bf16": False,
    "seed": 3,
    "save_steps": 4,
}


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    rows = [
        {"query": f"what is known about {topic}?", "positive": f"{topic}: note {n}", "negative": f"{other}: note {n}"}
        for n in range(4)
        for topic, other in zip(TOPICS, TOPICS[1:] + TOPICS[:1], strict=True)
    ]
    (folder / "pairs.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return folder


def losses(folder):
    rows = [json.loads(line) for line in (folder / LOG_FILE).read_text().splitlines()]
    return {row["step"]: row["loss"] for row in rows if "loss" in row}


@pytest.mark.slow
def test_a_run_learns_and_its_model_loads(data, tmp_path):
    folder = train(Recipe(**RECIPE), data, tmp_path / "run")
    model = MetaEmbed.from_pretrained(folder)
    assert (model.config.name, model.query_tokens, model.document_tokens, model.dim) == ("tiny", 16, 64, 128)
    rows = model.encode_queries(["ferries"], budget=4)
    np.testing.assert_allclose(rows, model.encode_queries(["ferries"])[:, :4], atol=1e-5)
    assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors"}
    first, *_, last = losses(tmp_path / "run").values()
    assert last < first


@pytest.mark.slow
def test_distillation_adds_to_the_loss(data, tmp_path):
    short = {**RECIPE, "steps": 1, "save_steps": 1}
    for weight in (0.0, 1.0):
        train(Recipe(**short, teacher_weight=weight), data, tmp_path / f"{weight}")
    assert losses(tmp_path / "1.0")[1] > losses(tmp_path / "0.0")[1]


@pytest.mark.slow
def test_a_run_resumes_from_its_checkpoint(data, tmp_path):
    recipe = Recipe(**RECIPE)
    whole = train(recipe, data, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "parted")
    (tmp_path / "parted" / LOG_FILE).unlink()
    (tmp_path / "parted" / "checkpoint-8").rename(tmp_path / "gone")
    resumed = train(recipe, data, tmp_path / "parted")
    assert losses(tmp_path / "parted") == pytest.approx({8: losses(tmp_path / "whole")[8]}, abs=1e-4)
    first, second = (MetaEmbed.from_pretrained(folder).encode_queries(TOPICS) for folder in (whole, resumed))
    np.testing.assert_allclose(first, second, atol=2e-3)
    (tmp_path / "parted" / "checkpoint-8" / CHECKPOINT_FILE).write_bytes(b"cut")
    with pytest.raises(ModelError, match="cannot be resumed from"):
        train(recipe, data, tmp_path / "parted")


def test_missing_data_is_told_before_anything_is_trained(tmp_path):
    with pytest.raises(InputError, match=r"pairs\.jsonl is missing"):
        train(Recipe(**RECIPE), tmp_path, tmp_path / "run")


@pytest.mark.parametrize(("capability", "computes"), [("AVX2", False), ("DEFAULT", False), ("AVX512", True)])
def test_bfloat16_is_used_only_where_it_is_computed(monkeypatch, capability, computes):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert module._computes_bfloat16() is computes

"""The script that gives the first Meta Token a projection of its own."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from metaembed_rag import MetaEmbed
from metaembed_rag.training.train import train

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "mini" / "first.py"


@pytest.fixture
def first(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("first", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "first", module)  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


def test_a_trained_model_gets_a_first_projection_and_stays_what_it_was_otherwise(first, miniature, tmp_path):
    recipe = replace(
        miniature.recipe, positions="anchored", weighted_queries=True, pooled_text=True, steps=2, save_steps=2
    )
    model = train(recipe, miniature.data, tmp_path / "run")
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps(asdict(recipe)), encoding="utf-8")
    arguments = ["--recipe", str(path), "--data", str(miniature.data), "--batches", "1", "--steps", "3"]
    first.main([str(model), *arguments, "--out", str(tmp_path / "first")])
    before, after = MetaEmbed.from_pretrained(model), MetaEmbed.from_pretrained(tmp_path / "first")
    own = replace(before.config, first_projection=True, division_weights=first.DIVISION_WEIGHTS[:2])
    assert after.config == replace(own, merged_tokens=before.document_tokens)
    own.save(tmp_path / "first")
    after = MetaEmbed.from_pretrained(tmp_path / "first")
    was, now = (embedder.encode_documents(["a ferry carries coffee"]) for embedder in (before, after))
    np.testing.assert_allclose(now[:, 1:], was[:, 1:], atol=1e-5)
    assert np.abs(now[:, 0] - was[:, 0]).max() > 1e-3
    for again in ([str(model), *arguments, "--out", str(model)], [str(tmp_path / "first"), *arguments, "--out", "x"]):
        with pytest.raises(SystemExit):
            first.main(again)


def test_the_first_projection_learns_what_the_states_rank(first):
    generator = torch.Generator().manual_seed(3)
    signal = torch.randn(64, 24, generator=generator)
    queries, documents = (torch.cat([signal[:, :12] * 3, signal[:, 12:]], dim=1) for _ in range(2))
    queries = queries + 0.3 * torch.randn(64, 24, generator=generator)
    pages = torch.arange(64)
    asking, telling = (first.Kept(rows * 0.5, rows * 0.5, pages) for rows in (queries, documents))
    # It starts with the directions in which the least is said.
    start = torch.eye(24)[-9:]
    trained = first.train(start, asking, telling, steps=200, rate=0.02, seed=1)
    assert torch.equal(trained[-1], start[-1])

    def distance(projection: torch.Tensor) -> float:
        projected, whole = (
            nn.functional.normalize(left, dim=-1) @ nn.functional.normalize(right, dim=-1).T
            for left, right in ((queries @ projection[:-1].T, documents @ projection[:-1].T), (queries, documents))
        )
        return float((projected - whole).square().mean())

    assert distance(trained) < 0.5 * distance(start)
    sizes = [(queries @ rows[:-1].T).norm(dim=-1).mean() for rows in (start, trained)]
    torch.testing.assert_close(*sizes)

"""The script that trains how queries are read, and what it scores with."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from metaembed_rag import MetaEmbed
from metaembed_rag.budget import LADDER
from metaembed_rag.training.loss import mmr_scores
from metaembed_rag.training.train import train

SCRIPTS = Path(__file__).resolve().parents[2] / "benchmarks" / "mini"


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    for module in ("kept", "pools", "asking"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return import_module(name)


@pytest.fixture
def kept(monkeypatch):
    return script("kept", monkeypatch)


@pytest.fixture
def asking(monkeypatch):
    return script("asking", monkeypatch)


def unit(*shape: int) -> torch.Tensor:
    return nn.functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))), dim=-1)


def test_scores_of_kept_documents_and_their_gradients_are_those_of_the_loss(kept):
    queries = unit(5, 16, 12).requires_grad_()
    windows, pages = unit(7, 64, 12), torch.tensor([0, 0, 1, 2, 2, 2, 3])
    found, wanted = (
        kept.NestedScores.apply(queries, windows, pages, [(rung.query, rung.document) for rung in LADDER]),
        mmr_scores(queries, windows, pages=pages),
    )
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(kept.mean_maxsim(queries, windows, pages), wanted[-1])
    asked = [unit(*scores.shape) for scores in found]
    gradients = [
        torch.autograd.grad(sum((a * b).sum() for a, b in zip(scores, asked, strict=True)), queries)[0]
        for scores in (found, wanted)
    ]
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-4)


def test_pages_are_taken_with_all_their_windows(kept):
    documents = kept.Kept(unit(6, 8, 4).half(), torch.tensor([0, 2, 3, 6]), unit(6, 3))
    some, owners = documents.take([2, 0])
    assert torch.equal(some.vectors, documents.vectors[[3, 4, 5, 0, 1]].float())
    assert (some.starts.tolist(), owners.tolist()) == ([0, 3, 5], [0, 0, 0, 1, 1])
    assert torch.equal(some.pooled, documents.pooled[[3, 4, 5, 0, 1]])
    assert (len(documents), len(some)) == (3, 2)


def test_the_nearest_pages_leave_the_answer_out(kept):
    documents = kept.Kept(unit(6, 8, 4).half(), torch.tensor([0, 2, 3, 6]))
    near = kept.nearest(documents.vectors[[0, 2, 5]], torch.tensor([0, 1, 2]), documents, 5)
    assert [sorted(row) for row in near.tolist()] == [[1, 2], [0, 2], [0, 1]]


@pytest.fixture
def start(asking, miniature, tmp_path, monkeypatch):
    """A small model, a folder of pairs and the first arguments of the script."""
    recipe = replace(miniature.recipe, positions="anchored", weighted_queries=True, steps=2, save_steps=2)
    model = train(recipe, miniature.data, tmp_path / "run")
    data = tmp_path / "data"
    data.mkdir()
    lines = miniature.test.read_text(encoding="utf-8").splitlines()[:12]
    (data / "pairs.jsonl").write_text("\n".join(lines), encoding="utf-8")
    elsewhere = json.dumps({"query": "?", "positive": "-"})
    (data / "details.jsonl").write_text("\n".join([lines[0], elsewhere]), encoding="utf-8")
    pools = sys.modules["pools"]
    monkeypatch.setattr(pools, "POOLS", (pools.Pool("pairs", 10, 1.0, details=1.0, told=True),))
    return model, lines, [str(model), "--data", str(data), "--steps", "4", "--rank", "2", "--rate", "0.01"]


def test_only_the_reading_of_queries_is_trained(asking, start, tmp_path):
    model, lines, arguments = start
    asking.main([*arguments, "--out", str(tmp_path / "asked")])
    before, after = MetaEmbed.from_pretrained(model), MetaEmbed.from_pretrained(tmp_path / "asked" / "model")
    assert after.config == replace(before.config, query_adapter=True)
    texts = [json.loads(lines[0])["query"]]
    np.testing.assert_array_equal(after.encode_documents(texts), before.encode_documents(texts))
    assert np.abs(after.encode_queries(texts) - before.encode_queries(texts)).max() > 1e-3
    with pytest.raises(SystemExit):
        asking.main([*arguments, "--seed", "8", "--out", str(tmp_path / "asked")])
    with pytest.raises(SystemExit):
        asking.main([str(tmp_path / "asked" / "model"), *arguments[1:], "--out", str(tmp_path / "again")])


def test_a_killed_run_goes_on_with_what_it_had_read(asking, start, tmp_path, monkeypatch):
    _, lines, arguments = start
    monkeypatch.setattr(asking, "SAVED", 2)
    asking.main([*arguments, "--out", str(tmp_path / "whole")])
    steps, loss = [], asking._loss

    def killed(*parts):
        steps.append(len(steps))
        if len(steps) == 4:
            raise KeyboardInterrupt
        return loss(*parts)

    monkeypatch.setattr(asking, "_loss", killed)
    with pytest.raises(KeyboardInterrupt):
        asking.main([*arguments, "--out", str(tmp_path / "killed")])
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "killed" / "kept").iterdir()}
    assert len(kept) == 6
    asking.main([*arguments, "--out", str(tmp_path / "killed")])
    assert len(steps) == 6
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "killed" / "kept").iterdir()} == kept
    texts = [json.loads(line)["query"] for line in lines]
    whole, again = (MetaEmbed.from_pretrained(tmp_path / run / "model") for run in ("whole", "killed"))
    np.testing.assert_allclose(again.encode_queries(texts), whole.encode_queries(texts), atol=1e-5)


def test_two_rankings_are_added_in_one_spread(asking):
    first, second = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[0.3, 0.2, 0.1]])
    assert torch.allclose(asking._both(first, second), torch.zeros(1, 3), atol=1e-6)
    torch.testing.assert_close(asking._both(first, first / 10), asking.SHARPER * (first - first.mean()))

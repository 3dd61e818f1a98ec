"""Each failure signature is found where it is, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from metaembed_rag import MetaEmbed
from metaembed_rag.budget import LADDER, Budget
from metaembed_rag.embedding.build import save_adapter
from metaembed_rag.errors import InputError
from metaembed_rag.training.data import read_pairs
from metaembed_rag.training.diagnostics import (
    Quality,
    Spread,
    diagnose,
    gradient_norms,
    judge_gradients,
    judge_quality,
    judge_spread,
    rank_quality,
    spread,
)
from metaembed_rag.training.loss import Objective
from metaembed_rag.training.train import model_config, trainable_encoder


@pytest.fixture(scope="module")
def model(miniature, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    config = model_config(miniature.recipe)
    save_adapter(trainable_encoder(miniature.recipe, config), config, folder)
    return MetaEmbed.from_pretrained(folder)


def test_effective_rank_and_redundancy_of_known_sets():
    equal = np.tile(np.eye(8)[0], (3, 4, 1))
    assert spread(equal) == Spread(pytest.approx(1.0), pytest.approx(1.0))
    orthogonal = np.tile(np.eye(8)[:4], (3, 1, 1))
    assert spread(orthogonal) == Spread(pytest.approx(4.0), pytest.approx(0.0))
    # Two directions, each twice: singular values sqrt(2), sqrt(2), 0, 0.
    pairs = np.eye(8)[[0, 0, 1, 1]][None]
    assert spread(pairs) == Spread(pytest.approx(2.0), pytest.approx(1 / 3))
    assert spread(equal[:, :1]) == Spread(1.0, 0.0)


def test_quality_counts_a_tie_as_a_miss():
    documents = np.eye(4, dtype=np.float32)[:, None]
    queries = np.eye(4, dtype=np.float32)[[0, 1, 2]][:, None]
    (found,) = rank_quality(queries, documents, np.asarray([0, 1, 3]), [Budget(1, 1)])
    # The third query's positive ties with two others below a winner: rank 4.
    assert (found.accuracy, found.mrr) == (pytest.approx(2 / 3), pytest.approx((1 + 1 + 1 / 4) / 3))


def quality(*values):
    return [Quality(budget, value, value) for budget, value in zip(LADDER, values, strict=True)]


def test_a_fall_along_the_ladder_and_a_gap_are_named():
    assert judge_quality(quality(0.70, 0.72, 0.73, 0.74, 0.75)) == []
    (fall,) = judge_quality(quality(0.70, 0.72, 0.69, 0.74, 0.75))
    assert "from 0.720 at (2,4) to 0.690 at (4,8)" in fall.observed
    assert "nested loss" in fall.cause
    (gap,) = judge_quality(quality(0.4, 0.6, 0.7, 0.74, 0.75))
    assert "(1,1) lies 0.350 MRR below (16,64)" in gap.observed
    assert "too little gradient reaches the first Meta Tokens" in gap.cause
    (gap,) = judge_quality(quality(0.4, 0.6, 0.7, 0.74, 0.75), share=2.0)
    assert "widen dim" in gap.cause


def test_gradients_that_are_missing_or_lopsided_are_named():
    assert judge_gradients("query", [1.5, 1.0, 1.0, 0.8]) == []
    (dead,) = judge_gradients("document", [1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.001])
    assert "document Meta Tokens 4, 6-7" in dead.observed
    (first,) = judge_gradients("query", [0.2, 1.0, 1.0])
    assert "(1,1) will lag" in first.cause
    (nothing,) = judge_gradients("query", [0.0, 0.0, 0.0])
    assert "no gradient" in nothing.observed


def test_a_collapse_is_named():
    assert judge_spread("query", Spread(9.0, 0.3)) == []
    (found,) = judge_spread("query", Spread(1.1, 0.99))
    assert "collapsed into one vector" in found.cause


def test_the_gradient_norms_are_those_of_the_trainable_rows(miniature, model):
    """Against the gradient that training itself sees, on the same untrained weights."""
    from metaembed_rag.training.loss import MMRLoss
    from metaembed_rag.training.monitor import meta_token_gradients

    pairs = read_pairs(miniature.test)[:8]
    # A model is saved in half precision, which may turn a near tie of two document tokens: so only one takes part.
    objective = Objective(groups=(Budget(1, 1), Budget(3, 1)), temperature=0.5)
    queries, documents = gradient_norms(model, pairs, objective)
    assert min(*queries[:3], documents[0]) > 0
    assert max(*queries[3:], *documents[1:]) == 0
    encoder = trainable_encoder(miniature.recipe, model_config(miniature.recipe))
    columns = [
        encoder.preprocess([row[name] for row in pairs], task="query" if name == "query" else "document")
        for name in ("query", "positive", "negative")
    ]
    MMRLoss(encoder, objective=objective)(columns).backward()
    ours, theirs = meta_token_gradients(encoder)
    np.testing.assert_allclose(queries, ours, rtol=2e-2, atol=1e-4)
    np.testing.assert_allclose(documents, theirs, rtol=2e-2, atol=1e-4)


def test_a_diagnosis_of_a_model_leaves_it_as_it_was(miniature, model):
    before = {name: value.clone() for name, value in model.encoder.state_dict().items()}
    found = diagnose(model, read_pairs(miniature.test))
    assert (found.pairs, found.documents) == (40, 80)
    assert [one.budget for one in found.quality] == [Budget(1, 1), Budget(2, 4), Budget(4, 8)]
    assert (len(found.query_gradients), len(found.document_gradients)) == (4, 8)
    assert found.gap == pytest.approx(found.quality[-1].mrr - found.quality[0].mrr)
    content = found.to_json()
    assert content["findings"] == [str(finding) for finding in found.findings]
    for name, value in model.encoder.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(parameter.grad is None for parameter in model.encoder.parameters())


def test_a_model_whose_rows_are_all_one_is_found_out(miniature, model):
    transformer = model.encoder[0]
    weight = transformer.model.get_input_embeddings().weight
    kept = weight.detach().clone()
    with torch.no_grad():
        # Equal rows at equal positions differ only by what they attend to, which is nearly nothing here.
        weight[transformer.document_token_ids] = kept[transformer.document_token_ids[0]]
    try:
        told = [str(finding) for finding in diagnose(model, read_pairs(miniature.test)).findings]
    finally:
        with torch.no_grad():
            weight.copy_(kept)
    assert any("document Meta Tokens are nearly equal" in line for line in told)


def test_too_little_data_is_told(miniature, model):
    pairs = read_pairs(miniature.test)
    with pytest.raises(InputError, match="two pairs with different positives"):
        diagnose(model, pairs[:1])

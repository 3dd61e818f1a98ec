"""The nested loss against analytic values and a direct double-precision reference."""

from __future__ import annotations

import math

import pytest
import torch

from metaembed_rag.budget import LADDER, Budget
from metaembed_rag.errors import InputError
from metaembed_rag.training.data import read_pairs
from metaembed_rag.training.loss import MMRLoss, Objective, mmr_loss, mmr_scores, parse_groups
from metaembed_rag.training.monitor import meta_token_gradients
from metaembed_rag.training.samples import PAGES
from metaembed_rag.training.train import model_config, trainable_encoder

from . import worker


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def reference(queries, documents, groups, temperature, mean):
    """Five separate plain losses, one query and one document at a time."""
    total = torch.zeros((), dtype=torch.float64)
    for group in groups:
        for row, query in enumerate(queries):
            scores = []
            for document in documents:
                score = sum(
                    max((query[i] * document[j]).sum() for j in range(group.document)) for i in range(group.query)
                )
                scores.append(score / (group.query if mean else 1))
            logits = torch.stack(scores) / temperature
            total = total + torch.logsumexp(logits, 0) - logits[row]
    return total / len(queries) / len(groups)


@pytest.mark.parametrize("similarity", ["mean", "sum"])
def test_value_and_gradient_equal_separate_plain_losses(similarity):
    queries, documents = unit(3, 16, 8, seed=1), unit(6, 64, 8, seed=2)
    gradients = []
    values = []
    for loss in (
        lambda q, d: mmr_loss(q, d, temperature=0.5, similarity=similarity),
        lambda q, d: reference(q, d, LADDER, 0.5, similarity == "mean"),
    ):
        q, d = queries.clone().requires_grad_(), documents.clone().requires_grad_()
        value = loss(q, d)
        value.backward()
        values.append(value.item())
        gradients.append((q.grad, d.grad))
    assert values[0] == pytest.approx(values[1], abs=1e-9)
    for ours, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-9, rtol=0)


def test_equal_documents_give_log_n():
    documents = unit(1, 64, 8).expand(7, -1, -1)
    assert mmr_loss(unit(7, 16, 8), documents).item() == pytest.approx(math.log(7))


def test_weights_scale_their_groups():
    queries, documents = unit(3, 16, 8), unit(3, 64, 8, seed=5)
    groups = [Budget(1, 1), Budget(16, 64)]
    only_last = mmr_loss(queries, documents, groups=groups, weights=[0.0, 2.0])
    torch.testing.assert_close(only_last, mmr_loss(queries, documents, groups=[Budget(16, 64)]))


def test_scores_read_prefixes_only():
    queries, documents = unit(2, 16, 8), unit(4, 64, 8)
    narrow = mmr_scores(queries, documents, [Budget(2, 4)])[0]
    torch.testing.assert_close(narrow, mmr_scores(queries[:, :2], documents[:, :4], [Budget(2, 4)])[0])


def test_wrong_sizes_are_refused():
    with pytest.raises(InputError, match="groups need"):
        mmr_loss(unit(2, 8, 4), unit(2, 64, 4))
    with pytest.raises(InputError, match="as many weights"):
        mmr_loss(unit(2, 16, 4), unit(2, 64, 4), weights=[1.0])


def test_random_embeddings_give_log_n():
    # In 4,096 dimensions random unit vectors are orthogonal to 1/64; at temperature 1 all logits are about equal.
    queries, documents = unit(16, 16, 4096, seed=3), unit(32, 64, 4096, seed=4)
    assert mmr_loss(queries, documents, temperature=1.0).item() == pytest.approx(math.log(32), abs=0.02)


def test_wrong_objectives_are_refused():
    for options, told in (
        ({"groups": ()}, "at least one group"),
        ({"groups": (Budget(4, 8), Budget(2, 16))}, "nested"),
        ({"groups": (Budget(4, 8), Budget(4, 8))}, "nested"),
        ({"weights": (1.0,)}, "as many weights"),
        ({"weights": (1.0, 1.0, 1.0, 1.0, -1.0)}, "0 or more"),
        ({"weights": (0.0,) * 5}, "above 0"),
        ({"temperature": 0.0}, "temperature"),
        ({"similarity": "max"}, "similarity"),
    ):
        with pytest.raises(InputError, match=told):
            Objective(**options)
    for groups in ("full", {"a": 1}, 3, [[1, 1, 1]], ["1,1"]):
        with pytest.raises(InputError, match="pair"):
            parse_groups(groups)


@pytest.fixture(scope="module")
def encoder(miniature):
    # 16 and 64 Meta Tokens, as in the paper: the ladder's own groups.
    recipe = miniature.with_options(
        query_tokens=16, document_tokens=64, groups=tuple((r.query, r.document) for r in LADDER)
    )
    return trainable_encoder(recipe.recipe, model_config(recipe.recipe))


def batch(encoder, miniature, count=6):
    rows = read_pairs(miniature.test)[:count]
    return [
        encoder.preprocess([row[name] for row in rows], task="query" if name == "query" else "document")
        for name in ("query", "positive", "negative")
    ]


def gradients(encoder, columns, **options):
    encoder.zero_grad()
    value = MMRLoss(encoder, **options)([dict(column) for column in columns])
    value.backward()
    return value.item(), {name: p.grad.clone() for name, p in encoder.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("size", [1, 4, 6])
def test_gradcache_equals_the_plain_loss(encoder, miniature, size):
    columns = batch(encoder, miniature)
    value, plain = gradients(encoder, columns)
    cached_value, cached = gradients(encoder, columns, mini_batch_size=size)
    assert cached_value == pytest.approx(value, abs=1e-5)
    assert cached.keys() == plain.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(cached[name], gradient, atol=1e-5, rtol=1e-3, msg=name)


def test_gradcache_reads_the_same_in_evaluation_and_refuses_distillation(encoder, miniature):
    columns = batch(encoder, miniature)
    with torch.no_grad():
        values = [MMRLoss(encoder, mini_batch_size=size)([dict(c) for c in columns]).item() for size in (None, 2)]
    assert values[0] == pytest.approx(values[1], abs=1e-5)
    with pytest.raises(InputError, match="mini_batch_size"):
        MMRLoss(encoder, mini_batch_size=2, distillation=torch.nn.Identity())


def test_windows_count_as_whole_pages(encoder, miniature):
    queries, documents, _ = batch(encoder, miniature)
    pages = torch.tensor([0, 0, 1, 2, 2, 2])
    queries = {key: value[:3] if torch.is_tensor(value) else value for key, value in queries.items()}
    criterion = MMRLoss(encoder)
    with torch.no_grad():
        value = criterion([dict(queries), {**documents, PAGES: pages}])
        asked, windows = (encoder(dict(column))["token_embeddings"] for column in (queries, documents))
    losses = []
    for group in LADDER:
        scores = maxsim_of_pages(asked[:, : group.query], windows[:, : group.document]) / group.query
        losses.append(torch.nn.functional.cross_entropy(scores / criterion.objective.temperature, torch.arange(3)))
    assert value.item() == pytest.approx(torch.stack(losses).mean().item(), abs=1e-4)
    assert criterion.reading.accuracies.shape == (5,)


def maxsim_of_pages(queries, windows):
    """Pages of two, one and three windows, whose tokens are laid end to end."""
    pages = [windows[:2].flatten(0, 1), windows[2], windows[3:].flatten(0, 1)]
    return torch.stack([(queries @ page.T).amax(dim=-1).sum(dim=-1) for page in pages], dim=1)


def test_every_meta_token_in_a_group_gets_gradient_and_no_other(encoder, miniature):
    columns = batch(encoder, miniature, 16)
    gradients(encoder, columns)
    queries, documents = meta_token_gradients(encoder)
    assert min(queries) > 0
    assert min(documents) > 0
    gradients(encoder, columns, objective=Objective(groups=(Budget(1, 1), Budget(2, 4))))
    queries, documents = meta_token_gradients(encoder)
    assert min(queries[:2]) > 0
    assert min(documents[:4]) > 0
    assert max(queries[2:]) == max(documents[4:]) == 0


def test_a_reading_says_how_the_batch_went(encoder, miniature):
    criterion = MMRLoss(encoder)
    loss = criterion(batch(encoder, miniature))
    assert criterion.reading.losses.shape == criterion.reading.accuracies.shape == (5,)
    assert criterion.reading.losses.mean().item() == pytest.approx(loss.item(), abs=1e-4)
    assert not criterion.reading.queries.requires_grad


@pytest.mark.slow
def test_two_processes_compute_what_one_does(together):
    first, second = together["loss"]
    model = worker.Toy()
    value = MMRLoss(model, objective=Objective(groups=worker.GROUPS, temperature=0.5))(worker.columns(0, 8))
    value.backward()
    for name in ("plain", "cached"):
        # Each process averages over its own queries; their mean is the loss of the whole batch, whatever their number.
        assert ((first[name][0] + second[name][0]) / 2).item() == pytest.approx(value.item(), abs=1e-9)
        torch.testing.assert_close(first[name][1], second[name][1], atol=1e-12, rtol=0)
        torch.testing.assert_close(first[name][1], model.layer.weight.grad, atol=1e-9, rtol=0)
    # 2 processes x 4 pairs x 2 documents.
    assert first["equal"].item() == pytest.approx(math.log(16))


@pytest.mark.slow
def test_a_sharded_encoder_gives_the_loss_and_gradients_of_a_whole_one(together):
    first, second = together["sharded"]
    value, whole = first["whole"]
    for name in ("plain", "cached"):
        assert (first[name][0] + second[name][0]) / 2 == pytest.approx(value, abs=1e-5)
        for ours, theirs in zip(first[name][1], whole, strict=True):
            assert ours == pytest.approx(theirs, abs=1e-5)

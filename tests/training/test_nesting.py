"""The widest budget as a teacher: what it teaches, and whom."""

from __future__ import annotations

import pytest
import torch

from metaembed_rag.budget import Budget
from metaembed_rag.embedding.tokens import META_TOKENS
from metaembed_rag.training.loss import mmr_scores
from metaembed_rag.training.nesting import Nesting
from metaembed_rag.training.samples import PAGES

GROUPS = (Budget(1, 1), Budget(2, 4))
OPTIONS = {"temperature": 0.5, "groups": GROUPS}


def unit(*shape: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(*shape, generator=generator), dim=-1).requires_grad_()


def features(texts, count):
    """Ids of texts of one length, with Meta Tokens behind."""
    ids = torch.tensor(texts)
    return {"input_ids": torch.cat([ids, torch.full((len(texts), count), 9)], dim=1), META_TOKENS: count}


@pytest.fixture
def batch():
    queries, documents = unit(2, 2, 8, seed=1), unit(3, 4, 8, seed=2)
    return queries, documents, features([[3, 4], [5, 6]], 2), [features([[3, 4, 7], [5, 7, 8], [7, 8, 7]], 4)]


def test_the_narrow_groups_learn_from_the_widest_and_it_learns_nothing_of_itself(batch):
    queries, documents, *read = batch
    loss = Nesting(torch.ones(10), [0, 9], weight=2.0, lexical=0.0, **OPTIONS)(queries, documents, *read)
    narrow, wide = ((scores / 0.5).log_softmax(dim=-1) for scores in mmr_scores(queries, documents, GROUPS))
    expected = (wide.exp() * (wide - narrow)).sum(dim=-1).mean()
    # The mean of two groups, one of which is its own target, twice.
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    loss.backward()
    assert queries.grad[:, 0].abs().sum() > 0
    assert max(queries.grad[:, 1].abs().max(), documents.grad[:, 1:].abs().max()) < 1e-6


def test_words_in_common_raise_a_document_in_every_group(batch):
    queries, documents, *read = batch
    nesting = Nesting(torch.ones(10), [0, 9], weight=1.0, lexical=0.3, **OPTIONS)
    nesting(queries, documents, *read).backward()
    for group in GROUPS:
        moved = [rows.detach() - 0.01 * rows.grad for rows in (queries, documents)]
        before, after = (
            (mmr_scores(*rows, [group])[0] / 0.5).softmax(dim=-1) for rows in ((queries, documents), moved)
        )
        assert (after[[0, 1], [0, 1]] > before[[0, 1], [0, 1]]).all()
    assert nesting.terms["divergence"] > 0


def test_pages_count_as_wholes(batch):
    queries, documents, asked, (read,) = batch
    pages = torch.tensor([0, 0, 1])
    nesting = Nesting(torch.ones(10), [0, 9], weight=1.0, lexical=0.3, **OPTIONS)
    whole = nesting(queries, documents, asked, [{**read, PAGES: pages}], pages)
    # The first page laid out by hand: its tokens and its words one after the other.
    wide = mmr_scores(queries, documents, GROUPS, pages=pages)
    assert [scores.shape for scores in wide] == [(2, 2), (2, 2)]
    assert whole.item() != pytest.approx(nesting(queries, documents, asked, [read]).item(), abs=1e-3)

"""The frozen backbone as a teacher: what words say, its rankings, and a target for each anchored Meta Token."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoTokenizer

from metaembed_rag.budget import Budget
from metaembed_rag.embedding.backbone import MINILM, resolve_backbone
from metaembed_rag.embedding.positions import meta_positions
from metaembed_rag.embedding.tokens import META_TOKENS
from metaembed_rag.training.alignment import (
    LEAST,
    document_targets,
    nearest_directions,
    principal_directions,
    query_targets,
    targets,
)
from metaembed_rag.training.distillation import Distillation, divergence
from metaembed_rag.training.lexicon import inverse_document_frequencies, lexical_scores
from metaembed_rag.training.loss import mmr_scores
from metaembed_rag.training.samples import PAGES
from metaembed_rag.training.teacher import TokenTeacher, weighted_maxsim


class Backbone(torch.nn.Module):
    """States that are the rows of a table: what is under test is what is made of them."""

    def __init__(self, vocabulary: int, hidden: int) -> None:
        super().__init__()
        self.rows = torch.nn.Embedding(vocabulary, hidden)

    def forward(self, input_ids, attention_mask):
        return SimpleNamespace(last_hidden_state=self.rows(input_ids))


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(resolve_backbone(MINILM))


@pytest.fixture
def teacher():
    torch.manual_seed(0)
    weights = torch.rand(50) + 0.5
    weights[0] = 0.0
    return TokenTeacher(Backbone(50, 12), weights, special_ids=[0, 1, 2], lexical=0.25)


def features(texts, count):
    """Texts as ids between 1 and 2, padded by 0, with Meta Tokens behind."""
    longest = max(map(len, texts)) + 2
    ids = torch.zeros(len(texts), longest, dtype=torch.long)
    for row, text in enumerate(texts):
        ids[row, : len(text) + 2] = torch.tensor([1, *text, 2])
    mask = (ids > 0).long()
    meta = meta_positions(mask.sum(dim=1), count, "anchored")
    return {
        "input_ids": torch.cat([ids, torch.full((len(texts), count), 3)], dim=1),
        "attention_mask": torch.cat([mask, mask.new_ones(len(texts), count)], dim=1),
        "position_ids": torch.cat([torch.arange(longest).expand(len(texts), -1), meta], dim=1),
        META_TOKENS: count,
    }


def test_rare_words_say_more_and_padding_nothing(tokenizer):
    weights = inverse_document_frequencies(["the ship", "the port", "the sea"], tokenizer)
    the, ship, absent = (tokenizer.convert_tokens_to_ids(word) for word in ("the", "ship", "paper"))
    assert weights[the] == pytest.approx(math.log(1 + 0.5 / 3.5))
    assert weights[ship] == pytest.approx(math.log(1 + 2.5 / 1.5))
    assert weights[absent] > weights[ship] > weights[the] > 0
    assert weights[tokenizer.pad_token_id] == 0


def test_lexical_scores_are_bm25_over_pieces():
    weights = torch.ones(10)
    queries = torch.tensor([[1, 5, 6, 2], [1, 7, 7, 2]])
    documents = torch.tensor([[1, 5, 6, 8, 2], [1, 7, 7, 7, 2], [1, 8, 9, 2, 0]])
    scores = lexical_scores(queries, documents, weights, ignored=[0, 1, 2])
    assert scores.shape == (2, 3)
    assert scores[0, 0] > scores[0, 1] == scores[0, 2] == 0
    # Three of three words, all of them asked for once: tf (k1 + 1) / (tf + k1 (1 - b + b * length / mean)).
    norm = 1.2 * (0.25 + 0.75 * 3 / (8 / 3))
    assert scores[1, 1] == pytest.approx(3 / (3 + norm))
    assert float(scores.max()) <= 1


def test_weighted_maxsim_leaves_out_what_is_not_there():
    queries, documents = torch.eye(3)[None, :2], torch.eye(3)[None, 1:]
    mask = torch.tensor([[True, False]])
    scores = weighted_maxsim(queries, torch.tensor([[1.0, 3.0]]), documents, mask)
    assert scores.item() == pytest.approx(3 / 4)


def test_targets_are_unit_vectors_and_query_weights_lie_in_a_direction_documents_do_not_use(teacher):
    asked = teacher.read(features([[10, 11, 12, 13, 14], [20]], 16))
    read = teacher.read(features([[10, 11, 12, 13, 14, 15, 16], [20, 21]], 64))
    projection = principal_directions([read], 7)
    torch.testing.assert_close(projection @ projection.T, torch.eye(7), atol=1e-5, rtol=0)
    queries, documents = query_targets(asked, projection), document_targets(read, projection)
    assert (queries.shape, documents.shape) == ((2, 16, 8), (2, 64, 8))
    for rows in (queries, documents):
        torch.testing.assert_close(rows.norm(dim=-1), torch.ones(rows.shape[:2]))
    directions, weights = targets(asked, projection)
    assert documents[..., -1].abs().max() == 0
    assert LEAST <= weights.min() < weights.max() == 1
    torch.testing.assert_close(
        queries @ documents[0].T, (weights.unsqueeze(-1) * directions) @ documents[0, :, :-1].T, atol=1e-6, rtol=0
    )
    assert weights[:, 0].tolist() == [1, 1]


def test_targets_of_a_query_whose_divisions_count_for_less_are_as_short_as_its_tokens(teacher):
    asked, columns = features([[10, 11], [12, 13, 14]], 16), [features([[10, 11, 9], [12, 13, 9]], 8)]
    reading = teacher.read(asked)
    projection = principal_directions([reading], 7)
    counts = (1.0, 0.9, 0.5)
    plain, short = query_targets(reading, projection), query_targets(reading, projection, counts)
    torch.testing.assert_close(short.norm(dim=-1), torch.ones(2, 16))
    expected = plain[..., :-1] * torch.tensor([1.0, *[0.9] * 3, *[0.5] * 12])[:, None]
    torch.testing.assert_close(short[..., :-1], expected)
    documents = document_targets(teacher.read(columns[0]), projection)
    options = {"projection": projection, "temperature": 0.05, "ranking": 0.0, "alignment": 1.0}
    aligned = Distillation(teacher, division_weights=counts, **options)
    assert aligned(short, documents, asked, columns).item() == pytest.approx(0, abs=1e-5)
    assert aligned(plain, documents, asked, columns).item() > 0.01


def test_the_finest_meta_tokens_of_a_short_text_stand_for_single_words(teacher):
    read = teacher.read(features([[10, 11, 12, 13]], 64))
    directions, _ = targets(read, torch.eye(12)[:11])
    places = read.positions[0, 16:]
    words = torch.nn.functional.normalize(read.states[0, places, :11], dim=-1)
    torch.testing.assert_close(directions[0, 16:], words, atol=1e-5, rtol=0)


def test_embeddings_at_their_targets_leave_the_ranking_alone(teacher):
    asked, columns = features([[10, 11], [12, 13], [14, 15]], 4), [features([[10, 11, 9], [12, 13, 9], [14, 15]], 8)]
    read = teacher.read(columns[0])
    projection = principal_directions([read], 7)
    options = {"projection": projection, "temperature": 0.05, "groups": (Budget(1, 1), Budget(4, 8))}
    queries = query_targets(teacher.read(asked), projection)
    documents = document_targets(read, projection)
    aligned = Distillation(teacher, ranking=0.0, alignment=1.0, **options)
    assert aligned(queries, documents, asked, columns).item() == pytest.approx(0, abs=1e-5)
    assert aligned(queries, documents.flip(0), asked, columns).item() > 0.1
    ranking = Distillation(teacher, ranking=1.0, alignment=0.0, **options)
    assert ranking(queries, documents, asked, columns) < ranking(queries, documents.flip(0), asked, columns)
    assert not list(aligned.parameters()), "the trainer would save the teacher"


def test_the_pooled_share_of_the_target_is_for_all_groups_but_the_narrowest(teacher):
    asked, columns = features([[10, 11], [12, 13]], 4), [features([[10, 13, 9], [12, 11, 9], [14, 15]], 8)]
    torch.manual_seed(1)
    queries, documents = torch.randn(2, 4, 8), torch.randn(3, 8, 8)
    pooled, token_level = teacher.scores(teacher.read(asked), [teacher.read(column) for column in columns])

    groups = (Budget(1, 1), Budget(4, 8))
    options = {"ranking": 1.0, "alignment": 0.0, "projection": None, "temperature": 0.05, "groups": groups}

    def expected(share):
        return sum(
            divergence(scores / 0.05, (part * pooled + (1 - part) * token_level) / 0.03).item() / 2
            for scores, part in zip(mmr_scores(queries, documents, groups), (0.5, share), strict=True)
        )

    for share in (0.0, 0.25, 1.0):
        distillation = Distillation(teacher, pooled=share, **options)
        assert distillation(queries, documents, asked, columns).item() == pytest.approx(expected(share), rel=1e-4)
    assert expected(0.0) != pytest.approx(expected(1.0), rel=1e-2)


def test_the_nearest_directions_turn_the_backbone_to_the_model():
    torch.manual_seed(2)
    pooled = torch.nn.functional.normalize(torch.randn(60, 12), dim=-1)
    turned = torch.linalg.qr(torch.randn(12, 12)).Q.T
    torch.testing.assert_close(nearest_directions(pooled, pooled @ turned.T), turned, atol=1e-4, rtol=0)
    embeddings = pooled @ turned[:5].T + 0.1 * torch.randn(60, 5)
    narrower = nearest_directions(pooled, embeddings)
    torch.testing.assert_close(narrower @ narrower.T, torch.eye(5), atol=1e-5, rtol=0)
    for other in (turned[:5], *(torch.linalg.qr(torch.randn(12, 5)).Q.T for _ in range(5))):
        assert (pooled @ narrower.T * embeddings).sum() >= (pooled @ other.T * embeddings).sum()


def test_the_first_meta_token_alone_is_drawn_to_the_pooled_vector(teacher):
    asked, columns = features([[10, 11], [12, 13]], 4), [features([[10, 13, 9], [12, 11, 9]], 8)]
    projection = torch.linalg.qr(torch.randn(12, 7)).Q.T
    options = {"ranking": 0.0, "alignment": 0.0, "projection": projection, "temperature": 0.05}
    first = Distillation(teacher, first=2.0, **options)
    queries, documents = torch.randn(2, 4, 8), torch.randn(2, 8, 8)
    for rows, read in ((queries, asked), (documents, columns[0])):
        told = torch.nn.functional.normalize(teacher.read(read).pooled @ projection.T, dim=-1)
        rows[:, 0] = torch.nn.functional.pad(told, (0, 1))
    assert first(queries, documents, asked, columns).item() == pytest.approx(0, abs=1e-5)
    away = first(queries, documents.flip(0), asked, columns).item()
    assert away > 0.1
    assert first.terms["distance_first"] == pytest.approx(away / 4, abs=1e-4)


def test_a_page_ranks_by_its_best_window_and_by_all_of_its_words(teacher):
    asked = teacher.read(features([[10, 11], [30, 31]], 4))
    alone = features([[10, 20, 21], [11, 22, 23], [30, 31, 24]], 8)
    read = teacher.read({**alone, PAGES: torch.tensor([0, 0, 1])})
    teacher.lexical = 0.0
    pooled, ranked = teacher.scores(asked, [read])
    each_pooled, each = teacher.scores(asked, [teacher.read(alone)])
    torch.testing.assert_close(pooled[:, 0], each_pooled[:, :2].amax(dim=1))
    torch.testing.assert_close(ranked[:, 0], each[:, :2].amax(dim=1))
    torch.testing.assert_close(ranked[:, 1], each[:, 2])
    teacher.lexical = 1.0
    _, words = teacher.scores(asked, [read])
    _, each = teacher.scores(asked, [teacher.read(alone)])
    assert words[0, 0] > each[0, :2].max(), "one window has one of the two words, the page has both"
    assert words[0, 1] == 0

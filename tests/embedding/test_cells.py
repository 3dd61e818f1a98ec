"""Which part of a text each anchored Meta Token stands for, and what the text says there."""

from __future__ import annotations

import pytest
import torch

from metaembed_rag.embedding.cells import cell_means, cells
from metaembed_rag.embedding.divisions import divisions
from metaembed_rag.embedding.positions import meta_positions


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [(1, []), (2, [(1, 2)]), (4, [(1, 4)]), (16, [(1, 4), (4, 16)]), (64, [(1, 4), (4, 16), (16, 64)])],
)
def test_divisions(tokens, expected):
    assert divisions(tokens) == expected


def test_every_word_is_in_a_cell_of_every_division_and_the_special_tokens_in_none():
    lengths = torch.tensor([40, 7])
    positions = meta_positions(lengths, 64, "anchored")
    for first, end in divisions(64):
        inside = cells(positions[:, first:end], lengths, 40)
        for row, length in enumerate(lengths.tolist()):
            covered = inside[row].amax(dim=0)
            assert covered[1 : length - 1].min() == 1
            assert covered[0] == covered[length - 1 :].max() == 0
            assert inside[row].sum(dim=1).min() > 0


def test_cell_means_are_of_all_states_first_and_then_of_those_nearest():
    # Opening token, six words, closing token, and padding that must not count.
    states = torch.tensor([[1.0], [2.0], [3.0], [4.0], [5.0], [6.0], [7.0], [8.0], [100.0]])[None]
    mask = torch.tensor([[1] * 8 + [0]])
    assert meta_positions(mask.sum(dim=1), 4, "anchored").tolist() == [[0, 4, 2, 5]]
    means = cell_means(states, mask, 4).flatten().tolist()
    # Word 3 is as near to the place at 2 as to that at 4, and counts for both.
    assert means == pytest.approx([4.5, (4 + 5) / 2, (2 + 3 + 4) / 3, (6 + 7) / 2])


def test_fewer_meta_tokens_have_the_same_cells():
    states = torch.randn(3, 40, 5)
    mask = (torch.arange(40) < torch.tensor([40, 17, 2])[:, None]).long()
    everything = cell_means(states, mask, 64)
    for count in (1, 2, 4, 5, 16, 33):
        torch.testing.assert_close(cell_means(states, mask, count), everything[:, :count])
    assert (everything[2, 1:] == 0).all(), "a text without words says nothing"
    torch.testing.assert_close(everything[2, 0], states[2, :2].mean(dim=0))

"""Recipes fail when they are read, not after minutes of training."""

from __future__ import annotations

import pytest

from metaembed_rag.errors import InputError
from metaembed_rag.training.recipe import Recipe, find_recipe

MINIMAL = "name: x\nsources: {pairs: 10}\n"


@pytest.fixture
def load(tmp_path):
    def load(text):
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return Recipe.load(path)

    return load


def test_the_packaged_recipe_is_the_one_that_trained_mini():
    recipe = Recipe.load(find_recipe("mini"))
    assert (recipe.steps, recipe.seed, recipe.rank, recipe.alpha) == (450, 7, 32, 32)
    assert (recipe.query_tokens, recipe.document_tokens, recipe.dim) == (16, 64, 128)


def test_defaults_are_the_paper_s(load):
    recipe = load(MINIMAL)
    assert (recipe.steps, recipe.learning_rate, recipe.warmup_steps) == (4000, 1e-4, 500)
    assert (recipe.temperature, recipe.rank, recipe.lora_dropout) == (0.03, 32, 0.1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- a list", "not a mapping"),
        ("name: [", "recipe"),
        (MINIMAL + "stepz: 3\n", "unknown entries"),
        ("name: x\n", "sources"),
        ("name: x\nsources: {}\n", "sources must map"),
        ("name: x\nsources: {pairs: -1}\n", "cap must be"),
        (MINIMAL + "steps: 0\n", "steps must be"),
        (MINIMAL + "batch_size: many\n", "batch_size must be"),
        (MINIMAL + "similarity: max\n", "similarity must be"),
        (MINIMAL + "missing_negative: ignore\n", "missing_negative must be"),
    ],
)
def test_mistakes_are_named(load, text, told):
    with pytest.raises(InputError, match=told):
        load(text)


def test_an_unknown_recipe_lists_the_known_ones(tmp_path):
    with pytest.raises(InputError, match="one of: mini"):
        find_recipe("maxi")
    with pytest.raises(InputError, match="recipe"):
        Recipe.load(tmp_path / "absent.yaml")

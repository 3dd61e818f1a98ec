"""Recipes fail when they are read, not after minutes of training."""

from __future__ import annotations

import pytest

from metaembed_rag import MetaEmbed
from metaembed_rag.embedding.families import FAMILIES
from metaembed_rag.errors import InputError
from metaembed_rag.training.recipe import Recipe, find_recipe

MINIMAL = "name: x\nsources: {pairs: 10}\n"
TAUGHT = "name: x\nsources: {{pairs: {{cap: 10, teacher: {}}}}}\n"
BOTH = "teacher_weight: 1.0\nnested_weight: 1.0\n"
SEVERAL = "name: x\nsources: {pairs: {cap: 10, teacher: backbone}, rows: {cap: 10, teacher: widest}}\n"


@pytest.fixture
def load(tmp_path):
    def load(text):
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return Recipe.load(path)

    return load


#: In the order in which they ran.
CHAIN = (
    "mini-aligned", "mini-ranked", "mini-narrow", "mini-neighbours",
    "mini-pages", "mini-nested", "mini-reports", "mini-trials",
    "mini-prose", "mini-teachers", "mini-turned", "mini-kept",
    "mini-pooled", "mini",
)  # fmt: skip


def test_the_packaged_recipes_are_those_that_trained_mini():
    chain = [Recipe.load(find_recipe(name)) for name in CHAIN]
    first, second, third, fourth, pages, nested, reports, trials, prose, teachers, turned, kept, pooled, last = chain
    assert (first.steps, first.batch_size, first.seed, first.alignment_weight) == (1600, 4, 11, 10.0)
    assert (second.steps, second.batch_size, second.seed, second.start) == (420, 16, 12, "aligned/model")
    assert (third.steps, third.batch_size, third.seed, third.start) == (860, 16, 14, "ranked/model")
    assert (fourth.steps, fourth.batch_size, fourth.seed, fourth.start) == (1250, 16, 15, "narrow/model")
    assert fourth.sources["manuals"]["per_document"] == 8
    assert (pages.steps, pages.seed, pages.start, pages.document_windows, pages.chain) == (400, 21, "both", 4, 8)
    assert (nested.steps, nested.seed, nested.start, nested.nested_weight) == (560, 22, "both", 3.0)
    assert (reports.steps, reports.seed, reports.start, reports.lexical_share) == (400, 31, "four", 0.15)
    assert reports.sources["filings"]["per_document"] == 8
    assert (trials.steps, trials.batch_size, trials.seed, trials.start) == (440, 16, 41, "reported")
    assert (trials.document_windows, trials.chain, trials.nested_weight, trials.lexical_share) == (4, 8, 3.0, 0.3)
    assert trials.sources["filings"]["per_document"] == 16
    assert (prose.steps, prose.batch_size, prose.seed, prose.start) == (400, 16, 51, "filed")
    assert (prose.document_windows, prose.chain, prose.teacher_weight, prose.nested_weight) == (2, 8, 1.5, 0.0)
    assert "filings" not in prose.sources
    assert (teachers.steps, teachers.batch_size, teachers.seed, teachers.start) == (560, 16, 61, "told")
    assert (teachers.lexical_share, teachers.pooled_share) == (0.1, 0.5)
    assert (turned.steps, turned.batch_size, turned.seed, turned.start) == (400, 16, 71, "taught")
    assert (turned.lexical_share, turned.alignment_weight, turned.pooled_weight) == (0.15, 4.0, 2.0)
    assert (kept.steps, kept.batch_size, kept.seed, kept.start) == (440, 16, 83, "near")
    assert (pooled.steps, pooled.batch_size, pooled.seed, pooled.start) == (440, 16, 91, "pooling")
    assert (last.steps, last.batch_size, last.seed, last.start) == (400, 16, 101, "gathered")
    assert last.weights == [0.8, 0.8, 0.8, 0.8, 1.0]
    assert "details" in last.sources
    for recipe in (kept, pooled, last):
        assert (recipe.lexical_share, recipe.alignment_weight, recipe.pooled_weight) == (0.15, 3.0, 2.0)
    assert [recipe.name for recipe in chain if recipe.pooled_text] == ["mini-pooled", "mini"]
    taught = ((teachers, "widest"), (turned, "widest"), (kept, "start"), (pooled, "start"), (last, "start"))
    for recipe, tables in taught:
        assert (recipe.document_windows, recipe.chain) == (4, 8)
        assert (recipe.teacher_weight, recipe.nested_weight, recipe.pooled_share) == (2.5, 3.0, 0.5)
        assert {recipe.teacher_of(name) for name in ("wikipedia", "stories", "trials")} == {"backbone"}
        assert {recipe.teacher_of(name) for name in ("filings", "manuals", "wikitq")} == {tables}
    built = MetaEmbed.from_pretrained("mini").config
    for recipe in chain:
        assert (recipe.query_tokens, recipe.document_tokens, recipe.dim) == (16, 64, 128)
        assert (recipe.positions, recipe.weighted_queries) == (built.positions, built.weighted_queries)
        assert (recipe.rank, recipe.alpha) == (128, 128)


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
        (MINIMAL + "learning_rate: 1e-4\n", r"learning_rate must be a number.*write 1\.0e-4"),
        (MINIMAL + "learning_rate: 0\n", "learning_rate must be above 0"),
        (MINIMAL + "temperature: .nan\n", "temperature must be"),
        (MINIMAL + "groups: full\n", "groups must be a list"),
        (MINIMAL + "groups: [[1, 1, 1]]\n", "a group is a pair"),
        (MINIMAL + "groups: [[1, 128]]\n", "exceeds document_tokens = 64"),
        (MINIMAL + "groups: [[4, 8], [2, 16]]\n", "nested"),
        (MINIMAL + "weights: [1, 1]\n", "weights must be 5 numbers"),
        (MINIMAL + "weights: [0, 0, 0, 0, 0]\n", "one of the weights"),
        (MINIMAL + "bf16: maybe\n", "bf16 must be true or false"),
        (MINIMAL + "compile: 1\n", "compile must be true or false"),
        (MINIMAL + "backbone: 7\n", "backbone must be a text"),
        (MINIMAL + "dtype: int8\n", "dtype must be"),
        (MINIMAL + "trainer: {max_steps: 3}\n", r"trainer does not hand on \['max_steps'\]"),
        (MINIMAL + "trainer: fast\n", "trainer must be a mapping"),
        (MINIMAL + "mini_batch_size: 4\nteacher_weight: 1.0\n", "teacher_weight needs a whole batch"),
        (MINIMAL + "start: 7\n", "start must be a model's name"),
        (MINIMAL + "positions: somewhere\n", "positions must be"),
        (MINIMAL + "alignment_weight: 1.0\n", "alignment_weight needs positions: anchored"),
        (MINIMAL + "lexical_share: 2\n", "lexical_share must be"),
        (MINIMAL + "document_windows: 0\n", "document_windows must be"),
        (MINIMAL + "document_windows: 4\nmini_batch_size: 4\n", "document_windows needs a whole batch"),
        (MINIMAL + "chain: 0\n", "chain must be"),
        (MINIMAL + "nested_weight: -1\n", "nested_weight must be"),
        (MINIMAL + "nested_weight: 1.0\nteacher_weight: 1.0\n", "both teach; give source 'pairs' a teacher"),
        (TAUGHT.format("widest") + "teacher_weight: 1.0\n", "'widest', and nested_weight is 0; raise it"),
        (TAUGHT.format("backbone") + "nested_weight: 1.0\n", "'backbone', and teacher_weight is 0; raise it"),
        (TAUGHT.format("start") + "nested_weight: 1.0\n", "'pairs' is taught by start, and there is none"),
        (TAUGHT.format("start") + "start: mini\n", "'start', and nested_weight is 0; raise it"),
        (SEVERAL + BOTH + "sub_batch: 4\n", "leave out sub_batch"),
        (MINIMAL + "pooled_share: 2\n", "pooled_share must be"),
        (MINIMAL + "pooled_weight: 1.0\nstart: mini\n", "pooled_weight needs positions: anchored"),
        (MINIMAL + "nested_weight: 1.0\nmini_batch_size: 4\n", "nested_weight needs a whole batch"),
    ],
)
def test_mistakes_are_named(load, text, told):
    with pytest.raises(InputError, match=told):
        load(text)


@pytest.mark.parametrize(
    ("text", "teacher"),
    [
        (TAUGHT.format("widest") + BOTH, "widest"),
        (TAUGHT.format("start") + BOTH + "start: mini\n", "start"),
        (MINIMAL + "teacher_weight: 1.0\n", "backbone"),
        (MINIMAL + "nested_weight: 1.0\n", "widest"),
        (MINIMAL, None),
    ],
)
def test_a_source_has_the_teacher_that_it_names_or_the_only_one(load, text, teacher):
    assert load(text).teacher_of("pairs") == teacher


def test_an_unknown_recipe_lists_the_known_ones(tmp_path):
    with pytest.raises(InputError, match="one of: mini"):
        find_recipe("maxi")
    with pytest.raises(InputError, match="recipe"):
        Recipe.load(tmp_path / "absent.yaml")


@pytest.mark.parametrize("name", [*CHAIN, "paper-7b", "qwen-3b"])
def test_packaged_recipes_are_read_and_say_what_they_claim(name):
    recipe = Recipe.load(find_recipe(name))
    assert recipe.name == name
    assert [tuple(pair) for pair in recipe.groups] == [(1, 1), (2, 4), (4, 8), (8, 16), (16, 64)]
    assert recipe.model_type in FAMILIES


@pytest.mark.parametrize("name", ["paper-7b", "qwen-3b"])
def test_large_recipes_keep_to_the_paper(name):
    recipe = Recipe.load(find_recipe(name))
    assert recipe.weights is None
    assert (recipe.temperature, recipe.rank, recipe.alpha) == (0.03, 32, 32)


def test_the_paper_s_recipe_draws_its_batches_from_sources_of_32():
    recipe = Recipe.load(find_recipe("paper-7b"))
    assert (recipe.steps, recipe.learning_rate, recipe.warmup_steps, recipe.lora_dropout) == (4000, 1e-4, 500, 0.1)
    assert (recipe.batch_size * 8) % recipe.sub_batch == 0
    assert recipe.dim is None

"""Whole trainings of miniatures: they learn, their model loads, and they resume after a kill."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from metaembed_rag import MetaEmbed
from metaembed_rag.embedding.divisions import divisions
from metaembed_rag.errors import InputError, MissingDependencyError, ModelError, TrainingError
from metaembed_rag.training import teaching
from metaembed_rag.training import train as module
from metaembed_rag.training.data import read_pairs, read_sources
from metaembed_rag.training.train import CHECKPOINT_FILE, LOG_FILE, train
from metaembed_rag.training.trainer import newest_checkpoint

from .conftest import ROOT, SMALL, write_llava, write_recipe


def rows(folder):
    return [json.loads(line) for line in (folder / LOG_FILE).read_text().splitlines()]


def losses(folder):
    return {row["step"]: row["loss"] for row in rows(folder) if "loss" in row}


@pytest.fixture(scope="session")
def whole(miniature, tmp_path_factory):
    """A finished run, to compare others with."""
    output = tmp_path_factory.mktemp("whole")
    train(miniature.recipe, miniature.data, output)
    return output


def test_a_run_writes_a_model_that_loads(whole):
    model = MetaEmbed.from_pretrained(whole / "model")
    assert (model.config.name, model.query_tokens, model.document_tokens, model.dim) == ("miniature", 4, 8, 16)
    assert (model.config.similarity, [list(pair) for pair in model.config.groups]) == ("mean", [[1, 1], [4, 8]])
    rows = model.encode_queries(["baba beda"], budget=(2, 4))
    np.testing.assert_allclose(rows, model.encode_queries(["baba beda"])[:, :2], atol=1e-5)
    assert {path.suffix for path in (whole / "model").iterdir()} == {".json", ".safetensors"}


def test_every_step_is_logged_with_its_diagnostics(whole):
    logged = [row for row in rows(whole) if "loss" in row]
    assert [row["step"] for row in logged] == list(range(1, 9))
    for row in logged:
        assert row["loss"] == pytest.approx((row["loss(1,1)"] + row["loss(4,8)"]) / 2, abs=2e-3)
        assert row["gap"] == pytest.approx(row["accuracy(4,8)"] - row["accuracy(1,1)"], abs=1e-3)
        assert (len(row["gradients"]["query"]), len(row["gradients"]["document"])) == (4, 8)
        assert 1 <= row["effective_rank_document"] <= 8
        assert -1 <= row["redundancy_query"] <= 1


def test_distillation_adds_to_the_loss(miniature, whole, tmp_path):
    short = replace(miniature.recipe, steps=1, save_steps=1)
    train(replace(short, teacher_weight=1.0), miniature.data, tmp_path)
    assert losses(tmp_path)[1] > losses(whole)[1]


def test_the_widest_budget_teaches_the_narrower_ones(miniature, whole, tmp_path):
    recipe = replace(miniature.recipe, nested_weight=1.0, lexical_share=0.3)
    train(recipe, miniature.data, tmp_path)
    assert losses(tmp_path)[1] > losses(whole)[1]
    assert all(row["divergence"] > 0 for row in rows(tmp_path) if "loss" in row)


def test_each_source_is_taught_by_its_own_teacher(miniature, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    lines = read_pairs(miniature.test)
    for name, part in (("frozen", lines[:20]), ("own", lines[20:])):
        (data / f"{name}.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in part))
    sources = {"frozen": {"cap": 20, "teacher": "backbone"}, "own": {"cap": 20, "teacher": "widest"}}
    # The widest group weighs next to nothing, so that a loss tells whose batch it was.
    recipe = replace(miniature.recipe, sources=sources, teacher_weight=1.0, nested_weight=1e-9)
    train(recipe, data, tmp_path / "run")
    triplets = read_sources(data, sources, seed=recipe.seed, missing_negative=recipe.missing_negative)
    own = [batch[0] >= 20 for batch in module.batch_sampler(recipe, triplets)]
    added = [row["loss"] - (row["loss(1,1)"] + row["loss(4,8)"]) / 2 for row in rows(tmp_path / "run") if "loss" in row]
    assert {True, False} == set(own)
    assert [value < 0.01 for value in added] == own
    train(recipe, data, tmp_path / "run")  # has no step left, and no last batch
    assert all(row["divergence"] > 0 for row in rows(tmp_path / "run") if "loss" in row)


def test_the_model_that_a_run_starts_from_holds_it_to_what_it_knew(miniature, whole, tmp_path):
    recipe = replace(miniature.recipe, start=str(whole / "model"), nested_weight=30.0)
    sources = {name: {"cap": cap, "teacher": "start"} for name, cap in recipe.sources.items()}
    train(replace(recipe, nested_weight=0.0), miniature.data, tmp_path / "free")
    train(replace(recipe, sources=sources), miniature.data, tmp_path / "held")
    texts = [pair["positive"] for pair in read_pairs(miniature.test)]
    begun, free, held = (
        MetaEmbed.from_pretrained(folder / "model").encode_documents(texts)
        for folder in (whole, tmp_path / "free", tmp_path / "held")
    )
    similarities = [np.einsum("nkd,mld->nmkl", rows, rows).max(axis=-1).mean(axis=-1) for rows in (begun, free, held)]
    moved = [np.abs(rows - similarities[0]).mean() for rows in similarities[1:]]
    assert moved[1] < 0.5 * moved[0]


def test_a_trained_model_is_aligned_from_where_it_is(miniature, tmp_path, monkeypatch):
    anchored = {"positions": "anchored", "weighted_queries": True}
    nearest = teaching.nearest_directions
    begun = train(replace(miniature.recipe, **anchored), miniature.data, tmp_path / "begun")
    recipe = replace(miniature.recipe, start=str(begun), alignment_weight=20.0, pooled_weight=20.0, **anchored)
    train(recipe, miniature.data, tmp_path / "aligned")
    # Any other directions are farther away.
    monkeypatch.setattr(
        teaching, "nearest_directions", lambda states, embeddings: torch.eye(*nearest(states, embeddings).shape)
    )
    train(recipe, miniature.data, tmp_path / "other")
    turned, other = (
        [row["distance_document"] for row in rows(tmp_path / name) if "loss" in row] for name in ("aligned", "other")
    )
    assert turned[0] < other[0] - 0.05
    assert turned[-1] < turned[0]


def test_a_run_may_pool_text_that_its_start_did_not(miniature, tmp_path):
    anchored = replace(miniature.recipe, positions="anchored", steps=2, save_steps=2)
    begun = train(anchored, miniature.data, tmp_path / "begun")
    recipe = replace(anchored, start=str(begun), pooled_text=True, nested_weight=1.0)
    model = MetaEmbed.from_pretrained(train(recipe, miniature.data, tmp_path / "pooled"))
    assert model.config.pooled_text
    with pytest.raises(InputError, match="was built with pooled_text: True; write that in the recipe"):
        train(replace(anchored, start=str(tmp_path / "pooled/model")), miniature.data, tmp_path / "again")
    with pytest.raises(InputError, match="was built with first_projection: False; write that in the recipe"):
        train(replace(recipe, first_projection=True), miniature.data, tmp_path / "again")
    for name in ("pooled_text", "first_projection"):
        with pytest.raises(InputError, match=f"{name} needs positions: anchored"):
            replace(miniature.recipe, **{name: True}).validate(tmp_path)
    with pytest.raises(InputError, match="first_projection needs a dim"):
        replace(anchored, first_projection=True, dim=None).validate(tmp_path)


def test_a_run_may_weigh_divisions_that_its_start_did_not(miniature, tmp_path):
    counts = [1, *[0.5] * len(divisions(miniature.recipe.query_tokens))]
    plain = replace(miniature.recipe, positions="anchored", weighted_queries=True, steps=2, save_steps=2)
    begun = train(plain, miniature.data, tmp_path / "begun")
    recipe = replace(plain, start=str(begun), division_weights=counts)
    model = train(recipe, miniature.data, tmp_path / "weighed")
    assert MetaEmbed.from_pretrained(model).config.division_weights == tuple(counts)
    assert train(replace(recipe, start=str(model)), miniature.data, tmp_path / "on").is_dir()
    with pytest.raises(InputError, match=r"was built with division_weights: \(1, 0.5.*\); write that in the recipe"):
        train(replace(plain, start=str(model)), miniature.data, tmp_path / "again")
    with pytest.raises(InputError, match="division_weights need weighted_queries: true and positions: anchored"):
        replace(miniature.recipe, division_weights=counts).validate(tmp_path)
    with pytest.raises(InputError, match=r"recipe\.yaml: division_weights must be"):
        replace(plain, division_weights=[1, 2]).validate(tmp_path / "recipe.yaml")


def test_a_run_may_merge_what_its_start_did_not(miniature, tmp_path):
    begun = train(replace(miniature.recipe, steps=2, save_steps=2), miniature.data, tmp_path / "begun")
    recipe = replace(miniature.recipe, start=str(begun), merged_tokens=4, steps=2, save_steps=2)
    model = train(recipe, miniature.data, tmp_path / "merged")
    assert MetaEmbed.from_pretrained(model).config.merged_tokens == 4
    with pytest.raises(InputError, match="was built with merged_tokens: 4; write that in the recipe"):
        train(replace(miniature.recipe, start=str(model)), miniature.data, tmp_path / "again")
    with pytest.raises(InputError, match=r"recipe\.yaml: merged_tokens must be an even number"):
        replace(recipe, merged_tokens=3).validate(tmp_path / "recipe.yaml")
    anchored = replace(recipe, positions="anchored", weighted_queries=True, alignment_weight=1.0)
    with pytest.raises(InputError, match="alignment_weight draws Meta Tokens to places"):
        anchored.validate(tmp_path)


def test_a_run_goes_on_from_a_first_projection(miniature, tmp_path):
    recipe = replace(
        miniature.recipe,
        positions="anchored",
        weighted_queries=True,
        first_projection=True,
        division_weights=[1.0, 0.5],
        alignment_weight=1.0,
        steps=2,
        save_steps=2,
    )
    begun = train(recipe, miniature.data, tmp_path / "begun")
    model = MetaEmbed.from_pretrained(train(replace(recipe, start=str(begun)), miniature.data, tmp_path / "on"))
    assert model.config.first_projection


def test_alignment_draws_meta_tokens_to_their_targets(miniature, tmp_path):
    options = {
        "positions": "anchored",
        "weighted_queries": True,
        "teacher_weight": 1.0,
        "lexical_share": 0.3,
        "alignment_weight": 50.0,
    }
    model = MetaEmbed.from_pretrained(train(replace(miniature.recipe, **options), miniature.data, tmp_path))
    assert model.config.positions == "anchored"
    logged = [row for row in rows(tmp_path) if "loss" in row]
    for name in ("distance_query", "distance_document"):
        assert logged[-1][name] < logged[0][name] - 0.05
    assert all(row["divergence"] > 0 for row in logged)
    embeddings = model.encode_documents(["baba beda bafa"])
    np.testing.assert_allclose(model.encode_documents(["baba beda bafa"], budget=(1, 3)), embeddings[:, :3], atol=1e-5)


def test_pages_are_trained_as_wholes_and_stay_apart_by_their_hard_negatives(miniature, tmp_path):
    short = read_pairs(miniature.test)[:19]
    texts = [" ".join(row["positive"] for row in short[n : n + 4]) for n in range(16)]
    pairs = [{"query": short[n]["query"], "positive": texts[n], "negative": texts[(n + 1) % 16]} for n in range(16)]
    data = tmp_path / "data"
    data.mkdir()
    (data / "long.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    recipe = replace(
        miniature.recipe, sources={"long": 16}, steps=2, save_steps=2, document_length=12, document_windows=3, chain=4
    )
    options = {"positions": "anchored", "weighted_queries": True, "teacher_weight": 1.0, "lexical_share": 0.3}
    MetaEmbed.from_pretrained(train(replace(recipe, **options), data, tmp_path / "run"))
    first = replace(recipe, document_windows=1)
    train(recipe, data, tmp_path / "whole")
    train(first, data, tmp_path / "first")
    assert losses(tmp_path / "whole")[1] != losses(tmp_path / "first")[1], "later windows must count"
    with pytest.raises(InputError, match="differs in document_windows; restore"):
        train(recipe, data, tmp_path / "first")


def test_whole_pages_are_not_gathered_from_several_processes(miniature, tmp_path, monkeypatch):
    monkeypatch.setattr(module.MultiVectorEncoderTrainingArguments, "world_size", property(lambda self: 2))
    with pytest.raises(InputError, match="document_windows needs gather: false"):
        train(replace(miniature.recipe, document_windows=2), miniature.data, tmp_path)


def test_a_run_goes_on_from_a_trained_model(miniature, whole, tmp_path):
    start = str(whole / "model")
    train(replace(miniature.recipe, start=start, steps=1, save_steps=1, warmup_steps=0), miniature.data, tmp_path)
    # The same batch as the first run's first; half precision is all that its weights lost.
    assert losses(tmp_path)[1] < losses(whole)[1] - 0.05
    with pytest.raises(InputError, match=r"start .* was built with rank: 16; write that"):
        train(replace(miniature.recipe, start=start, rank=8), miniature.data, tmp_path / "other")
    damaged = shutil.copytree(start, tmp_path / "damaged")
    (damaged / "adapter_config.json").unlink()
    with pytest.raises(ModelError, match=r"is incomplete: adapter_config\.json missing"):
        train(replace(miniature.recipe, start=str(damaged)), miniature.data, tmp_path / "another")
    with pytest.raises(ModelError, match="nowhere"):
        train(replace(miniature.recipe, start=str(tmp_path / "nowhere")), miniature.data, tmp_path / "none")


def test_gradcache_checkpointing_and_accumulation_take_the_same_steps(miniature, whole, tmp_path):
    # Two steps without a warm-up's zero rate would differ; the first step's loss is before any update.
    options = {"steps": 2, "save_steps": 2, "mini_batch_size": 3, "gradient_checkpointing": True}
    train(replace(miniature.recipe, **options), miniature.data, tmp_path / "cached")
    assert losses(tmp_path / "cached")[1] == pytest.approx(losses(whole)[1], abs=1e-4)
    assert losses(tmp_path / "cached")[2] == pytest.approx(losses(whole)[2], abs=1e-3)
    train(replace(miniature.recipe, steps=2, save_steps=2, accumulation=2), miniature.data, tmp_path / "twice")
    # A step's loss is the mean of its two batches, before any update about that of one.
    assert losses(tmp_path / "twice")[1] == pytest.approx(losses(whole)[1], rel=0.2)


def test_a_run_resumes_from_its_newest_whole_checkpoint(miniature, whole, tmp_path):
    output = tmp_path / "parted"
    shutil.copytree(whole, output)
    # A kill while the last checkpoint was written: its state, the last file, is missing.
    (output / "checkpoint-8" / "trainer_state.json").unlink()
    assert newest_checkpoint(output) == output / "checkpoint-4"
    resumed = train(miniature.recipe, miniature.data, output)
    assert losses(output) == pytest.approx(losses(whole), abs=1e-5)
    first, second = (
        MetaEmbed.from_pretrained(folder).encode_queries(["baba"]) for folder in (whole / "model", resumed)
    )
    np.testing.assert_allclose(first, second, atol=1e-4)


def test_what_cannot_be_resumed_is_told(miniature, whole, tmp_path):
    output = tmp_path / "run"
    shutil.copytree(whole, output)
    for changed in (replace(miniature.recipe, learning_rate=0.5), replace(miniature.recipe, seed=9)):
        with pytest.raises(InputError, match=r"differs in (data, |)(learning_rate|seed)"):
            train(changed, miniature.data, output)
    (output / "checkpoint-8" / CHECKPOINT_FILE).write_bytes(b"cut")
    with pytest.raises(ModelError, match="cannot be resumed from"):
        train(miniature.recipe, miniature.data, output)


@pytest.mark.slow
def test_a_killed_run_goes_on_mid_epoch_with_the_same_loss_curve(miniature, tmp_path):
    recipe = replace(miniature.recipe, steps=40, save_steps=6)
    train(recipe, miniature.data, tmp_path / "whole")
    path = write_recipe(recipe, tmp_path / "recipe.yaml")
    output = tmp_path / "killed"
    command = [sys.executable, "-m", "metaembed_rag.cli", "train", str(path)]
    command += ["--data", str(miniature.data), "--output", str(output)]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    running = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 180
    while newest_checkpoint(output) is None or max(losses(output), default=0) < 8:
        assert running.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert max(losses(output)) < 40
    train(recipe, miniature.data, output)
    assert losses(output) == pytest.approx(losses(tmp_path / "whole"), abs=1e-5)
    assert [row["step"] for row in rows(output) if "loss" in row] == list(range(1, 41))


@pytest.mark.slow
def test_two_processes_train_one_model(miniature, whole, processes, tmp_path):
    # Twice the processes with half the batch: the same global batches, so the same losses.
    recipe = replace(miniature.recipe, batch_size=2)
    path = write_recipe(recipe, tmp_path / "recipe.yaml")
    processes("-m", "metaembed_rag.cli", "train", path, "--data", miniature.data, "--output", tmp_path / "run")
    assert losses(tmp_path / "run") == pytest.approx(losses(whole), abs=2e-3)
    found = MetaEmbed.from_pretrained(tmp_path / "run" / "model").encode_queries(["baba beda"])
    np.testing.assert_allclose(
        found, MetaEmbed.from_pretrained(whole / "model").encode_queries(["baba beda"]), atol=0.02
    )


def test_a_loss_that_is_not_finite_stops_the_run(miniature, tmp_path):
    # Scores divided by next to nothing leave float32.
    with pytest.raises(TrainingError, match=r"at step 1\. Try.*learning_rate.*temperature"):
        train(replace(miniature.recipe, temperature=1e-39), miniature.data, tmp_path)
    assert newest_checkpoint(tmp_path) is None


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"sources": {"absent": 9}}, InputError, r"absent\.jsonl is missing"),
        ({"backbone": "no/such-backbone"}, ModelError, r"no/such-backbone"),
        ({"model_type": "gpt"}, ModelError, "supported: bert"),
        ({"query_tokens": 90, "document_tokens": 90}, ModelError, "reserves too few"),
        ({"batch_size": 201}, InputError, "too few distinct pairs"),
        ({"sub_batch": 3}, InputError, "must divide"),
        ({"steps": 0}, InputError, "steps must be"),
        ({"trainer": {"fsdp": True}}, InputError, "FSDP, which needs accelerators"),
    ],
    ids=lambda value: str(value)[:24] if isinstance(value, dict) else "",
)
def test_mistakes_are_told_before_anything_is_trained(miniature, tmp_path, changes, error, told):
    with pytest.raises(error, match=told):
        train(replace(miniature.recipe, **changes), miniature.data, tmp_path / "run")
    assert newest_checkpoint(tmp_path / "run") is None


def test_a_text_backbone_refuses_images(miniature, tmp_path, pictures):
    recipe = replace(miniature.recipe, sources={"pictures": 9})
    with pytest.raises(InputError, match=r"'pictures' has images.*vision backbone"):
        train(recipe, pictures, tmp_path)


def test_tensorboard_writes_its_files_or_says_what_to_install(miniature, tmp_path, monkeypatch):
    recipe = replace(miniature.recipe, steps=1, save_steps=1, tensorboard=True)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"metaembed-rag\[tensorboard\]"):
        train(recipe, miniature.data, tmp_path)
    monkeypatch.undo()
    pytest.importorskip("tensorboard")
    train(recipe, miniature.data, tmp_path)
    assert list(tmp_path.rglob("events.out.tfevents*"))


@pytest.fixture
def llava(tmp_path, pictures):
    """A recipe for a Llava of 28 pixels, with one source of texts and one of pictures."""
    torch.manual_seed(5)
    write_llava(tmp_path / "llava")
    lines = [{"query": f"q{n}", "positive": f"text {n}", "negative": f"other {n}"} for n in range(12)]
    (pictures / "texts.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    changes = {"backbone": str(tmp_path / "llava"), "model_type": "llava", "sources": {"texts": 9, "pictures": 9}}
    changes |= {"name": "sees", "rank": 2, "dim": 8, "window": 64, "bf16": False, "steps": 6, "batch_size": 2}
    return module.Recipe(**{**SMALL, **changes})


def test_texts_and_pictures_train_in_one_run(llava, pictures, tmp_path):
    with pytest.raises(InputError, match="distil text backbones"):
        train(replace(llava, teacher_weight=1.0), pictures, tmp_path / "run")
    model = MetaEmbed.from_pretrained(train(llava, pictures, tmp_path / "run"))
    assert losses(tmp_path / "run").keys() == set(range(1, 7))
    pair = read_pairs(pictures / "pictures.jsonl")[0]
    with module.SampleReader(lambda samples: samples)([pair["positive"]])[0] as picture:
        assert model.encode_documents([picture, "text"]).shape == (2, 8, 8)


@pytest.mark.slow
def test_one_process_of_texts_and_one_of_pictures_do_not_wait_for_each_other(together):
    first, second = together["placeholders"]
    assert first["vision"] > 0
    assert first["losses"] != second["losses"]
    assert first["weights"].keys() == second["weights"].keys()
    for name, value in first["weights"].items():
        assert torch.equal(value, second["weights"][name]), name


@pytest.mark.slow
def test_two_processes_train_on_mixed_sources(llava, pictures, processes, tmp_path):
    # A source every two pairs, so that the processes hold different ones in some step.
    recipe = replace(llava, sub_batch=2, gradient_checkpointing=True)
    path = write_recipe(recipe, tmp_path / "recipe.yaml")
    processes("-m", "metaembed_rag.cli", "train", path, "--data", pictures, "--output", tmp_path / "run")
    assert losses(tmp_path / "run").keys() == set(range(1, 7))


@pytest.mark.parametrize(("computed", "asked"), [(False, True), (True, True), (False, False), (True, False)])
def test_bfloat16_is_used_where_it_is_asked_for_and_computed(llava, monkeypatch, caplog, computed, asked):
    monkeypatch.setattr(module, "computes_bfloat16", lambda: computed)
    assert module.computes_in_bfloat16(replace(llava, bf16=asked)) is (asked and computed)
    assert ("no bfloat16" in caplog.text) is (asked and not computed)


@pytest.mark.parametrize("stands_in", [True, False])
def test_a_batch_of_texts_reaches_the_vision_encoder_only_through_its_placeholder(llava, stands_in):
    encoder = module.trainable_encoder(llava, module.model_config(llava))
    transformer = encoder[0]
    assert transformer.placeholder_images
    transformer.placeholder_images = stands_in
    seeing = [parameter for name, parameter in encoder.named_parameters() if "vision_tower.encoder.layers.0" in name]
    for parameter in seeing:
        parameter.requires_grad_(True)
    encoder.train()
    batch = [encoder.preprocess(["a", "b"], task=task) for task in ("query", "document", "document")]
    teaching.MMRLoss(encoder, objective=teaching.objective_of(llava))(batch).backward()
    assert seeing
    assert all((parameter.grad is not None) == stands_in for parameter in seeing)
    # The placeholder is in the graph, and changes nothing.
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in seeing)

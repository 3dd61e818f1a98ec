"""The commands mine, train and diagnose, one after the other, as a person would run them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from metaembed_rag.cli import app
from metaembed_rag.errors import InputError

from .conftest import write_recipe


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def test_mine_then_train_then_diagnose(miniature, tmp_path):
    data = tmp_path / "data"
    done = run("mine", miniature.data / "train.jsonl", "--out", data / "mined.jsonl", "--missing", "random")
    assert done.exit_code == 0
    assert "of 200 pairs have a hard negative" in done.output
    recipe = replace(miniature.recipe, sources={"mined": 200}, steps=2, save_steps=2)
    write_recipe(recipe, tmp_path / "recipe.yaml")
    done = run("train", tmp_path / "recipe.yaml", "--data", data, "--output", tmp_path / "run")
    assert done.exit_code == 0
    model = tmp_path / "run" / "model"
    assert done.stdout.splitlines()[-1] == str(model)
    found = json.loads(run("diagnose", model, "--data", miniature.test, "--limit", 20, "--json").stdout)
    assert (found["pairs"], len(found["quality"])) == (20, 3)
    text = run("diagnose", model, "--data", miniature.test, "--limit", 20).stdout
    assert "effective rank" in text
    assert "gap between" in text
    for line in found["findings"]:
        assert line.split(":")[0][:20] in text
    done = run("mine", miniature.test, "--out", data / "again.jsonl", "--retriever", model, "--budget", "4,8")
    assert "of 40 pairs have a hard negative" in done.output


def test_mistakes_name_what_to_do(miniature, tmp_path):
    with pytest.raises(InputError, match=r"absent\.jsonl is missing"):
        run("mine", tmp_path / "absent.jsonl", "--out", tmp_path / "out.jsonl")
    with pytest.raises(InputError, match="missing must be"):
        run("mine", miniature.test, "--out", tmp_path / "out.jsonl", "--missing", "hope")
    with pytest.raises(InputError, match="no recipe 'maxi'"):
        run("train", "maxi", "--data", tmp_path, "--output", tmp_path)
    assert not (tmp_path / "out.jsonl").exists()

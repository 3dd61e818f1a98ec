"""Miniatures that train in seconds: a one-layer BERT on a synthetic task, and a Llava that sees 28 pixels."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from metaembed_rag.embedding.config import ModelConfig
from metaembed_rag.training.miniature import make_miniature
from metaembed_rag.training.recipe import Recipe

ROOT = Path(__file__).parents[2]
#: Few Meta Tokens, few steps: what a test of the machinery needs.
SMALL = {
    "query_tokens": 4,
    "document_tokens": 8,
    "groups": ((1, 1), (4, 8)),
    "steps": 8,
    "batch_size": 4,
    "warmup_steps": 2,
    "save_steps": 4,
    "log_steps": 1,
}


def write_recipe(recipe: Recipe, path: Path) -> Path:
    """A recipe as a person would keep it."""
    path.write_text(yaml.safe_dump(json.loads(json.dumps(asdict(recipe)))))
    return path


def write_llava(folder: Path) -> None:
    """A Llava with random weights, as the tests of embedding make it."""
    spec = importlib.util.spec_from_file_location("backbones", ROOT / "tests" / "embedding" / "miniatures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.MINIATURES["llava"](folder)


@pytest.fixture(scope="session")
def miniature(tmp_path_factory):
    """A small training: ``miniature.recipe`` on ``miniature.data``."""
    return make_miniature(tmp_path_factory.mktemp("miniature"), pairs=200, queries=40).with_options(**SMALL)


@pytest.fixture(scope="session")
def together(processes, miniature, tmp_path_factory):
    """What two processes of ``worker.py`` found, by task: one mapping a process."""
    folder = tmp_path_factory.mktemp("together")
    for task in ("loss", "sharded", "placeholders"):
        (folder / task).mkdir()
    write_recipe(miniature.recipe, folder / "sharded" / "recipe.yaml")
    shutil.copyfile(miniature.test, folder / "sharded" / "pairs.jsonl")
    write_llava(folder / "llava")
    options = {"backbone": str(folder / "llava"), "model_type": "llava", "window": 64}
    ModelConfig(name="sees", query_tokens=4, document_tokens=8, dim=8, **options).save(folder / "placeholders")
    processes(Path(__file__).with_name("worker.py"), folder)
    return {
        path.name: [torch.load(path / f"{rank}.pt") for rank in (0, 1)]
        for path in folder.iterdir()
        if path.name != "llava"
    }


@pytest.fixture(scope="session")
def processes():
    """Run a command in two processes, as torchrun does."""

    def run(*command: object, count: int = 2, seconds: int = 240) -> None:
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
        environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
        environment |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        done = subprocess.run(
            [*launcher, *map(str, command)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]

    return run


@pytest.fixture
def pictures(tmp_path):
    """A data folder with a source ``pictures`` of image documents and their questions."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    lines = []
    for number in range(12):
        Image.new("RGB", (28, 28), (20 * number, 200 - 10 * number, 30)).save(folder / f"{number}.png")
        Image.new("RGB", (28, 28), (9 * number, 50, 200)).save(folder / f"other-{number}.png")
        lines.append(
            {
                "query": f"which picture is number {number}?",
                "positive": {"image": f"{number}.png"},
                "negative": {"image": f"other-{number}.png", "text": "another"},
            }
        )
    (folder / "pictures.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return folder

"""The accelerator's benchmark runs its whole path with a miniature, and its table holds what was measured."""

from __future__ import annotations

import json
import math
import runpy
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "backbone.py"
SMALL = ["--visual-tokens", "16", "--batch", "2", "--pairs", "2", "--steps", "2", "--repeats", "2", "--warm-up", "1"]


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(SCRIPT))


def test_the_miniature_goes_the_whole_way(script, tmp_path):
    script["main"](["--out", str(tmp_path), "--tiny", "--device", "cpu", *SMALL])
    report = json.loads((tmp_path / "backbone-tiny.json").read_text())
    assert report["visual_tokens"] == 16
    assert set(report["query_ms"]) == {"text", "image", "image + text"}
    assert all(0 < budgets["(1,1)"]["median"] <= budgets["(1,1)"]["max"] for budgets in report["query_ms"].values())
    assert all(figures["per_second"] > 0 for figures in report["throughput"].values())
    # Every document is the same picture, so that the chance of the right one among four stays what it is.
    assert report["training"]["losses"] == pytest.approx([math.log(4)] * 3, abs=0.1)
    table = (tmp_path / "backbone-tiny.md").read_text()
    assert "| image | " in table and "| 788 |" in table and report["device"] in table


def test_the_real_size_is_that_of_the_public_model(script):
    with torch.device("meta"):
        config = script["Qwen2_5_VLConfig"](text_config=script["REAL"]["text"], vision_config=script["REAL"]["vision"])
        count = sum(value.numel() for value in script["Qwen2_5_VLModel"](config).parameters())
    assert count == 3_754_622_976


def test_the_full_size_is_not_tried_on_a_cpu(script, tmp_path):
    with pytest.raises(SystemExit, match="--tiny"):
        script["main"](["--out", str(tmp_path), "--device", "cpu"])

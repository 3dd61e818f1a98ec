"""What nesting buys: the miniature training with and without the narrow groups, at every budget.

    python benchmarks/ablation.py --out results

Random weights, a synthetic task (metaembed_rag/training/miniature.py), a few minutes a run on two cores; no downloads.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from pathlib import Path
from typing import Any

from metaembed_rag import LADDER, MetaEmbed
from metaembed_rag.embedding.build import save_adapter
from metaembed_rag.training.data import read_pairs
from metaembed_rag.training.diagnostics import Diagnosis, diagnose
from metaembed_rag.training.miniature import Miniature, make_miniature
from metaembed_rag.training.monitor import LOG_FILE
from metaembed_rag.training.train import model_config, train, trainable_encoder

VARIANTS: dict[str, dict[str, Any]] = {
    "nested, five groups": {},
    "(16,64) only": {"groups": ((16, 64),)},
}


def untrained(files: Miniature, folder: Path) -> Diagnosis:
    config = model_config(files.recipe)
    save_adapter(trainable_encoder(files.recipe, config), config, folder)
    return diagnose(MetaEmbed.from_pretrained(folder), read_pairs(files.test))


def run(files: Miniature, folder: Path) -> dict[str, Any]:
    model = train(files.recipe, files.data, folder)
    found = diagnose(MetaEmbed.from_pretrained(model), read_pairs(files.test))
    rows = [json.loads(line) for line in (folder / LOG_FILE).read_text().splitlines()]
    losses = [row["loss"] for row in rows if "loss" in row]
    return {"first_loss": losses[0], "last_loss": losses[-1], **found.to_json()}


def table(results: dict[str, list[dict[str, Any]]], seeds: list[int], steps: int) -> str:
    header = "| Training | " + " | ".join(str(rung) for rung in LADDER) + " | loss, first to last |"
    lines = [
        "# Ablation: with and without the nested groups",
        "",
        (
            "`python benchmarks/ablation.py`: accuracy (the right document ranks first) at every budget, mean of seeds "
            f"{', '.join(map(str, seeds))}, each in parentheses; {steps} steps of 32 pairs, a one-layer BERT with "
            f"random weights, 16-dimensional vectors, {results['untrained'][0]['pairs']} queries over "
            f"{results['untrained'][0]['documents']} documents, a hard negative of each query among them. Losses are "
            "means over the first and last 25 steps of each training's own groups: rows do not compare in them."
        ),
        "",
        header,
        "|---" * (len(LADDER) + 2) + "|",
    ]
    for name, runs in results.items():
        cells = []
        for place in range(len(LADDER)):
            values = [run["quality"][place]["accuracy"] for run in runs]
            each = ", ".join(f"{value:.3f}" for value in values)
            cells.append(f"**{sum(values) / len(values):.3f}** ({each})")
        losses = ", ".join(f"{run['first_loss']:.2f} to {run['last_loss']:.2f}" for run in runs if "first_loss" in run)
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {losses or '-'} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logger = logging.getLogger("ablation")
    results: dict[str, list[dict[str, Any]]] = {"untrained": [], **{name: [] for name in VARIANTS}}
    with tempfile.TemporaryDirectory() as scratch:
        for seed in options.seeds:
            files = make_miniature(Path(scratch) / f"seed-{seed}", seed=seed)
            results["untrained"].append(untrained(files, Path(scratch) / f"untrained-{seed}").to_json())
            for name, changes in VARIANTS.items():
                chosen = files.with_options(**changes, steps=options.steps, save_steps=options.steps)
                results[name].append(run(chosen, Path(scratch) / f"{name}-{seed}"))
                logger.info("%s, seed %d: %s", name, seed, results[name][-1]["quality"])
    options.out.mkdir(parents=True, exist_ok=True)
    text = table(results, options.seeds, options.steps)
    (options.out / "ablation.md").write_text(text, encoding="utf-8")
    content = {"steps": options.steps, "seeds": options.seeds, "results": results}
    (options.out / "ablation.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()

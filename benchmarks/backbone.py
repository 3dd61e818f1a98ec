"""What a large backbone costs: a LoRA training step, encoding throughput, query latency and peak memory.

Example:
    python benchmarks/backbone.py --out results            # the real Qwen2.5-VL 3B size, on an accelerator
    python benchmarks/backbone.py --out results --tiny     # the same path with a miniature, on any CPU

The weights are random, which changes no timing: what is measured is the size. The backbone is written to a folder
(7.6 GB at full size) and loaded from there, as a real one would be. Latencies are of one query at a time.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from PIL import Image
from sentence_transformers import MultiVectorEncoder
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLConfig, Qwen2_5_VLModel
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from metaembed_rag import LADDER
from metaembed_rag.embedding.build import add_adapter, build_encoder, parts, trainable_parameters
from metaembed_rag.embedding.config import ModelConfig
from metaembed_rag.embedding.model import MetaEmbed
from metaembed_rag.training.loss import mmr_loss

logger = logging.getLogger("backbone")

#: One query with a picture of 1,024 visual tokens, 7B on an A100 (arXiv 2509.18095).
PAPER_QUERY_MS = 788
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>")

#: The sizes of the public Qwen2.5-VL-3B: 3.75 billion parameters.
REAL: dict[str, Any] = {
    "text": {
        "hidden_size": 2048,
        "intermediate_size": 11008,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
        "rope_parameters": {"rope_type": "default", "mrope_section": [16, 24, 24], "rope_theta": 1e6},
    },
    "vision": {
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "num_heads": 16,
        "out_hidden_size": 2048,
        "fullatt_block_indexes": [7, 15, 23, 31],
        "window_size": 112,
    },
}
TINY: dict[str, Any] = {
    "text": {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 400,
        "rope_parameters": {"rope_type": "default", "mrope_section": [2, 2, 4], "rope_theta": 1e6},
    },
    "vision": {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 2,
        "out_hidden_size": 64,
        "fullatt_block_indexes": [1],
        "window_size": 112,
    },
}


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("sentence_transformers").setLevel(logging.WARNING)
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cpu" and not options.tiny:
        raise SystemExit("the full size needs an accelerator; --tiny runs the same path on a CPU")
    options.out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=options.work) as folder:
        config = _write_backbone(Path(folder), TINY if options.tiny else REAL, options.visual_tokens, device)
        report = measure(config, device, options)
    name = "backbone-tiny" if options.tiny else "backbone"
    (options.out / f"{name}.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (options.out / f"{name}.md").write_text(table(report), encoding="utf-8")
    logger.info("%s", table(report))


def measure(config: ModelConfig, device: str, options: argparse.Namespace) -> dict[str, Any]:
    """Everything the table shows, for one backbone on one device."""
    encoder = build_encoder(config, device=device, dtype="float32" if device == "cpu" else "bfloat16")
    transformer, _ = parts(encoder)
    picture = _picture(options.visual_tokens)
    features = encoder.preprocess([picture], task="query", budget=1)
    report: dict[str, Any] = {
        "device": _device_name(device),
        "torch": torch.__version__,
        "dtype": str(transformer.model.dtype).removeprefix("torch."),
        "parameters": sum(value.numel() for value in transformer.model.parameters()),
        "visual_tokens": int((features["input_ids"] == transformer.model.config.image_token_id).sum()),
        "text_tokens": options.text_tokens,
    }
    model = MetaEmbed(config, encoder, "random")
    text = "a" * options.text_tokens
    logger.info("encoding")
    report["query_ms"] = {
        kind: {
            str(budget): _latency(lambda item=item, budget=budget: model.encode_queries([item], budget=budget), options)
            for budget in (LADDER[0], LADDER[-1])
        }
        for kind, item in (("text", text), ("image", picture), ("image + text", {"text": text, "image": picture}))
    }
    report["throughput"] = {
        "queries (text)": _throughput(lambda items: model.encode_queries(items, batch_size=len(items)), text, options),
        "documents (text)": _throughput(
            lambda items: model.encode_documents(items, batch_size=len(items)), text, options
        ),
        "documents (image)": _throughput(
            lambda items: model.encode_documents(items, batch_size=len(items)), picture, options
        ),
    }
    logger.info("training")
    report["training"] = _training(encoder, config, text, picture, options)
    return report


def _training(
    encoder: MultiVectorEncoder, config: ModelConfig, text: str, picture: Image.Image, options: argparse.Namespace
) -> dict[str, Any]:
    """LoRA steps of the nested loss: text queries, image documents, one hard negative each."""
    add_adapter(encoder, config, rank=32, alpha=32, dropout=0.1, seed=0)
    transformer, _ = parts(encoder)
    transformer.model.gradient_checkpointing_enable({"use_reentrant": False})
    encoder.to(encoder.device).train()
    parameters = trainable_parameters(encoder)
    optimizer = torch.optim.AdamW(parameters.values(), lr=1e-4)
    queries, documents = [text] * options.pairs, [picture] * (2 * options.pairs)

    def step() -> float:
        rows = [_embed(encoder, items, task) for items, task in ((queries, "query"), (documents, "document"))]
        loss = mmr_loss(*rows)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    with _peak_memory() as peak:
        losses = [step() for _ in range(options.warm_up)]
        started = _clock()
        losses += [step() for _ in range(options.steps)]
        seconds = (_clock() - started) / options.steps
    return {
        "pairs": options.pairs,
        "trainable_parameters": sum(value.numel() for value in parameters.values()),
        "step_seconds": round(seconds, 4),
        "pairs_per_second": round(options.pairs / seconds, 3),
        "peak_gib": peak(),
        "losses": [round(loss, 4) for loss in losses],
    }


def _embed(encoder: MultiVectorEncoder, items: list[Any], task: str) -> torch.Tensor:
    features = encoder.preprocess(items, task=task)
    moved = {key: value.to(encoder.device) if torch.is_tensor(value) else value for key, value in features.items()}
    rows: torch.Tensor = encoder(moved)["token_embeddings"]
    return rows


def _latency(call: Callable[[], Any], options: argparse.Namespace) -> dict[str, float]:
    """Milliseconds, preprocessing and the way back to the CPU included."""
    for _ in range(options.warm_up):
        call()
    seconds = []
    for _ in range(options.repeats):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return {
        "median": round(1000 * statistics.median(seconds), 2),
        "max": round(1000 * max(seconds), 2),
    }


def _clock() -> float:
    """Seconds, when the accelerator has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _throughput(encode: Callable[[list[Any]], Any], item: Any, options: argparse.Namespace) -> dict[str, Any]:
    items = [item] * options.batch
    encode(items)
    with _peak_memory() as peak:
        started = _clock()
        for _ in range(options.steps):
            encode(items)
        seconds = _clock() - started
    return {"batch": options.batch, "per_second": round(options.steps * len(items) / seconds, 2), "peak_gib": peak()}


@contextmanager
def _peak_memory() -> Iterator[Callable[[], float | None]]:
    """Yields a function that tells the accelerator's peak in GiB so far; None where there is no accelerator."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        yield lambda: round(torch.cuda.max_memory_allocated() / 2**30, 2)
    else:
        yield lambda: None


def _write_backbone(folder: Path, size: dict[str, Any], visual_tokens: int, device: str) -> ModelConfig:
    """A Qwen2.5-VL folder with random weights, the real image processor, and a tokenizer of bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={byte: index for index, byte in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    names = {"pad_token": SPECIAL[0], "eos_token": SPECIAL[2]}
    PreTrainedTokenizerFast(tokenizer_object=backend, **names).save_pretrained(folder)
    Qwen2VLImageProcessorPil().save_pretrained(folder)
    config = Qwen2_5_VLConfig(
        text_config=size["text"], vision_config=size["vision"], image_token_id=backend.token_to_id("<|image_pad|>")
    )
    config.dtype = torch.float32 if device == "cpu" else torch.bfloat16
    logger.info("making the backbone")
    with torch.device(device):
        Qwen2_5_VLModel._from_config(config, dtype=config.dtype).save_pretrained(folder)
    return ModelConfig(
        name="random",
        backbone=str(folder),
        model_type="qwen2_5_vl",
        dim=None,
        window=4096,
        visual_tokens=visual_tokens,
    )


def _picture(visual_tokens: int) -> Image.Image:
    """Noise that takes up the whole budget: a square of merged patches of 28 x 28 pixels."""
    side = 28 * int(visual_tokens**0.5)
    return Image.effect_noise((side, side), 80).convert("RGB")


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name() if device.startswith("cuda") else f"CPU ({platform.machine()})"


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    training = report["training"]
    head = (
        f"Qwen2.5-VL with random weights, {report['parameters'] / 1e9:.2f} billion parameters, {report['dtype']}, on "
        f"{report['device']}; {report['visual_tokens']} visual tokens a picture, {report['text_tokens']} a text."
    )
    steps = (
        f"LoRA training (rank 32, gradient checkpointing, {training['trainable_parameters'] / 1e6:.1f} million "
        f"trainable parameters): {training['step_seconds']} s a step of {training['pairs']} text queries, each with a "
        f"picture as positive and one as hard negative; {training['pairs_per_second']} pairs a second, peak "
        f"{_or_dash(training['peak_gib'])} GiB."
    )
    lines = [
        head,
        "",
        "| one query | (1,1) median ms | (16,64) median ms | paper, 7B on A100, ms |",
        "|---|---|---|---|",
    ]
    for kind, budgets in report["query_ms"].items():
        medians = " | ".join(f"{figures['median']:.1f}" for figures in budgets.values())
        lines.append(f"| {kind} | {medians} | {PAPER_QUERY_MS if 'image' in kind else ''} |")
    lines += ["", "| batches | batch | a second | peak GiB |", "|---|---|---|---|"]
    for kind, figures in report["throughput"].items():
        lines.append(f"| {kind} | {figures['batch']} | {figures['per_second']} | {_or_dash(figures['peak_gib'])} |")
    return "\n".join([*lines, "", steps, ""])


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of backbone.json and backbone.md")
    parser.add_argument("--work", type=Path, help="folder for the passing weights; the system's by default")
    parser.add_argument("--device", help="torch device; an accelerator where there is one")
    parser.add_argument("--tiny", action="store_true", help="a miniature, to try the path")
    parser.add_argument("--visual-tokens", type=int, default=1024)
    parser.add_argument("--text-tokens", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8, help="inputs a forward pass when measuring throughput")
    parser.add_argument("--pairs", type=int, default=4, help="queries a training step")
    parser.add_argument("--steps", type=int, default=10, help="batches and training steps that are timed")
    parser.add_argument("--repeats", type=int, default=20, help="queries whose latency is timed")
    parser.add_argument("--warm-up", type=int, default=3)
    return parser


if __name__ == "__main__":
    main()

"""Ways to find evidence that are measured beside those of the package: gradients, attention, words in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from metaembed_rag import Budget, MetaEmbed
from metaembed_rag.display.words import find_words
from metaembed_rag.embedding.build import parts
from metaembed_rag.embedding.tokens import META_TOKENS
from metaembed_rag.evidence.lines import Place


def words_in_common(query: str, text: str, lines: Sequence[Place]) -> np.ndarray:
    """Different words of the query in each line: what needs no model."""
    return np.array(
        [
            len({text[line.span[0] + start : line.span[0] + end].casefold() for start, end in found})
            for line in lines
            for found in [find_words(text[line.span[0] : line.span[1]], query)]
        ],
        dtype=float,
    )


def gradient(model: MetaEmbed, rows: np.ndarray, text: str, lines: Sequence[Place], budget: Budget) -> np.ndarray:
    """Gradient of the page's score by its input embeddings, times these, summed over each line's tokens."""
    transformer, head = parts(model.encoder)
    kept: dict[str, torch.Tensor] = {}

    def keep(module: object, inputs: object, output: torch.Tensor) -> torch.Tensor:
        kept["embeddings"] = output.detach().requires_grad_(True)
        return kept["embeddings"]

    def of_window(part: str) -> np.ndarray:
        hook = transformer.model.get_input_embeddings().register_forward_hook(keep)
        try:
            with torch.enable_grad():
                features = head(transformer(transformer.preprocess([part], task="document")))
                found = features["token_embeddings"][0, : budget.document]
                score = (torch.from_numpy(rows) @ found.T).amax(dim=1).sum()
                slope = torch.autograd.grad(score, kept["embeddings"])[0]
        finally:
            hook.remove()
        return (slope * kept["embeddings"]).sum(dim=-1)[0].detach().numpy()

    return _summed(model, text, lines, of_window)[0]


def attention(
    model: MetaEmbed, rows: np.ndarray, text: str, lines: Sequence[Place], budget: Budget
) -> dict[str, np.ndarray]:
    """What the document Meta Tokens that win the query's attend to: in the last layer, and rolled out over all."""
    transformer, head = parts(model.encoder)

    def of_window(part: str) -> np.ndarray:
        features = transformer.preprocess([part], task="document")
        count = features[META_TOKENS]
        transformer.model.set_attn_implementation("eager")
        seen: list[torch.Tensor] = []
        hooks = [
            layer.attention.self.register_forward_hook(lambda module, inputs, output: seen.append(output[1][0]))
            for layer in transformer.model.encoder.layer
        ]
        try:
            with torch.inference_mode():
                found = head(transformer(features))["token_embeddings"][0, : budget.document].numpy()
        finally:
            for hook in hooks:
                hook.remove()
            transformer.model.set_attn_implementation("sdpa")
        layers = [weights.mean(dim=0).numpy() for weights in seen]
        rolled = np.eye(len(layers[0]))
        for weights in layers:
            rolled = (0.5 * weights + 0.5 * np.eye(len(weights))) @ rolled
        winners = (rows @ found.T).argmax(axis=1)
        return np.stack([flow[len(flow) - count :][winners].sum(axis=0) for flow in (layers[-1], rolled)])

    last, rolled = _summed(model, text, lines, of_window)
    return {"attention": last, "rollout": rolled}


def _summed(model: MetaEmbed, text: str, lines: Sequence[Place], of_window: Callable[[str], np.ndarray]) -> np.ndarray:
    """Each line's sum over its tokens, in the window where it is highest: ``[kinds, tokens]`` -> ``[kinds, lines]``."""
    tokenizer = model.encoder.tokenizer
    starts = np.array([line.span[0] for line in lines])
    best: np.ndarray | None = None
    for window in model.windows(text):
        values = np.atleast_2d(of_window(window.text))
        spans = tokenizer(window.text, return_offsets_mapping=True)["offset_mapping"]
        sums = np.full((len(values), len(lines)), -np.inf)
        for column, (start, end) in enumerate(spans):
            if start < end:
                line = int(np.searchsorted(starts, window.span[0] + start, side="right")) - 1
                current = np.where(np.isinf(sums[:, line]), 0.0, sums[:, line])
                sums[:, line] = current + values[:, column]
        best = sums if best is None else np.maximum(best, sums)
    assert best is not None
    return best

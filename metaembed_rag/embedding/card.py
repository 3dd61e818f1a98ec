"""The model card that is published beside the weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from metaembed_rag.embedding.config import ModelConfig


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a card says beyond the config. What is not known is left out, and the card says so.

    Attributes:
        licence: SPDX name of the licence of the published weights, such as "apache-2.0".
        language: code of the language, such as "en".
        training_data: one line a source, with its licence.
        ladder: measured quality: metric and data set -> budget -> figure, such as
            ``{"PubMedQA nDCG@5": {"(1,1)": 0.95, "(16,64)": 0.946}}``.
        notes: paragraphs to add, such as limits of the model.
    """

    licence: str | None = None
    language: str | None = None
    training_data: tuple[str, ...] = ()
    ladder: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    notes: str = ""


def write_card(config: ModelConfig, facts: CardFacts, repo_id: str | None = None) -> str:
    """The card as Markdown with the hub's front matter."""
    return "\n".join(
        [
            *_front_matter(config, facts),
            "",
            f"# {_line(config.name)}",
            "",
            f"A [MetaEmbed](https://arxiv.org/abs/2509.18095) retrieval model on {_line(config.backbone)}. Any",
            "prefix of its vectors is an embedding of its own, so a budget decides what a search costs.",
            "",
            *_table(config, facts),
            "",
            "## Use",
            "",
            "```python",
            "from metaembed_rag import MetaEmbed, MetaEmbedIndex",
            "",
            f"model = MetaEmbed.from_pretrained({json.dumps(repo_id or config.name)})",
            'queries = model.encode_queries(["total revenue in 2019"], budget=4)',
            'documents = model.encode_documents(["Revenue was 3.2 million in 2019."])',
            'index = MetaEmbedIndex("reports.index", model=model)',
            "```",
            "",
            "## Training data",
            "",
            *([f"- {_line(source)}" for source in facts.training_data] or ["Not stated."]),
            "",
            "## Measured",
            "",
            *_ladder(facts.ladder),
            *(["", facts.notes.strip()] if facts.notes.strip() else []),
            "",
        ]
    )


def _front_matter(config: ModelConfig, facts: CardFacts) -> list[str]:
    # JSON strings are YAML strings, whatever is in them.
    entries = {
        "license": facts.licence,
        "language": facts.language,
        "base_model": config.backbone,
        "library_name": "metaembed-rag",
        "pipeline_tag": "feature-extraction",
        "tags": ["metaembed", "late-interaction", "multi-vector", "matryoshka", "retrieval"],
    }
    return ["---", *(f"{key}: {json.dumps(value)}" for key, value in entries.items() if value is not None), "---"]


def _table(config: ModelConfig, facts: CardFacts) -> list[str]:
    groups = " ".join(f"({query},{document})" for query, document in config.groups)
    rows = {
        "Base model": f"{config.backbone} (`{config.model_type}`); its own licence applies to it",
        "Licence of these weights": facts.licence or "not stated",
        "Meta Tokens": f"{config.query_tokens} for queries, {config.document_tokens} for documents",
        "Trained groups": groups,
        "Dimensions": "the backbone's hidden size" if config.dim is None else str(config.dim),
        "Score": f"{config.similarity} over query vectors of the best match among the document's",
        "Window": f"{config.window} tokens of text",
        "Picture": f"at most {config.visual_tokens} visual tokens, on backbones that see",
    }
    return ["| | |", "|---|---|", *(f"| {key} | {_line(value)} |" for key, value in rows.items())]


def _ladder(ladder: Mapping[str, Mapping[str, float]]) -> list[str]:
    if not ladder:
        return ["Nothing yet."]
    budgets = list(dict.fromkeys(budget for figures in ladder.values() for budget in figures))
    head = ["| budget | " + " | ".join(_line(name) for name in ladder) + " |", "|---|" + "---|" * len(ladder)]
    cells = ([f"{row[budget]:.3f}" if budget in row else "" for row in ladder.values()] for budget in budgets)
    return head + [f"| {_line(budget)} | " + " | ".join(row) + " |" for budget, row in zip(budgets, cells, strict=True)]


def _line(text: str) -> str:
    """Text from outside, on one line of a table, as text: no markup of its own."""
    plain = " ".join(text.split())
    for character, escaped in {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "\\|"}.items():
        plain = plain.replace(character, escaped)
    return plain

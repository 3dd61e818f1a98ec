"""Text encoders: bidirectional, so Meta Tokens nest by the mask of ``metaembed_rag.embedding.tokens``."""

from __future__ import annotations

from metaembed_rag.embedding.families.family import Family, named_rows

BERT = Family(
    reserve=named_rows("[unused{n}]"),
    lora_targets=r".*encoder\.layer\.\d+\..*\.(query|key|value|dense)",
    embedding="word_embeddings",
    prefix_attention=True,
    positions="fixed",
    padding="right",
)

#: ModernBERT has 83 unused entries, its multilingual kin 100 under another name. Layers with a sliding window keep
#: it for the text; Meta Tokens see all of it in every layer.
MODERNBERT = Family(
    reserve=named_rows("[unused{n}]", "<unused{n}>"),
    lora_targets=r".*layers\.\d+\.(attn|mlp)\.(Wqkv|Wo|Wi)",
    embedding="tok_embeddings",
    prefix_attention=True,
    padding="right",
)

"""Models published as sentence-transformers folders whose learned vectors stand ahead of the text.

The layout is that of Sazanami-MetaEmbed-310m as its public card describes it: an encoder (ModernBERT) reads
``[learned vectors | prompt and text]``, the states at the vectors are projected (a Dense without bias) and normalised,
scores are mean MaxSim, a query has 16 vectors and a document 64, trained in the groups (1,1) (2,4) (4,8) (8,16) (8,32)
(16,64), each kind with a prompt of its own ahead of the text.

The card does not say under which names the vectors are stored, nor where special tokens stand. Assumed here: the
vectors come before all tokens of the text, its start token included; positions run on over both; attention is the
backbone's own. The vectors are the two tensors of the backbone's width, in the files of the first module, that are no
weights of the backbone: told apart by "query" and "doc" in their names, else the smaller set is the queries'. Classes
that the folder names are not imported; its weights are read and put into the modules below.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Transformer
from torch import Tensor, nn

from metaembed_rag.embedding.build import quietly
from metaembed_rag.embedding.config import ModelConfig
from metaembed_rag.embedding.tokens import META_TOKENS, MetaTokenHead, MetaTokenInput
from metaembed_rag.errors import ModelError

GROUPS = ((1, 1), (2, 4), (4, 8), (8, 16), (8, 32), (16, 64))


class PrependedTransformer(Transformer, MetaTokenInput):
    """An encoder whose inputs begin with learned vectors.

    Vectors and text see each other, so a budget takes the first of all states and saves no encoding.

    Attributes:
        query_vectors: ``[queries, hidden]``, coarse to fine; see ``set_vectors``.
        document_vectors: ``[documents, hidden]``, coarse to fine.
    """

    forward_kwargs: set[str] = {"budget", "task"}  # noqa: RUF012 - as the base class declares it

    query_vectors: nn.Parameter
    document_vectors: nn.Parameter

    def set_vectors(self, queries: Tensor, documents: Tensor) -> None:
        """Give it the learned vectors."""
        self.query_vectors = nn.Parameter(queries.float(), requires_grad=False)
        self.document_vectors = nn.Parameter(documents.float(), requires_grad=False)
        # Rows of these sets, not of the vocabulary.
        self.query_token_ids = list(range(len(queries)))
        self.document_token_ids = list(range(len(documents)))

    def capacity(self, task: str) -> int:
        limit = self.query_length if task == "query" else self.document_length
        return int((limit or self.words.model_max_length) - self.words.num_special_tokens_to_add())

    def preprocess(
        self, inputs: Any, prompt: str | None = None, *args: Any, budget: int | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Tokenise; ``budget`` is how many states the head will take."""
        features: dict[str, Any] = super().preprocess(inputs, prompt, *args, **kwargs)
        if features:
            features |= self.meta_tokens(kwargs.get("task"), budget)[1]
        return features

    def forward(
        self, features: dict[str, Any], *, task: str | None = None, budget: int | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """``token_embeddings [n, budget, hidden]``: the states at the learned vectors."""
        vectors = self.query_vectors if task == "query" else self.document_vectors
        words = self.model.get_input_embeddings()(features["input_ids"])
        mask = features["attention_mask"]
        states = self.model(
            inputs_embeds=torch.cat([vectors.to(words.dtype).expand(len(words), -1, -1), words], dim=1),
            attention_mask=torch.cat([mask.new_ones(len(words), len(vectors)), mask], dim=1),
        ).last_hidden_state
        features["token_embeddings"] = states[:, : features[META_TOKENS]]
        return features


def load_prepended(folder: Path, *, device: str | None, dtype: str | None) -> tuple[ModelConfig, MultiVectorEncoder]:
    """Read such a folder; the module docstring says what is assumed.

    Raises:
        ModelError: it is not of this layout, or damaged.
    """
    try:
        with quietly():
            return _load(folder, device, dtype)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"{folder} is not a model whose learned vectors stand ahead of the text, or it is damaged: {error}"
        ) from error


def _load(folder: Path, device: str | None, dtype: str | None) -> tuple[ModelConfig, MultiVectorEncoder]:
    modules = _read(folder / "modules.json")
    first, dense = folder / str(modules[0]["path"]), _find_dense(folder, modules)
    settings = _read(folder / "config_sentence_transformers.json")
    lengths = _read(first / "sentence_bert_config.json") if (first / "sentence_bert_config.json").exists() else {}
    projection = _tensors(dense)["linear.weight"]
    backbone = _read(first / "config.json")
    stored = _tensors(first)
    transformer = PrependedTransformer(
        str(first),
        query_length=lengths.get("query_length"),
        document_length=lengths.get("document_length"),
        max_seq_length=lengths.get("max_seq_length"),
        model_kwargs={"use_safetensors": True, "trust_remote_code": False}
        | ({} if dtype is None else {"dtype": dtype}),
        processor_kwargs={"trust_remote_code": False},
        config_kwargs={"trust_remote_code": False},
    )
    own = set(transformer.model.state_dict())
    absent = sorted(name for name in own if name not in stored and f"model.{name}" not in stored)
    if absent:
        raise ModelError(f"{folder}: the first module's files lack weights of its backbone, such as {absent[0]}")
    queries, documents = _find_vectors(stored, own, int(backbone["hidden_size"]))
    transformer.set_vectors(queries, documents)
    head = MetaTokenHead(int(backbone["hidden_size"]), len(projection))
    head.load_state_dict({"projection.weight": projection.float()})
    prompts = settings.get("prompts") or {}
    config = ModelConfig(
        name=folder.name,
        backbone=folder.name,
        model_type=str(backbone["model_type"]),
        query_tokens=len(queries),
        document_tokens=len(documents),
        dim=len(projection),
        window=transformer.capacity("document"),
        similarity=_similarity(settings),
        groups=tuple(group for group in GROUPS if group[0] <= len(queries) and group[1] <= len(documents)),
        query_prompt=str(prompts.get("query") or ""),
        document_prompt=str(prompts.get("document") or ""),
    )
    encoder = MultiVectorEncoder(modules=[transformer, head], device=device)
    encoder.eval()
    return config, encoder


def _find_dense(folder: Path, modules: list[dict[str, Any]]) -> Path:
    """The projection's folder, when the modules are an encoder, one linear Dense and Normalize."""
    kinds = [str(module["type"]).rsplit(".", 1)[-1] for module in modules[1:]]
    if [kind for kind in kinds if kind != "MultiVectorMask"] != ["Dense", "Normalize"]:
        raise ModelError(f"{folder}: its modules are {kinds}, not Dense and Normalize behind the encoder")
    dense = folder / str(modules[1 + kinds.index("Dense")]["path"])
    settings = _read(dense / "config.json")
    if settings.get("bias") or not str(settings.get("activation_function", "Identity")).endswith("Identity"):
        raise ModelError(f"{dense}: only a linear projection without bias is supported")
    return dense


def _find_vectors(stored: dict[str, Tensor], own: set[str], hidden: int) -> tuple[Tensor, Tensor]:
    """Query and document vectors: the tensors of the right shape that are no weights of the backbone (``own``)."""
    found = {
        name: tensor
        for name, tensor in stored.items()
        if tensor.ndim == 2 and tensor.shape[1] == hidden and len(tensor) < hidden and not _is_own(name, own)
    }
    if len(found) != 2:
        raise ModelError(f"{len(found)} sets of learned vectors of width {hidden} found, not two: {sorted(found)}")
    first, second = sorted(found, key=lambda name: (_kind(name), len(found[name])))
    return found[first], found[second]


def _is_own(name: str, own: set[str]) -> bool:
    """Whether a stored name is a weight of the backbone, whatever stands ahead of it."""
    parts = name.split(".")
    return any(".".join(parts[index:]) in own for index in range(len(parts)))


def _kind(name: str) -> int:
    lowered = name.lower()
    return 0 if "query" in lowered else 2 if "doc" in lowered or "passage" in lowered else 1


def _similarity(settings: dict[str, Any]) -> Literal["sum", "mean"]:
    name = settings.get("similarity_fn_name", "maxsim")
    if name not in ("maxsim", "meanmaxsim"):
        raise ModelError(f"similarity {name!r} is not supported; known are maxsim and meanmaxsim")
    return "mean" if name == "meanmaxsim" else "sum"


def _tensors(folder: Path) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            tensors.update({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 - not a mapping
    return tensors


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))

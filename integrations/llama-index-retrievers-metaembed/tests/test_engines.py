"""Inside LlamaIndex: query engines, fusion, routers, postprocessors, and models that see, all with fake LLMs."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.base.base_selector import BaseSelector, SelectorResult, SingleSelection
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ImageBlock,
    LLMMetadata,
    TextBlock,
)
from llama_index.core.indices.query.query_transform import HyDEQueryTransform
from llama_index.core.llms import CustomLLM, MockLLM
from llama_index.core.postprocessor import (
    LongContextReorder,
    MetadataReplacementPostProcessor,
    SimilarityPostprocessor,
)
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import (
    RetrieverQueryEngine,
    RouterQueryEngine,
    TransformQueryEngine,
)
from llama_index.core.retrievers import QueryFusionRetriever, RouterRetriever
from llama_index.core.schema import QueryBundle, TextNode
from llama_index.core.tools import QueryEngineTool, RetrieverTool
from llama_index.retrievers.metaembed import MetaEmbedRetriever, MetaEmbedVectorStore
from pydantic import PrivateAttr

#: The first releases of the range have SimpleMultiModalQueryEngine instead, which later ones call deprecated.
shows_pictures = pytest.mark.skipif(
    "multimodal" not in signature(RetrieverQueryEngine.from_args).parameters,
    reason="this release of LlamaIndex has no query engine that shows pictures to a chat model",
)

QUESTION = "When does the boat to Holm depart?"


@pytest.fixture
def retriever(filled):
    return MetaEmbedRetriever(index=filled, budget=4, similarity_top_k=1)


def test_a_query_engine_hands_the_right_page_to_the_model(retriever):
    response = RetrieverQueryEngine.from_args(retriever, llm=MockLLM()).query(QUESTION)
    assert "six in the morning" in str(response), "the mock model answers with its prompt"
    assert "roasted" not in str(response)
    (node,) = response.source_nodes
    assert node.metadata == {"source": "notes.pdf", "page": 1, "year": 2021}


async def test_a_query_engine_runs_asynchronously_and_streams(retriever):
    assert "six in the morning" in str(await RetrieverQueryEngine.from_args(retriever, llm=MockLLM()).aquery(QUESTION))
    streaming = RetrieverQueryEngine.from_args(retriever, llm=MockLLM(), streaming=True)
    assert "six in the morning" in "".join(streaming.query(QUESTION).response_gen)


def test_a_vector_store_index_answers_too(filled):
    store = MetaEmbedVectorStore(filled, budget=4)
    index = VectorStoreIndex.from_vector_store(store, embed_model=store.embedding)
    response = index.as_query_engine(llm=MockLLM(), similarity_top_k=1, vector_store_kwargs={"budget": 2}).query(
        QUESTION
    )
    assert "six in the morning" in str(response)
    assert response.source_nodes[0].score <= 2


@pytest.mark.parametrize("mode", ["simple", "reciprocal_rerank", "relative_score", "dist_based_score"])
@pytest.mark.parametrize("use_async", [False, True])
def test_fusion_of_several_questions_and_budgets(filled, retriever, mode, use_async):
    store = MetaEmbedVectorStore(filled, budget=2)
    stock = VectorStoreIndex.from_vector_store(store, embed_model=store.embedding).as_retriever(similarity_top_k=1)
    fusion = QueryFusionRetriever(
        [retriever, stock],
        llm=MockLLM(),
        query_gen_prompt="{query}\nAt which temperature are beans roasted?\n",  # the mock model's answer
        num_queries=3,
        mode=mode,
        use_async=use_async,
        similarity_top_k=5,
    )
    texts = [node.text for node in fusion.retrieve(QUESTION)]
    assert sorted(text.split()[1] for text in texts) == ["are", "first"], "each node once, of all the questions"


class Chooses(BaseSelector):
    """Chooses what it was made with."""

    def __init__(self, *choices: int) -> None:
        self.choices = choices

    def _select(self, choices: Any, query: QueryBundle) -> SelectorResult:
        return SelectorResult(selections=[SingleSelection(index=place, reason="told to") for place in self.choices])

    async def _aselect(self, choices: Any, query: QueryBundle) -> SelectorResult:
        return self._select(choices, query)

    def _get_prompts(self) -> dict[str, PromptTemplate]:
        return {}

    def _update_prompts(self, prompts: Any) -> None:
        """It has none."""


async def test_routers_route(filled, index, retriever):
    other = MetaEmbedRetriever.from_nodes([TextNode(id_="elsewhere", text="nothing about boats")], index)
    tools = [RetrieverTool.from_defaults(member, description="x") for member in (other, retriever)]
    router = RouterRetriever(Chooses(1), tools, llm=MockLLM())
    assert "Holm" in router.retrieve(QUESTION)[0].text
    both = RouterRetriever(Chooses(0, 1), tools, llm=MockLLM())
    assert {node.text.split()[0] for node in await both.aretrieve(QUESTION)} == {"nothing", "The"}
    engines = [
        QueryEngineTool.from_defaults(RetrieverQueryEngine.from_args(member, llm=MockLLM()), description="x")
        for member in (other, retriever)
    ]
    assert "six in the morning" in str(RouterQueryEngine(Chooses(1), engines, llm=MockLLM()).query(QUESTION))


async def test_a_chain_of_postprocessors(filled):
    texts = [TextNode(id_=str(n), text=f"ferry {n}", metadata={"window": f"all about ferry {n}"}) for n in range(4)]
    with MetaEmbedRetriever.from_nodes([*texts, TextNode(text="coffee", id_="c")], budget=4) as retriever:
        scores = {node.node_id: node.score for node in retriever.retrieve("ferry 2")}
        engine = RetrieverQueryEngine.from_args(
            retriever,
            llm=MockLLM(),
            node_postprocessors=[
                SimilarityPostprocessor(similarity_cutoff=scores["c"] + 1e-4),
                MetadataReplacementPostProcessor(target_metadata_key="window"),
                LongContextReorder(),
            ],
        )
        for response in (engine.query("ferry 2"), await engine.aquery("ferry 2")):
            assert {node.node_id for node in response.source_nodes} == {"0", "1", "2", "3"}
            assert all(node.text.startswith("all about") for node in response.source_nodes)
        assert retriever.retrieve("ferry 2")[0].text == "ferry 2", "a postprocessor's change stays its own"


def test_hyde_asks_with_what_the_model_made_up(retriever):
    hyde = HyDEQueryTransform(llm=MockLLM(), include_original=True)
    engine = TransformQueryEngine(RetrieverQueryEngine.from_args(retriever, llm=MockLLM()), query_transform=hyde)
    assert "six in the morning" in str(engine.query(QUESTION))


class Seer(CustomLLM):
    """A chat model that tells what it was shown."""

    _messages: list[ChatMessage] = PrivateAttr(default_factory=list)

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(is_chat_model=True, context_window=100_000)

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        self._messages.extend(messages)
        return ChatResponse(message=ChatMessage(role="assistant", content="I see."))

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self.chat(messages)

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        raise AssertionError("pictures go to chat")

    stream_complete = complete  # type: ignore[assignment]

    @property
    def pictures(self) -> list[ImageBlock]:
        return [block for message in self._messages for block in message.blocks if isinstance(block, ImageBlock)]

    @property
    def text(self) -> str:
        blocks = (block for message in self._messages for block in message.blocks)
        return "\n".join(block.text for block in blocks if isinstance(block, TextBlock))


@shows_pictures
async def test_a_model_that_sees_is_shown_the_picture(nodes, asked, pictures):
    with MetaEmbedRetriever.from_nodes(nodes, budget=8, similarity_top_k=1) as retriever:
        for asynchronous in (False, True):
            seer = Seer()
            engine = RetrieverQueryEngine.from_args(retriever, llm=seer, multimodal=True)
            question = asked["a kitchen"]
            response = await engine.aquery(question) if asynchronous else engine.query(question)
            assert str(response) == "I see."
            (picture,) = seer.pictures
            assert picture.resolve_image().read() == Path(pictures["kitchen"]).read_bytes()


@shows_pictures
def test_pages_of_a_pdf_are_shown_as_drawn(index, pictures):
    from PIL import Image

    path = pictures["harbour"].replace(".png", ".pdf")
    Image.open(pictures["harbour"]).save(path)
    index.add(path, ocr="never")
    seer = Seer()
    retriever = MetaEmbedRetriever(index=index, images=True)
    RetrieverQueryEngine.from_args(retriever, llm=seer, multimodal=True).query("lighthouse")
    (picture,) = seer.pictures
    assert Image.open(picture.resolve_image()).width > 700
    assert "page: 1" in seer.text

"""How many threads a query takes, and that the process gets them back."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
import torch

from metaembed_rag import MetaEmbed
from metaembed_rag.embedding.threads import few_threads


@pytest.fixture
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("four_threads")
def test_half_of_the_threads_inside_and_all_of_them_after() -> None:
    with few_threads():
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads")
def test_blocks_that_overlap_give_every_thread_back_what_was_there() -> None:
    together = Barrier(4)

    def work(_: int) -> int:
        for _ in range(50):
            together.wait(timeout=30)
            with few_threads():
                pass
        return torch.get_num_threads()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [4, 4, 4, 4]
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads")
def test_one_query_takes_few_threads_and_a_batch_takes_all(model: MetaEmbed, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    encode = model.encoder.encode

    def watched(*args: Any, **options: Any) -> Any:
        seen.append(torch.get_num_threads())
        return encode(*args, **options)

    monkeypatch.setattr(model.encoder, "encode", watched)
    model.encode_queries(["one"])
    model.encode_queries(["one", "two"])
    model.encode_documents(["one"])
    assert seen == [2, 4, 4]

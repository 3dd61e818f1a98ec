"""Compiled layers compute what they did before, and a machine without a compiler is told so."""

from __future__ import annotations

import logging

import pytest
import torch
from transformers import BertConfig, BertModel

from metaembed_rag.training.compilation import compile_layers, find_compiler

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="needs a C++ compiler: apt install g++")


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, attn_implementation="eager",
    )  # fmt: skip
    return BertModel(config).train()


def states_and_gradients(model, lengths):
    results = []
    for rows, length in lengths:
        model.zero_grad()
        ids = torch.arange(rows * length).reshape(rows, length) % 50
        mask = torch.ones_like(ids)
        mask[0, length // 2 :] = 0
        states = model(input_ids=ids, attention_mask=mask).last_hidden_state
        states.square().sum().backward()
        results += [states.detach(), model.encoder.layer[0].intermediate.dense.weight.grad.clone()]
    return results


@needs_compiler
def test_compiled_layers_compute_the_same_at_every_size(backbone):
    lengths = [(4, 7), (4, 12), (2, 5)]
    before, names = states_and_gradients(backbone, lengths), list(dict(backbone.named_parameters()))
    assert compile_layers(backbone) == 2
    for expected, found in zip(before, states_and_gradients(backbone, lengths), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert list(dict(backbone.named_parameters())) == names


def test_without_a_compiler_training_goes_on_and_says_so(backbone, monkeypatch, caplog):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with caplog.at_level(logging.WARNING):
        assert compile_layers(backbone) == 0
    assert "C++ compiler" in caplog.text

"""Nested training of Meta Tokens: loss, teacher, recipes and the trainer around sentence-transformers'."""

"""Training pairs for the mini model, one module a kind of source."""

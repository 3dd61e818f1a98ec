"""How good a model is, at every budget: metrics, development benchmarks and the ladder."""

"""Serving tuned models: vLLM in an environment of its own, checks before, proof after, and a guard in front."""

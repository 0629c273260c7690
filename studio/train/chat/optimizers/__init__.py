"""Optimizers that transformers does not make, each by the name that presets give it."""

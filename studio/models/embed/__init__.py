"""Encoders that find texts: opened from folders of transformers or sentence-transformers, and the figures of a ranking."""

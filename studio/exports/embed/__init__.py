"""Embedding models and rerankers in the forms that other programs read."""

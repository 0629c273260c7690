"""Measuring what finds texts: held-out questions against a corpus of passages."""

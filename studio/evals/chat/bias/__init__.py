"""Bias benchmarks: readers of the published files, and the scores as pure functions of log-probabilities or answers."""

"""Run to Report: generation, likelihood, metrics, paired statistics."""

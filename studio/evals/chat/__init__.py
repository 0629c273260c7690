"""Measuring language models: answers, likelihoods, bias, safety."""

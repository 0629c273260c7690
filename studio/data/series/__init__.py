"""Datasets of time series."""

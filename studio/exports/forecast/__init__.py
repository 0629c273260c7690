"""Runs that forecast time series, in the forms that other programs read."""

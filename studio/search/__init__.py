"""Searching for settings, comparing presets on the same folds, and advice which to take; kinds are found through their table."""

"""Runs that give labels or numbers, in the forms that other programs read."""

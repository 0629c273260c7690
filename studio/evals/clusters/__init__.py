"""Measuring groups of rows: on held-out rows, beside what the same method finds in rows without structure."""

"""Measuring Runs that predict labels or numbers, and explaining what they rest on."""

"""Base weights: starters, safe loading, chat templates and the encoding of conversations."""

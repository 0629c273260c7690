"""Base weights: starters, safe loading, the device; a room for each kind of model."""

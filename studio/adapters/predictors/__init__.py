"""The model card of a predictor."""

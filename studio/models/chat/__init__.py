"""Language models: chat templates, encoding with the mask, attention."""

"""Language models: loading, chat templates, encoding with the mask, attention."""

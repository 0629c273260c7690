"""Training of language models on conversations and preferences."""

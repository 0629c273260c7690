"""Tasks that ask a language model."""

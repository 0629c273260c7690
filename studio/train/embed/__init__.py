"""Training of embeddings and rerankers: from questions with passages to a plain folder of sentence-transformers."""

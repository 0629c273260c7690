"""What a Run of embeddings or of a reranker says about itself to others."""

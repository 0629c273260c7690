"""What stands beside an exported embedding model or reranker: it imports nothing of the studio."""

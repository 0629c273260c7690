"""What a chat preset can learn: one module per family of objectives, one table of them all."""

"""Dataset, model and adapter to Run. What every training shares: records, checkpoints, metrics, its end; a room for each kind."""

"""Dataset, model and adapter to Run: masks, batches, plan, trainer, checkpoints."""

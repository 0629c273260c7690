"""LoRA on language models: attach, load, merge, what vLLM will load."""

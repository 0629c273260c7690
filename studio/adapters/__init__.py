"""Preset to PEFT: attach, save, merge, what vLLM will load, model card."""

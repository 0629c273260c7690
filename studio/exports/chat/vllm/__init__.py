"""Chats with smaller numbers for vLLM: compressed-tensors by llmcompressor, proven in vLLM itself."""

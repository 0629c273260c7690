"""Chats as GGUF, for llama.cpp, Ollama and what is built on them: own writer, proven in llama.cpp."""

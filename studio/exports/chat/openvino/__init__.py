"""Chats for OpenVINO, stateful, with tokenizers as graphs of their own: written by transformers, proven in openvino-genai."""

"""Chats as ONNX with their cache of keys and values, for onnxruntime-genai: built by its model builder, proven in it."""

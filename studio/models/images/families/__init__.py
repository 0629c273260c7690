"""Families of diffusion models: each says how to encode text and pixels, which network is tuned, and what it predicts."""

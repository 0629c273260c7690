"""The environment in which numbers are made smaller; vLLM's own is another one."""

from __future__ import annotations

from studio.core.environments import OwnEnvironment

LLMCOMPRESSOR, TRANSFORMERS, TORCH = "0.14.0.1", "5.17.0", "2.13.0"
"""What was tried together: llmcompressor takes transformers up to 5.17, and training is ahead of it."""
QUANTIZE = OwnEnvironment(
    name="quantize",
    version=f"llmcompressor-{LLMCOMPRESSOR}",
    installs=(
        (f"torch=={TORCH}",),
        (f"torch=={TORCH}", f"transformers=={TRANSFORMERS}", f"llmcompressor=={LLMCOMPRESSOR}"),
    ),
    proof="import llmcompressor.modifiers.quantization, llmcompressor.modifiers.awq",
    needs=3_000_000_000,
    command="studio export --install quantize",
    feature="making the numbers of a model smaller for vLLM",
)

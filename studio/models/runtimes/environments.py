"""Environments of their own that writers and runtimes of exports need."""

from __future__ import annotations

from studio.core.environments import OwnEnvironment

# The torch of the studio itself would do, but its CPU build is not published for every version; this one was tried.
LITERT = OwnEnvironment(
    name="litert",
    version="0.10.0",
    installs=(("torch==2.13.0",), ("torch==2.13.0", "litert-torch==0.10.0", "ai-edge-litert==2.3.0")),
    proof="import litert_torch, ai_edge_litert.interpreter",
    needs=8_000_000_000,
    command="studio export --install litert",
    feature="TensorFlow Lite",
)
TENSORFLOW = OwnEnvironment(
    name="tensorflow",
    version="2.19.0",
    # The last line of onnx2tf for Python 3.11; the others are what programs beside exports read rows with.
    installs=(("onnx2tf==1.29.24",), ("pillow", "tokenizers")),
    proof="import onnx2tf, tensorflow",
    needs=4_000_000_000,
    command="studio export --install tensorflow",
    feature="A SavedModel",
)

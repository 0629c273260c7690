"""``lambda``: a container for AWS Lambda: a small language model in llama.cpp, or a predictor in ONNX Runtime."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from studio.core.errors import UserError
from studio.deploy.exported import GGUF, Exported, find_export
from studio.deploy.places import Asked, Place, Say, Written
from studio.deploy.quoting import render

LLAMA_BUILD = "b11176"
LLAMA_IMAGE = f"ghcr.io/ggml-org/llama.cpp:server-{LLAMA_BUILD}"
ADAPTER_IMAGE = "public.ecr.aws/awsguru/aws-lambda-adapter:1.0.0"
PYTHON_IMAGE = "public.ecr.aws/lambda/python:3.12"
# AWS Lambda quotas: 10,240 MB of memory, 10 GB of unpacked image, 15 minutes.
_MOST_MEMORY, _MOST_MODEL = 10_240, 7_000_000_000
_TESTED = {"onnxruntime": "1.32.0", "numpy": "2.4.6", "pillow": "12.0.0", "tokenizers": "0.22.1"}


class Lambda(Place):
    """A Dockerfile and a SAM template."""

    what = "AWS Lambda: a container with llama.cpp (chat, from GGUF) or ONNX Runtime (labels and numbers)"
    kinds = ("chat", "classifier", "regressor")

    def write(self, asked: Asked, say: Say) -> Written:  # noqa: ARG002 - nothing takes long
        """The image's files; the model is copied into it when it is built."""
        chat = asked.record.kind == "chat"
        export = find_export(asked, GGUF if chat else ("onnx",), (".gguf",) if chat else (".onnx",), place="lambda")
        if export.bytes > _MOST_MODEL:
            raise UserError(
                f"{export.file.name} has {export.bytes / 1e9:.1f} GB, and AWS Lambda gives a function at most "
                f"{_MOST_MEMORY / 1024:.0f} GB of memory. Export it smaller, or take another place: compose, kubernetes."
            )
        values = {
            "slug": asked.slug,
            "name": asked.name,
            "run": asked.run,
            "export": export,
            "llama": LLAMA_IMAGE,
            "adapter": ADAPTER_IMAGE,
            "python": PYTHON_IMAGE,
            "memory": min(_MOST_MEMORY, max(1024, round(export.bytes * 1.3 / 2**20) + 512)),
            "chat": chat,
        }
        return _chat(values, export) if chat else _predictor(values, export)


def _chat(values: dict[str, object], export: Exported) -> Written:
    """llama.cpp's server behind the Lambda Web Adapter, whose answers stream."""
    return Written(
        files={
            "Dockerfile": render("lambda/chat.Dockerfile.j2", values),
            ".dockerignore": "*\n!model.gguf\n",
            ".gitignore": "model.gguf\n.aws-sam/\n",
            "template.yaml": render("lambda/template.yaml.j2", values),
        },
        begin=render("lambda/begin.md.j2", values),
        limits=_limits("llama.cpp's flags were not parsed by its own binary."),
        facts={"image": LLAMA_IMAGE, "model_bytes": export.bytes, "memory_mb": values["memory"]},
    )


def _predictor(values: dict[str, object], export: Exported) -> Written:
    """The export's own program behind Lambda's Python."""
    wanted = ["onnxruntime", "numpy", "pillow", *(["tokenizers"] if (export.folder / "tokenizer.json").is_file() else [])]
    requirements = "".join(f"{name}=={_version(name)}\n" for name in wanted)
    return Written(
        files={
            "Dockerfile": render("lambda/predict.Dockerfile.j2", values),
            "handler.py": render("lambda/handler.py.j2", values),
            "requirements.txt": requirements,
            ".dockerignore": "*\n!model/\n!handler.py\n!requirements.txt\n",
            ".gitignore": "model/\n.aws-sam/\n",
            "template.yaml": render("lambda/template.yaml.j2", values),
        },
        begin=render("lambda/begin.md.j2", values),
        limits=_limits("The packages of requirements.txt were not installed into Lambda's own Python."),
        facts={"image": PYTHON_IMAGE, "model_bytes": export.bytes, "memory_mb": values["memory"]},
    )


def _version(package: str) -> str:
    """The version that is installed here, with which the export was proven; else the one that was tried."""
    try:
        return version(package)
    except PackageNotFoundError:
        return _TESTED[package]


def _limits(more: str) -> tuple[str, ...]:
    """What nobody ran."""
    return (
        "No image was built or pulled, and AWS was not asked; template.yaml was read as YAML only (sam validate is AWS's).",
        more,
        "A cold start loads the model anew; how long that takes was not measured.",
    )

"""``jetson`` and ``pi``: llama.cpp built on the board for the board, and a service of it."""

from __future__ import annotations

from typing import ClassVar

from studio.deploy.aws_lambda import LLAMA_BUILD
from studio.deploy.exported import GGUF, find_export
from studio.deploy.places import Asked, Place, Say, Written
from studio.deploy.quoting import render


class Board(Place):
    """What both have: a script that builds, a script that serves, a unit."""

    kinds = ("chat",)
    name: ClassVar[str]
    """As in the table."""
    cmake: ClassVar[tuple[str, ...]]
    """Options of llama.cpp's build."""
    packages: ClassVar[str]
    """Packages of the board's own system."""
    server: ClassVar[tuple[str, ...]] = ()
    """Options of llama-server for this board."""
    about: ClassVar[str]
    limits: ClassVar[tuple[str, ...]]

    def write(self, asked: Asked, say: Say) -> Written:  # noqa: ARG002 - nothing takes long
        """The scripts and the unit."""
        export = find_export(asked, GGUF, (".gguf",), place=self.name)
        values = {
            "slug": asked.slug,
            "name": asked.name,
            "run": asked.run,
            "export": export,
            "build": LLAMA_BUILD,
            "cmake": self.cmake,
            "packages": self.packages,
            "server": self.server,
            "about": self.about,
            "memory": round(export.bytes * 1.2 / 2**20) + 1024,
        }
        return Written(
            files={
                "build.sh": render("boards/build.sh.j2", values),
                "serve.sh": render("boards/serve.sh.j2", values),
                f"{asked.slug}.service": render("boards/unit.service.j2", values),
                ".gitignore": "model.gguf\nkeys.txt\nllama.cpp/\n",
            },
            begin=render("boards/begin.md.j2", values),
            limits=(*self.limits, "llama.cpp was not built here, and its flags were not parsed by its own binary."),
            facts={
                "model_bytes": export.bytes,
                "quantisation": export.line.quant,
                "memory_mb": values["memory"],
                "llama_cpp": LLAMA_BUILD,
            },
            executable=("build.sh", "serve.sh"),
        )


class Jetson(Board):
    """NVIDIA's boards."""

    name = "jetson"
    what = "NVIDIA Jetson: llama.cpp built with CUDA on the board, as a service"
    packages = "build-essential cmake git curl"
    cmake = ("-DGGML_CUDA=ON", "-DCMAKE_CUDA_ARCHITECTURES=native", "-DCMAKE_CUDA_COMPILER=/usr/local/cuda/bin/nvcc")
    server = ("--n-gpu-layers", "999", "--flash-attn", "auto")
    about = (
        "CUDA comes with JetPack. `native` builds for the board's own GPU: 87 is Orin, 72 Xavier, 110 Thor; name it where "
        "another machine builds. Memory is shared by CPU and GPU."
    )
    limits = ("No Jetson was at hand: neither the build nor the speed was tried.",)


class RaspberryPi(Board):
    """A Raspberry Pi."""

    name = "pi"
    what = "Raspberry Pi: llama.cpp built for the board's own CPU, as a service"
    packages = "build-essential cmake git curl"
    cmake = ("-DGGML_NATIVE=ON", "-DGGML_LTO=ON")
    about = (
        "A 64-bit system is needed. `GGML_NATIVE` takes the dot products of the Pi 5 (ARMv8.2); on a Pi 4 it leaves them out. "
        "Memory bandwidth is what limits the speed, so a smaller `--quant` is faster."
    )
    limits = ("No Raspberry Pi was at hand: neither the build nor the speed was tried.",)

"""vLLM with the studio's guard in a container: its command, variables and files, made of what ``studio serve`` starts.

In the container: the model in ``/model``, the guard with its configuration in ``/studio/server``, hashes of keys in
``/studio/keys``, and in ``/studio/data`` what is written down about requests. All but the last are read only.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from studio.deploy.exported import merged_model
from studio.deploy.figures import Figures, figures_of
from studio.deploy.places import PORT, Asked, Say
from studio.models.vllm_environment import PACKAGES, BuildName, environment_folder, read_stamp, wanted_build
from studio.schema.server import ServerProfile
from studio.serve.bundle import bundle_files
from studio.serve.command import check_flags, own_variables, vllm_arguments
from studio.serve.folder import guard_settings, write_generation, write_models
from studio.serve.launch import parser_flags, served_dtype
from studio.serve.parsers import parsers_of
from studio.serve.reference import Prepared, prepare
from studio.serve.servable import scores_prompts

MODEL, SERVER, KEYS, DATA = (PurePosixPath(path) for path in ("/model", "/studio/server", "/studio/keys", "/studio/data"))
IMAGES: dict[BuildName, str] = {
    "cuda": f"vllm/vllm-openai:v{PACKAGES['cuda'][1]}",
    "cpu": f"vllm/vllm-openai-cpu:v{PACKAGES['cpu'][1]}",
}
"""vLLM's own images, of the versions that the studio was tried with."""
# Caches of compiled code, and the name of a user that /etc/passwd does not have: torch asks for both.
_WRITABLE = {
    "HOME": "/tmp",
    "USER": "studio",
    "LOGNAME": "studio",
    "XDG_CACHE_HOME": "/tmp/cache",
    "VLLM_CACHE_ROOT": "/tmp/cache/vllm",
    "VLLM_CONFIG_ROOT": "/tmp/config/vllm",
    "TORCHINDUCTOR_CACHE_DIR": "/tmp/cache/inductor",
    "TRITON_CACHE_DIR": "/tmp/cache/triton",
    "PYTHONDONTWRITEBYTECODE": "1",
}


@dataclass(frozen=True)
class ServerParts:
    """What a container of the server needs.

    model: the folder of weights on this machine. command: begins with the interpreter. files: text by path below
    ``/studio/server``. drain: seconds from asking it to end to its end.
    """

    asked: Asked
    model: Path
    build: BuildName
    image: str
    command: tuple[str, ...]
    variables: dict[str, str]
    files: dict[str, str]
    figures: Figures
    drain: int
    records: bool

    def facts(self) -> dict[str, object]:
        """For the record of the folder."""
        return {
            "image": self.image,
            "build": self.build,
            "command": list(self.command),
            "weights_bytes": self.figures.weights,
            "cache_bytes_per_token": self.figures.per_token,
            "context": self.figures.context,
            "gpu_memory_gib": self.figures.gpu_gib if self.build == "cuda" else None,
            "memory_gib": self.figures.memory_gib,
        }


def server_parts(asked: Asked, say: Say) -> ServerParts:
    """Check the run as ``studio serve`` does, and make the server's parts.

    Raises:
        UserError: it cannot be served as it is, or its merged model is missing.
        StudioError: a file, the base or the template differs from what the run wrote down.
    """
    model, profile = merged_model(asked), asked.profile
    say("checking the run as studio serve does")
    prepared = prepare(
        [(asked.name, asked.run_folder)],
        cache=asked.workspace.root / "server" / "parity",
        merged=asked.record.method != "full",
        dtype=profile.dtype,
        check=False,
    )
    build: BuildName = wanted_build() if profile.build == "auto" else profile.build
    dtype = served_dtype(profile.dtype, prepared.served)
    installed = read_stamp(environment_folder(build))
    if installed is not None:
        check_flags(profile.vllm, installed.flags, f"{installed.package} {installed.version}")
    parsers = parsers_of(prepared.served[0], installed)
    return ServerParts(
        asked=asked,
        model=model,
        build=build,
        image=IMAGES[build],
        command=_command(asked, dtype, parser_flags(parsers, Path(SERVER / "guard"))),
        variables=_variables(asked, build),
        files=_files(asked, prepared, parsers.no_tools, model),
        figures=figures_of(
            model, dtype=dtype, build=build, cpu_cache_gib=profile.cpu_kv_cache_gib, max_model_len=profile.max_model_len
        ),
        drain=profile.shutdown_timeout + 30,
        records=profile.record != "none",
    )


def _command(asked: Asked, dtype: str, parsers: dict[str, object]) -> tuple[str, ...]:
    """What ``studio serve --merged`` would start, with the container's paths."""
    profile = asked.profile
    return tuple(
        vllm_arguments(
            python=PurePosixPath("python3"),
            model=str(MODEL),
            name=asked.name,
            adapters={},
            template=str(SERVER / "chat_template.jinja"),
            generation=SERVER / "generation",
            # In its own network; which address of the machine leads there is the place's business.
            host="0.0.0.0",
            port=PORT,
            dtype=dtype,
            max_model_len=profile.max_model_len,
            max_lora_rank=16,
            max_loras=1,
            modules=None,
            shutdown_timeout=profile.shutdown_timeout,
            parsers=parsers,
            extra=profile.vllm,
        )
    )


def _variables(asked: Asked, build: BuildName) -> dict[str, str]:
    """The environment of the server's process."""
    profile = asked.profile
    needed, left = own_variables(
        build,
        bundle=SERVER / "guard",
        guard=SERVER / "guard.json",
        kv_cache_gib=profile.cpu_kv_cache_gib,
        threads=profile.cpu_threads,
    )
    return {**left, **needed, **_WRITABLE}


def _without_thumbs(profile: ServerProfile) -> ServerProfile:
    """A profile whose server writes nothing at all: what is deployed with ``record: none`` has no folder to write into."""
    return profile.model_copy(update={"limits": profile.limits.model_copy(update={"feedback_minutes": 0})})


def _files(asked: Asked, prepared: Prepared, no_tools: str, model: Path) -> dict[str, str]:
    """The guard, its configuration, the template and the end tokens, as text."""
    served = replace(prepared.served[0], path=str(MODEL), folder="", kind="model")
    settings = guard_settings(
        {
            "keys": str(KEYS / "keys.json"),
            "aliases": str(KEYS / "aliases.json"),
            "models": str(SERVER / "models.json"),
            "feedback": str(DATA / "feedback.sqlite"),
        },
        [],
        [asked.name],
        profile=_without_thumbs(asked.profile) if asked.profile.record == "none" else asked.profile,
        prompt_scores=scores_prompts("model", None),
        speech=served.speech,
        pooled=None,
        opens=True,
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_models(folder / "models.json", [served], no_tools=no_tools, base=asked.name)
        write_generation(folder, model, prepared.ends, asked.profile.default_temperature)
        made = {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in folder.rglob("*.json")}
    template = Path(prepared.served[0].template).read_text(encoding="utf-8")
    guard = {f"guard/{path}": text for path, text in bundle_files().items()}
    return {**guard, **made, "guard.json": json.dumps(settings, indent=2) + "\n", "chat_template.jinja": template}

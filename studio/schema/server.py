"""A server profile: where vLLM listens, what it may use, and what a client may ask. Each field is documented once, here."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from studio.schema.loading import Settings

Positive = Annotated[int, Field(gt=0)]
Flag = bool | int | float | str | list[Any] | dict[str, Any] | None

# Flags that the studio sets itself -> where to say it instead.
_SET_ELSEWHERE = {
    "model": "name the runs on the command line",
    "served-model-name": "name the runs on the command line",
    "lora-modules": "name the runs on the command line",
    "enable-lora": "name the runs on the command line",
    "max-lora-rank": "set max_lora_rank",
    "max-loras": "set max_loras",
    "lora-target-modules": "the runs say which layers they adapt",
    "host": "set host",
    "port": "set port",
    "dtype": "set dtype",
    "max-model-len": "set max_model_len",
    "shutdown-timeout": "set shutdown_timeout",
    "chat-template": "the runs bring their own template",
    "trust-request-chat-template": "the runs bring their own template",
    "default-chat-template-kwargs": "set template_arguments in the preset of the run",
    "tool-call-parser": "it follows from the run's template",
    "enable-auto-tool-choice": "it follows from the run's template",
    "reasoning-parser": "it follows from the run's template",
    "generation-config": "the runs bring their own end tokens",
    "tokenizer": "the base brings its own tokenizer",
    "api-key": "use studio serve keys add",
    "api-server-count": "the guard counts in one process; put several servers behind a balancer",
    "root-path": "let the proxy in front strip the path",
    "uds": "set host and port",
    "headless": "set host and port",
    "help": "see docs/serving.md",
}
# Flags that name Python code, open other files or doors, or write people's words into a log: a profile may be a stranger's.
_CODE = re.compile(
    r"trust-remote-code|middleware|logits-processors|.*-cls|.*-plugin|model-class-overrides|model-impl|load-format|"
    r"pt-load-map-location|model-loader-extra-config|hf-overrides|hf-config-path|hf-token|code-revision|config|log-config-file|"
    r"logging-config|kv-transfer-config|ec-transfer-config|weight-transfer-config|additional-config|profiler-config|tool-server|"
    r"allowed-local-media-path|enable-prompt-embeds|enable-mm-embeds|trust-request-mm-kwargs|grpc|grpc-port|enable-sleep-mode|"
    r"enable-log-requests|enable-log-outputs|disable-log-stats"
)


class LimitSettings(Settings):
    """What one request, one key and one address may ask. An operator's key is free of requests_per_minute and concurrent."""

    body_bytes: Positive = 1 << 20
    """Largest body of a request, in bytes."""
    n: Positive = 4
    """Most answers to one prompt."""
    prompts: Positive = 64
    """Most prompts in one request to ``/v1/completions``."""
    texts: Positive = 256
    """Most texts in one request for vectors or scores, where a run of embeddings or a reranker is served."""
    max_tokens: Positive = 2048
    """Most tokens of one answer. A chat request that names no limit gets this one."""
    requests_per_minute: Positive = 120
    """Requests of one key in any minute."""
    concurrent: Positive = 16
    """Requests of one key at the same time."""
    connections: Positive = 128
    """Connections from one address (of IPv6: its first 64 bits) at the same time. Behind a proxy all clients have the proxy's."""
    header_seconds: Annotated[float, Field(gt=0)] = 10
    """Seconds for the head of a request, from connecting or from the last answer, before the connection is closed."""
    feedback_minutes: Annotated[float, Field(ge=0)] = 60
    """So long after an answer its user can rate or correct it at ``/v1/feedback``; its words are held in memory for that. What is
    written down with its words (``record: texts``) can be rated as long as it is kept. 0 switches the route off."""
    feedback_bytes: Positive = 64 << 20
    """Memory for such answers, in bytes; the oldest go first."""


class ServerProfile(Settings):
    """How runs are served. ``studio serve RUN --set name=value`` changes any field."""

    kind: Literal["server"]
    """What this file is."""
    description: str = ""
    """One line for lists."""
    why: str = ""
    """When this profile is the right one, and what its values rest on."""

    host: str = "127.0.0.1"
    """Address to listen on. Another than loopback needs a key made with ``studio serve keys add``; put TLS in front."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """Port; 0 takes a free one."""
    build: Literal["auto", "cpu", "cuda"] = "auto"
    """Which vLLM: ``auto`` takes CUDA where an NVIDIA driver is loaded."""

    dtype: Literal["as-trained", "auto", "float32", "bfloat16", "float16"] = "as-trained"
    """Number type of the weights; ``auto`` leaves it to vLLM."""
    max_model_len: Positive | None = None
    """Tokens of prompt and answer together; null takes what the base knows."""
    max_lora_rank: Literal[1, 8, 16, 32, 64, 128, 256, 320, 512] | None = None
    """Largest adapter rank that can be loaded, also later; null takes what the runs need, at least 16."""
    max_loras: Positive | None = None
    """Adapters in one batch; null takes one more than there are runs. Further ones can be loaded and take turns."""
    cpu_kv_cache_gib: Annotated[float, Field(gt=0)] = 1
    """Memory for the key-value cache of the CPU build, in GiB (left alone it claims most of the machine)."""
    cpu_threads: Positive | None = None
    """Threads of the CPU build; null takes all cores."""

    default_temperature: Annotated[float, Field(ge=0, le=2)] | None = 0
    """Temperature of a request that names none: 0 takes the likeliest token, as the evaluation does; null leaves it to the base's
    own generation settings, or else to vLLM (1)."""

    start_timeout: Positive = 900
    """Seconds until the server must be ready."""
    shutdown_timeout: Annotated[int, Field(ge=0)] = 30
    """Seconds that answers in progress have to end after SIGTERM."""
    session_key: bool = True
    """On loopback, make a key for this session and print it, so that the printed examples work as pasted."""

    limits: LimitSettings = LimitSettings()
    """What a client may ask."""
    record: Literal["none", "figures", "texts"] = "none"
    """What is written about each request into the workspace's ``feedback.sqlite``: nothing; model, times and token counts; or the
    words as well (which that file must have been told to keep)."""
    vllm: dict[str, Flag] = {}
    """Any other flag of vLLM by its name, for example ``max-num-seqs: 32``; true gives the bare flag, a list all its values,
    names and values are written as JSON."""

    @field_validator("vllm")
    @classmethod
    def _flags_are_free(cls, flags: dict[str, Flag]) -> dict[str, Flag]:
        """Refuse flags that the studio sets itself, and flags that name code."""
        for name in flags:
            plain = flag_name(name)
            bare = plain.removeprefix("no-")
            if not re.fullmatch(r"[a-z][a-z0-9.-]*", plain):
                raise ValueError(f"{name!r} is no name of a flag of vLLM. Write it as in vLLM's documentation, without dashes.")
            whole = bare.partition(".")[0]
            if whole in _SET_ELSEWHERE:
                raise ValueError(f"the flag {name!r} is the studio's own: {_SET_ELSEWHERE[whole]}.")
            executor = bare == "distributed-executor-backend" and flags[name] not in {"mp", "ray", "uni"}
            if _CODE.fullmatch(whole) or executor:
                raise ValueError(
                    f"the flag {name!r} can load code or other files, open a second door or switch off a check, so a profile "
                    "may not set it. Start vLLM yourself where you need it (docs/serving.md)."
                )
        return flags


def flag_name(name: str) -> str:
    """``max_num_seqs``, ``max-num-seqs`` and ``--max-num-seqs`` are the same flag."""
    return name.removeprefix("--").replace("_", "-").lower()

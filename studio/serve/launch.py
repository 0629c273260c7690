"""Starting vLLM with its guard, waiting until it is ready, and ending it so that nobody's answer is cut off."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from studio.adapters.chat.speech import THOUGHTS_PARSER, Parsers
from studio.core.errors import InterruptedRunError, StudioError
from studio.core.files import disk_errors
from studio.models.vllm_environment import Environment
from studio.schema.server import ServerProfile, flag_name
from studio.serve.bundle import PLUGIN
from studio.serve.client import Client
from studio.serve.command import pooling_arguments, vllm_arguments, vllm_environment
from studio.serve.folder import write_generation, write_guard_files, write_models
from studio.serve.keys import make_key
from studio.serve.log import WaitingLine, cause_of_death, log_end, stage_of
from studio.serve.reference import Prepared
from studio.serve.servable import Servable, adapted_modules, needed_rank, scores_prompts
from studio.serve.state import RunningServer, StatePaths

# Seconds that vLLM has for ending after the last answer, before it is killed.
_GRACE = 20.0


@dataclass
class Server:
    """A vLLM process of ours. ``record`` is what other commands find it by; ``stopping`` is set by a signal."""

    folder: Path
    record: RunningServer
    process: subprocess.Popen[bytes]
    models: list[str]
    base: str | None
    session_key: str | None
    shutdown_timeout: int
    stopping: bool = False
    _hard: bool = field(default=False, repr=False)

    @property
    def client(self) -> Client:
        """A client with the operator's key of this server."""
        return Client(self.record.url, self.record.key)

    @property
    def log(self) -> Path:
        """Everything vLLM said."""
        return self.folder / "vllm.log"

    def catch_signals(self) -> None:
        """Let SIGTERM and Ctrl-C end the server in order; the second one at once."""

        def asked(_number: int, _frame: Any) -> None:
            self._hard = self.stopping
            self.stopping = True

        signal.signal(signal.SIGTERM, asked)
        signal.signal(signal.SIGINT, asked)

    def wait_ready(self, timeout: float, stream: TextIO | None = None) -> None:
        """Wait until vLLM answers, with a line of what it does.

        Raises:
            StudioError: it died (with the reason and the end of its log), or took too long.
            InterruptedRunError: a signal came.
        """
        line = WaitingLine("starting vLLM", stream or sys.stderr)
        started = time.monotonic()
        while True:
            self.must_live("before it was ready")
            if self.stopping:
                raise InterruptedRunError("stopped while vLLM was starting.")
            if time.monotonic() - started > timeout:
                raise StudioError(
                    f"vLLM was not ready after {timeout:.0f} s. Give it longer with --set start_timeout=…, or look into "
                    f"{self.log}. The end:\n{log_end(self.log)}"
                )
            line.show(stage_of(self.log))
            if self._answers():
                line.show("ready", last=True)
                return
            time.sleep(0.25)

    def open(self, say: Callable[[str], None] = lambda _: None) -> None:
        """Let clients in, and be found by other commands."""
        if not self.client.must("/studio/open", {}, timeout=30)["connections_limited"]:
            say("note: this vLLM's server cannot be told to limit connections and slow heads; put a proxy in front that does.")
        self.record.write(self.folder)

    def watch(self) -> None:
        """Return when a signal asks to stop.

        Raises:
            StudioError: vLLM died.
        """
        while not self.stopping:
            self.must_live("while it was serving")
            time.sleep(0.25)

    def stop(self, say: Callable[[str], None] = lambda _: None) -> None:
        """Let nobody in any more, wait for answers in progress, end vLLM and whatever it started."""
        (self.folder / "server.json").unlink(missing_ok=True)
        try:
            if self.process.poll() is None:
                self._drain(say)
                self.process.terminate()
                self._wait(_GRACE)
        finally:
            try:
                # Also after a clean end: workers of a crashed engine outlive their parent.
                os.killpg(self.process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                self.process.poll()
            self.process.wait()

    def _drain(self, say: Callable[[str], None]) -> None:
        """Wait until the last answer is out, at most ``shutdown_timeout`` seconds."""
        end = time.monotonic() + self.shutdown_timeout
        try:
            running = self.client.must("/studio/drain", {}, timeout=5)["running"]
            if running:
                say(
                    f"{running} answers in progress are finished first (at most {self.shutdown_timeout} s; again Ctrl-C: at once)"
                )
            while running and time.monotonic() < end and not self._hard and self.process.poll() is None:
                time.sleep(0.1)
                _, state = self.client.get("/studio/state", timeout=5)
                running = state["running"]
        except (StudioError, TypeError, KeyError):
            return  # it does not answer, so there is nobody to wait for

    def _wait(self, seconds: float) -> None:
        """Wait for the process's end, not longer than allowed."""
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end and not self._hard:
            time.sleep(0.1)

    def blame(self, when: str) -> None:
        """After an error of the client: raise the engine's own reason if it is dying, and not the echo that reached us."""
        end = time.monotonic() + 5
        while self.process.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
        self.must_live(when)

    def _answers(self) -> bool:
        """True when the guard and the engine behind it are up."""
        try:
            status, _ = self.client.get("/v1/models", timeout=5)
        except StudioError:
            return False
        return status == 200

    def must_live(self, when: str) -> None:
        """Raise what the log says when the process is gone."""
        code = self.process.poll()
        if code is not None and not self.stopping:
            raise StudioError(f"vLLM ended {when}: {cause_of_death(self.log, code)} The end of {self.log}:\n{log_end(self.log)}")


@dataclass(frozen=True)
class Place:
    """Where a server is to listen and to keep its state."""

    paths: StatePaths
    host: str
    port: int
    feedback: Path


@dataclass(frozen=True)
class Choice:
    """What follows for vLLM from the runs and the profile: name of the base, number type, largest rank, layers with adapters.

    whole: a model without a base beside it. modules: None leaves them to vLLM.
    """

    whole: bool
    base: str
    dtype: str
    rank: int
    modules: list[str] | None


def _choose(served: list[Servable], profile: ServerProfile, environment: Environment) -> Choice:
    """Settle what the command, the guard and the record have to agree on."""
    first = served[0]
    whole = first.kind != "adapter"
    return Choice(
        whole=whole,
        base=first.name if whole else base_name(first.base["name"], {servable.name for servable in served}),
        dtype=served_dtype(profile.dtype, served),
        rank=profile.max_lora_rank or needed_rank(served),
        # A vLLM of the person's own may be too old for the flag.
        modules=adapted_modules(served) if "lora-target-modules" in environment.flags else None,
    )


def start_server(
    place: Place, prepared: Prepared, profile: ServerProfile, environment: Environment, user: str, parsers: Parsers
) -> Server:
    """Write the server's folder and start vLLM; it lets no client in before :meth:`Server.open`.

    Args:
        user: whose the session's key is. parsers: for what the template writes.
    Raises:
        StudioError: the disk, or vLLM cannot be started at all.
    """
    folder, served = place.paths.server(place.port), prepared.served
    control_text, control = make_key("studio", "operator")
    fixed, session_text = [control], None
    if profile.session_key:
        session_text, session = make_key(user, "client")
        fixed.append(session)
    choice = _choose(served, profile, environment)
    write_models(folder / "models.json", served, no_tools=parsers.no_tools, base=choice.base)
    bundle, guard = write_guard_files(
        folder,
        fixed,
        list(dict.fromkeys([choice.base, *(servable.name for servable in served)])),
        paths=place.paths,
        feedback=place.feedback,
        profile=profile,
        prompt_scores=scores_prompts(served[0].kind, choice.modules),
        speech=served[0].speech,
        pooled=served[0].kind if served[0].pools else None,
    )
    variables = vllm_environment(
        environment, bundle=bundle, guard=guard, kv_cache_gib=profile.cpu_kv_cache_gib, threads=profile.cpu_threads
    )
    process = _spawn(_command(place, prepared, profile, environment, choice, parser_flags(parsers, bundle)), variables, folder)
    record = _record(place, served[0], profile, choice, control_text, parsers.no_tools)
    models = [servable.name for servable in served]
    return Server(folder, record, process, models, None if choice.whole else choice.base, session_text, profile.shutdown_timeout)


def _command(
    place: Place,
    prepared: Prepared,
    profile: ServerProfile,
    environment: Environment,
    choice: Choice,
    parsers: dict[str, Any],
) -> list[str]:
    """The command of vLLM; ``parsers`` are its flags for calls and thoughts."""
    first = prepared.served[0]
    if first.pools:
        return pooling_arguments(
            python=environment.python,
            model=first.path,
            name=choice.base,
            host=place.host,
            port=place.port,
            dtype=choice.dtype,
            max_model_len=profile.max_model_len,
            cuts=first.cuts,
            shutdown_timeout=profile.shutdown_timeout,
            extra=profile.vllm,
        )
    weights = str(first.path if choice.whole else first.base["path"])
    folder = place.paths.server(place.port)
    return vllm_arguments(
        python=environment.python,
        model=weights,
        name=choice.base,
        adapters={} if choice.whole else {servable.name: servable.path for servable in prepared.served},
        template=first.template,
        generation=write_generation(folder, Path(weights), prepared.ends, profile.default_temperature),
        host=place.host,
        port=place.port,
        dtype=choice.dtype,
        max_model_len=profile.max_model_len,
        max_lora_rank=choice.rank,
        max_loras=profile.max_loras or len(prepared.served) + 1,
        modules=choice.modules,
        shutdown_timeout=profile.shutdown_timeout,
        parsers=parsers,
        extra=profile.vllm,
    )


def _record(place: Place, first: Servable, profile: ServerProfile, choice: Choice, control: str, no_tools: str) -> RunningServer:
    """What other commands find of the running server; ``control`` is the operator's key."""
    host = f"[{place.host}]" if ":" in place.host else "127.0.0.1" if place.host == "0.0.0.0" else place.host
    # TLS is vLLM's own business; only the address changes.
    scheme = "https" if any(flag_name(flag) == "ssl-certfile" for flag in profile.vllm) else "http"
    return RunningServer(
        pid=os.getpid(),
        started=time.time(),
        url=f"{scheme}://{host}:{place.port}",
        port=place.port,
        base=choice.base,
        base_sha256=first.base["sha256"],
        template_hash=first.template_hash,
        dtype=choice.dtype,
        max_lora_rank=choice.rank,
        kind=first.kind,
        key=control,
        modules=choice.modules,
        no_tools=no_tools,
    )


def served_dtype(chosen: str, served: list[Servable]) -> str:
    """The number type to serve in; of several trainings' types the more exact one."""
    if chosen != "as-trained":
        return chosen
    types = {servable.dtype for servable in served}
    return "float32" if "float32" in types else min(types)


def base_name(name: str, taken: set[str]) -> str:
    """What the base is called beside its adapters: its own name, the folder's for a local one."""
    short = Path(name).name if Path(name).is_absolute() or name.startswith((".", "~")) else name
    return f"{short}-base" if short in taken else short


def parser_flags(parsers: Parsers, bundle: Path) -> dict[str, Any]:
    """Flags of vLLM for its parsers; the studio's own one is a file of the guard's folder."""
    flags: dict[str, Any] = {}
    if parsers.tools:
        flags |= {"enable-auto-tool-choice": True, "tool-call-parser": parsers.tools}
    if parsers.thoughts:
        flags["reasoning-parser"] = parsers.thoughts
    if parsers.thoughts == THOUGHTS_PARSER:
        flags["reasoning-parser-plugin"] = str(bundle / PLUGIN)
    return flags


def _spawn(command: list[str], variables: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
    """Start vLLM in a session of its own (Ctrl-C reaches only us), its words going to a log; it ends when we are killed."""
    log = folder / "vllm.log"
    with disk_errors("vLLM's log", folder):
        if log.exists():
            log.replace(folder / "vllm.log.1")
        with log.open("wb") as stream:
            try:
                return subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    env=variables,
                    cwd=folder,
                    start_new_session=True,
                    preexec_fn=_end_with_parent,
                )
            except OSError as error:
                raise StudioError(f"{command[0]} cannot be started ({error}). Make it anew: studio serve --install") from error


def _end_with_parent() -> None:
    """Ask Linux to send SIGTERM when the parent is gone, however it ended (``prctl(PR_SET_PDEATHSIG)``, linux/prctl.h)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)

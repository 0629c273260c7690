"""Serve: start a server, see how it stands, stop it; keys; what aliases stand for. Every change is the command's own function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from studio.core.content import find_content, list_content
from studio.core.errors import StudioError, UserError
from studio.core.translation import t
from studio.core.workspace import Workspace
from studio.models.vllm_environment import find_environment, needed_bytes, wanted_build
from studio.pages.posted import posted, text_of
from studio.pages.rendering import go_to, render, trouble
from studio.pages.rooms import access
from studio.pages.served import STATES, ended, served, starting, stop
from studio.pages.shelf import Kept, finished_runs, run_of
from studio.pages.site import allowed, content_path, workspace_of
from studio.pages.work import begin_and_show
from studio.schema.loading import load_yaml
from studio.schema.server import ServerProfile
from studio.serve.aliases import check_name
from studio.serve.examples import examples_of
from studio.serve.kinds import SERVED
from studio.serve.log import log_end
from studio.serve.state import StatePaths, free_port

KEY = "$STUDIO_API_KEY"
_MOST_RUNS = 200
_LOG_LINES = 200


@dataclass
class Wish:
    """What the form holds: each field as it was typed, and the sentences beside the fields that are wrong."""

    run: str = ""
    name: str = ""
    profile: str = "local"
    port: str = "8000"
    settings: str = ""
    merged: bool = False
    no_check: bool = False
    wrong: dict[str, str] = field(default_factory=dict)

    @property
    def arguments(self) -> list[str]:
        """The command, as it stands in a terminal."""
        run = f"{self.name.strip()}={self.run}" if self.name.strip() else self.run
        given = [f"port={self.port.strip()}", "session_key=false", *self._lines]
        chosen = [word for setting in given for word in ("--set", setting)]
        more = [*(["--merged"] if self.merged else []), *(["--no-check"] if self.no_check else [])]
        return ["serve", "start", run or "RUN", "--profile", self.profile, *chosen, *more]

    @property
    def _lines(self) -> list[str]:
        """Further settings, one a line."""
        return [line.strip() for line in self.settings.splitlines() if line.strip()]

    def check(self, runs: list[Kept]) -> None:
        """Fill ``wrong`` with what the command would say."""
        if self.run not in {run.reference for run in runs}:
            self.wrong["run"] = t("Choose a run from the list.")
        name = self.name.strip() or self.run.partition("/")[0]  # the run's own, which may have spaces or be Chinese
        if name:
            self._try("name", lambda: check_name(name, "the name of a model"))
        known = list_content("apps")
        if self.profile not in known and f"servers/{self.profile}" not in known:
            self.wrong["profile"] = t("Choose a profile from the list.")
            return
        self._try("port", lambda: load_yaml(find_content("apps", self.profile), ServerProfile, [f"port={self.port.strip()}"]))
        self._try("settings", lambda: load_yaml(find_content("apps", self.profile), ServerProfile, self._lines))
        if not self.wrong:
            profile = load_yaml(find_content("apps", self.profile), ServerProfile, [f"port={self.port.strip()}", *self._lines])
            self._try("port", lambda: free_port(profile.host, profile.port))
            self._try("run", lambda: find_environment(None if profile.build == "auto" else profile.build))

    def _try(self, name: str, act: Callable[[], object]) -> None:
        """Keep the sentence of what does not work beside a field."""
        try:
            act()
        except StudioError as error:
            self.wrong.setdefault(name, str(error))


def _shown(request: Request) -> Response:
    """The servers, and the form that starts one."""
    runs = _servable(workspace_of(request))
    wanted = run_of(workspace_of(request), request.query_params.get("run", ""))
    chosen = wanted.reference if wanted in runs and wanted is not None else runs[0].reference if runs else ""
    return _page(request, Wish(run=chosen, port=str(_free(8000))), runs)


def _page(request: Request, wish: Wish, runs: list[Kept], *, status: int = 200, told: bool = False) -> Response:
    """The page with a form as it was filled in; ``told``: with the command it would run."""
    try:
        find_environment()
        missing = None
    except UserError as error:
        missing = str(error)
    profiles = {name.removeprefix("servers/"): _about(name) for name in list_content("apps") if name.startswith("servers/")}
    return render(
        request, "serve/servers.html", status,
        **_live_values(request), wish=wish, runs=runs, profiles=profiles, missing=missing, told=told,
        needed=needed_bytes(wanted_build()), build=wanted_build(), tab="servers", title=t("Serve"),
    )  # fmt: skip


def _live(request: Request) -> Response:
    """The part that changes."""
    return render(request, "serve/live.html", **_live_values(request))


def _live_values(request: Request) -> dict[str, Any]:
    """Servers that run, start and have ended, and what to paste."""
    workspace = workspace_of(request)
    running = served(workspace)
    shown = [(one, examples_of(one.server.kind, one.server.url, KEY, one.first)) for one in running]
    return {"running": shown, "starting": starting(workspace, running), "ended": ended(workspace), "states": STATES}


def _servable(workspace: Workspace) -> list[Kept]:
    """Finished runs of kinds that are served."""
    return [run for run in finished_runs(workspace) if run.kind in SERVED][:_MOST_RUNS]


def _about(profile: str) -> str:
    """The line of a profile."""
    try:
        return load_yaml(find_content("apps", profile), ServerProfile).description
    except StudioError:
        return ""


def _free(port: int) -> int:
    """A port for the form: the usual one, or the next where nothing listens."""
    for number in range(port, port + 20):
        try:
            return free_port("127.0.0.1", number)
        except UserError:
            continue
    return 0


def _start(request: Request) -> Response:
    """Start a server as a job, or only show the command."""
    form = posted(request)
    run, name, profile, port, settings = (text_of(form, field) for field in ("run", "name", "profile", "port", "settings"))
    wish = Wish(run, name, profile, port, settings, merged="merged" in form, no_check="no_check" in form)
    runs = _servable(workspace_of(request))
    if "show" in form:
        return _page(request, wish, runs, told=True)
    wish.check(runs)
    if wish.wrong:
        return _page(request, wish, runs, status=422, told=True)
    return begin_and_show(request, wish.arguments)


def _install(request: Request) -> Response:
    """Install vLLM into a folder of its own, as a job."""
    return begin_and_show(request, ["serve", "start", "--install"])


def _stop(request: Request) -> Response:
    """Ask a server to end."""
    try:
        stop(workspace_of(request), int(request.path_params["port"]))
    except UserError as error:
        return trouble(request, str(error), 409, back=["/serve"])
    return go_to("/serve")


def _log(request: Request) -> Response:
    """The end of what vLLM of a port said."""
    port = str(request.path_params["port"])
    folder = content_path(StatePaths.of(workspace_of(request)).root, port)
    text = log_end(folder / "vllm.log", _LOG_LINES)
    return render(request, "serve/log.html", log=text, port=port, title=t("What vLLM says, port {port}", port=port))


ROUTES = [
    Route("/serve", _shown),
    Route("/serve/live", _live),
    Route("/serve/start", allowed("administer", _start), methods=["POST"]),
    Route("/serve/install", allowed("administer", _install), methods=["POST"]),
    Route("/serve/{port:int}/log", allowed("administer", _log)),
    Route("/serve/{port:int}/stop", allowed("administer", _stop), methods=["POST"]),
    *access.ROUTES,
]

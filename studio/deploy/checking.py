"""Checks of a folder without the machines that it is for: schemas, linters, and the studio's own parsers.

A program that is not installed leaves its check open, and the folder's page says so; nothing is passed silently.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from studio.core.errors import StudioError
from studio.core.telling import counted
from studio.deploy.dashboard import DATASOURCE, METRICS, names_in
from studio.deploy.secrets import find_secret
from studio.models.vllm_environment import environment_folder, read_stamp

Parse = Callable[[list[str]], str | None]
"""Reads a command line of the studio (without ``studio``); gives back what is wrong with it, or None."""
State = Literal["passed", "failed", "not checked"]
UNPROVEN = "unproven"
"""Folder of files for which no schema is at hand (custom resources); they are only read as YAML."""
_SECONDS = 120
_KUBERNETES = "1.33"
_FAULT = re.compile(r"\b(?:CRITICAL|HIGH|MEDIUM|LOW|DL\d{4}|SC\d{4}|error|ERROR|FAILED)\b")


@dataclass(frozen=True)
class Check:
    """One check. what: of which files. by: which program. said: a failed one's reason, or why it is open. missing: the program is
    not installed.
    """

    what: str
    by: str
    state: State
    said: str = ""
    missing: bool = False

    @property
    def result(self) -> str:
        """For a table."""
        return f"{self.state}: {self.said}" if self.said else self.state


def check_folder(folder: Path, facts: Mapping[str, Any], parse: Parse) -> list[Check]:
    """All checks that the files of a folder allow, in the order of the README.

    Args:
        facts: of the folder's record. parse: see :data:`Parse`.
    """
    found: list[Check] = []
    for check in (
        _whole,
        _no_secrets,
        _vllm_flags,
        _same_command,
        _studio_lines,
        _compose,
        _docker,
        _kubernetes,
        _monitoring,
        _units,
        _shell,
        _ray,
    ):
        found += check(folder, facts, parse)
    return found


def _files(folder: Path, *patterns: str) -> list[Path]:
    """Files of a folder by pattern, without what the place keeps out of git."""
    kept = {path for pattern in patterns for path in folder.rglob(pattern) if path.is_file()}
    apart = {"secrets", "workspace", "data", "model"}
    return sorted(path for path in kept if not apart & set(path.relative_to(folder).parts[:-1]))


def _whole(folder: Path, _facts: Mapping[str, Any], _parse: Parse) -> Iterator[Check]:
    """Every file of data or code can be read by its own parser."""
    readers: dict[str, Callable[[str], Any]] = {
        ".json": json.loads,
        ".yaml": lambda text: list(yaml.safe_load_all(text)),
        ".yml": lambda text: list(yaml.safe_load_all(text)),
        ".py": ast.parse,
    }
    count = 0
    for path in (path for path in _files(folder, "*") if path.suffix in readers):
        count += 1
        try:
            readers[path.suffix](path.read_text(encoding="utf-8"))
        except (ValueError, SyntaxError, yaml.YAMLError, OSError) as error:
            yield Check(_place(folder, path), "its own parser", "failed", _first(str(error)))
            return
    yield Check(f"{counted(count, 'file')} of YAML, JSON and Python", "their own parsers", "passed")


def _no_secrets(folder: Path, _facts: Mapping[str, Any], _parse: Parse) -> Iterator[Check]:
    """No key stands in a file that goes into git."""
    for path in _files(folder, "*"):
        if path.name == ".env":
            continue
        try:
            kind = find_secret(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            continue
        if kind:
            yield Check("no key in a file", "the studio's list of forms", "failed", f"{_place(folder, path)} holds {kind}")
            return
    yield Check("no key in a file", "the studio's list of forms", "passed")


def _vllm_flags(_folder: Path, facts: Mapping[str, Any], _parse: Parse) -> Iterator[Check]:
    """The server's flags are those of an installed vLLM."""
    command = facts.get("command")
    if not command:
        return
    installed = next((stamp for build in ("cuda", "cpu") if (stamp := read_stamp(environment_folder(build)))), None)  # type: ignore[arg-type]
    if installed is None:
        yield Check("vLLM's flags", "vLLM's own parser", "not checked", "no vLLM here: studio serve --install", missing=True)
        return
    by = f"{installed.package} {installed.version}"
    flags = [word[2:].partition("=")[0] for word in command if word.startswith("--")]
    unknown = [flag for flag in flags if flag.partition(".")[0] not in installed.flags]
    if unknown:
        yield Check("vLLM's flags", by, "failed", f"it has no --{unknown[0]}")
    else:
        yield Check(f"vLLM's {len(flags)} flags", by, "passed")


def _same_command(folder: Path, facts: Mapping[str, Any], _parse: Parse) -> Iterator[Check]:
    """The command in the manifests is the one that the studio starts, or it is said that somebody has changed it."""
    command = facts.get("command")
    if not command:
        return
    for path in _files(folder, "compose.yaml", "deployment.yaml"):
        words = _commands_in(path)
        if words is None:
            continue
        words = [word.replace("$$", "$") for word in words] if path.name == "compose.yaml" else words
        if words == list(command):
            yield Check(f"{_place(folder, path)}: the server's command", "studio serve's own", "passed")
        else:
            yield Check(f"{_place(folder, path)}: the server's command", "studio serve's own", "not checked", "changed by hand")


def _commands_in(path: Path) -> list[str] | None:
    """The server's command in a Compose file or a Deployment."""
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
        if path.name == "compose.yaml":
            return [str(word) for word in value["services"]["server"]["command"]]
        container = value["spec"]["template"]["spec"]["containers"][0]
        return [str(word) for word in (*container.get("command", ()), *container.get("args", ()))]
    except (OSError, ValueError, KeyError, IndexError, TypeError, yaml.YAMLError):
        return None


def _studio_lines(folder: Path, _facts: Mapping[str, Any], parse: Parse) -> Iterator[Check]:
    """Command lines of the studio in units and manifests are read by its own command line."""
    from studio.deploy.lines import studio_lines

    lines = [(path, line) for path in _files(folder, "*.service", "*.yaml", "*.sh", "README.md") for line in studio_lines(path)]
    open_lines: list[str] = []
    for path, line in lines:
        wrong = parse(line)
        if wrong and wrong.startswith("unknown command"):
            open_lines.append(line[0])
        elif wrong:
            yield Check(f"{_place(folder, path)}: studio {' '.join(line)}", "the studio's own parser", "failed", _first(wrong))
            return
    if len(lines) > len(open_lines):
        count = counted(len(lines) - len(open_lines), "command line")
        yield Check(f"{count} of the studio", "the studio's own parser", "passed")
    for name in sorted(set(open_lines)):
        yield Check(f"studio {name}", "the studio's own parser", "not checked", "this studio has no such command yet")


def _compose(folder: Path, _facts: Mapping[str, Any], _parse: Parse) -> Iterator[Check]:
    """A Compose file by its schema and by a linter of its safety."""
    for path in _files(folder, "compose.yaml"):
        schema = _module("check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path))
        yield _ran(f"{_place(folder, path)}: schema", "check-jsonschema, vendor.compose-spec", schema)
        linted = _tool("compose-lint", "check", "--fail-on", "low", path.name, cwd=path.parent)
        excepted = (path.parent / ".compose-lint.yml").is_file()
        by = "compose-lint" + (", but for what .compose-lint.yml excepts" if excepted else "")
        yield _ran(f"{_place(folder, path)}: safety", by, linted)


def _docker(folder: Path, _facts: Mapping[str, Any], _parse: Parse) -> Iterator[Check]:
    """Dockerfiles by hadolint."""
    for path in _files(folder, "Dockerfile"):
        yield _ran(_place(folder, path), "hadolint", _tool("hadolint", "--no-color", str(path)))


def _kubernetes(folder: Path, _facts: Mapping[str, Any], _parse: Parse) -> Iterator[Check]:
    """Manifests by the schemas of a version of Kubernetes; what has no schema is unproven, though the program lets it pass."""
    manifests = _files(folder, "manifests/*.yaml")
    if manifests:
        done = _tool("kubernetes-validate", "--strict", "-k", _KUBERNETES, *map(str, manifests))
        if done is not None and not done.returncode and re.search(r"WARN|no schema", done.stdout + done.stderr):
            yield Check(
                "manifests/", f"kubernetes-validate {_KUBERNETES}", "not checked", _first(done.stdout + done.stderr, "WARN")
            )
        else:
            yield _ran(f"{len(manifests)} files in manifests/", f"kubernetes-validate --strict {_KUBERNETES}", done)
    for path in _files(folder, f"{UNPROVEN}/*.yaml"):
        yield Check(_place(folder, path), "-", "not checked", "no schema for it is at hand; read as YAML only")


def _monitoring(folder: Path, _facts: Mapping[str, Any], _parse: Parse) -> Iterator[Check]:
    """Prometheus' files by promtool where it is, dashboards and alarms by the figures that there are."""
    for path in _files(folder, "prometheus.yml"):
        promtool = shutil.which("promtool")
        done = _call(promtool, "check", "config", "--syntax-only", path.name, cwd=path.parent) if promtool else None
        yield _ran(_place(folder, path), "promtool", done, missing="promtool is not here (Debian: apt install prometheus)")
    boards = [path for path in _files(folder, "*.json") if path.parent.name == "dashboards"]
    for path in boards:
        wrong = wrong_dashboard(json.loads(path.read_text(encoding="utf-8")))
        state: State = "failed" if wrong else "passed"
        yield Check(f"{_place(folder, path)}: its figures exist", "the studio's list of figures", state, wrong or "")
    for path in _files(folder, "rules.yml", "rules.yaml"):
        promtool = shutil.which("promtool")
        done = _call(promtool, "check", "rules", str(path)) if promtool else None
        yield _ran(_place(folder, path), "promtool", done, missing="promtool is not here (Debian: apt install prometheus)")
        unknown = {name for text in _expressions(path) for name in names_in(text)} - set(METRICS)
        state = "failed" if unknown else "passed"
        yield Check(
            f"{_place(folder, path)}: its figures exist", "the studio's list of figures", state, ", ".join(sorted(unknown))
        )


def wrong_dashboard(board: Any) -> str | None:
    """What is wrong with a dashboard: an unknown figure, another datasource, two panels in one place; None for nothing."""
    taken: set[tuple[int, int]] = set()
    for panel in board.get("panels", ()):
        grid, title = panel.get("gridPos", {}), panel.get("title", "?")
        cells = {(x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])}
        if taken & cells or max(x for x, _ in cells) > 23:
            return f"panel {title!r} lies over another or beyond the page"
        taken |= cells
        for target in panel.get("targets", ()):
            if (target.get("datasource") or {}).get("uid") != DATASOURCE:
                return f"panel {title!r} asks another datasource than the provisioned one"
            if unknown := names_in(target.get("expr", "")) - set(METRICS):
                return f"panel {title!r} asks for {', '.join(sorted(unknown))}, which the server does not give"
    return None


def _expressions(path: Path) -> list[str]:
    """Expressions of a file of rules."""
    value = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [str(rule["expr"]) for group in value["groups"] for rule in group["rules"]]


def _units(folder: Path, _facts: Mapping[str, Any], _parse: Parse) -> Iterator[Check]:
    """Systemd's units by systemd."""
    units = _files(folder, "*.service", "*.timer")
    if units:
        analyze = shutil.which("systemd-analyze")
        done = _call(analyze, "verify", "--man=no", *map(str, units)) if analyze else None
        yield _ran(counted(len(units), "unit"), "systemd-analyze verify", done, missing="systemd is not on this machine")


def _shell(folder: Path, _facts: Mapping[str, Any], _parse: Parse) -> Iterator[Check]:
    """Shell scripts by the shell."""
    for path in _files(folder, "*.sh"):
        bash = shutil.which("bash")
        yield _ran(
            _place(folder, path), "bash -n", _call(bash, "-n", str(path)) if bash else None, missing="there is no bash here"
        )


def _ray(folder: Path, _facts: Mapping[str, Any], _parse: Parse) -> Iterator[Check]:
    """A configuration of Ray Serve by Ray's own schema."""
    for path in _files(folder, "serve.yaml"):
        code = (
            "import sys, yaml; from ray.serve.schema import ServeDeploySchema; "
            "ServeDeploySchema.model_validate(yaml.safe_load(open(sys.argv[1])))"
        )
        import importlib.util

        there = importlib.util.find_spec("ray") is not None
        done = _call(sys.executable, "-c", code, str(path)) if there else None
        missing = "ray is not installed: pip install 'ray[serve]'"
        if done is not None and "No module named" in done.stderr:
            done = None
        yield _ran(f"{_place(folder, path)}: frame", "Ray's own schema (not the settings of the model)", done, missing=missing)


def _module(module: str, *arguments: str) -> subprocess.CompletedProcess[str] | None:
    """Run a module of this Python, None when it is not installed."""
    import importlib.util

    return _call(sys.executable, "-m", module, *arguments) if importlib.util.find_spec(module) else None


def _tool(name: str, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str] | None:
    """Run a program that a package of this Python brought, or one of this machine; None when there is none."""
    beside = Path(sys.executable).parent / name
    program = str(beside) if beside.is_file() else shutil.which(name)
    return _call(program, *arguments, cwd=cwd) if program else None


def _call(*command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a checker.

    Raises:
        StudioError: it cannot be started, or does not come to an end.
    """
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=_SECONDS, cwd=cwd)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StudioError(f"{Path(command[0]).name} could not be run ({error}). Take it away or install it anew.") from error


def _ran(what: str, by: str, done: subprocess.CompletedProcess[str] | None, *, missing: str = "") -> Check:
    """The check that a program made."""
    if done is None:
        return Check(
            what, by, "not checked", missing or f"{by.partition(',')[0].split()[0]} is not installed", missing=not missing
        )
    if done.returncode:
        return Check(what, by, "failed", _first(done.stdout.strip() or done.stderr))
    return Check(what, by, "passed")


def _first(text: str, having: str = "") -> str:
    """The first line of a program's words that names a fault, or else the first that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and having in line]
    lines = [line for line in lines if _FAULT.search(line)] or lines
    return (lines or ["it said nothing"])[0][:200].replace("|", "/")


def _place(folder: Path, path: Path) -> str:
    """A file below the folder, as people write it."""
    return path.relative_to(folder).as_posix()

"""``studio doctor``: what this machine can do, what is missing, what clashes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from studio.cli import output
from studio.core.errors import StudioError, UserError

if TYPE_CHECKING:
    from studio.models.doctor import Finding


def doctor() -> None:
    """Check Python, torch, device, disk, packages and clashes; exit code 1 when something essential is broken."""
    from studio.models.doctor import broken, examine

    findings = []
    for finding in chain(examine(output.open_workspace()), _server()):
        findings.append(finding)
        if not output.json_wanted():
            output.say(f"{finding.status:8} {finding.name}: {finding.detail}")
            if finding.remedy and finding.status != "ok":
                output.say(f"{'':8} -> {finding.remedy}")
    if output.json_wanted():
        output.emit_json({"healthy": not broken(findings), "findings": findings})
    if broken(findings):
        names = ", ".join(finding.name for finding in findings if finding.essential and finding.status == "missing")
        raise StudioError(f"something essential is broken: {names}. The lines above say what to do.")


def _server() -> Iterator[Finding]:
    """Whether the environment that serves is there; it is not needed for anything else."""
    from studio.models.doctor import Finding
    from studio.models.vllm_environment import find_environment

    try:
        found = find_environment()
    except UserError as missing:
        yield Finding("vLLM", "missing", str(missing).partition(". ")[0], "Only to serve: studio serve --install")
    else:
        yield Finding("vLLM", "ok", f"{found.package} {found.version} ({found.build} build), {found.python}")

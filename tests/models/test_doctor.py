"""The doctor finds what is broken here, says what to do, and never dies of it."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest

from studio.core.workspace import Workspace
from studio.models import doctor
from studio.models.doctor import Finding, broken, check_clashes, check_stack, examine


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_this_machine_is_healthy(workspace: Workspace):
    findings = list(examine(workspace))
    names = by_name(findings)
    assert not broken(findings), [finding for finding in findings if finding.essential]
    assert {"python", "package 'studio'", "number types", "bitsandbytes", "workspace", "cache", "network"} <= names.keys()
    assert "GFLOP/s" in names["number types"].detail and "nf4 works on" in names["bitsandbytes"].detail
    assert all(finding.remedy for finding in findings if finding.status != "ok")
    assert not workspace.root.exists(), "looking made a folder"


def test_another_package_called_studio_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    real = metadata.packages_distributions()
    monkeypatch.setattr(metadata, "packages_distributions", lambda: real | {"studio": ["finetuning-studio", "unsloth"]})
    (finding,) = check_clashes()
    assert (
        finding.status == "missing"
        and finding.essential
        and "unsloth installs a top-level package 'studio' too" in finding.detail
    )
    assert "pip uninstall unsloth" in finding.remedy
    monkeypatch.setattr(metadata, "packages_distributions", lambda: real | {"studio": ["finetuning-studio"]})
    (tmp_path / "studio").mkdir()
    (tmp_path / "studio" / "__init__.py").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (finding,) = check_clashes()
    assert finding.status == "warning" and str(tmp_path / "studio") in finding.detail


def test_missing_and_old_packages_are_found(monkeypatch: pytest.MonkeyPatch):
    wanted = ["torch>=99", "no-such-package>=1", "wandb; extra == 'wandb'"]
    monkeypatch.setattr(metadata, "requires", lambda _: wanted)
    names = by_name(list(check_stack()))
    assert names["torch"].status == "warning" and ">=99 is asked for" in names["torch"].detail
    assert names["no-such-package"].status == "missing" and names["no-such-package"].remedy == "pip install 'no-such-package>=1'"
    assert broken(list(names.values())) and "wandb" not in names


def test_a_broken_torch_is_a_finding(monkeypatch: pytest.MonkeyPatch, workspace: Workspace):
    def breaks(name: str):
        raise OSError("libtorch_cpu.so: cannot open shared object file")

    monkeypatch.setattr(doctor.importlib, "import_module", breaks)
    findings = list(examine(workspace))
    assert by_name(findings)["torch"].status == "missing" and broken(findings)
    assert "libtorch_cpu.so" in by_name(findings)["torch"].detail


def test_a_workspace_that_cannot_be_written_is_broken(tmp_path: Path):
    (tmp_path / "file").touch()
    findings = by_name(list(examine(Workspace(tmp_path / "file"))))
    assert findings["workspace"].status != "ok" and findings["workspace"].detail


def test_offline_is_said(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "switched off (HF_HUB_OFFLINE=1" in by_name(list(examine(workspace)))["network"].detail


def test_mirrors_are_shown_and_half_addresses_are_put_right(monkeypatch: pytest.MonkeyPatch):
    for name in ("HF_ENDPOINT", "MODELSCOPE_DOMAIN"):
        monkeypatch.delenv(name, raising=False)
    plain = by_name(list(doctor._network()))
    assert plain["Hub"].detail == "https://huggingface.co; a mirror: HF_ENDPOINT"
    assert plain["ModelScope"].detail == "https://www.modelscope.cn; a mirror: MODELSCOPE_DOMAIN"
    monkeypatch.setenv("HF_ENDPOINT", "https://hf-mirror.com")
    monkeypatch.setenv("MODELSCOPE_DOMAIN", "www.modelscope.ai")
    mirrored = by_name(list(doctor._network()))
    assert mirrored["Hub"].detail == "https://hf-mirror.com (HF_ENDPOINT)"
    assert mirrored["ModelScope"].detail == "https://www.modelscope.ai (MODELSCOPE_DOMAIN)"
    monkeypatch.setenv("HF_ENDPOINT", "hf-mirror.com/")
    wrong = by_name(list(doctor._network()))["Hub"]
    assert wrong.status == "warning" and wrong.remedy == "Give a whole address: export HF_ENDPOINT=https://hf-mirror.com"

"""The command line itself: exit codes, one sentence per error, help without weight."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from studio import __version__
from studio.cli import main, output
from studio.cli.main import COMMANDS, HIDDEN, Command, load_command
from studio.core.errors import GateNotMetError, InterruptedRunError, StudioError, UserError

Studio = Callable[..., Any]
HEAVY = ("torch", "transformers", "datasets", "pandas", "numpy", "matplotlib", "pyarrow", "rich", "pydantic", "yaml")


def run_python(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own, with this checkout importable."""
    checkout = str(Path(main.__file__).parents[2])
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": checkout, **environment},
    )  # fmt: skip


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., None]], None]:
    """Register a function as ``studio try``."""

    def register(function: Callable[..., None]) -> None:
        monkeypatch.setitem(COMMANDS, "try", Command(f"{__name__}:_tried", "Try.", "Tests"))
        monkeypatch.setattr(sys.modules[__name__], "_tried", function, raising=False)

    return register


def test_help_lists_every_command_and_imports_nothing_heavy():
    code = (
        "import sys; from studio.cli.main import run; code = run(['--help']);"
        f"print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules], code)"
    )
    done = run_python(code)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "HEAVY [] 0"
    for name, entry in COMMANDS.items():
        assert (f"  {name} " in done.stdout and entry.summary in done.stdout) or entry.section == HIDDEN


def test_help_starts_in_time():
    code = "import time; from studio.cli.main import run; run(['--help']); print('CPU', time.process_time())"
    seconds = [float(run_python(code).stdout.rpartition("CPU")[2]) for _ in range(3)]
    # Seconds of the processor, the start of Python included: the limit must hold however busy the machine is.
    assert min(seconds) <= 0.4


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_command_imports_no_torch(name: str):
    code = (
        "import sys; from studio.cli.main import run; code = run([sys.argv[1], '--help']);"
        "print('HEAVY', [name for name in ('torch', 'transformers', 'datasets', 'pandas') if name in sys.modules], code)"
    )
    done = run_python(code, name)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "HEAVY [] 0"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_the_common_options_and_help(name: str):
    command = load_command(name)
    for inner in getattr(command, "commands", {name: command}).values():
        options = {flag: parameter for parameter in inner.params for flag in parameter.opts}
        assert {"--json", "--workspace"} <= set(options), inner.name
        assert inner.help, inner.name
        for parameter in inner.params:
            assert parameter.help, f"{inner.name} {parameter.name} has no help"


def test_version(studio: Studio):
    assert studio("--version").out == f"studio {__version__}\n"


def test_no_command_shows_the_help(studio: Studio):
    result = studio()
    assert result.code == 0
    assert "quickstart" in result.out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("trian",), "error: unknown command 'trian'. Did you mean 'train'? See: studio --help"),
        (("xyzzy",), "error: unknown command 'xyzzy'. See: studio --help"),
        (("runs", "lst"), "error: no such command 'lst'. Did you mean 'list'? See: studio runs --help"),
        (("runs", "list", "--jsn"), "error: unknown option --jsn. Did you mean '--json'? See: studio runs list --help"),
        (("runs", "list", "--workspace"), "error: option --workspace needs a value: --workspace VALUE."),
        (("--jsn",), "error: unknown option --jsn. Did you mean '--json'? See: studio --help"),
        (("runs", "show"), "error: missing argument 'run'. See: studio runs show --help"),
    ],
)
def test_mistakes_on_the_command_line(studio: Studio, arguments: tuple[str, ...], sentence: str):
    result = studio(*arguments)
    assert (result.code, result.out, result.err) == (2, "", sentence + "\n")


@pytest.mark.parametrize(
    ("error", "code"),
    [(StudioError("a b."), 1), (UserError("a b."), 2), (GateNotMetError("a b."), 3), (InterruptedRunError("a b."), 130)],
)
def test_errors_are_one_sentence_with_their_exit_code(studio: Studio, command: Any, error: StudioError, code: int):
    def fail() -> None:
        """Fail."""
        raise error

    command(fail)
    result = studio("try")
    assert (result.code, result.out, result.err) == (code, "", "error: a b.\n")


def test_ctrl_c_is_130(studio: Studio, command: Any):
    def interrupted() -> None:
        """Be interrupted."""
        raise KeyboardInterrupt

    command(interrupted)
    assert (studio("try").code, studio("try").err) == (130, "error: stopped by Ctrl-C before it was done.\n")


def test_a_bug_is_one_sentence_and_a_file(studio: Studio, command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def crash() -> None:
        """Crash."""
        raise KeyError("secret drawer")

    command(crash)
    monkeypatch.delenv("STUDIO_DEBUG", raising=False)
    result = studio("--workspace", tmp_path, "try")
    assert result.code == 1
    assert result.err.count("\n") == 1
    assert result.err.startswith("error: this is a bug in the studio: KeyError: 'secret drawer'. The traceback is in ")
    [log] = (tmp_path / "tmp").glob("crash-*.log")
    text = log.read_text()
    assert "Traceback" in text
    assert f"studio --workspace {tmp_path} try" in text
    monkeypatch.setenv("STUDIO_DEBUG", "1")
    assert "Traceback" in studio("try").err


def test_a_full_disk_is_no_bug(studio: Studio, command: Any):
    def full() -> None:
        """Fill the disk."""
        raise OSError(28, "No space left on device", "/data/big")

    command(full)
    result = studio("try")
    assert result.code == 1
    assert "the disk is full" in result.err
    assert "bug" not in result.err


def test_command_function_may_have_its_own_json_option(studio: Studio, command: Any, tmp_path: Path):
    seen: list[Any] = []

    def own(
        as_json: Annotated[bool, typer.Option("--json", help="Own.")] = False,
        workspace: Annotated[Path | None, typer.Option(help="Own.")] = None,
    ) -> None:
        """Have options of its own."""
        seen.extend([as_json, output.json_wanted(), workspace, output.open_workspace().root])

    command(own)
    assert studio("try", "--json", "--workspace", tmp_path).code == 0
    assert seen == [True, True, tmp_path, tmp_path]


def test_exit_code_of_a_command_is_kept_and_return_values_are_not(studio: Studio, command: Any):
    def leave(code: Annotated[int, typer.Argument(help="Code.")]) -> Any:
        """Leave."""
        if code == 7:
            return 7
        raise typer.Exit(code)

    command(leave)
    assert [studio("try", code).code for code in (0, 3, 7)] == [0, 3, 0]


def test_closed_pipe_is_quiet():
    code = "import sys; sys.argv[0] = 'studio'; from studio.cli.main import main; main()"
    command = f'{sys.executable} -c "{code}" --help | head -n 1'
    environment = {**os.environ, "PYTHONPATH": str(Path(main.__file__).parents[2])}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("Usage: studio [OPTIONS] COMMAND [ARGS]...\n", "")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("studio ru", {"runs"}),
        ("studio runs ", {"list", "show", "compare", "prune"}),
        ("studio runs show ", {"last", "good/20260101-120000-good1"}),
        ("studio plan chat/lo", {"chat/lora"}),
    ],
)
def test_tab_completion(full: Any, words: str, expected: set[str]):
    code = "import sys; sys.argv = ['studio']; from studio.cli.main import main; main()"
    done = run_python(
        code, _STUDIO_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(len(words.split(" ")) - 1),
        STUDIO_WORKSPACE=str(full.root),
    )  # fmt: skip
    assert expected <= set(done.stdout.split()), done.stderr


def test_noise_of_libraries_is_off_and_our_warnings_are_one_line():
    code = (
        "import warnings, logging, os; from studio.cli.quiet import quiet_libraries; quiet_libraries();"
        "warnings.warn_explicit('theirs', UserWarning, 'x.py', 1, module='transformers.thing');"
        "warnings.warn_explicit('ours', UserWarning, 'x.py', 1, module='studio.core.records');"
        "logging.getLogger('transformers').warning('theirs too');"
        "print(os.environ['TRANSFORMERS_VERBOSITY'])"
    )
    done = run_python(code)
    assert (done.stdout, done.stderr) == ("error\n", "warning: ours\n")
    assert "theirs" in run_python(code, STUDIO_DEBUG="1", TRANSFORMERS_VERBOSITY="info").stderr

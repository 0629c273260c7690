"""``studio chat`` driven as a person drives it (a pseudo-terminal) and as a script does (a pipe)."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len

from studio.apps.terminal import Lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Result
    from tests.evals.conftest import Tiny

COMMAND = [sys.executable, "-m", "studio.cli.main", "chat"]


def _take_the_terminal() -> None:
    """In the child: the pseudo-terminal controls it, and Ctrl-C reaches it even if the tests were started with it ignored."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """A program at the other end of a pseudo-terminal."""

    def __init__(self, arguments: list[str], folder: Path) -> None:
        self.master, slave = pty.openpty()
        environment = {**os.environ, "TERM": "dumb", "PYTHONPATH": str(Path.cwd())}
        self.process = subprocess.Popen(
            arguments,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=folder,
            env=environment,
            start_new_session=True,
            preexec_fn=_take_the_terminal,
        )
        os.close(slave)
        self.seen = ""

    def read_until(self, pattern: str, seconds: float = 180) -> str:
        """Everything up to and including the pattern, since the last read."""
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self.seen)):
            left = end - time.monotonic()
            assert left > 0, f"waited for {pattern!r}, saw {self.seen!r}"
            if select.select([self.master], [], [], left)[0]:
                try:
                    self.seen += os.read(self.master, 65536).decode(errors="replace").replace("\r\n", "\n")
                except OSError:
                    assert re.search(pattern, self.seen), f"ended before {pattern!r}, saw {self.seen!r}"
        text, self.seen = self.seen[: found.end()], self.seen[found.end() :]
        return text

    def send(self, text: str) -> None:
        os.write(self.master, text.encode())

    def ask(self, line: str) -> str:
        """Send a line and return what comes before the next prompt."""
        self.send(line + "\n")
        return self.read_until(r"you> ").removesuffix("you> ").partition("\n")[2].strip()


@pytest.fixture
def terminal(tiny: Tiny, tmp_path: Path) -> Iterator[Terminal]:
    command = [*COMMAND, "tiny", "--max-new-tokens", "12", "--workspace", str(tiny.workspace.root)]
    opened = Terminal(command, tmp_path)
    opened.read_until(r"you> ")
    yield opened
    if opened.process.poll() is None:
        opened.process.kill()
    opened.process.wait()
    os.close(opened.master)


@pytest.fixture
def pipe(studio: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Give ``studio chat`` a text on its standard input."""

    def call(text: str, *arguments: object) -> Result:
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        return studio("chat", *(arguments or ("tiny",)), "--max-new-tokens", 12)

    return call


def test_lines_break_between_words_as_they_come() -> None:
    text = "One two  three,\n\n  four five sixteen seventeen 一二三四五六七八九十 " + "x" * 70 + " end."
    for size in (1, 3, 1000):
        lines = Lines(width=20, column=5)
        shown = [lines.take(text[at : at + size]) for at in range(0, len(text), size)]
        whole = "".join(shown) + lines.rest()
        assert whole.split() == text.split(), "nothing is lost"
        first, *others = whole.split("\n")
        assert len(first) <= 15 and all(cell_len(line) <= 20 for line in others if "x" not in line)
        assert "three,\n\n  four five" in whole, "line ends and blanks of the answer stay"
        assert size > 1 or shown[3] == "One", "a word is shown when the next begins"


def test_a_talk_in_a_terminal(terminal: Terminal, tiny: Tiny, tmp_path: Path) -> None:
    assert "has been asked yet" in terminal.ask("/base")
    first = terminal.ask("How wide must a door be?")
    assert first.startswith("tiny> ") and len(first) > len("tiny> ")
    second = terminal.ask("How wide must a door be?")
    assert second != first, "the history is not seen by the model"
    base = terminal.ask("/base")
    assert base.startswith("base> ") and base.removeprefix("base> ") != second.removeprefix("tiny> ")
    assert "/save" in terminal.ask("/help") and "Did you mean '/reset'?" in terminal.ask("/rest")

    assert "saved to talk.jsonl" in terminal.ask("/save talk.jsonl")
    assert "not overwritten" in terminal.ask("/save talk.jsonl")
    messages = json.loads((tmp_path / "talk.jsonl").read_text())["messages"]
    assert [turn["role"] for turn in messages] == ["user", "assistant", "user", "assistant"]
    assert messages[1]["content"] == first.removeprefix("tiny> ").strip()

    terminal.ask("/reset")
    assert terminal.ask("How wide must a door be?") == first
    terminal.ask("/system Answer in one word.")
    assert terminal.ask("How wide must a door be?") != first
    assert "saved to chat-" in terminal.ask("/save")
    saved = next(tmp_path.glob("chat-*.jsonl"))
    assert json.loads(saved.read_text())["messages"][0] == {"role": "system", "content": "Answer in one word."}
    terminal.send("\x04")
    assert terminal.process.wait(timeout=120) == 0


def test_ctrl_c_stops_the_answer_and_not_the_talk(tiny: Tiny, tmp_path: Path) -> None:
    command = [*COMMAND, "tiny", "--max-new-tokens", "450", "--temperature", "5", "--workspace", str(tiny.workspace.root)]
    opened = Terminal(command, tmp_path)
    try:
        opened.read_until(r"you> ")
        time.sleep(1)  # readline shows the prompt a moment before it waits: a Ctrl-C in between is seen with the next key only
        opened.send("\x03")
        opened.read_until(r"/quit or Ctrl-D leaves\.\nyou> ")
        opened.send("Tell me everything.\n")
        opened.read_until(r"tiny> [^\n]*\S")
        opened.send("\x03")
        assert "(stopped" in opened.read_until(r"you> ")
        assert len(opened.ask("/help")) > 0
        opened.send("/quit\n")
        assert opened.process.wait(timeout=120) == 0
    finally:
        if opened.process.poll() is None:
            os.kill(opened.process.pid, signal.SIGKILL)
        opened.process.wait()
        os.close(opened.master)


def test_piped_questions_get_plain_answers(pipe: Callable[..., Result]) -> None:
    done = pipe("How wide must a door be?\n\n/reset\nHow wide must a door be?\n")
    assert done.code == 0, done.err
    answers = done.out.strip("\n").split("\n")
    assert len(answers) == 2 and answers[0] == answers[1] != ""
    assert "you>" not in done.out and "tiny>" not in done.out


def test_a_real_pipe(tiny: Tiny) -> None:
    command = [*COMMAND, "tiny", "--max-new-tokens", "12", "--workspace", str(tiny.workspace.root)]
    done = subprocess.run(command, input="Roof?\n/quit\nDoor?\n", capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip().splitlines()) == 1 and "Traceback" not in done.stderr


def test_the_seed_decides_what_is_drawn(pipe: Callable[..., Result]) -> None:
    drawn = [pipe("Roof?\n", "tiny", "--temperature", 1.5, "--seed", seed).out for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_json_gives_the_talk_as_one_document(pipe: Callable[..., Result]) -> None:
    messages = json.loads(pipe("Roof?\nDoor?\n", "tiny", "--json", "--system", "Be brief.").out)
    assert [turn["role"] for turn in messages] == ["system", "user", "assistant", "user", "assistant"]


def test_a_talk_longer_than_the_context_forgets_its_beginning_and_says_so(pipe: Callable[..., Result]) -> None:
    question = "How wide must a door and a window and a stair be in a building with a fire exit? " * 2
    done = pipe((question + "\n") * 12 + "word " * 700 + "\nShort?\n", "tiny", "--json")
    assert done.code == 0, done.err
    assert "the oldest 2 turns are no longer seen" in done.err
    assert re.search(r"warning: the question has \d+ tokens and the model sees 512 at once", done.err)
    # The question that could not be asked is not part of the talk: the one after it is answered.
    assert [turn["role"] for turn in json.loads(done.out)] == ["user", "assistant"] * 13


def test_a_base_model_can_be_talked_to_and_a_wrong_name_is_one_sentence(pipe: Callable[..., Result], lively_base: Path) -> None:
    done = pipe("Door?\n/base\n", lively_base)
    assert done.code == 0 and done.out.strip() and "/base needs a run" in done.err
    done = pipe("", lively_base, "--template-argument", "enable_thinking=false")
    assert done.code == 2 and "the chat template 'tokenizer' knows no argument 'enable_thinking'" in done.err
    done = pipe("", "nobody")
    assert done.code == 2 and "there is no run 'nobody'" in done.err and "base model 'nobody'" in done.err

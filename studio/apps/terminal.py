"""Talking in the terminal: questions typed at a prompt, with commands between them, or one question per line from a pipe.

Answers go to stdout as they are written, thoughts dimmed before them (a pipe gets none). Remarks go wherever the caller wants
them: each function takes a ``tell`` for them.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from studio.core.errors import UserError, nearest
from studio.core.translation import later, t

if TYPE_CHECKING:
    from studio.core.workspace import Workspace
    from studio.evals.chat.conversation import Conversation
    from studio.models.chat.answers import Answered

COMMANDS = {
    "/reset": later("forget the talk so far"),
    "/base": later("ask the base model your last question, beside the talk"),
    "/save": later("write the talk as one line of JSON: /save or /save FILE; nothing is overwritten"),
    "/system": later("set the system turn and start anew: /system TEXT; without a text it is removed"),
    "/help": later("show this list"),
    "/quit": later("leave (Ctrl-D too; Ctrl-C stops an answer)"),
}

Tell = Callable[[str], None]
_ARGUMENT = "--template-argument"


class Opened:
    """A model to talk to. ``base`` is a context that gives its base model, or None for a base model itself."""

    def __init__(self, name: str, model: Any, tokenizer: Any, template: Any, base: Any = None) -> None:
        self.name, self.model, self.tokenizer, self.template = name, model, tokenizer, template
        self._base = base

    def base(self) -> AbstractContextManager[Any]:
        """The base model while the context lasts.

        Raises:
            UserError: this is the base already.
        """
        if self._base is None:
            raise UserError(f"{self.name} is itself a base model; /base needs a run.")
        opened: AbstractContextManager[Any] = self._base()
        return opened


def open_model(workspace: Workspace, reference: str, arguments: Sequence[str] = ()) -> Opened:
    """Open a run, or else a base model of that name.

    Args:
        arguments: NAME=VALUE for the chat template; of a run, those that its preset leaves to clients.
    Raises:
        UserError: it is neither, or an argument is unknown or not left to clients.
    """
    from studio.models.chat.arguments import as_client, read_arguments

    given = read_arguments(arguments, _ARGUMENT)
    try:
        folder = workspace.find_run(reference)
    except UserError as no_run:
        return _open_base(reference, no_run, given)
    from studio.adapters.chat.loading import load_run

    loaded = load_run(folder)
    name = f"{folder.parent.name}/{folder.name} (base: {loaded.record.base.get('name')})"
    template = as_client(loaded.template, given, _ARGUMENT)
    return Opened(name, loaded.model, loaded.tokenizer, template, loaded.base)


def _open_base(reference: str, no_run: UserError, arguments: Mapping[str, Any]) -> Opened:
    """Open a base model with its own template."""
    from studio.models.bases import resolve_base
    from studio.models.chat.loading import load_causal_lm, load_tokenizer
    from studio.models.chat.templates import choose_template
    from studio.models.device import pick_device, pick_dtype

    try:
        base = resolve_base(reference)
    except UserError as no_base:
        raise UserError(f"{no_run}. It is no base model either: {no_base}") from no_base
    tokenizer = load_tokenizer(base)
    template = choose_template(tokenizer, None, base.name, arguments=arguments)
    device = pick_device()
    return Opened(base.name, load_causal_lm(base, dtype=pick_dtype("auto", device), device=device), tokenizer, template)


def converse(
    opened: Opened,
    *,
    max_new_tokens: int,
    temperature: float,
    seed: int,
    system: str | None,
    interactive: bool,
    silent: bool,
    tell: Tell,
) -> list[dict[str, Any]]:
    """Talk until the person leaves or the pipe ends, and give the whole talk back.

    Args:
        max_new_tokens: longest answer. temperature: 0 is greedy. seed: of drawn answers. system: turn before the talk.
        interactive: a person sits there; they get a prompt, and Ctrl-C stops an answer. silent: answers are not printed.
        tell: takes what is no answer, a line at a time.
    """
    from studio.evals.chat.conversation import Conversation
    from studio.evals.evidence import Decoding

    decoding = Decoding(max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)
    talk = Conversation(opened.model, opened.tokenizer, opened.template, decoding, system)
    session = Session(talk, opened, interactive=interactive, silent=silent, tell=tell)
    if interactive:
        tell(t("Talking to {name}. /help lists the commands, /quit or Ctrl-D leaves.", name=opened.name))
    for line in _lines(interactive, tell):
        if not session.take(line):
            break
    return talk.transcript


def _lines(interactive: bool, tell: Tell) -> Iterator[str]:
    """Lines the person types (with editing and history) or the pipe brings; ends at Ctrl-D or the end of the pipe."""
    if not interactive:
        for line in sys.stdin:
            yield line.rstrip("\r\n")
        return
    with suppress(ImportError):
        import readline  # noqa: F401 - importing it is what gives input() its line editing
    while True:
        try:
            yield input("you> ")
        except EOFError:
            _print("\n")
            return
        except KeyboardInterrupt:
            _print("\n")
            tell(t("/quit or Ctrl-D leaves."))


class Session:
    """What one line does: a command, or a question whose answer is streamed and remembered."""

    def __init__(self, talk: Conversation, opened: Opened, *, interactive: bool, silent: bool, tell: Tell) -> None:
        self.talk, self.opened, self.interactive, self.silent, self.tell = talk, opened, interactive, silent, tell

    def take(self, line: str) -> bool:
        """Act on one line; False when the person wants to leave. A mistake is told and the talk goes on."""
        text = line.strip()
        if not text:
            return True
        try:
            if text.startswith("/"):
                return self._command(text)
            self._ask(text)
        except UserError as mistake:
            self.tell(f"warning: {mistake}")
        return True

    def _ask(self, question: str) -> None:
        """Ask, stream the answer, remember both; a question that cannot be asked is not remembered."""
        before, seen_from = list(self.talk.history), self.talk.seen_from
        self.talk.history.append({"role": "user", "content": question})
        try:
            forgotten = self.talk.fit()
        except UserError:
            self.talk.history[:], self.talk.seen_from = before, seen_from
            raise
        if forgotten:
            self.tell(
                t("(the talk is longer than the model's context: the oldest {number} turns are no longer seen)", number=forgotten)
            )
        answer, stopped = self._stream(self.opened.name.split(" ")[0], nullcontext())
        if stopped and answer.message() == {"role": "assistant", "content": ""}:
            self.talk.history[:], self.talk.seen_from = before, seen_from
            self.tell(t("(stopped; the question is forgotten)"))
            return
        self.talk.history.append(answer.message())
        if stopped:
            self.tell(t("(stopped; what was written so far stays in the talk)"))
        elif self.talk.cut and not answer.content:
            self.tell(t("(the answer was cut off before a word was said: give it more room with --max-new-tokens)"))

    def _stream(self, who: str, context: AbstractContextManager[Any]) -> tuple[Answered, bool]:
        """Print an answer as it is written. Returns it, and whether Ctrl-C stopped it."""
        from studio.models.chat.answers import Answered

        answer, stopped = Answered(""), False
        opening = f"{who.rsplit('/', 2)[0]}> " if self.interactive else ""
        shown = Shown(len(opening), thoughts=self.interactive, silent=self.silent)
        _print(opening)
        try:
            with context as network:
                for answer in self.talk.answers(network):
                    shown.take(answer)
        except KeyboardInterrupt:
            if not self.interactive:
                raise
            stopped = True
        shown.end(answer)
        return answer, stopped

    def _command(self, text: str) -> bool:
        """Carry out a command; False for leaving."""
        name, _, argument = text.partition(" ")
        argument = argument.strip()
        match name:
            case "/quit" | "/exit":
                return False
            case "/help":
                for command, meaning in COMMANDS.items():
                    self.tell(f"{command:8}  {t(meaning)}")
            case "/reset":
                self.talk.restart()
                self.tell(t("(the talk is forgotten)"))
            case "/system":
                self.talk.system = argument or None
                self.talk.restart()
                self.tell(t("(system turn set, talk started anew)" if argument else "(no system turn, talk started anew)"))
            case "/base":
                self._ask_base()
            case "/save":
                self.tell(t("(saved to {path})", path=save(self.talk.transcript, argument)))
            case _:
                raise UserError(f"unknown command {name!r}.{nearest(name, COMMANDS)} Commands: {', '.join(COMMANDS)}.")
        return True

    def _ask_base(self) -> None:
        """Ask the base the last question, with the same turns before it; the talk itself does not change."""
        context = self.opened.base()
        asked = [index for index, turn in enumerate(self.talk.history) if turn["role"] == "user"]
        if not asked:
            raise UserError("/base asks your last question again, and nothing has been asked yet.")
        whole, seen_from = list(self.talk.history), self.talk.seen_from
        self.talk.history[:] = whole[: asked[-1] + 1]
        try:
            self.talk.fit()
            _, stopped = self._stream("base", context)
        finally:
            self.talk.history[:], self.talk.seen_from = whole, seen_from
        if stopped:
            self.tell(t("(stopped)"))


class Shown:
    """An answer on the terminal as it grows: the thought dimmed, what is said, calls on a line each.

    A pipe gets no thoughts: what reads it wants the answer.
    """

    DIM, PLAIN = "\x1b[2m", "\x1b[0m"

    def __init__(self, column: int, *, thoughts: bool, silent: bool) -> None:
        """column: where the answer begins. silent: nothing is printed."""
        self._coloured = sys.stdout.isatty()
        self._lines = Lines(shutil.get_terminal_size().columns, column) if self._coloured else None
        self._thoughts, self._silent = thoughts, silent
        self._thought = self._said = ""

    def take(self, answer: Answered) -> None:
        """Print what is new; what was printed once stays the beginning."""
        thought = answer.reasoning_content or ""
        if self._thoughts and len(thought) > len(self._thought):
            opening = "" if self._thought else self.DIM if self._coloured else "[thought] "
            self._print(opening, thought[len(self._thought) :])
            self._thought = thought
        if len(answer.content) > len(self._said):
            self._close_thought()
            self._print("", answer.content[len(self._said) :])
            self._said = answer.content

    def end(self, answer: Answered) -> None:
        """Print the calls and end the line."""
        from studio.data.chat.turns import call_text

        self._close_thought()
        calls = [*(f"[call] {call_text(call)}" for call in answer.tool_calls), *answer.broken_calls]
        if calls:
            self._print("\n" if self._said else "", "\n".join(calls))
        if not self._silent:
            _print((self._lines.rest() if self._lines else "") + "\n")

    def _close_thought(self) -> None:
        """Leave the thought for what is said."""
        if self._thought and not self._said:
            self._print("", "\n\n")
            if self._coloured:
                self._raw(self.PLAIN)
            self._thought = ""
            self._thoughts = False

    def _print(self, mark: str, text: str) -> None:
        """A mark that takes no room, then words."""
        if mark == self.DIM:
            self._raw(mark)
        elif mark:
            text = mark + text
        if not self._silent:
            _print(self._lines.take(text) if self._lines else text)

    def _raw(self, code: str) -> None:
        """A code of the terminal, behind what was held back."""
        if not self._silent:
            _print((self._lines.rest() if self._lines else "") + code)


class Lines:
    """Breaks an answer between words, where a terminal would break it inside one; a word is shown once the next begins."""

    # Text without blanks (Chinese, code) is not waited for longer than this many characters.
    LONGEST_WORD = 30

    def __init__(self, width: int, column: int) -> None:
        """width: columns of the terminal. column: how many are taken already."""
        self.width, self.column, self.held = width, column, ""

    def take(self, piece: str) -> str:
        """What can be shown now that this piece was written."""
        *whole, self.held = re.split(r"(?<=\S)(?=\s)", self.held + piece)
        if len(self.held) > self.LONGEST_WORD:
            whole, self.held = [*whole, self.held], ""
        return "".join(self._placed(word) for word in whole)

    def rest(self) -> str:
        """What was held back, at the end."""
        last, self.held = self._placed(self.held), ""
        return last

    def _placed(self, word: str) -> str:
        """A word with the blanks before it, which become a line end where it does not fit."""
        blanks = word[: len(word) - len(word.lstrip())]
        size = cell_len(word.strip())
        if "\n" in blanks:
            self.column = cell_len(blanks.rpartition("\n")[2]) + size
        elif blanks and self.column + len(blanks) + size >= self.width:
            word, self.column = "\n" + word.lstrip(), size
        else:
            self.column = (self.column + len(blanks) + size) % self.width
        return word


def save(messages: list[dict[str, Any]], chosen: str) -> Path:
    """Write the talk as one JSON line ``{"messages": [...]}``, which a recipe can read back as data.

    Args:
        chosen: a file, or empty for ``chat-<time>.jsonl`` in the current folder.
    Raises:
        UserError: there is nothing to save, the file exists, or its folder cannot be written.
    """
    if not any(message["role"] == "user" for message in messages):
        raise UserError("there is nothing to save yet.")
    path = Path(chosen or f"chat-{datetime.now():%Y%m%d-%H%M%S}.jsonl").expanduser()
    try:
        # "x" refuses an existing file in the same step that makes a new one.
        with path.open("x", encoding="utf-8") as stream:
            stream.write(json.dumps({"messages": messages}, ensure_ascii=False) + "\n")
    except FileExistsError:
        raise UserError(f"{path} exists already and is not overwritten. Give another name: /save FILE") from None
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}). Give another name: /save FILE") from error
    return path


def _print(text: str) -> None:
    """Write a piece of an answer at once, without a line end of its own."""
    try:
        sys.stdout.write(text)
    except UnicodeEncodeError:
        encoding = sys.stdout.encoding or "ascii"
        sys.stdout.write(text.encode(encoding, errors="replace").decode(encoding))
    sys.stdout.flush()

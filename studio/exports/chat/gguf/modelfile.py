"""A ``Modelfile`` for Ollama, whose TEMPLATE writes the very prompts of the run's chat template.

Ollama does not run Jinja: what it finds in a GGUF it compares with templates it knows, and where none fits it takes a wrong one.
So the words around turns are read off what the run's template writes for a short talk, said again as a Go template, and that one
is held against the run's on talks of several turns. A template that does more than put words around turns (tools, thoughts that
are left out of history) cannot be said so, and the page says that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from studio.core.errors import DataError

Message = dict[str, str]
Render = Callable[[Sequence[Message], bool], str]
"""From turns, and whether the assistant is to speak next, to text; raises DataError where the template refuses them."""

_SYSTEM, _USER, _ANSWER, _MORE = "Q7xsystem", "Q7xuser", "Q7xanswer", "Q7xmore"


@dataclass(frozen=True)
class Talk:
    """The words around turns.

    plain: before the first question. before_system, behind_system: around a system turn, up to the first question; the second is
    None where the template knows no system turn. asked: before each later question. answer: after a question, where the
    assistant is to speak. opened, closed: around an answer that stands there (Mistral's has a blank before it).
    """

    plain: str
    before_system: str
    behind_system: str | None
    asked: str
    answer: str
    opened: str
    closed: str

    def written(self, messages: Sequence[Message]) -> str:
        """What :func:`go_template` makes of turns, said in Python; the assistant is to speak next."""
        system = next((turn["content"] for turn in messages if turn["role"] == "system"), None)
        text, first = "", True
        for turn in messages:
            if turn["role"] == "user":
                opening = self.plain if system is None else f"{self.before_system}{system}{self.behind_system}"
                text += (opening if first else self.asked) + turn["content"] + self.answer
                first = False
            elif turn["role"] == "assistant":
                text += self.opened + turn["content"] + self.closed
        return text


def read_talk(render: Render, begin: str | None) -> Talk | None:
    """The words around turns of a template; None where they are not all there is to it.

    Args:
        begin: the mark at the beginning, where the program puts it there by itself.
    """
    try:
        one = render(_turns(_USER), True)
        two = render(_turns(_USER, _ANSWER, _MORE), True)
        closed = render(_turns(_USER, _ANSWER), False)
    except DataError:
        return None
    if any(text.count(word) != 1 for text, word in ((one, _USER), (two, _ANSWER), (two, _MORE), (closed, _ANSWER))):
        return None
    behind = closed.partition(_ANSWER)[2]
    between = two.partition(_ANSWER)[2].partition(_MORE)[0]
    if not between.startswith(behind):
        return None
    before, after = _around_system(render)
    plain, answer = one.partition(_USER)[::2]
    given = two.partition(_USER)[2].partition(_ANSWER)[0]
    if not given.startswith(answer):
        return None
    opened = given.removeprefix(answer)
    talk = Talk(_without(plain, begin), _without(before, begin), after, between.removeprefix(behind), answer, opened, behind)
    return talk if _same(talk, render, begin or "") else None


def _around_system(render: Render) -> tuple[str | None, str | None]:
    """The words around a system turn, None where the template refuses one or leaves it out."""
    try:
        text = render([{"role": "system", "content": _SYSTEM}, *_turns(_USER)], True)
    except DataError:
        return None, None
    if text.count(_SYSTEM) != 1 or text.count(_USER) != 1:
        return None, None
    before, _, behind = text.partition(_SYSTEM)
    return before, behind.partition(_USER)[0]


def _turns(*contents: str) -> list[Message]:
    """Questions and answers in turn."""
    return [{"role": "assistant" if index % 2 else "user", "content": content} for index, content in enumerate(contents)]


def _without(text: str | None, begin: str | None) -> str:
    """A text without the mark at its beginning."""
    return (text or "").removeprefix(begin or "")


def _same(talk: Talk, render: Render, begin: str) -> bool:
    """Whether the words say again what the template writes, on talks of one to three questions with and without a system turn."""
    for count in (1, 3, 5):
        turns = _turns(*(f"{word} no. {index}, said twice: {word}" for index, word in enumerate(["word"] * count)))
        system: list[Message] = [] if talk.behind_system is None else [{"role": "system", "content": "Be brief.\nAnd kind."}]
        for talk_turns in (turns, [*system, *turns]):
            try:
                if render(talk_turns, True) != begin + talk.written(talk_turns):
                    return False
            except DataError:
                return False
    return True


def go_template(talk: Talk) -> str | None:
    """The same as a Go template over Ollama's ``.Messages`` and ``.System``; None where a word has braces or quotes itself."""
    words = [talk.plain, talk.before_system, talk.behind_system or "", talk.asked, talk.answer, talk.opened, talk.closed]
    if any("{{" in word or "}}" in word or '"""' in word for word in words):
        return None
    opening = talk.plain
    if talk.behind_system is not None:
        given = talk.before_system + "{{ $.System }}" + talk.behind_system
        opening = "{{ if $.System }}" + given + "{{ else }}" + talk.plain + "{{ end }}"
    return "".join(
        [
            '{{ $first := true }}{{ range $i, $turn := .Messages }}{{ if eq $turn.Role "user" }}',
            "{{ if $first }}" + opening + "{{ else }}" + talk.asked + "{{ end }}{{ $first = false }}",
            "{{ $turn.Content }}" + talk.answer,
            '{{ else if eq $turn.Role "assistant" }}' + talk.opened + "{{ $turn.Content }}",
            "{{ if gt (len (slice $.Messages $i)) 1 }}" + talk.closed + "{{ end }}{{ end }}{{ end }}",
        ]
    )


def modelfile(file: str, template: str | None, stops: Sequence[str], *, adapter: str | None = None) -> str:
    """The text of a ``Modelfile`` beside a GGUF file.

    Args:
        template: of :func:`go_template`; None leaves it to Ollama, with a line that says so.
        stops: words that end an answer.
    """
    lines = [f"FROM ./{file}" if not file.startswith(("/", ".")) else f"FROM {file}"]
    if adapter is not None:
        lines.append(f"ADAPTER ./{adapter}")
    if template is None:
        lines.append(
            "# The chat template of this run does more than put words around turns, which Ollama's templates cannot say."
        )
        lines.append("# Use llama-server, which reads the template in the file, or send rendered prompts with raw: true.")
    else:
        lines.append(f'TEMPLATE """{template}"""')
    lines += [f"PARAMETER stop {json.dumps(stop, ensure_ascii=False)}" for stop in stops]
    return "\n".join(lines) + "\n"

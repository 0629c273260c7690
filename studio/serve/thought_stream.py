"""A thought and what is said after it, told apart in an answer that is whole or still growing. Standard library only.

vLLM's own parsers take the whole of an answer without marks for a thought, so that a run whose template knows thoughts and whose
rows have none would seem to say nothing (seen in vLLM 0.32 with qwen3, deepseek_r1, glm45, kimi_k2, nemotron_v3 and, streaming,
olmo3). Here a thought is what stands between its marks, or before the closing one where the prompt had opened it.
"""

from __future__ import annotations

from studio.models.chat.thoughts import THOUGHTS


class ThoughtReader:
    """Reads one answer. ``settled`` once nothing after this can be a thought."""

    def __init__(self, mark: str, *, opened: bool) -> None:
        """``mark`` opens a thought; ``opened`` where the prompt has ended in one."""
        self.mark, self.end, self.opened = mark, THOUGHTS[mark], opened
        self.settled = False
        self._given = ("", "")

    def whole(self, text: str) -> tuple[str | None, str | None]:
        """Thought and words of a whole answer, each None where there is none of it."""
        thought, said = self._parts(text, ended=True)
        return thought.rstrip() or None, said or None

    def grown(self, text: str) -> tuple[str, str]:
        """What a longer beginning of the answer adds to the thought and to the words."""
        parts = self._parts(text, ended=False)
        new = parts[0][len(self._given[0]) :], parts[1][len(self._given[1]) :]
        self._given = parts
        return new

    def undecided(self, text: str) -> str:
        """What was held back of an answer that has ended: the words that might have become a mark."""
        return "" if any(self._given) or self.settled else self._parts(text, ended=True)[1]

    def _parts(self, text: str, *, ended: bool) -> tuple[str, str]:
        """Thought and words so far; what may yet become a mark is held back unless the text has ended."""
        bare = text.lstrip()
        if bare.startswith(self.mark):
            inside = bare[len(self.mark) :]
        elif self.mark.startswith(bare) and not (ended and bare):
            return "", ""
        elif self.opened or (ended and self.end in text.partition(self.mark)[0]):
            inside = text
        else:
            self.settled = True
            return "", text
        thought, closed, said = inside.partition(self.end)
        if closed:
            # The line ends between a thought and the words are neither's: the words begin with the first letter.
            self.settled = bool(said.strip())
            return thought.strip(), said.lstrip()
        return _without_beginning(thought.lstrip(), self.end).rstrip(), ""


def _without_beginning(text: str, mark: str) -> str:
    """A text without an end that may be the beginning of a mark."""
    for length in range(min(len(mark) - 1, len(text)), 0, -1):
        if text.endswith(mark[:length]):
            return text[:-length]
    return text

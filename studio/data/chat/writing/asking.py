"""Asking a writer for many things: what is kept is not asked again, what is of no use is, and limits end it in good order."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from queue import Queue
from typing import Any, Protocol

from studio.core.evidence import EvidenceCache
from studio.core.files import sha256_json
from studio.core.progress import Progress
from studio.data.chat.writing.client import TOO_LONG, Sent, WriterClient
from studio.data.chat.writing.prompts import Prompt, longest_text
from studio.data.chat.writing.replies import CUT_OFF, FILTERED, Reply, items_of, plain_item
from studio.models.openai_client import EndpointError

FILE = "writer-answers.sqlite"
NOT_ASKED = "not asked: a limit was reached"
_REMINDER = "Answer with the JSON object alone, in exactly the form above: no other words before or after it."
# So many requests in a row without an answer, each tried several times, mean that the server is gone.
_GONE_AFTER = 3


class Task(Protocol):
    """One thing to ask for."""

    def messages(self, count: int) -> list[dict[str, str]]:
        """The request for ``count`` items."""


@dataclass
class Outcome:
    """What came of a task.

    items: as the prompt asks for them. fault: why there are none of use. replies: in order. longest: a text of so many characters
    was cut there by the form of the answer.
    """

    items: list[dict[str, str]] = field(default_factory=list)
    longest: int | None = None
    fault: str | None = None
    replies: list[Reply] = field(default_factory=list)


@dataclass
class _State:
    """A task on its way. count: items to ask for; number: of the next request."""

    place: int
    task: Task
    count: int
    reminder: str = _REMINDER
    outcome: Outcome = field(default_factory=Outcome)
    number: int = 0

    @property
    def messages(self) -> list[dict[str, str]]:
        """The next request; after an answer of no use it says once more what is wanted."""
        messages = self.task.messages(self.count)
        if self.outcome.fault in {None, CUT_OFF} or not self.reminder:
            return messages
        return [*messages[:-1], {**messages[-1], "content": f"{messages[-1]['content']}\n\n{self.reminder}"}]


@dataclass
class Asking:
    """Everything that one source asks of its writer.

    again: ask once more for what got no answer in an earlier build. fresh, kept: answers that were asked for now, and before.
    stopped: the limit that ended it, as a clause.
    """

    client: WriterClient
    cache: EvidenceCache
    prompt: Prompt
    count: int
    retries: int
    at_once: int
    again: bool = False
    fresh: int = 0
    kept: int = 0
    unusable: Counter[str] = field(default_factory=Counter)
    stopped: str | None = None
    _failed: Exception | None = None
    _running: int = 0
    _came: Queue[tuple[_State, tuple[int, int], Sent]] = field(default_factory=Queue)
    _in_a_row: int = 0
    _answered: bool = False
    _sentence: str = ""
    _unanswered: dict[str, Reply] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Answers are known by all that they depend on; limits and tries are not among it."""
        sampling = self.client.sampling
        asked = ["writer", sampling.base_url, sampling.model, sampling.temperature, sampling.max_tokens]
        # Only where it is asked for, so that answers of earlier builds are found again.
        self._subject = sha256_json([*asked, *([sampling.top_logprobs] if sampling.top_logprobs is not None else [])])

    def ask(self, tasks: Sequence[Task]) -> list[Outcome]:
        """Ask for every task; outcomes in their order.

        Raises:
            UserError: the key is missing or wrong.
            EndpointError: the server is gone, or does not know the model; what it answered is kept.
        """
        reminder = "" if self.prompt.plain else _REMINDER
        states = [_State(place, task, self.count, reminder) for place, task in enumerate(tasks)]
        open_states = deque(state for state in states if not self._known(state))
        if open_states:
            self._run(open_states, len(states))
        if self._failed is None and self._unanswered and not self._answered and not (self.again and self.kept):
            # Not one request was answered: the server is gone, however few there were.
            self._failed = EndpointError(self._sentence)
        if self._failed is not None:
            raise self._failed
        # Only now: had the server gone for good, the next build would ask once more.
        self.cache.put(self._subject, {key: reply.as_json() for key, reply in self._unanswered.items()})
        return [state.outcome for state in states]

    def _known(self, state: _State) -> bool:
        """Take what is kept of a task; True when nothing is left to ask."""
        while True:
            key = self._key(state)
            value = self.cache.get(self._subject, [key]).get(key)
            reply = Reply(**value) if value is not None else None
            if reply is None or (reply.gone and self.again and reply.gone != TOO_LONG):
                return False
            self.kept += reply.gone is None
            self.client.budget.take_kept(reply.calls, reply.tokens_in, reply.tokens_out)
            if self._take(state, reply):
                return True

    def _key(self, state: _State) -> str:
        """What an answer is kept under."""
        return sha256_json([state.messages, state.number])

    def _take(self, state: _State, reply: Reply) -> bool:
        """Read a reply; True when the task is done with."""
        outcome = state.outcome
        outcome.replies.append(reply)
        if reply.gone:
            outcome.fault = reply.gone
            return True
        outcome.items, outcome.fault = plain_item(reply) if self.prompt.plain else items_of(reply, self.prompt.keys)
        outcome.longest = None if self.prompt.plain else longest_text(state.count, self.client.sampling.max_tokens)
        if outcome.fault is None:
            return True
        self.unusable[outcome.fault] += 1
        state.number += 1
        if outcome.fault == CUT_OFF:
            state.count = max(1, state.count // 2)
            if self.prompt.plain:  # there is nothing to ask for half of
                return True
        return outcome.fault == FILTERED or state.number > self.retries

    def _run(self, waiting: deque[_State], total: int) -> None:
        """Send requests until all is answered, a limit is reached, or the server is gone."""
        with Progress("ask", total, "prompts") as progress:
            progress.start_at(total - len(waiting))
            while True:
                self._fill(waiting)
                if not self._running:
                    break
                state, aside, sent = self._came.get()
                self._running -= 1
                if self._settle(state, aside, sent, waiting):
                    progress.advance(1, calls=self.client.budget.calls)
        for state in waiting:
            state.outcome.fault = state.outcome.fault or NOT_ASKED

    def _fill(self, waiting: deque[_State]) -> None:
        """Send as many requests as may run at once and as there is room for."""
        while waiting and self._running < self.at_once and self._failed is None and self.stopped is None:
            aside = self.client.most(waiting[0].messages)
            reason = self.client.budget.reached(*aside)
            if reason is not None:
                # What requests under way have set aside may turn out smaller, so they are waited for.
                self.stopped = reason if not self._running else None
                return
            self.client.budget.set_aside(*aside)
            self._running += 1
            # A pool would be waited for at Ctrl-C, as long as a stalled server takes.
            threading.Thread(target=self._send, args=(waiting.popleft(), aside), daemon=True).start()

    def _send(self, state: _State, aside: tuple[int, int]) -> None:
        """One request, in a thread of its own; whatever happens in it comes back."""
        try:
            sent = self.client.send(state.messages, self.prompt, state.count)
        except Exception as error:
            sent = Sent(failed=error)
        self._came.put((state, aside, sent))

    def _settle(self, state: _State, aside: tuple[int, int], sent: Sent, waiting: deque[_State]) -> bool:
        """Keep what came of a request; True when its task is done with."""
        reply = sent.reply
        self.client.budget.settle(aside, reply.tokens_in if reply else 0, reply.tokens_out if reply else 0)
        if sent.failed is not None:
            self._failed = self._failed or sent.failed
            return False
        if reply is None:
            self.stopped = self.stopped or sent.limit
            waiting.appendleft(state)
            return False
        key = self._key(state)
        if reply.gone and reply.gone != TOO_LONG:
            self._unanswered[key] = reply
            self._in_a_row += 1
            self._sentence = sent.sentence
            if self._in_a_row >= _GONE_AFTER:
                self._failed = self._failed or EndpointError(sent.sentence)
            return self._take(state, reply)
        self._in_a_row, self._answered = 0, True
        self.fresh += reply.gone is None
        self.cache.put(self._subject, {key: reply.as_json()})
        done = self._take(state, reply)
        if not done:
            waiting.appendleft(state)
        return done

    def facts(self) -> dict[str, Any]:
        """What was asked, used and found, as plain values for the report."""
        budget = self.client.budget
        return {
            "model": self.client.sampling.model,
            "endpoint": self.client.sampling.base_url,
            "prompt_sha256": self.prompt.sha256,
            "answers_asked": self.fresh,
            "answers_kept": self.kept,
            "calls": budget.calls,
            "tokens_in": budget.tokens_in,
            "tokens_out": budget.tokens_out,
            "cost": budget.cost,
            "failed_tries": dict(self.client.faults.most_common()),
            "unusable": dict(self.unusable.most_common()),
            "sent_without": sorted(self.client.without),
            "stopped": self.stopped,
        }

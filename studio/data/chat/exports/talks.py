"""People's chats as conversations: merged over files, cut at threads and pauses, one side of them the assistant."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from studio.core.errors import DataError, nearest
from studio.core.telling import counted
from studio.data.chat.exports.base import Chat, Heard, Said, TalkOptions, listed_speakers


def talks_of(chats: Sequence[Chat], options: TalkOptions, heard: Heard, where: str) -> Iterator[dict[str, Any]]:
    """Rows of ``messages``, with the chat, the thread, when it began and who spoke beside them.

    Args:
        chats: of all files of a source; those of one identity are one chat.
        where: the source, for messages.
    Raises:
        DataError: nobody said who the assistant is, or nobody of that name speaks; lists who does.
    """
    heard.people = True
    whole = _merged(chats)
    answering = _answering(whole, options, where)
    pauses = {chat.pause if options.pause is None else options.pause for chat in whole}
    rows = [
        _row(chat, talk, answering if chat.answering is None else frozenset([chat.answering]))
        for chat in whole
        for talk in _cut(chat.messages, 3600 * (chat.pause if options.pause is None else options.pause))
    ]
    rows = [row for row in rows if row["messages"]]
    _tell(whole, answering, len(rows), pauses, heard)
    yield from rows


def _merged(chats: Sequence[Chat]) -> list[Chat]:
    """One chat for each identity, its messages in order of time."""
    whole: dict[tuple[str, str], Chat] = {}
    for chat in chats:
        known = whole.setdefault((chat.program, chat.identity), replace(chat, messages=[]))
        known.messages += chat.messages
    for chat in whole.values():
        if all(said.when is not None for said in chat.messages):
            chat.messages.sort(key=lambda said: said.when or 0.0)
    return list(whole.values())


def _answering(chats: Sequence[Chat], options: TalkOptions, where: str) -> frozenset[str]:
    """Ids of the speakers that are the assistant, in chats whose program does not say so."""
    chats = [chat for chat in chats if chat.answering is None]
    if not chats and not options.assistant:
        return frozenset()
    names: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for said in itertools.chain.from_iterable(chat.messages for chat in chats):
        names.setdefault(said.speaker, said.name)
        counts[said.speaker] += 1
    shared = Counter(names.values())
    # A name that several people have says nobody; their ids do.
    called = {speaker: name if name and shared[name] == 1 else speaker for speaker, name in names.items()}
    spoken = [(called[speaker], count) for speaker, count in counts.most_common()]
    program = " and ".join(dict.fromkeys(chat.program for chat in chats))
    if not options.assistant:
        likely = _likely(chats)
        example = in_yaml_list(called[likely] if likely else "...")
        raise DataError(
            f"{where} is an export of {program}, and nobody said whose messages are the answers. Those who speak are "
            f"{listed_speakers(spoken) or 'nobody'}. Say it in the source, for example\n    assistant: [{example}]"
        )
    found = {speaker: options.named(speaker, name) for speaker, name in names.items()}
    for entry in options.assistant:
        if entry not in found.values():
            near = nearest(entry, [*names.values(), *names])
            raise DataError(
                f"{where}: assistant: nobody is called {entry!r}.{near} Those who speak are "
                f"{listed_speakers(spoken) or 'nobody'}."
            )
    return frozenset(speaker for speaker, entry in found.items() if entry)


def _likely(chats: Sequence[Chat]) -> str | None:
    """The speaker who looks most like the one who answers: speaks after the most people, and begins the fewest chats."""
    after: dict[str, set[str]] = {}
    replies: Counter[str] = Counter()
    for chat in chats:
        threads: dict[str | None, str] = {}
        for said in chat.messages:
            before = threads.get(said.thread)
            if before is not None and before != said.speaker:
                after.setdefault(said.speaker, set()).add(before)
                replies[said.speaker] += 1
            threads[said.thread] = said.speaker
    best = max(after, key=lambda speaker: (len(after[speaker]), replies[speaker]), default=None)
    return best or next((said.speaker for chat in chats for said in chat.messages), None)


def in_yaml_list(text: str) -> str:
    """A text between the brackets of a YAML list."""
    return text if text.replace(" ", "").isalpha() else json.dumps(text, ensure_ascii=False)


def _cut(messages: Sequence[Said], pause: float) -> Iterator[list[Said]]:
    """Talks in the order in which they begin: each thread is one, the rest is cut where nobody spoke for ``pause`` seconds."""
    talks: list[list[Said]] = []
    threads: dict[str, list[Said]] = {}
    last: Said | None = None
    for said in messages:
        if said.thread is not None:
            if said.thread not in threads:
                talks.append(threads.setdefault(said.thread, []))
            threads[said.thread].append(said)
            continue
        if last is None or (said.when is not None and last.when is not None and said.when - last.when > pause):
            open_talk: list[Said] = []
            talks.append(open_talk)
        open_talk.append(said)
        last = said
    yield from talks


def _row(chat: Chat, talk: Sequence[Said], answering: frozenset[str]) -> dict[str, Any]:
    """One conversation: what one speaker says in a row is one turn, and so is what several of one side do."""
    turns: list[dict[str, str]] = []
    before = None
    for said in talk:
        text = said.text.strip()
        if not text:
            continue
        role = "assistant" if said.speaker in answering else "user"
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += ("\n" if said.speaker == before else "\n\n") + text
        else:
            turns.append({"role": role, "content": text})
        before = said.speaker
    row: dict[str, Any] = {"messages": turns, "program": chat.program, "chat_name": chat.name or chat.identity}
    first = next((said for said in talk if said.text.strip()), talk[0])
    row |= {"thread_id": first.thread} if first.thread else {}
    row |= {"began": datetime.fromtimestamp(first.when, UTC).isoformat(timespec="seconds")} if first.when else {}
    return row | {"speakers": _speakers(talk, answering)}


def _speakers(talk: Sequence[Said], answering: frozenset[str]) -> list[dict[str, Any]]:
    """Who spoke in a talk, for ``meta``: names stand nowhere else."""
    counts = Counter(said.speaker for said in talk if said.text.strip())
    names = {said.speaker: said.name for said in talk}
    return [
        {"id": speaker, "name": names[speaker], "role": "assistant" if speaker in answering else "user", "messages": count}
        for speaker, count in counts.items()
    ]


def _tell(chats: Sequence[Chat], answering: frozenset[str], made: int, pauses: Set[float], heard: Heard) -> None:
    """What a person should know of how the chats were read."""
    known = answering | {chat.answering for chat in chats if chat.answering}
    spoken = Counter(said.speaker for chat in chats for said in chat.messages if said.text.strip())
    answers = sum(count for speaker, count in spoken.items() if speaker in known)
    others = len([speaker for speaker in spoken if speaker not in known])
    program = " and ".join(dict.fromkeys(chat.program for chat in chats))
    heard.lines.append(
        f"{counted(len(chats), 'chat')} of {program} became {counted(made, 'conversation')}, cut at threads and "
        f"where nobody spoke for {' or '.join(f'{pause:g}' for pause in sorted(pauses))} hours (pause)"
    )
    heard.lines.append(
        f"{answers:,} of {spoken.total():,} messages are the assistant's; the others are of "
        f"{counted(others, 'speaker')}, whose names stand in meta only"
    )
    timeless = sum(said.when is None and said.thread is None for chat in chats for said in chat.messages)
    if timeless:
        heard.lines.append(f"{timeless:,} messages have no time that can be read, so no pause was seen between them")

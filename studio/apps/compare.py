"""Compare: two models answer the same question, nobody knows which is which, and a vote decides."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from studio.apps.chat_model import LOADING_NOTE, ChatModel, Message, Piece, Sampling, Shelf, origin_of, with_system
from studio.apps.frame import page, question_box, run_asked_for, viewer
from studio.apps.inert import inert
from studio.apps.local_models import BASE_MARK
from studio.apps.opening import open_shelf
from studio.apps.recording import keep_request, open_store, privacy_note
from studio.apps.thoughts import answer_shown
from studio.core.errors import StudioError
from studio.core.translation import t
from studio.core.workspace import Workspace
from studio.feedback.answers import beside_of
from studio.feedback.store import FeedbackStore, Winner
from studio.feedback.wins import Wins, tally

APP = "compare"
_WAITING = "*writing …*"

Update = Any


@dataclass
class Round:
    """One question and its two answers; turns: the same with their thoughts and calls.

    left: which of the models stands on the left. begun: the answers are being written, or were. answered: both are there.
    whole: the person may vote. voted: nothing is taken twice.
    """

    names: tuple[str, str]
    messages: list[Message]
    sampling: Sampling
    left: str
    answers: dict[str, str]
    turns: dict[str, Message] = field(default_factory=dict)
    begun: bool = False
    answered: bool = False
    whole: bool = False
    voted: bool = False


def build(workspace: Workspace, reference: str | None = None) -> gr.Blocks:
    """The page of the app; by default a run against the base it was tuned from.

    Args:
        reference: a run, or the address of an OpenAI-compatible server with two models or more; None takes the newest run.
    Raises:
        UserError: no such run, or none that can speak.
    """
    return of_shelf(open_shelf(workspace, reference), workspace)


def of_shelf(shelf: Shelf, workspace: Workspace) -> gr.Blocks:
    """The page of the app, for models that are at hand already."""
    return _Page(shelf, open_store(workspace)).build()


def tally_text(one: str, two: str, votes: Wins) -> str:
    """The tally as a sentence with its interval."""
    one, two = inert(one), inert(two)
    total = votes.decided + votes.ties
    counts = {"one": one, "two": two, "won": votes.won, "lost": votes.lost, "ties": votes.ties, "votes": _votes(total)}
    lines = [t("**{one}** {won} : {lost} **{two}**, {ties} undecided, {votes} in all.", **counts)]
    if votes.share is not None and votes.interval is not None:
        low, high = votes.interval
        preferred = t("{name} is preferred", name=one if votes.preferred else two)
        verdict = t("no difference shown") if votes.preferred is None else preferred
        shares = {"share": 100 * votes.share, "low": 100 * low, "high": 100 * high, "name": one, "verdict": verdict}
        text = "Of {votes} {share:.0f}% are for {name} (95% interval {low:.0f}% to {high:.0f}%): **{verdict}**."
        lines.append(t(text, votes=_decided(votes.decided), **shares))
    return "\n\n".join(lines)


class _Page:
    """The handlers of the page."""

    def __init__(self, shelf: Shelf, store: FeedbackStore) -> None:
        self._shelf, self._store = shelf, store
        self._stops: dict[str, threading.Event] = {}

    def build(self) -> gr.Blocks:
        """Lay the page out and connect it."""
        with page(
            t("Compare"), t("Two models, one question, sides by chance. Vote first, then see which was which."), wide=True
        ) as blocks:
            current = gr.State(None)
            browser = gr.BrowserState(None, storage_key="studio-browser", secret="studio-browser")
            with gr.Row():
                one = gr.Dropdown([], label=t("One model"), interactive=True, elem_id="one")
                two = gr.Dropdown([], label=t("The other"), interactive=True, elem_id="two")
            with gr.Row(equal_height=True):
                question = question_box(t("Ask both …"))
                ask = gr.Button(t("Ask both"), variant="primary", scale=1, min_width=110, elem_id="ask")
                stop = gr.Button(t("Stop"), variant="stop", scale=1, min_width=110, visible=False, elem_id="stop")
            with gr.Row(equal_height=True):
                left = gr.Markdown("## " + t("Left"), container=True, min_height=180, elem_id="left", padding=True)
                right = gr.Markdown("## " + t("Right"), container=True, min_height=180, elem_id="right", padding=True)
            status = gr.Markdown(elem_id="status", elem_classes="studio-note", min_height=26)
            with gr.Row(visible=False, elem_id="votes") as votes:
                buttons = {
                    "left": gr.Button(t("Left is better"), elem_id="vote-left"),
                    "right": gr.Button(t("Right is better"), elem_id="vote-right"),
                    "tie": gr.Button(t("Both are good"), elem_id="vote-tie"),
                    "neither": gr.Button(t("Both are bad"), elem_id="vote-neither"),
                }
            outcome = gr.Markdown(visible=False, elem_id="outcome", container=True, padding=True)
            with gr.Accordion(t("Settings"), open=False):
                system = gr.Textbox(
                    label=t("System prompt"), info=t("The same for both. Empty: each model's own."), lines=2, max_lines=8
                )
                with gr.Row():
                    longest = gr.Slider(16, 2048, 512, step=16, label=t("Longest answer, in tokens"), elem_id="longest")
                    temperature = gr.Slider(
                        0, 1.5, 0, step=0.05, label=t("Temperature"), info=t("0 always takes the likeliest word.")
                    )
            gr.Markdown(privacy_note(self._store), elem_classes="studio-note")

            view = [current, left, right, status, votes, outcome, ask, stop]
            blocks.load(self.open, [browser], [browser, one, two, status], queue=False)
            asked = gr.on(
                [question.submit, ask.click],
                self.begin,
                [question, one, two, system, longest, temperature],
                view,
                queue=False,
            )
            asked.success(
                self.answer,
                [current, browser],
                view,
                concurrency_limit=self._shelf.at_once,
                concurrency_id="model",
                show_progress="minimal",
                show_progress_on=status,
            ).success(self.offer, [current], view, queue=False)
            stop.click(self.stop, None, None, queue=False)
            for side, button in buttons.items():
                button.click(self._voter(side), [current, browser], view, queue=False)
            blocks.unload(self.stop)
        return blocks

    def open(self, browser: str | None, request: gr.Request) -> tuple[Update, ...]:
        """Show which models there are; a run that the address of the page names stands first, beside its base."""
        browser = browser if isinstance(browser, str) else secrets.token_hex(6)
        try:
            names = self._shelf.choices()
        except StudioError as error:
            return browser, gr.update(choices=[]), gr.update(choices=[]), f"**{_sentence(error)}**"
        first = wanted if (wanted := run_asked_for(request)) in names else names[0]
        others = [name for name in names if name != first]
        second = next((name for name in others if name == BASE_MARK + str(first)), others[0] if others else first)
        # Nothing rather than an empty note: this answer may come after that to a quick person's first question.
        note: Update = gr.skip() if len(names) > 1 else t("There is only one model here, so it stands on both sides.")
        return browser, gr.update(choices=names, value=first), gr.update(choices=names, value=second), note

    def begin(
        self, question: str, one: str | None, two: str | None, system: str, longest: float, temperature: float
    ) -> tuple[Update, ...]:
        """Take a question and draw the sides."""
        if not (question or "").strip():
            return self._nothing(t("Write a question first."))
        if not one or not two:
            # The list of models may still be on its way, or the server was down when the page came.
            try:
                names = self._shelf.choices()
            except StudioError as error:
                return self._nothing(f"**{_sentence(error)}**")
            one, two = one or names[0], two or names[min(1, len(names) - 1)]
        messages = with_system([{"role": "user", "content": question.strip()}], system)
        sampling = Sampling(int(longest), float(temperature))
        current = Round((one, two), messages, sampling, secrets.choice(["a", "b"]), {"a": "", "b": ""})
        return self._view(current, "", writing=True)

    def answer(self, current: Round | None, browser: str | None, request: gr.Request) -> Iterator[tuple[Update, ...]]:
        """Write the left answer, then the right one; the order says nothing about which model it is."""
        if current is None or current.begun:
            # The step before had nothing to ask and has said so.
            yield tuple(gr.skip() for _ in range(8))
            return
        current.begun = True
        user = viewer(request, browser)
        stop = self._stops[str(request.session_hash)] = threading.Event()
        try:
            for key in (current.left, "b" if current.left == "a" else "a"):
                model = self._shelf.get(current.names[key == "b"])
                yield from self._one(current, key, model, user, stop)
                if stop.is_set():
                    yield self._view(current, t("Stopped. Ask again to compare."), writing=False)
                    return
        except StudioError as error:
            yield self._view(current, f"**{_sentence(error)}**", writing=False)
            return
        finally:
            self._stops.pop(str(request.session_hash), None)
        if not all(text or current.turns.get(key, {}).get("tool_calls") for key, text in current.answers.items()):
            yield self._view(current, t("A model answered with nothing, so there is nothing to compare. Ask something else."))
            return
        current.answered = True
        yield self._view(current, "", writing=True)

    def offer(self, current: Round | None) -> tuple[Update, ...]:
        """Let the person vote. A step of its own: Gradio sends the last of a growing answer again when it ends, which would undo
        a vote that was quicker.
        """
        if current is None or not current.answered or current.whole:
            return tuple(gr.skip() for _ in range(8))
        current.whole = True
        return self._view(current, t("Which is better?"))

    def _one(self, current: Round, key: str, model: ChatModel, user: str, stop: threading.Event) -> Iterator[tuple[Update, ...]]:
        """One of the two answers."""
        piece: Piece | None = None
        # A stop of its own: a model in this process sets it when its answer is done.
        own = threading.Event()
        try:
            if not model.ready:
                yield self._view(current, t(LOADING_NOTE), writing=True)
            for piece in model.stream(current.messages, current.sampling, own):
                current.answers[key], current.turns[key] = piece.text, piece.turn
                yield self._view(current, "", writing=True)
                if stop.is_set():
                    own.set()
        except StudioError:
            keep_request(self._store, APP, user, model, current.sampling, current.messages, piece, "error")
            raise
        if piece is not None and piece.ending is not None:
            keep_request(self._store, APP, user, model, current.sampling, current.messages, piece, piece.ending)
            if piece.ending == "cut":
                current.answers[key] += " …"

    def stop(self, request: gr.Request) -> None:
        """End the answers that are being written for this person."""
        if event := self._stops.get(str(request.session_hash)):
            event.set()

    def _voter(self, side: str) -> Any:
        """The handler of one of the four buttons."""

        def vote(current: Round | None, browser: str | None, request: gr.Request) -> tuple[Update, ...]:
            return self.vote(current, browser, side, request)

        return vote

    def vote(self, current: Round | None, browser: str | None, side: str, request: gr.Request) -> tuple[Update, ...]:
        """Keep a vote, then say which model stood where."""
        if current is None or not current.whole:
            return self._nothing(t("Ask something first."))
        if not current.voted:
            other = "b" if current.left == "a" else "a"
            winner: Winner = {"left": current.left, "right": other}.get(side, side)  # type: ignore[assignment]
            user = viewer(request, browser)
            origins = [origin_of(self._shelf.get(name), current.sampling, user=user, app=APP) for name in current.names]
            answers = (current.answers["a"].removesuffix(" …"), current.answers["b"].removesuffix(" …"))
            self._store.vote(
                *origins,
                prompt=current.messages,
                answers=answers,
                winner=winner,
                left="a" if current.left == "a" else "b",
                beside=(beside_of(current.turns.get("a", {})), beside_of(current.turns.get("b", {}))),
            )
            current.voted = True
        return self._view(current, t("Thanks. Ask the next question, or change the models."))

    @staticmethod
    def _nothing(note: str) -> tuple[Update, ...]:
        """A word to the person; the page and its round stay as they are."""
        return (gr.skip(), gr.skip(), gr.skip(), note, *(gr.skip() for _ in range(4)))

    def _view(self, current: Round, note: Update, *, writing: bool = False) -> tuple[Update, ...]:
        """Round, both sides, note, voting buttons, outcome, Ask and Stop."""
        right = "b" if current.left == "a" else "a"
        names = dict(zip(("a", "b"), current.names, strict=True))
        sides = []
        for place, key in ((t("Left"), current.left), (t("Right"), right)):
            heading = f"{place}: {inert(names[key])}" if current.voted else place
            answer = {**current.turns.get(key, {}), "content": current.answers[key]}
            text = answer_shown(answer) or (_WAITING if writing else "")
            sides.append(f"## {heading}\n\n{text}")
        outcome = gr.update(visible=False)
        if current.voted:
            outcome = gr.update(value=tally_text(*current.names, tally(self._store, *current.names)), visible=True)
        return (
            current,
            *sides,
            note,
            gr.update(visible=current.whole and not current.voted),
            outcome,
            gr.update(visible=not writing),
            gr.update(visible=writing),
        )


def _votes(number: int) -> str:
    """A number of votes in words."""
    return t("{number} vote" if number == 1 else "{number} votes", number=number)


def _decided(number: int) -> str:
    """A number of votes for one side in words."""
    return t("{number} decided vote" if number == 1 else "{number} decided votes", number=number)


def _sentence(error: StudioError) -> str:
    """An error with a capital letter."""
    text = str(error)
    return text[:1].upper() + text[1:]

"""Chat: talk to a tuned model, say which answers are good, and write what the others should have been."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from typing import Any

import gradio as gr

from studio.apps.chat_model import LOADING_NOTE, ChatModel, Message, Piece, Sampling, Shelf, drawn_anew, origin_of, with_system
from studio.apps.frame import in_order, page, question_box, run_asked_for, viewer
from studio.apps.inert import inert
from studio.apps.opening import open_shelf
from studio.apps.recording import keep_request, open_store, privacy_note
from studio.apps.thoughts import answer_shown
from studio.core.errors import StudioError, UserError
from studio.core.translation import t
from studio.core.workspace import Workspace
from studio.feedback.answers import beside_of
from studio.feedback.store import FeedbackStore

APP = "chat"
# The browser keeps the talk; this only keeps it from lying there as plain text and is no secret.
_BROWSER_KEY = "studio-chat-talk"
_SYSTEM_KEY = "studio-chat-system"

Talk = dict[str, Any]
Update = Any

_GOOD, _BAD = "Like", "Dislike"


def build(workspace: Workspace, reference: str | None = None) -> gr.Blocks:
    """The page of the app.

    Args:
        reference: a run to begin with, or the address of an OpenAI-compatible server; None takes the newest run.
    Raises:
        UserError: no such run, or none that can speak.
    """
    return of_shelf(open_shelf(workspace, reference), workspace)


def of_shelf(shelf: Shelf, workspace: Workspace) -> gr.Blocks:
    """The page of the app, for models that are at hand already."""
    return _Page(shelf, open_store(workspace)).build()


def new_talk(talk: Talk | None = None) -> Talk:
    """An empty talk; the system turn and the browser's name stay."""
    old = talk or {}
    return {"turns": [], "system": old.get("system", ""), "browser": old.get("browser") or secrets.token_hex(6)}


def shown(talk: Talk) -> list[dict[str, Any]]:
    """Turns as the chat window shows them, made inert."""
    return [{"role": turn["role"], "content": answer_shown(turn)} for turn in talk["turns"]]


def thumbs(talk: Talk) -> list[str | None]:
    """For each answer the thumb it has, as the chat window wants it."""
    words = {1: _GOOD, -1: _BAD}
    return [words.get(turn.get("thumb", 0)) for turn in talk["turns"] if turn["role"] == "assistant"]


def ending_note(piece: Piece, sampling: Sampling) -> str:
    """What a person should know about how an answer ended."""
    parts = []
    if piece.forgotten:
        text = "The talk is longer than the model sees at once: the oldest {number} turns were left out."
        parts.append(t(text, number=piece.forgotten))
    if piece.ending == "cut":
        text = "The answer was cut at {number} tokens. Ask the model to go on, or raise 'Longest answer' in the settings."
        parts.append(t(text, number=piece.answer_tokens or sampling.max_new_tokens))
    elif piece.ending == "stopped":
        parts.append(t("Stopped. What was written so far stays in the talk."))
    if not parts and piece.answer_tokens:
        parts.append(t("{number} tokens in {seconds:.1f} s", number=piece.answer_tokens, seconds=piece.seconds))
    return " ".join(parts)


class _Page:
    """The handlers of the page; what belongs to one person lies in their browser and comes in with each call."""

    def __init__(self, shelf: Shelf, store: FeedbackStore) -> None:
        self._shelf, self._store = shelf, store
        self._stops: dict[str, threading.Event] = {}
        # What was said of earlier answers while one is being written, which began with the talk as it was before: place -> marks.
        self._late: dict[str, dict[int, dict[str, Any]]] = {}

    def build(self) -> gr.Blocks:
        """Lay the page out and connect it."""
        with page(t("Chat"), t("Talk to a tuned model. Your thumbs and corrections become its next lesson.")) as blocks:
            talk = gr.BrowserState(None, storage_key=_BROWSER_KEY, secret=_BROWSER_KEY)
            # Apart from the talk: leaving the field of the system prompt must not write an older talk over a newer one.
            kept_system = gr.BrowserState(None, storage_key=_SYSTEM_KEY, secret=_BROWSER_KEY)
            corrected = gr.State(-1)
            model = gr.Dropdown([], label=t("Model"), interactive=True, elem_id="model")
            chat = gr.Chatbot(
                show_label=False,
                height="56vh",
                min_height=320,
                feedback_options=(_GOOD, _BAD),
                allow_tags=False,
                allow_file_downloads=False,
                buttons=["copy"],
                layout="bubble",
                placeholder=t("Ask something."),
                elem_id="chat",
            )
            status = gr.Markdown(elem_id="status", elem_classes="studio-note", min_height=26)
            with gr.Column(visible=False, elem_id="correction-panel") as panel:
                correction = gr.Textbox(label=t("What should the answer have been?"), lines=4, max_lines=12, elem_id="correction")
                with gr.Row():
                    send_correction = gr.Button(t("Save correction"), variant="primary", size="sm", elem_id="save-correction")
                    dismiss = gr.Button(t("No thanks"), size="sm")
            with gr.Row(equal_height=True, elem_classes="studio-ask"):
                question = question_box(t("Ask something …  (Enter sends, Shift+Enter starts a new line)"))
                send = gr.Button(t("Send"), variant="primary", scale=1, min_width=88, elem_id="send")
                stop = gr.Button(t("Stop"), variant="stop", scale=1, min_width=88, visible=False, elem_id="stop")
            with gr.Row():
                again = gr.Button(t("Try again"), size="sm", elem_id="again")
                fresh = gr.Button(t("New talk"), size="sm", elem_id="fresh")
            with gr.Accordion(t("Settings"), open=False, elem_id="settings"):
                system = gr.Textbox(
                    label=t("System prompt"),
                    info=t("Stands before the talk at every turn. Empty: the model's own."),
                    lines=2,
                    max_lines=8,
                    elem_id="system",
                )
                with gr.Row():
                    longest = gr.Slider(16, 2048, 512, step=16, label=t("Longest answer, in tokens"), elem_id="longest")
                    temperature = gr.Slider(
                        0, 1.5, 0, step=0.05, label=t("Temperature"), info=t("0 always takes the likeliest word.")
                    )
            gr.Markdown(privacy_note(self._store), elem_classes="studio-note")

            view = [talk, chat, status, send, stop, panel]
            writing = {
                "fn": self.answer,
                "inputs": [talk, model, system, longest, temperature],
                "outputs": view,
                "concurrency_limit": self._shelf.at_once,
                "concurrency_id": "model",
                "show_progress": "minimal",
                "show_progress_on": status,
            }
            # In two steps: a server that is slow to say which models it has must not hold back the talk.
            blocks.load(self.restore, [talk, kept_system], [*view, system], queue=False)
            blocks.load(self.list_models, [model], [model, status], queue=False)
            # In order: each of these gives the whole talk back.
            asked = gr.on(
                [question.submit, send.click], self.ask, [question, talk, system], [question, *view], **in_order("talk")
            )
            # Send comes back in a step of its own: Gradio sends the last of a growing answer again when it ends, which would undo
            # what a quick person asked or judged.
            asked.success(**writing).then(self.rest, None, [send, stop], queue=False)
            retried = gr.on([again.click, chat.retry], self.retry, [talk], view, **in_order("talk"))
            retried.success(**{**writing, "fn": self.answer_anew}).then(self.rest, None, [send, stop], queue=False)
            stop.click(self.stop, None, None, queue=False)
            gr.on([fresh.click, chat.clear], self.start_anew, [talk], view, **in_order("talk"))
            judged = [talk, chat, status, panel, correction, corrected]
            chat.like(self.like, [talk], judged, **in_order("talk"), scroll_to_output=True)
            send_correction.click(self.correct, [talk, correction, corrected], [talk, status, panel], **in_order("talk"))
            dismiss.click(lambda: gr.update(visible=False), None, panel, queue=False)
            # In a list: Gradio does not write an empty text over another one.
            system.blur(lambda text: [text or ""], system, kept_system, queue=False)
            blocks.unload(self.leave)
        return blocks

    # -- the page ------------------------------------------------------------------------------------------------

    def restore(self, talk: Any, kept_system: Any = None) -> tuple[Update, ...]:
        """A person comes or comes back: show the talk their browser kept."""
        kept, note = _whole(talk), gr.skip()
        # What is empty is not written: on a slow line a first question may already be on its way.
        written = str(kept_system[0]) if isinstance(kept_system, list) and kept_system else kept["system"]
        fresh, system = kept if kept is not talk else gr.skip(), written or gr.skip()
        if not kept["turns"]:
            return (fresh, *(gr.skip() for _ in range(5)), system)
        if _unanswered(kept):
            note = t("The last question has no answer yet: try again.")
        return (fresh, *self._view(kept, note)[1:], system)

    def list_models(self, chosen: str | None, request: gr.Request) -> tuple[Update, Update]:
        """Which models there are, or why none can be had; the address of the page may name the one to begin with."""
        try:
            names = self._shelf.choices()
        except StudioError as error:
            return gr.update(choices=[], value=None), _alert(str(error))
        wanted = run_asked_for(request) or chosen
        if not wanted or wanted in names:
            return gr.update(choices=names, value=wanted or names[0]), gr.skip()
        note = t("{run} is not among the models here; another one was chosen.", run=inert(wanted))
        return gr.update(choices=names, value=names[0]), note

    def start_anew(self, talk: Any, request: gr.Request) -> tuple[Update, ...]:
        """Empty the talk."""
        self.stop(request)
        return self._view(new_talk(_whole(talk)), "")

    def ask(self, question: str, talk: Any, system: str) -> tuple[Update, ...]:
        """Take a question into the talk; the answer follows in a step of its own."""
        talk = _whole(talk)
        if not (question or "").strip():
            return (gr.skip(), *self._view(talk, t("Write a question first.")))
        turns = [*talk["turns"], {"role": "user", "content": question.strip()}]
        if _unanswered(talk):
            # Two questions in a row would break the alternation that chat templates insist on.
            turns = [*talk["turns"][:-1], {"role": "user", "content": f"{talk['turns'][-1]['content']}\n\n{question.strip()}"}]
        return ("", *self._view({**talk, "turns": turns, "system": system or ""}, "", writing=True))

    def retry(self, talk: Any) -> tuple[Update, ...]:
        """Take the last answer away, so that it is written again."""
        talk = _whole(talk)
        if not talk["turns"]:
            return self._view(talk, t("There is nothing to try again yet."))
        turns = talk["turns"][:-1] if talk["turns"][-1]["role"] == "assistant" else talk["turns"]
        return self._view({**talk, "turns": turns}, "", writing=True)

    def stop(self, request: gr.Request) -> None:
        """End the answer that is being written for this person."""
        if event := self._stops.get(str(request.session_hash)):
            event.set()

    def leave(self, request: gr.Request) -> None:
        """A person closed the page: nobody reads the answer any more."""
        self.stop(request)
        self._late.pop(str(request.session_hash), None)

    def _view(self, talk: Talk, note: Update, *, writing: bool = False) -> tuple[Update, ...]:
        """Talk, chat window, note, Send, Stop and the correction's panel as they are outside of an answer."""
        window = gr.update(value=shown(talk), feedback_value=thumbs(talk))
        return (talk, window, note, gr.update(visible=not writing), gr.update(visible=writing), gr.update(visible=False))

    # -- answers -------------------------------------------------------------------------------------------------

    def answer(
        self, talk: Any, name: str | None, system: str, longest: float, temperature: float, request: gr.Request
    ) -> Iterator[tuple[Update, ...]]:
        """Write the answer to the last question, piece by piece."""
        yield from self._answer(talk, name, system, Sampling(int(longest), float(temperature)), request)

    def answer_anew(
        self, talk: Any, name: str | None, system: str, longest: float, temperature: float, request: gr.Request
    ) -> Iterator[tuple[Update, ...]]:
        """Write another answer; a greedy one would come out the same, so it is drawn."""
        yield from self._answer(talk, name, system, drawn_anew(Sampling(int(longest), float(temperature))), request)

    def _answer(
        self, talk: Any, name: str | None, system: str, sampling: Sampling, request: gr.Request
    ) -> Iterator[tuple[Update, ...]]:
        talk = {**_whole(talk), "system": system or ""}
        if not _unanswered(talk):
            # The step before had nothing to ask and has said so.
            yield self._view(talk, gr.skip())
            return
        user = viewer(request, talk.get("browser"))
        messages = with_system(talk["turns"], system)
        stop = self._stops[str(request.session_hash)] = threading.Event()
        model: ChatModel | None = None
        piece: Piece | None = None
        try:
            model = self._shelf.get(name or self._shelf.choices()[0])
            if not model.ready:
                yield (gr.skip(), gr.skip(), t(LOADING_NOTE), gr.skip(), gr.skip(), gr.skip())
            for piece in model.stream(messages, sampling, stop):
                growing = [*shown(talk), {"role": "assistant", "content": answer_shown(piece.turn)}]
                yield (gr.skip(), growing, "", gr.skip(), gr.skip(), gr.skip())
        except StudioError as error:
            if model is not None and not isinstance(error, UserError):
                keep_request(self._store, APP, user, model, sampling, messages, piece, "error")
            talk = self._with_late(talk, request)
            partial = self._with_answer(talk, model, sampling, piece, None) if model and piece and piece.said else talk
            yield self._view(partial, _alert(str(error)), writing=True)
            return
        finally:
            self._stops.pop(str(request.session_hash), None)
        talk = self._with_late(talk, request)
        if piece is None or piece.ending is None or (piece.ending == "stopped" and not piece.text):
            yield self._view(talk, t("Stopped before a word was written. Try again, or ask something else."), writing=True)
            return
        identity = keep_request(self._store, APP, user, model, sampling, messages, piece, piece.ending)
        note = (
            ending_note(piece, sampling)
            if piece.said
            else t("The model answered with nothing. Try again, or ask it differently.")
        )
        yield self._view(self._with_answer(talk, model, sampling, piece, identity), note, writing=True)

    def rest(self) -> tuple[Update, Update]:
        """Send instead of Stop."""
        return gr.update(visible=True), gr.update(visible=False)

    def _remember(self, request: gr.Request, index: int, **marks: Any) -> None:
        """Keep a mark for the answer that is being written, if one is."""
        if (session := str(request.session_hash)) in self._stops:
            self._late.setdefault(session, {}).setdefault(index, {}).update(marks)

    def _with_late(self, talk: Talk, request: gr.Request) -> Talk:
        """The talk with the marks that came while the answer was written."""
        late = self._late.pop(str(request.session_hash), {})
        return {**talk, "turns": [{**turn, **late.get(index, {})} for index, turn in enumerate(talk["turns"])]}

    @staticmethod
    def _with_answer(talk: Talk, model: ChatModel, sampling: Sampling, piece: Piece, request: str | None) -> Talk:
        """The talk with an answer and what has to be known to judge it later."""
        turn = {
            **piece.turn,
            "request": request,
            "model": model.name,
            "sampling": [sampling.max_new_tokens, sampling.temperature, sampling.top_p],
            # The talk may go on under another one.
            "system": talk["system"],
        }
        return {**talk, "turns": [*talk["turns"], turn]}

    # -- what people say of them ---------------------------------------------------------------------------------

    def like(self, talk: Any, chosen: gr.LikeData, request: gr.Request) -> tuple[Update, ...]:
        """A thumb up, down, or taken back; after a thumb down the person may write what the answer should have been."""
        talk = _whole(talk)
        index = chosen.index if isinstance(chosen.index, int) else chosen.index[0]
        turns = [dict(turn) for turn in talk["turns"]]
        if not (0 <= index < len(turns)) or turns[index]["role"] != "assistant":
            return tuple(gr.skip() for _ in range(6))
        turn = turns[index]
        wanted = 1 if chosen.liked is True else -1 if chosen.liked is False else 0
        # The same thumb again takes it back.
        value: Any = 0 if wanted == turn.get("thumb") else wanted
        prompt, origin = self._about(talk, index, request)
        said = {"prompt": prompt, "completion": turn["content"], "request": turn.get("request"), "beside": beside_of(turn)}
        self._store.rate(origin, value=value, **said)
        turn["thumb"] = value
        self._remember(request, index, thumb=value)
        talk = {**talk, "turns": turns}
        note = t({1: "Thanks: kept as a good answer.", -1: "Thanks: kept as a bad answer.", 0: "Taken back."}[value])
        window = gr.update(value=shown(talk), feedback_value=thumbs(talk))
        return (talk, window, note, gr.update(visible=value == -1), turn["content"], index)

    def correct(self, talk: Any, text: str, index: int, request: gr.Request) -> tuple[Update, ...]:
        """Keep what the answer should have been."""
        talk = _whole(talk)
        if not 0 <= index < len(talk["turns"]):
            return (gr.skip(), t("That answer is not in the talk any more."), gr.update(visible=False))
        turns = [dict(turn) for turn in talk["turns"]]
        prompt, origin = self._about(talk, index, request)
        try:
            self._store.correct(
                origin,
                prompt=prompt,
                completion=turns[index]["content"],
                correction=text.strip(),
                request=turns[index].get("request"),
                beside=beside_of(turns[index]),
            )
        except UserError:
            return (gr.skip(), t("Change the text into what the answer should have been, then save it."), gr.skip())
        turns[index]["corrected"] = True
        self._remember(request, index, corrected=True)
        return ({**talk, "turns": turns}, t("Thanks: the correction is kept."), gr.update(visible=False))

    def _about(self, talk: Talk, index: int, request: gr.Request) -> tuple[list[Message], Any]:
        """The prompt of an answer in the talk, and who answered whom."""
        turn = talk["turns"][index]
        longest, temperature, top_p = turn.get("sampling") or (None, None, None)
        sampling = Sampling(int(longest or 0), float(temperature or 0), float(top_p or 1))
        user = viewer(request, talk.get("browser"))
        prompt = with_system(talk["turns"][:index], str(turn.get("system", talk["system"])))
        try:
            return prompt, origin_of(self._shelf.get(turn["model"]), sampling, user=user, app=APP)
        except StudioError:
            from studio.feedback.store import Origin

            return prompt, Origin(str(turn.get("model")), user, APP)


def _whole(talk: Any) -> Talk:
    """The talk a browser kept, or an empty one where it kept none, something older, or something made by hand."""
    if not isinstance(talk, dict) or not isinstance(talk.get("turns"), list) or not isinstance(talk.get("system"), str):
        return new_talk()
    whole = all(
        isinstance(turn, dict) and turn.get("role") in {"user", "assistant"} and isinstance(turn.get("content"), str)
        for turn in talk["turns"]
    )
    return talk if whole else new_talk()


def _unanswered(talk: Talk) -> bool:
    """True when the last turn is a question."""
    return bool(talk["turns"]) and talk["turns"][-1]["role"] == "user"


def _alert(sentence: str) -> str:
    """An error as the note below the talk shows it."""
    return f"**{sentence[:1].upper()}{sentence[1:]}**"

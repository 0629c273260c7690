"""Writing down what happens in an app: every request without its words, and what people say of the answers with them."""

from __future__ import annotations

from collections.abc import Sequence

from studio.apps.chat_model import ChatModel, Message, Piece, Sampling, origin_of
from studio.core.translation import t
from studio.core.workspace import Workspace
from studio.feedback.answers import beside_of
from studio.feedback.store import FILE_NAME, FeedbackStore, RequestRow, Status
from studio.language.identify import language_of
from studio.language.lists import LISTED_SCRIPTS, LISTS
from studio.language.phrases import is_refusal
from studio.language.scripts import script_of

# An n-gram model needs some letters before its verdict means anything.
_FEWEST_LETTERS = 20


def open_store(workspace: Workspace) -> FeedbackStore:
    """The workspace's feedback file."""
    return FeedbackStore(workspace.root / FILE_NAME)


def keep_request(
    store: FeedbackStore,
    app: str,
    user: str,
    model: ChatModel,
    sampling: Sampling,
    messages: Sequence[Message],
    piece: Piece | None,
    status: Status,
) -> str:
    """Write one request down and return its id; its words are kept only where the store's owner switched that on."""
    text = piece.text if piece else ""
    return store.record_request(
        RequestRow(
            origin_of(model, sampling, user=user, app=app),
            status=status,
            seconds=piece.seconds if piece and piece.ending else None,
            first_token_seconds=piece.first_token_seconds if piece else None,
            prompt_tokens=piece.prompt_tokens if piece else None,
            completion_tokens=piece.answer_tokens if piece else None,
            characters=len(text) if piece else None,
            language=(language := _language(text)),
            refusal=_refusal(text, language),
            prompt=messages,
            completion=text,
            beside=beside_of(piece.turn) if piece else None,
        )
    )


def _language(text: str) -> str | None:
    """ISO 639-1 code of a text; None when it is too short to tell."""
    return language_of(text) if sum(sign.isalpha() for sign in text) >= _FEWEST_LETTERS else None


def _refusal(text: str, language: str | None) -> bool | None:
    """Whether an answer declines; None where it is empty, or no list knows its language."""
    listed = language in LISTS if language is not None else script_of(text) in LISTED_SCRIPTS
    return is_refusal(text) if text and listed else None


def privacy_note(store: FeedbackStore) -> str:
    """What the page tells people about what is kept."""
    if store.settings().keep_texts:
        return t("Questions and answers are kept by the owner of this page, and thumbs and corrections with them.")
    return t(
        "A thumb, a correction or a vote is kept together with the talk it is about, so that the model can learn from it. "
        "Apart from that, only lengths and times are written down, not words."
    )

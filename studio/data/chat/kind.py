"""Datasets of conversations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from studio.core.options import Option
from studio.data.kinds import DatasetKind

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from studio.core.telling import Told
    from studio.core.workspace import Workspace
    from studio.data.build import BuildOutcome
    from studio.data.entries import Entry
    from studio.data.kinds import Wanted
    from studio.data.proposals import Proposal, Refusal
    from studio.data.stages import Tell
    from studio.data.workers import Hire
    from studio.schema.loading import Settings
    from studio.schema.recipe import ChatRecipe


class ChatKind(DatasetKind):
    """Conversations, and preferences between answers."""

    name = "chat"
    rows = "conversations"
    title = "Recipe"
    about = "`data_recipes/chat/*.yaml`: one corpus."
    options = (
        Option("tokens", bool, False, "--tokens", "Rows as the model sees them: trained, masked and special tokens."),
        Option("model", str, "smollm2-135m-instruct", "--model", "Base model whose tokenizer is used."),
        Option("chat_template", str | None, None, "--chat-template", "Template, instead of the tokenizer's own."),
        Option("train_on", str, "assistant", "--train-on", "assistant, last_assistant or all."),
        Option("thinking", str, "keep", "--thinking", "Thoughts in answers: keep, mask or drop."),
        Option("preset", str | None, None, "--preset", "Preset whose model, template, arguments, thinking and mask are used."),
        Option("max_length", int | None, None, "--max-length", "Cut rows after so many tokens.", least=1),
    )

    @property
    def schema(self) -> type[Settings]:
        """See :class:`studio.schema.recipe.ChatRecipe`."""
        from studio.schema.recipe import ChatRecipe

        return ChatRecipe

    def build(self, recipe: ChatRecipe, workspace: Workspace, *, name: str, beside: Path, tell: Tell) -> BuildOutcome:
        """See :func:`studio.data.chat.build.build_chat_dataset`."""
        from studio.data.chat.build import build_chat_dataset

        return build_chat_dataset(recipe, workspace, name=name, beside=beside, tell=tell)

    def build_with(
        self, recipe: ChatRecipe, workspace: Workspace, *, name: str, beside: Path, tell: Tell, hire: Hire
    ) -> BuildOutcome:
        """See :meth:`studio.data.kinds.DatasetKind.build_with`."""
        from studio.data.chat.build import build_chat_dataset

        return build_chat_dataset(recipe, workspace, name=name, beside=beside, tell=tell, hire=hire)

    def entries(self, folder: Path, part: str) -> Iterable[Entry]:
        """See :func:`studio.data.chat.entries.chat_entries`."""
        from studio.data.chat.entries import chat_entries

        return chat_entries(folder, part)

    def show(self, folder: Path, wanted: Wanted, **options: Any) -> Told:
        """See :func:`studio.data.chat.showing.show_conversations`."""
        from studio.data.chat.showing import show_conversations

        return show_conversations(folder, wanted, **options)

    def propose(self, path: Path) -> Proposal | Refusal | None:
        """See :func:`studio.data.chat.proposing.propose_chat`."""
        from studio.data.chat.proposing import propose_chat

        return propose_chat(path)


CHAT = ChatKind()

"""Chat templates: the tokenizer's own, a named one for base models without, or a Jinja file. Stored in the run byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerBase

from studio.core.errors import DataError, UserError, nearest

# ChatML as OpenAI published it; the text form needs the two marks to be single tokens to be exact, plain needs nothing.
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
# For base models whose vocabulary has no chat marks: words and the model's own end token, no new tokens to train or serve.
# The answer starts on a line of its own: after "Assistant: " its first token would hold the blank, which a prompt ending in
# that blank could never ask for.
PLAIN = (
    "{{ bos_token or '' }}{% for message in messages %}{% if message['role'] == 'assistant' %}"
    "{{ 'Assistant:\\n' + message['content'] + eos_token + '\\n' }}{% elif message['role'] == 'system' %}"
    "{{ message['content'] + '\\n\\n' }}{% else %}{{ 'User: ' + message['content'] + '\\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:\\n' }}{% endif %}"
)
NAMED = {"chatml": CHATML, "plain": PLAIN}


@dataclass(frozen=True)
class ChatTemplate:
    """A Jinja chat template and where it came from (``tokenizer``, a name, or a file name)."""

    name: str
    text: str

    @property
    def sha256(self) -> str:
        """Hex hash of the template's bytes."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def choose_template(tokenizer: PreTrainedTokenizerBase, requested: str | None, base: str) -> ChatTemplate:
    """Take the requested template, else the tokenizer's own.

    Args:
        requested: None, a name, or the path of a Jinja file.
        base: name of the base model, for the message.
    Raises:
        UserError: the base has no template and none was asked for; or the name or file does not exist, or cannot be used
            with this vocabulary.
    """
    if requested is None:
        own = tokenizer.chat_template
        if isinstance(own, dict):
            own = own.get("default")
        if not own:
            raise UserError(
                f"the base model {base} has no chat template. Choose one in the preset or with --set chat_template=plain "
                f"(allowed: {', '.join(NAMED)}, or the path of a Jinja file)."
            )
        return ChatTemplate("tokenizer", own)
    if requested in NAMED:
        template = ChatTemplate(requested, NAMED[requested])
        if requested == "chatml" and tokenizer.convert_tokens_to_ids("<|im_end|>") in {None, tokenizer.unk_token_id}:
            raise UserError(
                f"chat_template 'chatml' needs the tokens <|im_start|> and <|im_end|>, which {base} does not have, and new "
                "tokens are refused by vLLM. Use --set chat_template=plain."
            )
        if requested == "plain" and not tokenizer.eos_token:
            raise UserError(f"chat_template 'plain' ends a turn with the model's end token, and {base} has none.")
        return template
    path = Path(requested).expanduser()
    if path.is_file():
        try:
            return ChatTemplate(path.name, path.read_bytes().decode("utf-8"))
        except UnicodeDecodeError as error:
            raise UserError(f"the chat template {path} is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from error
    raise UserError(
        f"unknown chat_template {requested!r}.{nearest(requested, NAMED)} "
        f"Allowed: {', '.join(NAMED)}, or the path of a Jinja file."
    )


def render(
    tokenizer: PreTrainedTokenizerBase,
    template: ChatTemplate,
    messages: Sequence[dict[str, str]],
    *,
    add_generation_prompt: bool = False,
) -> str:
    """Text of a conversation under a template.

    Raises:
        DataError: the template refuses the conversation (for example a system turn it does not know).
    """
    try:
        text = tokenizer.apply_chat_template(
            list(messages), chat_template=template.text, tokenize=False, add_generation_prompt=add_generation_prompt
        )
    except TemplateError as error:
        raise DataError(f"the chat template {template.name!r} refuses the conversation: {error}") from error
    return str(text)

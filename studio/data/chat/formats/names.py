"""The names that other tools give to columns, roles and fields, as :func:`studio.data.chat.formats.base.fold` writes them."""

from __future__ import annotations

from studio.data.chat.labels import ANSWER_WORDS, QUESTION_WORDS

# Keys under which one conversation, not a list of them, lies in a JSON object.
TURN_KEYS = ("messages", "conversations", "conversation", "items", "turns", "dialog", "dialogue", "chat_messages", "contents")
# Also the name of a list of rows: a conversation only where it holds texts or turns (UltraChat).
LOOSE_TURN_KEYS = ("data", "chat")
ROLE_NAMES = {
    **dict.fromkeys(("system", "developer", "系统", "系統", "システム", "시스템", "système", "sistema", "система"), "system"),
    **dict.fromkeys(
        ("user", "human", "prompter", "customer", "client", "question", "q", "human_message", "humanmessage"), "user"
    ),
    **dict.fromkeys(("用户", "用戶", "使用者", "人类", "人類", "问", "問", "ユーザー", "사용자"), "user"),
    **dict.fromkeys(("nutzer", "benutzer", "utilisateur", "usuario", "usuário", "utente", "пользователь", "användare"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bard", "bing", "bot", "model", "agent", "ai", "chatbot"), "assistant"),
    **dict.fromkeys(("answer", "response", "ai_assistant", "ai_message", "aimessage", "llm", "claude", "gemini"), "assistant"),
    **dict.fromkeys(("助手", "助理", "答", "アシスタント", "어시스턴트", "assistent", "asistente", "assistente"), "assistant"),
    **dict.fromkeys(("ассистент",), "assistant"),
    **dict.fromkeys(("tool", "function", "observation", "ipython", "tool_response", "function_response", "tool_result"), "tool"),
    **dict.fromkeys(("tool_message", "toolmessage"), "tool"),
    **dict.fromkeys(("function_call", "tool_call", "tool_calls"), "call"),
}
"""Role as others write it to ours; ``call`` is a turn of the assistant whose text is the call."""
QUESTIONS = ("question", "q", "query", "user", "human", "input", *QUESTION_WORDS[1:])
ANSWERS = ("answer", "a", "response", "output", "assistant", "reply", "answers", *ANSWER_WORDS[1:])
COMPLETIONS = ("completion", "response", "answer", "output")
CHOSEN = (
    "chosen", "chosen_response", "response_chosen", "preferred_output", "preferred", "preferred_response", "chosen_messages",
    "accepted", "chosen_answer", "answer_chosen", "chosen_output", "chosen_completion", "chosen_text",
)  # fmt: skip
REJECTED = (
    "rejected", "rejected_response", "response_rejected", "non_preferred_output", "nonpreferred_output", "dispreferred_output",
    "rejected_messages", "rejected_completion", "dispreferred_response", "rejected_answer", "answer_rejected", "rejected_output",
    "rejected_text", "dispreferred", "non_preferred",
)  # fmt: skip
LABELS = ("kto_tag", "label", "kto_label", "liked", "is_liked", "desirable", "is_desirable", "is_good")
"""Whether an answer was liked; ``label`` alone may also be the name of a class."""
SYSTEMS = ("system", "system_prompt", "system_message", "system_instruction", "systeminstruction")
CONTEXTS = ("context", "passage", "document", "paragraph", "contexts", "passages", "documents", "paragraphs")
HISTORIES = ("history", "chat_history", "conversation_history")
TOOLS = ("tools", "functions")
PICTURES = ("images", "image", "audios", "audio", "videos", "video")
# Columns that can each be what is asked; two of them in one row need a person's word.
ASKING = ("prompt", "question", "instruction", "query", "input", "choices", "options")
# Columns that look as if they said something about the conversation; unused ones are told at the end of a build.
KNOWN = frozenset(
    {
        *TURN_KEYS, *QUESTIONS, *ANSWERS, *COMPLETIONS, *CHOSEN, *REJECTED, *LABELS, *SYSTEMS, *CONTEXTS, *HISTORIES, *TOOLS,
        *PICTURES, *ASKING, "weight", "loss", "train", "reasoning", "reasoning_content", "thinking",
        "thought", "thoughts", "system_prompts", "knowledge", "article", "choice", "targets", "target", "labels",
    }
    - {"items", "user", "human", "a", "q"}
)  # fmt: skip

ROLE_KEYS = ("role", "from", "speaker", "author", "sender", "type")
TEXT_KEYS = ("content", "value", "text", "message", "utterance", "parts")
# Kinds of the parts that a turn's content may be a list of.
TEXT_TYPES = frozenset({"text", "input_text", "output_text"})
THOUGHT_TYPES = frozenset({"thinking", "reasoning"})
PART_TYPES = (
    TEXT_TYPES | THOUGHT_TYPES | {"image", "image_url", "input_image", "audio", "input_audio", "video", "file", "tool_use"}
)
THOUGHT_KEYS = ("reasoning_content", "reasoning", "thinking", "thought", "thoughts")
WEIGHT_KEYS = ("weight", "train", "loss", "loss_weight", "trainable")
# Fields of a turn that say nothing a model could learn; they go to ``meta``.
HARMLESS = frozenset(
    {
        "id", "_id", "message_id", "parent_id", "uuid", "timestamp", "time", "date", "created", "created_at", "create_time",
        "updated_at", "update_time", "model", "lang", "language", "index", "idx", "turn", "turn_id", "turn_number", "token_count",
        "tokens", "num_tokens", "finish_reason", "stop_reason", "usage", "markdown", "source", "hash", "status", "end_turn",
        "additional_kwargs", "response_metadata", "example", "channel_id", "country", "state", "hashed_ip", "header", "redacted",
        "toxic", "metadata", "meta", "annotations",
    }
)  # fmt: skip
ASKED_KEYS = ("user", "human", "question", "q", "input", "prompt", "query")
ANSWERED_KEYS = ("assistant", "gpt", "bot", "answer", "a", "output", "response", "model")

"""What can be told of an answer without keeping it: its length, and whether it refuses. Standard library only."""

from __future__ import annotations

import re

# Openings by which assistants decline. Only the beginning of an answer is looked at: "I cannot" in the middle is usually advice.
_REFUSAL = re.compile(
    r"\b(?:"
    r"i(?:'m| am)? (?:very |so |truly |really )?(?:sorry|apologi[sz]e)\b[^.!?]{0,80}"
    r"\b(?:can(?:not|'t)|unable|not able|won't|don't have)"
    r"|i (?:can(?:not|'t)|won't|will not|am unable to|am not able to|must decline to)"
    r" (?:help|assist|answer|provide|do|discuss|comply|fulfil|fulfill|create|generate|write|give|share|support)"
    r"|as an? (?:ai|language model|assistant|chatbot)[^.!?]{0,60}\b(?:can(?:not|'t)|unable|don't|do not|not able)"
    r"|(?:jag|tyvärr)[^.!?]{0,30}\bkan (?:jag )?(?:inte|tyvärr inte)\b"
    r"|(?:ich|leider)[^.!?]{0,30}\bkann (?:ich )?(?:[^.!?]{0,30})?nicht (?:helfen|beantworten)"
    r"|(?:je|désolé)[^.!?]{0,30}\bne peux pas\b"
    r"|lo siento[^.!?]{0,60}\bno puedo\b"
    r")",
    re.IGNORECASE,
)
_BEGINNING = 240


def is_refusal(answer: str) -> bool:
    """True when the beginning of an answer declines, in English, Swedish, German, French or Spanish. A word list, no more."""
    return bool(_REFUSAL.search(answer[:_BEGINNING].replace("’", "'")))

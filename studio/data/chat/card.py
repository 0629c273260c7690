"""The card of a Dataset of conversations: languages, models that wrote, personal data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from studio.data.card import DatasetCard
from studio.data.chat.mixing import MIX_STEP
from studio.data.chat.rows import TEXT_COLUMN, TEXT_FORMAT
from studio.language.identify import name_of

# A language is listed in the head from this share of the sample on; fewer rows may be mistakes of the identifier.
_LISTED = 0.05
_FORMS = {
    "conversations": "The rows are conversations.",
    "texts": "The rows are raw texts.",
    "texts and conversations": "The rows are raw texts and conversations.",
    "pairs": "The rows are pairs of a liked and a disliked answer.",
    "thumbs": "The rows are single answers that were liked or disliked.",
}


class ChatCard(DatasetCard):
    """Conversations, and preferences between answers."""

    @property
    def rows(self) -> str:  # type: ignore[override]
        """What the rows are called."""
        return {"texts": "raw texts", "texts and conversations": "raw texts and conversations"}.get(
            str(self.extra.get("form")), "conversations"
        )

    @property
    def fields(self) -> Sequence[tuple[str, str]]:  # type: ignore[override]
        """Columns, as the form of the rows and the format of the record have them."""
        found = [
            ("id", "unique in this Dataset"),
            ("messages", "turns in order, each with `role` and `content`"),
            ("source", "name of the source, as below"),
            ("group", "rows that share it lie in one split; null where there is none"),
            ("meta", "other columns of the source, as JSON text"),
        ]
        if self.record.format == 2:
            found[1] = ("messages", "turns in order: `role`, `content`, `name`, `tool_calls`, `tool_call_id`, and thoughts")
            found.append(("tools", "what the assistant may call, as JSON text"))
        if self.record.format >= TEXT_FORMAT:
            found.append((TEXT_COLUMN, "raw text; null for conversations, and a row that has some has no messages"))
        if self.extra.get("form") in {"pairs", "thumbs"}:
            found += [("chosen", "the answer that was liked"), ("rejected", "the answer that was not")]
        return found

    def languages(self) -> list[str]:
        """Languages with at least a twentieth of the sample, the most frequent first."""
        measured = self.extra.get("languages") or {}
        return [code for code, rows in measured.get("rows", {}).items() if rows >= _LISTED * measured["sampled"]]

    def told_languages(self) -> str:
        """Shares in the sample."""
        measured = self.extra.get("languages") or {}
        if not measured.get("rows"):
            return ""
        shares = [f"{name_of(code)} {rows / measured['sampled']:.0%}" for code, rows in list(measured["rows"].items())[:6]]
        return f"{', '.join(shares)} (told by py3langid on {measured['sampled']:,} rows drawn by a seed)"

    def tasks(self) -> list[str]:
        """Conversations and preferences are both for models that write."""
        return ["text-generation"]

    def division(self) -> str:
        """The form of the rows, and how they were divided."""
        split = self.record.recipe.get("split", {})
        how = f"Rows at least {split.get('threshold')} alike (Jaccard of {split.get('unit')} {split.get('size')}-grams)"
        form = _FORMS.get(str(self.extra.get("form")), "")
        return " ".join(part for part in (form, f"{how} lie in one split.", super().division()) if part)

    def processing(self) -> list[str]:
        """The steps, then the mixture where there is one."""
        lines = super().processing()
        mixture: dict[str, dict[str, Any]] = self.extra.get("mixture") or {}
        if len(mixture) > 1 or self.steps_called(MIX_STEP):
            lines += ["", "Of each source:", ""]
            lines += [
                f"- {name}: {part['read']:,} read, {part['kept']:,} left by the steps, {part['used']:,} used, {part['share']:.1%}"
                + ("; replayed against forgetting, in train only" if "replayed" in part else "")
                for name, part in mixture.items()
            ]
        return lines

    def annotations(self) -> str:
        """Models that wrote rows."""
        writers: dict[str, dict[str, Any]] = self.extra.get("writers") or {}
        return "\n".join(
            f"- {name}: written by the model `{writer['model']}`, not by people; {writer['rows_kept']:,} rows were kept. "
            "Checks tell what stands nowhere in a document; they do not prove that an answer is right."
            for name, writer in writers.items()
        )

    def personal(self) -> str:
        """What the step ``scrub`` looked for, and how much it found; examples are for the report, not for strangers."""
        steps = self.steps_called("scrub")
        if not steps:
            return super().personal()
        lines = []
        for step in steps:
            does = {"replace": "put placeholders for", "flag": "counted, and left in the text,", "drop": "dropped rows with"}
            action = does.get(str(step.settings.get("action")), "looked for")
            what = ", ".join(step.settings.get("what", []))
            gone = step.rows_in - step.rows_out
            lines.append(f"The step `scrub` {action}: {what}. It changed {step.changed:,} rows and removed {gone:,}.")
        found = [
            re.sub(r" \([^()]*\)$", "", note.removeprefix("scrub: ")) for note in self.extra.get("notes", []) if _of_scrub(note)
        ]
        lines += ["", *(f"- {line}" for line in found)] if found else []
        lines += ["", "Only what has a clear form is found: names, addresses and stories of people stay."]
        return "\n".join(lines)

    def notes(self) -> list[str]:
        """Without what stands under personal information."""
        return [note for note in super().notes() if not _of_scrub(note)]


def _of_scrub(note: object) -> bool:
    """Whether a note is one of the step ``scrub``."""
    return str(note).startswith("scrub: ")

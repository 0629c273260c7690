"""The card of a Dataset of a table: its columns, target and leaks."""

from __future__ import annotations

from typing import Any

from studio.core.markdown import markdown_table
from studio.data.card import DatasetCard
from studio.data.tables.rows import ID, SOURCE

# Columns that are listed; dataset.json holds all.
_SHOWN = 100


class TableCard(DatasetCard):
    """Rows with named columns."""

    rows = "rows of a table"

    @property
    def _columns(self) -> list[dict[str, Any]]:
        """Columns as the record has them."""
        found: list[dict[str, Any]] = self.extra.get("columns") or []
        return found

    def tasks(self) -> list[str]:
        """By the target's type; none without a target."""
        target = self.extra.get("target")
        return [] if not target else ["tabular-classification" if target["type"] == "category" else "tabular-regression"]

    def columns(self) -> list[str]:
        """Name, type, unit, meaning, what is missing."""
        rows: list[list[Any]] = [
            [f"`{ID}`", "text", "", "id", "unique in this Dataset", ""],
            [f"`{SOURCE}`", "text", "", "", "name of the source", ""],
        ]
        for column in self._columns[:_SHOWN]:
            missing = f"{column['missing']:.1%}" if column["missing"] else ""
            row = [f"`{column['name']}`", column["type"], column["unit"] or "", column["role"], column["about"] or "", missing]
            rows.append(row)
        lines = markdown_table(["column", "type", "unit", "role", "what it is", "missing"], rows)
        more = len(self._columns) - _SHOWN
        return [*lines, "", f"{more:,} more columns stand in `dataset.json`."] if more > 0 else lines

    def cautions(self) -> list[str]:
        """Protected columns, labels that are rare, and columns that give the target away."""
        found = []
        if protected := [column["name"] for column in self._columns if column["role"] == "protected"]:
            found.append(
                f"Columns that its owner calls protected: {', '.join(protected)}. Compare what a model does for their groups."
            )
        shares = self.extra.get("label_shares") or {}
        if len(counts := shares.get("train") or {}) > 1:
            least, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
            whole = sum(counts.values())
            found.append(
                f"Of the training rows {counts[most] / whole:.1%} have the label {most!r} and {counts[least] / whole:.1%} "
                f"the label {least!r} ({len(counts)} labels)."
            )
        if leaking := (self.extra.get("leaks") or {}).get("leaking"):
            found.append(f"Columns that nearly give the target away by themselves: {', '.join(leaking)}.")
        return found

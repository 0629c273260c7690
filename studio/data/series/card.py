"""The card of a Dataset of time series: calendar, horizon, gaps."""

from __future__ import annotations

from collections.abc import Sequence

from studio.data.card import DatasetCard


class SeriesCard(DatasetCard):
    """Numbers in time."""

    rows = "observations"

    @property
    def fields(self) -> Sequence[tuple[str, str]]:  # type: ignore[override]
        """Columns, covariates last."""
        facts = self.extra.get("series") or {}
        unit = f", in {facts['unit']}" if facts.get("unit") else ""
        found = [
            ("id", "unique in this Dataset"),
            ("series", "name of the series"),
            ("time", "UTC to the microsecond, without a zone"),
            ("value", f"what is observed{unit}"),
            ("filled", "true where the value stands in a gap of the source"),
            ("source", "name of the source, as below"),
        ]
        found += [(name, "covariate, known for the future") for name in facts.get("known", [])]
        return [*found, *((name, "covariate, known of the past") for name in facts.get("past", []))]

    def tasks(self) -> list[str]:
        """Series are for forecasts."""
        return ["time-series-forecasting"]

    def division(self) -> str:
        """Test lies after train; how long what is held out is."""
        facts = self.extra.get("series") or {}
        if not facts:
            return ""
        season = f"a season of {facts['season_length']} stamps" if facts["season_length"] > 1 else "no season"
        return (
            f"{facts['count']:,} series, frequency {facts['frequency']}, {season}. What is later is held out: "
            f"{facts['windows']} windows of {facts['horizon']} stamps for test, {facts['validation']} for validation."
        )

    def cautions(self) -> list[str]:
        """Gaps and series that never change."""
        facts = self.extra.get("series") or {}
        gaps = facts.get("gaps") or {}
        found = []
        if gaps.get("stamps"):
            found.append(
                f"{gaps['stamps']:,} stamps have no value in the sources; the longest gap has {gaps['longest']:,} in a row."
            )
        if constant := facts.get("constant"):
            found.append(f"{len(constant):,} series never change: {', '.join(constant[:5])}{' …' if len(constant) > 5 else ''}.")
        return found

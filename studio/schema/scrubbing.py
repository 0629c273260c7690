"""What is looked for as personal or secret data, and what is done about it; used by the cleaning step and by feedback."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from studio.schema.loading import Settings

PersonalKind = Literal["email", "phone", "key", "card", "iban", "crypto", "credentials", "ip", "mac", "spoken_email", "geo"]
USUAL_KINDS: list[PersonalKind] = ["email", "phone", "key", "card", "iban", "crypto", "credentials"]
"""What is looked for unless a recipe says otherwise: what has a form of its own, and a checksum where there is one."""
Region = Literal["BR", "CN", "DE", "ES", "FR", "GB", "IN", "IT", "SE", "US"]


class PresidioSettings(Settings):
    """Microsoft's presidio-analyzer (the extra ``pii``) beside the studio's own finders."""

    language: str = "en"
    """Language whose recognisers are used, as ISO 639-1."""
    entities: list[str] = []
    """Presidio's names of what is looked for (``US_BANK_NUMBER``); empty takes all it knows but URL and DATE_TIME."""
    min_score: Annotated[float, Field(ge=0, le=1)] = 0.35
    """Score from which a finding counts."""
    model: str | None = None
    """Folder of a spaCy model of your own, which knows names and places; None uses forms only and downloads nothing."""


class ScrubStep(Settings):
    """Replace personal and secret data with placeholders such as ``[EMAIL]``, count it in ``meta``, or drop the conversation."""

    step: Literal["scrub"]
    """Kind of step."""
    what: list[PersonalKind | Literal["national_id"]] = [*USUAL_KINDS]
    """What is looked for. ``credentials`` are passwords and tokens in web addresses, ``spoken_email`` is ``anna at example
    dot org``, ``geo`` are coordinates, ``national_id`` needs ``regions``."""
    action: Literal["replace", "flag", "drop"] = "replace"
    """Put a placeholder; leave the text and count what was found under ``personal_data`` in ``meta``; or drop the conversation
    (in ``removed.parquet`` it then stands with placeholders)."""
    numbered: bool = False
    """Number the placeholders (``[EMAIL_1]``, ``[EMAIL_2]``), so that the same value has the same one within a conversation."""
    phone_region: Annotated[str, Field(min_length=2, max_length=2)] | None = None
    """Country (``SE``) whose national numbers are understood; None finds numbers with ``+`` and a country code only."""
    regions: list[Region] = []
    """Countries whose numbers for persons (``national_id``) are known: CPF, resident identity number, tax number, DNI and NIE,
    NIR, NINO, Aadhaar, codice fiscale, personnummer, SSN."""
    engine: Literal["studio", "presidio"] = "studio"
    """``presidio`` adds what presidio-analyzer finds to what the studio finds itself."""
    presidio: PresidioSettings | None = None
    """Settings of that engine; None takes its defaults."""

    @model_validator(mode="after")
    def _together(self) -> ScrubStep:
        """Refuse settings that would do nothing."""
        if ("national_id" in self.what) != bool(self.regions):
            missing = "regions ([SE, US])" if "national_id" in self.what else "'national_id' among 'what'"
            raise ValueError(f"numbers of persons are looked for by country. Give {missing} too.")
        if self.presidio is not None and self.engine != "presidio":
            raise ValueError("settings of presidio do nothing with this engine. Give 'engine: presidio', or leave them out.")
        if not self.what and self.engine == "studio":
            raise ValueError(f"it looks for nothing. Name kinds in 'what' ({', '.join(USUAL_KINDS)}), or leave the step out.")
        return self

"""Microsoft's presidio beside the studio's own finders: the extra ``pii``. It fetches neither a model nor a list of domains."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from studio.core.errors import UserError, nearest
from studio.core.extras import require

FEATURE, EXTRA = "engine: presidio", "pii"
# What presidio calls the kinds that the studio knows itself.
_OWN_KINDS = {
    "EMAIL_ADDRESS": "email", "PHONE_NUMBER": "phone", "CREDIT_CARD": "card", "IBAN_CODE": "iban", "IP_ADDRESS": "ip",
    "MAC_ADDRESS": "mac", "CRYPTO": "crypto",
}  # fmt: skip


@dataclass(frozen=True)
class Presidio:
    """A search by presidio-analyzer.

    entities: presidio's names of what is looked for; empty takes all but URL and DATE_TIME, which are nobody's by themselves.
    least: score from which a finding counts, 0 to 1. model: folder of a person's own spaCy model, which knows names and places.
    """

    language: str = "en"
    entities: tuple[str, ...] = ()
    least: float = 0.35
    model: str | None = None

    def check(self) -> None:
        """Open the engine, so that what is wrong with it is said before rows are read.

        Raises:
            MissingExtraError: the extra is not installed.
            UserError: an entity is not known, or the folder holds no spaCy model.
        """
        known = set(_analyser(self.language, self.model).get_supported_entities(self.language))
        for entity in self.entities:
            if entity not in known:
                raise UserError(
                    f"presidio knows no entity {entity!r} in the language {self.language!r}.{nearest(entity, known)} "
                    f"Allowed in 'entities': {', '.join(sorted(known))}."
                )

    def identity(self) -> list[str]:
        """What its findings depend on besides the settings: versions, and what a model says of itself."""
        versions = [f"{name} {version(name)}" for name in ("presidio-analyzer", "spacy", "phonenumbers")]
        told = Path(self.model).expanduser() / "meta.json" if self.model else None
        return [*versions, told.read_text(encoding="utf-8") if told is not None and told.is_file() else ""]

    def __call__(self, text: str) -> Iterator[tuple[str, int, int]]:
        """Kind, start and stop of every finding, the surest first."""
        analyser = _analyser(self.language, self.model)
        wanted = self.entities or sorted(set(analyser.get_supported_entities(self.language)) - {"URL", "DATE_TIME"})
        found = analyser.analyze(text, language=self.language, entities=list(wanted), score_threshold=self.least)
        for one in sorted(found, key=lambda one: (-one.score, one.start)):
            yield _OWN_KINDS.get(one.entity_type, one.entity_type.lower()), one.start, one.end


@cache
def _analyser(language: str, model: str | None) -> Any:
    """Presidio with its own recognisers, opened once per process."""
    analyzer = require("presidio_analyzer", feature=FEATURE, extra=EXTRA)
    _without_network()
    engine = _nlp_engine(language, model)
    registry = analyzer.RecognizerRegistry(supported_languages=[language])
    registry.load_predefined_recognizers(languages=[language], nlp_engine=engine)
    if model is None:
        # A blank model tags nothing; its recogniser would only warn of that.
        registry.remove_recognizer("SpacyRecognizer")
    return analyzer.AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=[language])


def _without_network() -> None:
    """Presidio asks tldextract about each e-mail address, which fetches a list of domains; its own snapshot is as good here."""
    inner: Any = require("tldextract.tldextract", feature=FEATURE, extra=EXTRA)
    inner.TLD_EXTRACTOR = inner.TLDExtract(cache_dir=None, suffix_list_urls=())
    package: Any = require("tldextract", feature=FEATURE, extra=EXTRA)
    package.extract = inner.TLD_EXTRACTOR


def _nlp_engine(language: str, model: str | None) -> Any:
    """Presidio's way to spaCy, with a blank model of a language or the one in a folder; presidio would download one."""
    spacy = require("spacy", feature=FEATURE, extra=EXTRA)
    engines = require("presidio_analyzer.nlp_engine", feature=FEATURE, extra=EXTRA)
    try:
        network = spacy.load(Path(model).expanduser()) if model else spacy.blank(language)
    except (OSError, ImportError, ValueError) as error:
        what = f"{model} holds no spaCy model" if model else f"spaCy knows no language {language!r}"
        remedy = "Give the folder that spaCy's to_disk wrote" if model else "Give an ISO 639-1 code such as en, de or sv"
        raise UserError(f"{what} ({str(error).splitlines()[0]}). {remedy}.") from error

    engine = engines.SpacyNlpEngine(models=[{"lang_code": language, "model_name": model or "blank"}])
    engine.nlp = {language: network}
    engine.load = lambda: None
    return engine

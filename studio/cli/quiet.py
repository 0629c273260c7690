"""The one place where the noise of other people's libraries is turned off; ``STUDIO_DEBUG=1`` leaves it on."""

from __future__ import annotations

import logging
import os
import sys
import warnings

from studio.cli import output

# Read by the libraries when they are imported, so nothing has to be imported to set them. What the user set stays.
_ENVIRONMENT = {
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "DATASETS_VERBOSITY": "error",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_VERBOSITY": "error",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "true",
    "TRL_EXPERIMENTAL_SILENCE": "1",
    "PYTORCH_DISABLE_TELEMETRY": "1",
}

_LOGGERS = (
    "transformers",
    "datasets",
    "accelerate",
    "peft",
    "trl",
    "bitsandbytes",
    "torch",
    "matplotlib",
    "huggingface_hub",
    "httpx",
)


def debugging() -> bool:
    """True when the person asked to see everything (``STUDIO_DEBUG=1``)."""
    return os.environ.get("STUDIO_DEBUG", "").lower() not in {"", "0", "false", "no", "off"}


def quiet_libraries() -> None:
    """Show warnings of the studio as one plain line each, and none of anybody else's."""
    if debugging():
        return
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for logger in _LOGGERS:
        logging.getLogger(logger).setLevel(logging.ERROR)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", module=r"studio(\.|$)")
        warnings.showwarning = lambda message, *_args, **_keywords: output.warn(str(message))

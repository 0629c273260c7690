"""Cleaning steps by registry key. A step judges rows: each is kept, changed, or dropped with a reason."""

from studio.core.registry import Registry

STEPS = Registry(
    "cleaning step",
    {
        "unicode": "studio.data.steps.text:Unicode",
        "whitespace": "studio.data.steps.text:Whitespace",
        "drop_empty": "studio.data.steps.presence:DropEmpty",
        "missing": "studio.data.steps.presence:Missing",
        "roles": "studio.data.steps.roles:Roles",
        "length": "studio.data.steps.length:Length",
        "exact_duplicates": "studio.data.steps.duplicates:ExactDuplicates",
        "near_duplicates": "studio.data.steps.duplicates:NearDuplicates",
        "language": "studio.data.steps.language:Language",
        "scrub": "studio.data.steps.scrub:Scrub",
        "outliers": "studio.data.steps.length:Outliers",
    },
)

"""Cleaning steps by registry key. A step judges rows: each is kept, changed, or dropped with a reason."""

from studio.core.registry import Registry

STEPS = Registry(
    "cleaning step",
    {
        "unicode": "studio.data.chat.steps.text:Unicode",
        "whitespace": "studio.data.chat.steps.text:Whitespace",
        "drop_empty": "studio.data.chat.steps.presence:DropEmpty",
        "missing": "studio.data.chat.steps.presence:Missing",
        "roles": "studio.data.chat.steps.roles:Roles",
        "length": "studio.data.chat.steps.length:Length",
        "exact_duplicates": "studio.data.chat.steps.duplicates:ExactDuplicates",
        "near_duplicates": "studio.data.chat.steps.duplicates:NearDuplicates",
        "decontaminate": "studio.data.chat.steps.decontaminate:Decontaminate",
        "semantic_duplicates": "studio.data.chat.steps.semantic:SemanticDuplicates",
        "language": "studio.data.chat.steps.language:Language",
        "scrub": "studio.data.chat.steps.scrub:Scrub",
        "outliers": "studio.data.chat.steps.length:Outliers",
        "stitch": "studio.data.chat.steps.stitch:Stitch",
        "turns": "studio.data.chat.steps.exchanges:Turns",
        "boilerplate": "studio.data.chat.steps.openings:Boilerplate",
        "refusals": "studio.data.chat.steps.exchanges:Refusals",
        "repetition": "studio.data.chat.steps.gopher:Repetition",
        "gibberish": "studio.data.chat.steps.gopher:Gibberish",
        "score": "studio.data.chat.steps.scores:Score",
        "filter": "studio.data.chat.steps.scores:Filter",
    },
)

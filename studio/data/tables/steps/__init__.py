"""Steps for tables by registry key. A step sees the whole table; it drops rows with reasons, changes values, or adds columns."""

from studio.core.registry import Registry

TABLE_STEPS = Registry(
    "table step",
    {
        "missing": "studio.data.tables.steps.missing:MissingValues",
        "exact_duplicates": "studio.data.tables.steps.duplicates:ExactRows",
    },
)

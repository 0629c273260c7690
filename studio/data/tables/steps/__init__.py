"""Steps for tables by registry key. A step sees the whole table; it drops rows with reasons, changes values, or adds columns."""

from studio.core.registry import Registry

TABLE_STEPS = Registry(
    "table step",
    {
        "missing": "studio.data.tables.steps.missing:MissingValues",
        "exact_duplicates": "studio.data.tables.steps.duplicates:ExactRows",
        "near_duplicates": "studio.data.tables.steps.near_texts:NearTexts",
        "outliers": "studio.data.tables.steps.outliers:Outliers",
        "rare_categories": "studio.data.tables.steps.rare:RareCategories",
        "constant_columns": "studio.data.tables.steps.constant:ConstantColumns",
        "leaks": "studio.data.tables.steps.leaks:Leaks",
        "suspicious_numbers": "studio.data.tables.steps.suspicious:SuspiciousNumbers",
    },
)

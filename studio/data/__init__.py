"""Recipe to Dataset: sources, formats, cleaning steps, leak-free splits, report."""

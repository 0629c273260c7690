"""Rows that a model writes: from documents, or from rows that exist; every answer is kept, checked and accounted for."""

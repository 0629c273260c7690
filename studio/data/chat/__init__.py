"""Conversations: from any row others write to messages, the cleaning steps, the split and the report."""

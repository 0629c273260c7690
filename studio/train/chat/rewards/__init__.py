"""Rewards that can be checked, a module each. A new one is a module here, a line in the table, its settings in the schema."""

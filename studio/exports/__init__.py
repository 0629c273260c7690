"""Runs in the forms that other programs read: written aside, read back by the program people will use, and only then there."""

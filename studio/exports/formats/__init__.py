"""Files that runtimes read, written from graphs; each form is one class, found through the table in ``base``."""

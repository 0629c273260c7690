"""Data sets of public catalogues, by their names there; their licences are read, never guessed."""

"""From a run to where people use it: folders that one reads, changes and keeps in git."""

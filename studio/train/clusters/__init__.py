"""Training of groups: from the rows of a Dataset to groups that are saved, with how their number came about."""

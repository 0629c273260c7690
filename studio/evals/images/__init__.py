"""Scores of made pictures: how good, how varied, how near to the training pictures, and how sure of it one can be."""

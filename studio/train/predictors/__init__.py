"""Trainings of predictors: labels or numbers from rows."""

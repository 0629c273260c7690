"""Trainings of forecasts."""

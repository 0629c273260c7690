"""What stands beside an exported forecaster as ``predict.py``: it imports nothing of the studio."""

"""What stands beside an exported predictor: ``predict.py``, and what reads rows, as ``reading.py``. They import nothing of the
studio, so that an export runs without it; the studio reads rows for an export with the same files.
"""

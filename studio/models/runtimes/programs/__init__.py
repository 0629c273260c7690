"""One file for each runtime, with the same function ``load``. Each is copied into exports as ``runtime.py``: it imports nothing
of the studio, so that an export runs without it.
"""

"""A studio for tuning, measuring, showing and serving language and image models.

The rooms of the house, and which may import which, are described in ``docs/architecture.md``.
"""

__version__ = "0.1.0"

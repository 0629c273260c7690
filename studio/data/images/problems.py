"""What is wrong with a picture, said so that it becomes one line of ``removed.parquet``."""

from __future__ import annotations


class PictureProblem(Exception):  # noqa: N818 (what is wrong with a file, not with the program)
    """A file that cannot be used as a picture. reason: in words; value: what was seen; threshold: what is allowed."""

    def __init__(self, reason: str, value: str | None = None, threshold: str | None = None) -> None:
        super().__init__(reason, value, threshold)
        self.reason, self.value, self.threshold = reason, value, threshold

"""From a raw row of any known shape to messages. One module for each family of shapes that other tools write."""

from studio.data.chat.formats.base import Choices, ColumnNames, Shaped, ShapeError
from studio.data.chat.formats.names import TURN_KEYS
from studio.data.chat.formats.shaping import FORMATS, shape_row

__all__ = ["FORMATS", "TURN_KEYS", "Choices", "ColumnNames", "ShapeError", "Shaped", "shape_row"]

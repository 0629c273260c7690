"""Exports of chat programs as conversations. Those that know who answers (assistants, help desks) are opened row by row; those of
people's chats are read whole, cut into talks, and need to be told who the assistant is.
"""

from studio.data.chat.exports.base import Heard, TalkOptions
from studio.data.chat.exports.opening import opened_row, wrapped_rows
from studio.data.chat.exports.programs import PROGRAMS, read_chats
from studio.data.chat.exports.talks import talks_of

__all__ = ["PROGRAMS", "Heard", "TalkOptions", "opened_row", "read_chats", "talks_of", "wrapped_rows"]

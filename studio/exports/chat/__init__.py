"""Chats in the forms of other programs."""

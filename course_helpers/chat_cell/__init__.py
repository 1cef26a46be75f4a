"""Chatting in a notebook: a Stop that works at any moment, the cost beside each reply, nothing that can run.

    cell = ChatCell(system="You are a patient teacher.")
    cell                                   # in JupyterLab: the chat
    reply = cell.send("What is a token?")  # the same turn from code; it shows in the chat

Replies stream in a thread of their own: other cells run meanwhile, and nothing is written to any cell's
output. Model text becomes HTML through `render` only.
"""

from .cell import Busy, ChatCell

__all__ = ["Busy", "ChatCell"]

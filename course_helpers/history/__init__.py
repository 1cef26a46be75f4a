"""Conversations: a history that goes with each call, turns kept whole or not at all, and a ledger.

    chat = Conversation(system="Be brief.")
    print(chat.send("What is the capital of France?"))
    with chat.stream("And of Spain?") as pieces:
        for piece in pieces:
            print(piece, end="", flush=True)

In the order in which it is best read: `records` (what turns and calls are), `ledger` (those of one
conversation), `strategies` (what of a history is sent), `responses` (reading a reply), `turn` (how one comes
about), `stream` (who carries it out), `conversation` and `storage` (files).
"""

from .conversation import Conversation
from .ledger import BudgetExceeded
from .records import Call, Preview, Reply, Total, Turn
from .responses import StreamInterrupted
from .storage import NotAConversation
from .strategies import drop_where, last_turns, summarise_older, within_tokens

__all__ = [
    "BudgetExceeded",
    "Call",
    "Conversation",
    "NotAConversation",
    "Preview",
    "Reply",
    "StreamInterrupted",
    "Total",
    "Turn",
    "drop_where",
    "last_turns",
    "summarise_older",
    "within_tokens",
]

"""Conversations: a history that goes with each call, turns kept whole or not at all, and a ledger.

    chat = Conversation(system="Be brief.")
    print(chat.send("What is the capital of France?"))
    with chat.stream("And of Spain?") as pieces:
        for piece in pieces:
            print(piece, end="", flush=True)

In the order in which it is best read: `ledger` (what turns and calls are), `conversation`, `one_turn` (a turn
on its way), `keeping` (what of a history is sent), `steps` and `reading` (what goes over the wire), `pieces`
(streams), `saving` (files).
"""

from .conversation import Conversation
from .keeping import drop_where, last_turns, summarise_older, within_tokens
from .ledger import Call, Reply, Total, Turn
from .reading import StreamInterrupted
from .saving import NotAConversation
from .steps import BudgetExceeded

__all__ = [
    "BudgetExceeded",
    "Call",
    "Conversation",
    "NotAConversation",
    "Reply",
    "StreamInterrupted",
    "Total",
    "Turn",
    "drop_where",
    "last_turns",
    "summarise_older",
    "within_tokens",
]

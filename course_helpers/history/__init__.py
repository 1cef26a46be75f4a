"""Conversations: a history that goes with each call, turns kept whole or not at all, and a ledger.

    chat = Conversation(system="Be brief.")
    print(chat.send("What is the capital of France?"))
    with chat.stream("And of Spain?") as pieces:
        for piece in pieces:
            print(piece, end="", flush=True)

Read it in this order: records, storage, strategies, responses, turn, stream, conversation.
"""

from .conversation import Conversation
from .records import BudgetExceeded, Call, Reply, Total, Turn
from .responses import StreamInterrupted
from .storage import NotAConversation
from .strategies import drop_where, last_turns, summarise_older, within_tokens

__all__ = ["BudgetExceeded", "Call", "Conversation", "NotAConversation", "Reply", "StreamInterrupted"]
__all__ += ["Total", "Turn", "drop_where", "last_turns", "summarise_older", "within_tokens"]

"""How a document is answered, for any Strawberry schema: documents, limits, execution. Knows no transport, no noun."""

from engine.answers import Answer, Executed, InputFault, Reason, Refused
from engine.execution import Engine, GraphQLRequest
from engine.limits import Cost, Limits
from engine.plans import AT_ONCE, LATER, NEEDS, AtOnce
from engine.strings import unstorable_strings

__all__ = [
    "AT_ONCE",
    "LATER",
    "NEEDS",
    "Answer",
    "AtOnce",
    "Cost",
    "Engine",
    "Executed",
    "GraphQLRequest",
    "InputFault",
    "Limits",
    "Reason",
    "Refused",
    "unstorable_strings",
]

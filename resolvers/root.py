"""The roots, joined by inheritance, and the executable schema. Fields are in the module of their noun."""

import strawberry
from strawberry.schema.config import StrawberryConfig

from resolvers.accounts import AccountsMutation, AccountsQuery
from resolvers.api_keys import ApiKeysMutation
from resolvers.chat import ChatMutation, ChatQuery
from resolvers.entitlements import EntitlementsQuery
from resolvers.nodes import NodesQuery
from resolvers.portfolios import PortfoliosMutation, PortfoliosQuery
from resolvers.scans import ScansMutation, ScansQuery
from schema.accounts import User
from schema.api_keys import ApiKey
from schema.chat import ChatMessage, Conversation
from schema.portfolios import Portfolio, Position
from schema.scalars import SCALARS
from schema.scans import Finding, Scan


@strawberry.type(description="Everything that can be read.")
class Query(AccountsQuery, ChatQuery, EntitlementsQuery, NodesQuery, PortfoliosQuery, ScansQuery):
    pass


@strawberry.type(description="Everything that can be changed.")
class Mutation(AccountsMutation, ApiKeysMutation, ChatMutation, PortfoliosMutation, ScansMutation):
    pass


schema = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    types=[User, ApiKey, Conversation, ChatMessage, Portfolio, Position, Scan, Finding],
    config=StrawberryConfig(scalar_map=SCALARS),
)

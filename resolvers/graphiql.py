"""The page a browser gets at /graphql. What it asks goes through the endpoint like every other request."""

from strawberry.http.ides import get_graphql_ide_html


def graphiql_page() -> str:
    """The HTML of GraphiQL as Strawberry ships it; the browser loads its scripts from unpkg.com."""
    return get_graphql_ide_html("graphiql")

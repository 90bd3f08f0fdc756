"""Where in the answer a value stands: cheap to note while all goes well, spelt out for errors and resolvers."""

from graphql.pyutils import Path

Place = tuple["Place | None", str | int, str | None]
"""What it is in, its key or index there, and the type whose field it is (None for an item). The root is None."""


def keys_of(place: Place | None) -> list[str | int]:
    """The path of an error: `["persons", 0, "name"]`."""
    keys: list[str | int] = []
    while place is not None:
        place, key, _type = place
        keys.append(key)
    keys.reverse()
    return keys


def path_of(place: Place) -> Path:
    """As resolvers know it."""
    steps = []
    step: Place | None = place
    while step is not None:
        steps.append(step)
        step = step[0]
    path = None
    for _outer, key, typename in reversed(steps):
        path = Path(path, key, typename)
    assert path is not None
    return path


def field_of(place: Place) -> Place:
    """The field that a place is in: itself, or what the item of a list, or of lists of lists, belongs to."""
    while isinstance(place[1], int):
        assert place[0] is not None
        place = place[0]
    return place

"""A memory bounded by its bytes, the least recently used forgotten first. Not what is remembered, nor its size."""

from collections import OrderedDict
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Remembered(Generic[Value]):
    """Values by digest. Each comes with its size, in bytes; together they never pass `limit`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[bytes, tuple[Value, int]] = OrderedDict()
        self.size = 0

    def get(self, key: bytes) -> Value | None:
        """The value, which now counts as used."""
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def put(self, key: bytes, value: Value, size: int) -> None:
        """Keep a value under a key that has none; one larger than the whole limit is not kept."""
        if size > self._limit:
            return
        self._kept[key] = (value, size)
        self._add(size)

    def grow(self, key: bytes, by: int) -> None:
        """What is kept under the key takes more bytes now. Nothing happens where nothing is."""
        if key in self._kept:
            value, size = self._kept[key]
            self._kept[key] = (value, size + by)
            self._add(by)

    def _add(self, size: int) -> None:
        self.size += size
        while self.size > self._limit:
            _key, (_value, freed) = self._kept.popitem(last=False)
            self.size -= freed

"""Plans: which tier includes how much of which feature, read from plans.toml. What that allows is decided elsewhere."""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

Kind = Literal["switch", "count", "metered"]
FREE = "free"
LARGEST = 2_147_483_647
"""The largest limit, which is also the largest `Int` of GraphQL."""
REQUIRED: Mapping[str, Kind] = {
    "portfolios": "count",
    "aiMessages": "metered",
    "scans": "metered",
    "positionImport": "switch",
}
"""What the program asks about: a file that leaves one out, or counts it otherwise, is refused at the start."""
SHIPPED = Path(__file__).resolve().parents[1] / "plans.toml"
MAX_BYTES = 256 * 1024
MAX_TITLE = 60

_FEATURE = re.compile(r"[a-z][a-zA-Z0-9]{0,39}")
_TIER = re.compile(r"[a-z][a-z0-9_-]{0,39}")


@dataclass(frozen=True, slots=True)
class Feature:
    """Something an account may use. `key` is its name for clients, `title` and `singular` are words for people.

    A switch is on or off, a count is of objects that exist now, metered is per calendar month in UTC.
    """

    key: str
    kind: Kind
    title: str
    singular: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A tier: `limits` has one for each feature. None: without limit, or switched on; 0: not included."""

    tier: str
    title: str
    aliases: tuple[str, ...]
    limits: Mapping[str, int | None]


@dataclass(frozen=True, slots=True)
class Plans:
    """All of them, in the order of the file: the lowest first, which is `free`."""

    features: Mapping[str, Feature]
    tiers: tuple[Plan, ...]
    trial: Plan
    upgrade_url: str | None
    _by_name: Mapping[str, Plan] = field(init=False, repr=False, compare=False)
    _by_folded: Mapping[str, Feature] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # An object that does not change sets its own look-ups this way.
        names = {name: plan for plan in self.tiers for name in (plan.tier, *plan.aliases)}
        object.__setattr__(self, "_by_name", names)
        object.__setattr__(self, "_by_folded", {folded(key): one for key, one in self.features.items()})

    def of(self, tier: str) -> Plan:
        """The plan of a stored tier; an unknown one counts as free."""
        return self.named(tier) or self.tiers[0]

    def named(self, tier: str) -> Plan | None:
        """The plan with this name or alias in any case; None when there is none."""
        return self._by_name.get(tier) or self._by_name.get(tier.strip().lower())

    def feature(self, name: str) -> Feature | None:
        """The feature called so: `aiMessages`, `AI_MESSAGES` and `ai-messages` are the same."""
        return self.features.get(name) or self._by_folded.get(folded(name))


def folded(name: str) -> str:
    """A name without case and separators, as features are recognised."""
    return re.sub(r"[-_ ]", "", name[:100]).lower()


class PlansError(ValueError):
    """The file is wrong; the message lists every fault with the path of its key."""

    def __init__(self, path: Path, faults: Sequence[str]) -> None:
        several = (f"{len(faults)} faults.", *(f"  {fault}" for fault in faults))
        super().__init__(f"PLANS_FILE: {path}: " + "\n".join(faults if len(faults) == 1 else several))
        self.faults = tuple(faults)


def load(path: Path | None, upgrade_url: str | None = None) -> Plans:
    """The plans of a file, without one the shipped; `PlansError` with everything that is wrong."""
    path = path or SHIPPED
    reader = _Reader()
    plans = reader.plans(_parsed(path), upgrade_url)
    if plans is None or reader.faults:
        raise PlansError(path, reader.faults)
    return plans


def _parsed(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise PlansError(path, [f"cannot be read ({getattr(error, 'strerror', None) or error})."]) from None
    if len(content) > MAX_BYTES:
        raise PlansError(path, [f"larger than {MAX_BYTES // 1024} kB, which is no list of plans."])
    try:
        # Editors on Windows begin a file with a byte-order mark.
        return tomllib.loads(content.decode("utf-8-sig"))
    except RecursionError:
        raise PlansError(path, ["not TOML (nested too deeply)."]) from None
    except ValueError as error:
        raise PlansError(path, [f"not TOML ({str(error)[:200]})."]) from None


def _path(*keys: str) -> str:
    """The path of a key, quoted where TOML quotes it too."""
    return ".".join(key if re.fullmatch(r"[A-Za-z0-9_-]{1,60}", key) else json.dumps(key[:60]) for key in keys)


class _Reader:
    """Reads a parsed file, and notes every fault on the way as `path: what is wanted`."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def plans(self, document: dict[str, Any], upgrade_url: str | None) -> Plans | None:
        """What the document says; of no use once there are faults."""
        self._only(document, "features", "tiers", "trial")
        features = self._features(self._table(document, "features"))
        tiers = self._tiers(self._table(document, "tiers"), features)
        trial = self._table(document, "trial")
        self._only(trial, "tier", within=("trial",))
        begun = [plan for plan in tiers if plan.tier == trial.get("tier")]
        if not begun:
            self._fault(("trial", "tier"), f"one of {', '.join(_path(plan.tier) for plan in tiers) or 'the tiers'}.")
            return None
        return Plans(features=features, tiers=tiers, trial=begun[0], upgrade_url=upgrade_url)

    def _features(self, tables: dict[str, Any]) -> dict[str, Feature]:
        features: dict[str, Feature] = {}
        known: dict[str, str] = {}
        for key in tables:
            here = ("features", key)
            table = self._table(tables, key, within=("features",))
            self._only(table, "kind", "title", "singular", within=here)
            self._unless(_FEATURE.fullmatch(key), here, "a name of a-z, A-Z and 0-9, up to 40, a-z first.")
            twin = known.setdefault(folded(key), key)
            self._unless(twin == key, here, f"too like {_path('features', twin)}: case and separators do not count.")
            kind, wanted = table.get("kind"), REQUIRED.get(key)
            self._unless(kind in get_args(Kind), (*here, "kind"), f"one of {', '.join(get_args(Kind))}.")
            self._unless(wanted is None or wanted == kind, (*here, "kind"), f"{wanted}: so the program counts it.")
            title = self._title(table, here)
            singular = self._title(table, here, "singular") if "singular" in table else title
            features[key] = Feature(key=key, kind=cast(Kind, kind), title=title, singular=singular)
        for key in REQUIRED:
            self._unless(
                key in tables, ("features", key), "missing; the program asks about it. Say who has it in the tiers."
            )
        return features

    def _tiers(self, tables: dict[str, Any], features: Mapping[str, Feature]) -> tuple[Plan, ...]:
        self._unless(next(iter(tables), None) == FREE, ("tiers",), f"begin with {FREE}, the tier of new accounts.")
        taken = {tier: _path("tiers", tier) for tier in tables}
        return tuple(self._tier(tables, tier, features, taken) for tier in tables)

    def _tier(self, tables: dict[str, Any], tier: str, features: Mapping[str, Feature], taken: dict[str, str]) -> Plan:
        here = ("tiers", tier)
        table = self._table(tables, tier, within=("tiers",))
        self._only(table, "title", "aliases", "limits", within=here)
        self._unless(_TIER.fullmatch(tier), here, "a name of a-z, 0-9, - and _, up to 40, a-z first.")
        limits = self._table(table, "limits", within=here)
        for key in limits:
            self._unless(
                key in features, (*here, "limits", key), "no such feature; declare it under features, or remove it."
            )
        return Plan(
            tier=tier,
            title=self._title(table, here),
            aliases=self._aliases(table.get("aliases", []), (*here, "aliases"), taken),
            limits={key: self._limit(limits.get(key), one, (*here, "limits", key)) for key, one in features.items()},
        )

    def _aliases(self, found: object, here: tuple[str, ...], taken: dict[str, str]) -> tuple[str, ...]:
        if not (isinstance(found, list) and all(isinstance(one, str) for one in found)):
            self._fault(here, 'a list of names, such as ["pro"].')
            return ()
        for alias in dict.fromkeys(found):
            self._unless(_TIER.fullmatch(alias), here, f"{_path(alias)}: a name of a-z, 0-9, - and _, up to 40.")
            owner = taken.setdefault(alias, _path(*here))
            self._unless(
                found.count(alias) == 1 and owner == _path(*here), here, f"{_path(alias)} is taken by {owner}."
            )
        return tuple(found)

    def _limit(self, found: object, feature: Feature, here: tuple[str, ...]) -> int | None:
        if feature.kind not in get_args(Kind):
            return 0
        if feature.kind == "switch":
            self._unless(isinstance(found, bool), here, "true or false.")
            return None if found else 0
        if found == "unlimited":
            return None
        if isinstance(found, int) and not isinstance(found, bool) and 0 <= found <= LARGEST:
            return found
        self._fault(here, f'a whole number from 0 to {LARGEST}, or "unlimited".')
        return 0

    def _title(self, table: dict[str, Any], within: tuple[str, ...], key: str = "title") -> str:
        found = table.get(key)
        fits = isinstance(found, str) and 1 <= len(found.strip()) <= MAX_TITLE and found.isprintable()
        self._unless(fits, (*within, key), f"words for people, 1 to {MAX_TITLE} characters.")
        return str(found).strip() if fits else ""

    def _table(self, parent: dict[str, Any], key: str, *, within: tuple[str, ...] = ()) -> dict[str, Any]:
        found = parent.get(key)
        if isinstance(found, dict):
            return found
        self._fault((*within, key), "a table." if key in parent else "missing; it is a table.")
        return {}

    def _only(self, table: dict[str, Any], *keys: str, within: tuple[str, ...] = ()) -> None:
        for key in table:
            self._unless(key in keys, (*within, key), f"no such key; there is {', '.join(keys)}.")

    def _unless(self, holds: object, path: tuple[str, ...], message: str) -> None:
        if not holds:
            self._fault(path, message)

    def _fault(self, path: tuple[str, ...], message: str) -> None:
        self.faults.append(f"{_path(*path)}: {message}")

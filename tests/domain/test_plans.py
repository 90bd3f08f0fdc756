"""plans.toml: the shipped one says what the contract says, and a wrong one is refused with every fault at its key."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.plans import LARGEST, SHIPPED, PlansError, _Reader, load

WHOLE = f'a whole number from 0 to {LARGEST}, or "unlimited".'
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write((old, new), …)`: the shipped file, changed."""

    def changed(*changes: tuple[str, str]) -> Path:
        text = SHIPPED.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "plans.toml"
        path.write_text(text)
        return path

    return changed


def refusal(path: Path) -> PlansError:
    with pytest.raises(PlansError) as caught:
        load(path)
    return caught.value


def test_the_shipped_plans() -> None:
    plans = load(None, "https://shop.example.test")
    limits = {plan.tier: (plan.limits["portfolios"], plan.limits["aiMessages"]) for plan in plans.tiers}
    assert limits == {"free": (2, 100), "paid": (10, 1000), "enterprise": (None, None)}
    assert list(limits) == ["free", "paid", "enterprise"]
    assert all(plan.limits["scans"] is plan.limits["positionImport"] is None for plan in plans.tiers)
    assert {key: feature.kind for key, feature in plans.features.items()} == {
        "portfolios": "count",
        "aiMessages": "metered",
        "scans": "metered",
        "positionImport": "switch",
    }
    assert (plans.trial.tier, plans.upgrade_url) == ("free", "https://shop.example.test")


@pytest.mark.parametrize(
    ("stored", "tier"),
    [("free", "free"), ("paid", "paid"), ("pro", "paid"), ("PRO", "paid"), (" Enterprise ", "enterprise")],
)
def test_tiers_go_by_their_names_and_aliases(stored: str, tier: str) -> None:
    plans = load(None)
    found = plans.named(stored)
    assert found is plans.of(stored)
    assert found.tier == tier


@pytest.mark.parametrize("stored", ["gold", "", "free!", "paid\0"])
def test_an_unknown_tier_counts_as_free_but_is_none_to_an_operator(stored: str) -> None:
    plans = load(None)
    assert plans.of(stored).tier == "free"
    assert plans.named(stored) is None


@pytest.mark.parametrize("name", ["aiMessages", "AI_MESSAGES", "ai-messages", "ai messages", "AIMESSAGES"])
def test_features_are_found_without_case_and_separators(name: str) -> None:
    feature = load(None).feature(name)
    assert feature is not None
    assert feature.key == "aiMessages"


def test_no_other_feature_is_found() -> None:
    assert [name for name in ("", "aiMessage", "ai.messages", "x" * 10_000) if load(None).feature(name)] == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("portfolios = 10,", 'portfolios = "10",', f"tiers.paid.limits.portfolios: {WHOLE}"),
        ("portfolios = 10,", "portfolios = true,", f"tiers.paid.limits.portfolios: {WHOLE}"),
        ("portfolios = 10,", "portfolios = -1,", f"tiers.paid.limits.portfolios: {WHOLE}"),
        ("portfolios = 10,", "portfolios = 1.5,", f"tiers.paid.limits.portfolios: {WHOLE}"),
        ("portfolios = 10,", "portfolios = inf,", f"tiers.paid.limits.portfolios: {WHOLE}"),
        ("portfolios = 10,", f"portfolios = {LARGEST + 1},", f"tiers.paid.limits.portfolios: {WHOLE}"),
        ("portfolios = 10,", "", f"tiers.paid.limits.portfolios: {WHOLE}"),
        ("portfolios = 10,", "portfolios = 10, stars = 3,", "tiers.paid.limits.stars: no such feature; declare it"),
        ('aliases = ["pro"]', 'aliases = ["free"]', "tiers.paid.aliases: free is taken by tiers.free."),
        ('aliases = ["pro"]', 'aliases = ["paid"]', "tiers.paid.aliases: paid is taken by tiers.paid."),
        ('aliases = ["pro"]', 'aliases = ["pro", "pro"]', "tiers.paid.aliases: pro is taken by tiers.paid.aliases."),
        ('aliases = ["pro"]', 'aliases = ["PRO"]', "tiers.paid.aliases: PRO: a name of a-z"),
        ('aliases = ["pro"]', 'aliases = "pro"', "tiers.paid.aliases: a list of names"),
        ('aliases = ["pro"]', "aliases = [1]", "tiers.paid.aliases: a list of names"),
        ('aliases = ["pro"]', 'price = "9 €"', "tiers.paid.price: no such key; there is title, aliases, limits."),
        ('title = "Paid"', "", "tiers.paid.title: words for people, 1 to 60 characters."),
        ('title = "Paid"', 'title = "  "', "tiers.paid.title: words for people"),
        ('title = "Paid"', r'title = "Pa\u0007id"', "tiers.paid.title: words for people"),
        ("[tiers.free]", "[tiers.gratis]", "tiers: begin with free, the tier of new accounts."),
        ("[tiers.enterprise]", "[tiers.'big\\one']", r'tiers."big\\one": a name of a-z, 0-9, - and _'),
        ('[trial]\ntier = "free"', '[trial]\ntier = "gold"', "trial.tier: one of free, paid, enterprise."),
        ('[trial]\ntier = "free"', "[trial]\ntier = 1", "trial.tier: one of free, paid, enterprise."),
        ('kind = "count"', 'kind = "counted"', "features.portfolios.kind: one of switch, count, metered."),
        ('kind = "count"', "kind = []", "features.portfolios.kind: one of switch, count, metered."),
        ('kind = "count"', 'kind = "metered"', "features.portfolios.kind: count: so the program counts it."),
        ('singular = "portfolio"', 'plural = "p"', "features.portfolios.plural: no such key"),
        ("[features.scans]", "[features.ai_messages]", "features.ai_messages: too like features.aiMessages"),
        ("[features.scans]", "[features.scanning]", "features.scans: missing; the program asks about it."),
        ("[trial]", "[trials]", "trials: no such key; there is features, tiers, trial."),
    ],
)
def test_a_fault_is_told_at_its_key(write: Write, old: str, new: str, fault: str) -> None:
    error = refusal(write((old, new)))
    assert [told for told in error.faults if told.startswith(fault)], error.faults
    assert all(told in str(error) for told in error.faults)


def test_a_switch_takes_no_number(write: Write) -> None:
    error = refusal(write(("positionImport = true", "positionImport = 1")))
    assert error.faults == tuple(
        f"tiers.{tier}.limits.positionImport: true or false." for tier in ("free", "paid", "enterprise")
    )


def test_one_fault_is_one_line_and_several_are_listed(write: Write) -> None:
    path = write(("portfolios = 10,", "portfolios = true,"))
    assert str(refusal(path)) == f"PLANS_FILE: {path}: tiers.paid.limits.portfolios: {WHOLE}"
    path = write(("portfolios = 10,", ""), ('["pro"]', '["free"]'), ('[trial]\ntier = "free"', ""))
    assert str(refusal(path)).splitlines() == [
        f"PLANS_FILE: {path}: 4 faults.",
        "  tiers.paid.aliases: free is taken by tiers.free.",
        f"  tiers.paid.limits.portfolios: {WHOLE}",
        "  trial: missing; it is a table.",
        "  trial.tier: one of free, paid, enterprise.",
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "features: missing"),
        (b"tiers = 5", "tiers: a table."),
        (b"tiers = { free = 1 }", "tiers.free: a table."),
        (b"[tiers", "not TOML"),
        (b"\xff\xfe", "not TOML"),
        (b"x = " + b"[" * 100_000, "not TOML"),
        (b"x = " + b"9" * 5000, "not TOML"),
        (b"#" * 262_145, "larger than 256 kB"),
    ],
)
def test_what_is_no_list_of_plans(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "plans.toml"
    path.write_bytes(content)
    error = refusal(path)
    assert words in str(error)
    assert len(str(error)) < 1500


@pytest.mark.parametrize("name", ["absent.toml", ".", "nul\0.toml"])
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    assert "cannot be read (" in str(refusal(tmp_path / name))


def test_a_byte_order_mark_is_forgiven(tmp_path: Path) -> None:
    path = tmp_path / "plans.toml"
    path.write_bytes(b"\xef\xbb\xbf" + SHIPPED.read_bytes())
    assert load(path) == load(None)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["features", "tiers", "trial", "free", "limits", "aliases", "title", "kind", "x\n"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150)
@given(st.dictionaries(st.sampled_from(["features", "tiers", "trial", "x"]), _VALUES, max_size=4))
def test_whatever_is_in_it_only_faults_come_out(document: dict[str, object]) -> None:
    reader = _Reader()
    reader.plans(document, None)
    assert reader.faults
    assert all("\n" not in fault for fault in reader.faults)

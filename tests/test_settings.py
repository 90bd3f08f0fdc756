"""Settings: what is wrong stops the start with one line that names the variable; secrets never show."""

import re
from pathlib import Path
from typing import Any

import pytest

from app import limits_of
from engine import Limits
from settings import Settings, SettingsError

SECRET_A = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
SECRET_B = "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
PRODUCTION = {
    "ENVIRONMENT": "production",
    "DATABASE_URL": "postgresql://u:hunter2@db/app",
    "CLERK_DOMAIN": "clerk.example.com",
    "CLERK_WEBHOOK_SECRET": SECRET_A,
}

LIMITS = {
    "GRAPHQL_MAX_TOKENS": (200, 10_000),
    "GRAPHQL_MAX_DEPTH": (18, 100),
    "GRAPHQL_MAX_ROOT_FIELDS": (1, 200),
    "GRAPHQL_MAX_ALIASES": (0, 1_000),
    "GRAPHQL_MAX_DIRECTIVES": (0, 1_000),
    "GRAPHQL_MAX_COST": (1_000, 50_000),
}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def load(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Settings.load(_env_file=None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENVIRONMENT", "staging"),
        ("PORT", "eighty"),
        ("PORT", "70000"),
        ("ALLOWED_ORIGINS", "app.example.com"),
        ("ALLOWED_ORIGINS", "https://app.example.com/"),
        ("ALLOWED_ORIGINS", "*"),
        ("ALLOWED_ORIGINS", "https://*.example.com"),
        ("ALLOWED_ORIGINS", "https://user@app.example.com"),
        ("ALLOWED_ORIGINS", "https://App.example.com"),
        ("ALLOWED_ORIGINS", "https://app.example.com:443"),
        ("BETA_INVITE_CODE", "   "),
        ("BETA_INVITE_CODE", "1"),
        ("LOG_LEVEL", "loud"),
        ("CLERK_DOMAIN", "https://clerk.example.com/path"),
        ("CLERK_ISSUER", "clerk.example.com"),
        ("CLERK_WEBHOOK_SECRET", "whsec_short"),
        ("CLERK_WEBHOOK_SECRET", f"v1,{SECRET_A}"),
        ("CLERK_AUTHORIZED_PARTIES", "app"),
        ("SUPABASE_URL", "project.supabase.co"),
        ("SUPABASE_JWT_SECRET", "too-short"),
        ("OIDC_ISSUERS", "not json"),
        ("OIDC_ISSUERS", '[{"issuer": "https://id.example.com"}]'),
        ("OIDC_ISSUERS", '[{"issuer": "https://id.example.com", "audience": "x", "algorithms": ["HS256"]}]'),
        ("OIDC_ISSUERS", '[{"issuer": "https://id.example.com", "audience": "x", "algorithms": ["none"]}]'),
        ("TRIAL_DAYS", "-1"),
        ("INVITE_CODE_ENABLED", "perhaps"),
        ("API_KEY_ENCRYPTION_KEY", "c2hvcnQ="),
        ("CHAT_BASE_URL", "https://user:hunter2@llm.example.com/v1"),
        ("CLERK_API_URL", "https://user@api.example.com"),
        ("UPGRADE_URL", "https://user:@app.example.com"),
        *((name, str(value)) for name, bounds in LIMITS.items() for value in (bounds[0] - 1, bounds[1] + 1, "many")),
    ],
)
def test_a_wrong_value_is_one_line_with_the_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(monkeypatch, **{name: value})
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"DATABASE_URL": ""}, "DATABASE_URL"),
        ({"MAX_BODY_MB": "0"}, "MAX_BODY_MB"),
        ({"MAX_BODY_MB": "101"}, "MAX_BODY_MB"),
        ({"MAX_BODY_MB": "25MB"}, "MAX_BODY_MB"),
        ({"CLERK_DOMAIN": ""}, "CLERK_DOMAIN"),
        ({"CLERK_WEBHOOK_SECRET": ""}, "CLERK_WEBHOOK_SECRET"),
        ({"DEV_ISSUER_ENABLED": "true"}, "DEV_ISSUER_ENABLED"),
        ({"DEV_USER_HEADER_ENABLED": "true"}, "DEV_USER_HEADER_ENABLED"),
    ],
)
def test_production_does_not_start_half_configured(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, str], named: str
) -> None:
    with pytest.raises(SettingsError, match=f"^{named}"):
        load(monkeypatch, **(PRODUCTION | change))


def test_production_is_closed_unless_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, **PRODUCTION)
    assert (settings.graphiql, settings.introspection, settings.local_issuer) == (False, False, False)
    opened = load(monkeypatch, GRAPHIQL_ENABLED="true", INTROSPECTION_ENABLED="1", **PRODUCTION)
    assert (opened.graphiql, opened.introspection) == (True, True)


@pytest.mark.parametrize("written", ["", "  "])
def test_a_server_is_for_production_unless_told(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    """`ENVIRONMENT: ${ENVIRONMENT}` of a compose file is an empty string where nobody set it."""
    for name, value in (PRODUCTION | {"ENVIRONMENT": written}).items():
        monkeypatch.setenv(name, value)
    settings = Settings.of_server()
    assert (settings.environment, settings.local_issuer) == ("production", False)
    monkeypatch.delenv("ENVIRONMENT")
    assert Settings.of_server().environment == "production"
    monkeypatch.setenv("ENVIRONMENT", "test")
    assert Settings.of_server().environment == "test"


def test_no_secret_shows_in_repr_or_error(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, CLERK_SECRET_KEY="sk_live_abcdef", SUPABASE_JWT_SECRET="s" * 40, **PRODUCTION)
    for secret in ("hunter2", "sk_live_abcdef", "s" * 40, "AAECAwQF"):
        assert secret not in repr(settings) + str(settings)
    with pytest.raises(SettingsError) as caught:
        load(monkeypatch, CLERK_WEBHOOK_SECRET="whsec_verysecret")
    assert "verysecret" not in str(caught.value)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (
            {"ALLOWED_ORIGINS": "https://a.example, http://localhost:3000"},
            {"allowed_origins": ("https://a.example", "http://localhost:3000")},
        ),
        ({"CLERK_DOMAIN": "https://clerk.example.com/"}, {"clerk_issuer_url": "https://clerk.example.com"}),
        ({"CLERK_ISSUER": "https://clerk.example.com"}, {"clerk_issuer_url": "https://clerk.example.com"}),
        ({"CLERK_WEBHOOK_SECRET": f"{SECRET_A}, {SECRET_B}"}, {"webhook_secrets": (SECRET_A, SECRET_B)}),
        ({"LOG_LEVEL": "WARNING"}, {"log_level": "warning"}),
        ({"DATABASE_URL": ""}, {"database_url": None}),
        ({}, {"environment": "development", "local_issuer": True, "graphiql": True, "port": 8000, "max_body_mb": 25}),
    ],
)
def test_values_are_read_as_people_write_them(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: dict[str, Any]
) -> None:
    settings = load(monkeypatch, **environment)
    assert {name: getattr(settings, name) for name in expected} == expected


def test_the_limits_of_documents_are_those_of_the_engine_unless_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits_of(load(monkeypatch)) == Limits()
    for end in (0, 1):
        values = {name: bounds[end] for name, bounds in LIMITS.items()}
        limits = limits_of(load(monkeypatch, **{name: str(value) for name, value in values.items()}))
        names = ("tokens", "depth", "root_fields", "aliases", "directives", "cost")
        assert [getattr(limits, name) for name in names] == list(values.values())
        assert limits.executed_fields >= limits.cost


def test_the_guide_has_the_limits_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    guide = (Path(__file__).parents[1] / "docs/documents.md").read_text()
    told = {name: int(most.replace(",", "")) for most, name in re.findall(r"\| ([\d,]+) \| `(GRAPHQL_MAX_\w+)`", guide)}
    settings = load(monkeypatch)
    assert told == {name: getattr(settings, name.lower()) for name in LIMITS}


def test_settings_do_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch)
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1  # type: ignore[misc]  # that is the point

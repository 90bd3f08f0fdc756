"""One frozen Settings: the only module that reads the environment. What a value means is for its user to say."""

import base64
import binascii
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from pydantic_settings import SettingsError as SourceError

_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?")
_DEFAULT_PORTS = {"http": 80, "https": 443}

CommaList = Annotated[tuple[str, ...], NoDecode]
Asymmetric = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class SettingsError(Exception):
    """The environment is wrong; the message is one line that names the variable and the remedy."""


class OidcIssuer(BaseModel, frozen=True, extra="forbid"):
    """One entry of OIDC_ISSUERS. Without `jwks_url` the keys are found by discovery."""

    issuer: str
    audience: str
    algorithms: tuple[Asymmetric, ...] = ("RS256",)
    jwks_url: str | None = None


class Settings(BaseSettings):
    """Everything that can be set from outside, checked. Secrets are `SecretStr`, so no repr or log shows them."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    environment: Literal["development", "test", "production"] = "development"
    gatehouse_home: Path = Path(".gatehouse")
    database_url: SecretStr | None = None
    database_direct_url: SecretStr | None = None
    database_read_url: SecretStr | None = None
    port: int = Field(8000, ge=1, le=65535)
    max_body_mb: int = Field(25, ge=1, le=100)
    allowed_origins: CommaList = ()
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    clerk_secret_key: SecretStr | None = None
    clerk_webhook_secret: SecretStr | None = None
    clerk_domain: str | None = None
    clerk_issuer: str | None = None
    clerk_audience: str | None = None
    clerk_authorized_parties: CommaList = ()
    clerk_jwks_url: str | None = None
    clerk_api_url: str = "https://api.clerk.com"
    supabase_url: str | None = None
    supabase_jwt_secret: SecretStr | None = None
    oidc_issuers: tuple[OidcIssuer, ...] = ()

    beta_invite_code: SecretStr | None = None
    invite_code_enabled: bool = True
    trial_days: int = Field(30, ge=0, le=3650)
    api_key_encryption_key: SecretStr | None = None
    plans_file: Path | None = None
    upgrade_url: str | None = None

    chat_base_url: str | None = None
    chat_api_key: SecretStr | None = None
    chat_model: str | None = None

    engine: Literal["compiled", "graphql-core"] = "compiled"
    graphql_max_tokens: int = Field(3_000, ge=200, le=10_000)
    graphql_max_depth: int = Field(40, ge=18, le=100)
    graphql_max_root_fields: int = Field(50, ge=1, le=200)
    graphql_max_aliases: int = Field(100, ge=0, le=1_000)
    graphql_max_directives: int = Field(100, ge=0, le=1_000)
    graphql_max_cost: int = Field(20_000, ge=1_000, le=50_000)
    graphiql_enabled: bool | None = None
    introspection_enabled: bool | None = None
    dev_issuer_enabled: bool | None = None
    dev_user_header_enabled: bool = False

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read and check the environment; `SettingsError` with one line where something is wrong.

        `overrides` win over the environment; `_env_file=None` leaves `.env` unread.
        """
        try:
            return cls(**overrides)
        except ValidationError as error:
            first = error.errors()[0]
            name = "_".join(str(part) for part in first["loc"][:1]).upper()
            words = str(first["msg"]).removeprefix("Value error, ")
            raise SettingsError(f"{name}: {words}" if name else words) from None
        except SourceError as error:
            field = re.search(r'"(\w+)"', str(error))
            raise SettingsError(f"{field[1].upper() if field else 'Settings'}: not valid JSON.") from None

    @classmethod
    def of_server(cls) -> Self:
        """As a server reads it: from the environment alone, and for production unless ENVIRONMENT says otherwise."""
        named = os.environ.get("ENVIRONMENT", "").strip()
        return cls.load(_env_file=None, **({} if named else {"environment": "production"}))

    @field_validator("allowed_origins", "clerk_authorized_parties", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("allowed_origins", "clerk_authorized_parties")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not _ORIGIN.fullmatch(origin) or urlsplit(origin).port == _DEFAULT_PORTS[urlsplit(origin).scheme]:
                raise ValueError(
                    f"browsers send no {origin!r}; write scheme://host[:port], lower case, no default port."
                )
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("clerk_issuer", "clerk_jwks_url", "clerk_api_url", "supabase_url", "upgrade_url", "chat_base_url")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"https?://[^/\s]+", value):
            raise ValueError("not a URL; write https://host.")
        # URLs are logged, and shown to clients.
        if value is not None and "@" in urlsplit(value).netloc:
            raise ValueError("write it without user and password.")
        return value and value.rstrip("/")

    @field_validator("clerk_domain")
    @classmethod
    def _is_host(cls, value: str | None) -> str | None:
        host = value and value.removeprefix("https://").rstrip("/")
        if host and not re.fullmatch(r"[A-Za-z0-9.-]+", host):
            raise ValueError("write the host of the Frontend API only, such as clerk.example.com.")
        return host

    @field_validator("clerk_webhook_secret")
    @classmethod
    def _are_webhook_secrets(cls, value: SecretStr | None) -> SecretStr | None:
        for secret in value.get_secret_value().split(",") if value else ():
            # svix skips characters of the URL-safe alphabet and would go on with another, shorter key.
            plain = secret.strip().removeprefix("whsec_")
            if re.search("[-_]", plain) or len(_decoded(plain)) < 16:
                raise ValueError("each secret is whsec_ and base64, as the provider's dashboard shows it.")
        return value

    @field_validator("supabase_jwt_secret")
    @classmethod
    def _is_long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value and len(value.get_secret_value().encode()) < 32:
            raise ValueError("at least 32 bytes, or HS256 can be guessed (RFC 7518, section 3.2).")
        return value

    @field_validator("beta_invite_code")
    @classmethod
    def _is_no_guess(cls, value: SecretStr | None) -> SecretStr | None:
        if value and len(value.get_secret_value().strip()) < 6:
            raise ValueError("at least 6 characters; leave it out to have no shared code.")
        return value

    @field_validator("api_key_encryption_key")
    @classmethod
    def _is_aes_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value and len(_decoded(value.get_secret_value())) != 32:
            raise ValueError("write 32 random bytes in base64: openssl rand -base64 32.")
        return value

    @model_validator(mode="after")
    def _names_a_model(self) -> Self:
        if self.chat_base_url and not self.chat_model:
            raise ValueError("CHAT_MODEL: not set; name the model that CHAT_BASE_URL shall answer with.")
        if self.chat_base_url is None and (self.chat_api_key or self.chat_model):
            raise ValueError("CHAT_BASE_URL: not set; write the endpoint, such as https://api.openai.com/v1.")
        return self

    @model_validator(mode="after")
    def _is_fit_for_production(self) -> Self:
        if self.environment != "production":
            return self
        if self.dev_issuer_enabled:
            raise ValueError("DEV_ISSUER_ENABLED: must be off when ENVIRONMENT is production.")
        if self.dev_user_header_enabled:
            raise ValueError("DEV_USER_HEADER_ENABLED: must be off when ENVIRONMENT is production.")
        if self.database_url is None:
            raise ValueError("DATABASE_URL: not set; production needs a Postgres to connect to.")
        if not (self.clerk_issuer_url or self.supabase_url or self.oidc_issuers):
            raise ValueError("CLERK_DOMAIN, SUPABASE_URL or OIDC_ISSUERS: set one, or no token can be verified.")
        if self.clerk_issuer_url and self.clerk_webhook_secret is None:
            raise ValueError("CLERK_WEBHOOK_SECRET: not set; without it no webhook of Clerk can be verified.")
        return self

    @property
    def clerk_issuer_url(self) -> str | None:
        """The `iss` of Clerk's tokens: CLERK_ISSUER, or what CLERK_DOMAIN says."""
        return self.clerk_issuer or (f"https://{self.clerk_domain}" if self.clerk_domain else None)

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        """The secrets a webhook of Clerk may be signed with; several while one is being replaced."""
        joined = self.clerk_webhook_secret.get_secret_value() if self.clerk_webhook_secret else ""
        return tuple(part.strip() for part in joined.split(",") if part.strip())

    @property
    def local_issuer(self) -> bool:
        """Whether tokens of the local issuer count: in development unless switched off, elsewhere only when asked."""
        return self.environment == "development" if self.dev_issuer_enabled is None else self.dev_issuer_enabled

    @property
    def clock_file(self) -> Path | None:
        """Where processes of this folder read how far their clock is moved; None in production, where it never is."""
        return None if self.environment == "production" else self.gatehouse_home / "clock"

    @property
    def graphiql(self) -> bool:
        return self.environment != "production" if self.graphiql_enabled is None else self.graphiql_enabled

    @property
    def introspection(self) -> bool:
        return self.environment != "production" if self.introspection_enabled is None else self.introspection_enabled


def _decoded(text: str) -> bytes:
    altchars = b"-_" if re.search("[-_]", text) else None
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars, validate=True)
    except (binascii.Error, ValueError):
        return b""

"""Every table, imported here so that the metadata is complete."""

from db.models.accounts import USERNAME, USERNAME_RULE, Identity, User
from db.models.api_keys import SCOPES, ApiKey
from db.models.base import Base
from db.models.deliveries import WebhookDelivery
from db.models.idempotency import IdempotencyRecord
from db.models.invites import Invite, InviteAttempt

__all__ = [
    "SCOPES",
    "USERNAME",
    "USERNAME_RULE",
    "ApiKey",
    "Base",
    "IdempotencyRecord",
    "Identity",
    "Invite",
    "InviteAttempt",
    "User",
    "WebhookDelivery",
]

"""Every table, imported here so that the metadata is complete."""

from db.models.account_writes import AccountWrite
from db.models.accounts import USERNAME, USERNAME_RULE, Identity, User
from db.models.api_keys import SCOPES, ApiKey
from db.models.audit import AuditEvent
from db.models.base import Base, new_id
from db.models.chat import ChatMessage, ChatRole, ChatStatus, Conversation
from db.models.deliveries import WebhookDelivery
from db.models.idempotency import IdempotencyRecord
from db.models.invites import Invite, InviteAttempt
from db.models.portfolios import InvestmentClass, OptionType, Portfolio, Position
from db.models.scans import Finding, Scan, ScanStatus, Severity
from db.models.usage import UNLIMITED, UNMETERED, Counter, LedgerEntry, Override, UsageDay

__all__ = [
    "SCOPES",
    "UNLIMITED",
    "UNMETERED",
    "USERNAME",
    "USERNAME_RULE",
    "AccountWrite",
    "ApiKey",
    "AuditEvent",
    "Base",
    "ChatMessage",
    "ChatRole",
    "ChatStatus",
    "Conversation",
    "Counter",
    "Finding",
    "IdempotencyRecord",
    "Identity",
    "InvestmentClass",
    "Invite",
    "InviteAttempt",
    "LedgerEntry",
    "OptionType",
    "Override",
    "Portfolio",
    "Position",
    "Scan",
    "ScanStatus",
    "Severity",
    "UsageDay",
    "User",
    "WebhookDelivery",
    "new_id",
]

"""What each provider's own objects say, as facts about an identity. How facts are merged is in accounts."""

from domain.accounts import IdentityFacts
from integrations.clerk import ClerkUser


def facts_from_clerk(user: ClerkUser, issuer: str) -> IdentityFacts:
    """A user object of Clerk, from a webhook or the Backend API alike: complete, as of its `updated_at`."""
    return IdentityFacts(
        issuer=issuer,
        subject=user.id,
        as_of=user.updated_at,
        complete=True,
        email=user.email,
        email_verified=user.email_verified,
        full_name=user.full_name,
        username=user.username,
        image_url=user.image_url,
    )

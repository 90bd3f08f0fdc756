"""The table of last writes: how far a replica must have come to show an account what was written for it."""

from uuid import UUID

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


class AccountWrite(Base):
    """The last transaction that wrote for an account, as `xid8` counts them. Written only where there is a replica."""

    __tablename__ = "account_writes"
    # Room on the page for the next version of a row that changes all the time.
    __table_args__ = ({"postgresql_with": {"fillfactor": 50}},)

    # No foreign key: to check it would lock the row of the user, for a note that harms nobody when its user is gone.
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    transaction: Mapped[int] = mapped_column(BigInteger)

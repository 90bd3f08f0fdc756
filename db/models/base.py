"""What every table shares: names of constraints, types of columns, ids. Columns of a noun live in its own module."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from sqlalchemy import DateTime, LargeBinary, MetaData, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from uuid_utils.compat import uuid7 as new_id

__all__ = ["Base", "HasId", "new_id"]


class Base(DeclarativeBase):
    """Times are `timestamptz` and come from `clock.now()`: no column asks the database for the time."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )
    type_annotation_map: ClassVar = {datetime: DateTime(timezone=True), str: Text, bytes: LargeBinary}


class HasId:
    """A UUIDv7 (RFC 9562) made here, since Postgres makes them only from version 18 on."""

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id, sort_order=-1)

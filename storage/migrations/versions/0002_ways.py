"""Several processes on one database, messages to many, and people logged in to the pages."""

from __future__ import annotations

from zlib import crc32

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "campaigns",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("community_id", sa.BigInteger(), nullable=False),
        sa.Column("author_id", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("media", sa.String(), nullable=False),
        sa.Column("audience", sa.String(), nullable=False),
        sa.Column("reached", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("queued", sa.Integer(), nullable=False),
        sa.Column("sent", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("withheld", sa.Integer(), nullable=False),
        sa.Column("unknown", sa.Integer(), nullable=False),
        sa.Column("progress", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "state IN ('draft', 'running', 'paused', 'cancelled', 'done')",
            name=op.f("ck_campaigns_state"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaigns")),
    )
    with op.batch_alter_table("campaigns", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_campaigns_author_id"), ["author_id"], unique=False)
        batch_op.create_index(
            "ix_campaigns_community_id_state", ["community_id", "state"], unique=False
        )

    op.create_table(
        "sessions",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_sessions")),
    )
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_sessions_member_id"), ["member_id"], unique=False)

    op.create_table(
        "shares",
        sa.Column("share", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("taken", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("share", name=op.f("pk_shares")),
    )
    with op.batch_alter_table("pending", schema=None) as batch_op:
        batch_op.add_column(sa.Column("share", sa.Integer(), server_default="0", nullable=False))
    for name, columns, where in FEW:
        only = sa.text(where)
        op.create_index(name, "members", columns, sqlite_where=only, postgresql_where=only)
    op.bulk_insert(
        sa.table("shares", sa.column("share"), sa.column("taken")),
        [{"share": share, "taken": 0} for share in range(SHARES + 1)],
    )
    _shared_out()


FEW = (
    ("ix_members_zone", ["community_id", "zone"], "zone <> ''"),
    ("ix_members_role", ["community_id", "role"], "role <> 'member'"),
)
SHARES = 64  # and one more, for all that is going out


def _shared_out() -> None:
    """What waits already gets the share of its lane."""
    pending = sa.table("pending", sa.column("id"), sa.column("lane"), sa.column("share"))
    connection = op.get_bind()
    for id, lane in connection.execute(sa.select(pending.c.id, pending.c.lane)).all():
        share = crc32(lane.encode()) % SHARES
        connection.execute(pending.update().where(pending.c.id == id).values(share=share))


def downgrade() -> None:
    for name, _, _ in FEW:
        op.drop_index(name, table_name="members")
    with op.batch_alter_table("pending", schema=None) as batch_op:
        batch_op.drop_column("share")

    op.drop_table("shares")
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_sessions_member_id"))

    op.drop_table("sessions")
    with op.batch_alter_table("campaigns", schema=None) as batch_op:
        batch_op.drop_index("ix_campaigns_community_id_state")
        batch_op.drop_index(batch_op.f("ix_campaigns_author_id"))

    op.drop_table("campaigns")

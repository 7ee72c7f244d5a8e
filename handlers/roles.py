"""Roles: what somebody is in a community, and what that lets them do."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """From least to most; each may do what those before it may."""

    MEMBER = "member"
    STAFF = "staff"
    ADMIN = "admin"
    OWNER = "owner"

    def may(self, needed: Role) -> bool:
        """Whether this role is enough where `needed` is asked for."""
        return RANKS[self] >= RANKS[needed]


RANKS = {role: rank for rank, role in enumerate(Role)}

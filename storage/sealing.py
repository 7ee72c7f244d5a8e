"""Sealing: names and messages are kept encrypted, each bound to the very cell it lies in."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from dataclasses import dataclass
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
ID_BYTES = 4
NONCE_BYTES = 12


class Unsealable(Exception):
    """A sealed value that none of our keys opens: the wrong key, or a value moved or changed."""


class BadKey(ValueError):
    """A sealing key that is not 32 bytes in base64."""


class Sealed(NamedTuple):
    """Text on its way into a sealed cell; the writer seals it as it writes."""

    table: str
    column: str
    row: int
    text: str


@dataclass(frozen=True, slots=True)
class Seal:
    """AES-256-GCM under the first key; older keys still open what they sealed.

    A cell is: 4 bytes that name the key, 12 of nonce, then ciphertext and tag.
    The additional data is "table.column.row", so that a value copied into
    another row or column does not open.
    """

    keys: dict[bytes, AESGCM]
    current: bytes

    @classmethod
    def of(cls, secret: str) -> Seal:
        """From base64 keys, separated by commas, the one to seal with first."""
        raw = [_key(part) for part in secret.split(",")]
        keys = {_name(key): AESGCM(key) for key in raw}
        return cls(keys, _name(raw[0]))

    @property
    def fingerprint(self) -> str:
        """A name for the current key that may be shown."""
        return self.current.hex()

    def seal(self, value: Sealed) -> bytes:
        """The cell for this text."""
        nonce = os.urandom(NONCE_BYTES)
        plain = value.text.encode("utf-8", "replace")
        sealed = self.keys[self.current].encrypt(nonce, plain, _place(*value[:3]))
        return self.current + nonce + sealed

    def open(self, table: str, column: str, row: int, cell: bytes | None) -> str:
        """The text in this cell; an empty cell gives an empty text.  Raises `Unsealable`."""
        if not cell:
            return ""
        key = self.keys.get(bytes(cell[:ID_BYTES]))
        if key is None:
            have = ", ".join(one.hex() for one in self.keys)
            raise Unsealable(
                f"{table}.{column} was sealed under the key {bytes(cell[:ID_BYTES]).hex()}, and"
                f" BOT_STORAGE__SEAL_KEY has {have}; set it to the key of this database, or put"
                " that one behind the new one, with a comma between"
            )
        nonce = cell[ID_BYTES : ID_BYTES + NONCE_BYTES]
        try:
            plain = key.decrypt(nonce, cell[ID_BYTES + NONCE_BYTES :], _place(table, column, row))
        except InvalidTag as error:
            raise Unsealable(f"{table}.{column} of row {row} does not open") from error
        return plain.decode()


def fresh_key() -> str:
    """A new key, in base64, for BOT_STORAGE__SEAL_KEY."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadKey("not base64") from error
    if len(key) != KEY_BYTES:
        raise BadKey(f"{len(key)} bytes instead of {KEY_BYTES}")
    return key


def _name(key: bytes) -> bytes:
    return hashlib.sha256(b"innkeeper seal key" + key).digest()[:ID_BYTES]


def _place(table: str, column: str, row: int) -> bytes:
    return f"{table}.{column}.{row}".encode()

"""Credentials, and the signing of one request: OAuth 1.0a, one-legged, HMAC-SHA1, all of it in the header."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass, field
from datetime import datetime

from requests_oauthlib import OAuth1


@dataclass(frozen=True)
class Credentials:
    """What BrickLink's API consumer page issues for a store and an address; the repr shows none of it."""

    consumer_key: str = field(repr=False)
    consumer_secret: str = field(repr=False)
    token_value: str = field(repr=False)
    token_secret: str = field(repr=False)


def new_nonce() -> str:
    """A nonce that was never used before: 128 random bits, whatever thread or process asks."""
    return secrets.token_hex(16)


def signer(credentials: Credentials, nonce: str, now: datetime) -> OAuth1:
    """What signs one request, query parameters included. For one request only: the nonce is in it."""
    return OAuth1(
        credentials.consumer_key,
        client_secret=credentials.consumer_secret,
        resource_owner_key=credentials.token_value,
        resource_owner_secret=credentials.token_secret,
        signature_method="HMAC-SHA1",
        signature_type="AUTH_HEADER",
        nonce=nonce,
        timestamp=str(int(now.timestamp())),
    )


def _above_debug(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG


# At level DEBUG these two write keys, tokens and signatures into the log. Whoever turns DEBUG on for all
# loggers does not mean that.
for _name in ("oauthlib.oauth1.rfc5849", "requests_oauthlib.oauth1_auth"):
    logging.getLogger(_name).addFilter(_above_debug)

"""The signing of one request: OAuth 1.0a, one-legged, HMAC-SHA1, all of it in the header."""

from __future__ import annotations

import logging
import secrets
from datetime import datetime

from oauthlib.oauth1 import SIGNATURE_HMAC_SHA1, Client

from bl_pipeline.bricklink.transport import Method
from bl_pipeline.records import Credentials


def new_nonce() -> str:
    """A nonce that was never used before, in any thread or process: 128 random bits."""
    return secrets.token_hex(16)


def authorization(credentials: Credentials, method: Method, url: str, nonce: str, now: datetime) -> str:
    """The header `Authorization` of one request, for one attempt only: the nonce is in it.

    It signs the method and the URL, query parameters included. A JSON body is no part of the signature.
    """
    client = Client(
        credentials.consumer_key,
        client_secret=credentials.consumer_secret,
        resource_owner_key=credentials.token_value,
        resource_owner_secret=credentials.token_secret,
        signature_method=SIGNATURE_HMAC_SHA1,
        nonce=nonce,
        timestamp=str(int(now.timestamp())),
    )
    _, headers, _ = client.sign(url, http_method=method)
    return str(headers["Authorization"])


def _above_debug(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG


# At level DEBUG it writes keys, tokens and signatures into the log. Whoever turns DEBUG on for all loggers does not
# mean that.
logging.getLogger("oauthlib.oauth1.rfc5849").addFilter(_above_debug)

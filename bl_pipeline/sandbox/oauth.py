"""Who is asking: OAuth 1.0a as BrickLink checks it, by oauthlib's server side."""

# oauthlib calls these methods with more arguments than they need here.
# ruff: noqa: ARG002

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from threading import Lock
from typing import NamedTuple

from oauthlib.common import Request
from oauthlib.oauth1 import RequestValidator, ResourceEndpoint

_ALPHABET = "0123456789ABCDEF"


@dataclass(frozen=True)
class Credentials:
    """The four secrets of a store's API access."""

    consumer_key: str
    consumer_secret: str
    token_value: str
    token_secret: str

    @classmethod
    def generate(cls, seed: int | None = None) -> "Credentials":
        """Credentials as long as BrickLink's: the same for the same seed; without a seed, new ones."""
        rng: Random = secrets.SystemRandom() if seed is None else Random(f"{seed}/credentials")
        return cls(*("".join(rng.choices(_ALPHABET, k=32)) for _ in range(4)))

    def environment(self) -> dict[str, str]:
        """The credentials as environment variables."""
        return {
            "BRICKLINK_CONSUMER_KEY": self.consumer_key,
            "BRICKLINK_CONSUMER_SECRET": self.consumer_secret,
            "BRICKLINK_TOKEN_VALUE": self.token_value,
            "BRICKLINK_TOKEN_SECRET": self.token_secret,
        }

    def __repr__(self) -> str:
        return "Credentials(...)"


class Signature(NamedTuple):
    """What a request said of itself, as far as it said anything, and why it is refused, if it is."""

    nonce: str | None
    timestamp: str | None
    signature: str | None
    refusal: str | None


class Verifier:
    """Checks signed requests, and stores every nonce it has seen; safe to use from many threads.

    Args:
        credentials: the only ones that are let in.
        timestamp_lifetime: how many seconds a request's timestamp may be off.
    """

    def __init__(self, credentials: Credentials, timestamp_lifetime: int) -> None:
        self._credentials = credentials
        self._timestamp_lifetime = timestamp_lifetime
        self._nonces: set[str] = set()
        self._lock = Lock()

    def verify(self, url: str, method: str, authorization: str | None) -> Signature:
        """Check a request, and use up its nonce.

        Args:
            url: the whole URL the client has signed, query included.
            authorization: the header of this name.
        """
        if authorization is None or not authorization.lower().startswith("oauth "):
            return Signature(None, None, None, "PARAMETER_ABSENT: Authorization header")
        validator = _Validator(self._credentials, self._spend, self._timestamp_lifetime)
        try:
            valid, request = ResourceEndpoint(validator).validate_protected_resource_request(
                url, method, "", {"Authorization": authorization}, []
            )
        except ValueError:
            # oauthlib raises it for a header or a query that it cannot parse.
            valid, request = False, None
        if request is None:
            return Signature(None, None, None, "PARAMETER_REJECTED: Authorization header")
        refusal = None if valid else validator.refusal
        return Signature(request.nonce, request.timestamp, request.signature, refusal)

    def _spend(self, nonce: str) -> bool:
        with self._lock:
            if nonce in self._nonces:
                return False
            self._nonces.add(nonce)
            return True


class _Validator(RequestValidator):
    """oauthlib's questions, answered for one request; `refusal` says what is wrong with a refused one."""

    def __init__(self, credentials: Credentials, spend: Callable[[str], bool], timestamp_lifetime: int) -> None:
        super().__init__()
        self._credentials = credentials
        self._spend = spend
        self._lifetime = timestamp_lifetime
        self.refusal = "SIGNATURE_INVALID: Invalid Signature"

    @property
    def enforce_ssl(self) -> bool:
        return False

    @property
    def allowed_signature_methods(self) -> tuple[str, ...]:
        return ("HMAC-SHA1",)

    @property
    def timestamp_lifetime(self) -> int:
        return self._lifetime

    @property
    def dummy_client(self) -> str:
        return "no such consumer"

    @property
    def dummy_access_token(self) -> str:
        return "no such token"

    # oauthlib's own rules for the form of keys and nonces are narrower than what clients send.

    def check_client_key(self, client_key: str) -> bool:
        return bool(client_key)

    def check_access_token(self, request_token: str) -> bool:
        return bool(request_token)

    def check_nonce(self, nonce: str) -> bool:
        return bool(nonce)

    def validate_timestamp_and_nonce(
        self,
        client_key: str,
        timestamp: str,
        nonce: str,
        request: Request,
        request_token: str | None = None,
        access_token: str | None = None,
    ) -> bool:
        if self._spend(nonce):
            return True
        self.refusal = "NONCE_USED: Nonce already used"
        return False

    def validate_client_key(self, client_key: str, request: Request) -> bool:
        known = secrets.compare_digest(client_key.encode(), self._credentials.consumer_key.encode())
        if not known:
            self.refusal = "CONSUMER_KEY_UNKNOWN: Invalid Consumer Key"
        return known

    def validate_access_token(self, client_key: str, token: str, request: Request) -> bool:
        known = secrets.compare_digest(token.encode(), self._credentials.token_value.encode())
        if not known:
            self.refusal = "TOKEN_REJECTED: Invalid Access Token"
        return known

    def validate_realms(
        self,
        client_key: str,
        token: str,
        request: Request,
        uri: str | None = None,
        realms: list[str] | None = None,
    ) -> bool:
        return True

    # Also asked for the dummies above, whose requests are refused whatever their signature.

    def get_client_secret(self, client_key: str, request: Request) -> str:
        return self._credentials.consumer_secret

    def get_access_token_secret(self, client_key: str, token: str, request: Request) -> str:
        return self._credentials.token_secret

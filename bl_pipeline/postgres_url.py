"""BL_DATABASE_URL, read and checked before anything connects; no message shows anything of its password."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

_ENCODE = (
    "a special character must be percent-encoded, most often one in the password: "
    "write @ as %40, / as %2F, # as %23, ? as %3F, & as %26 and % as %25"
)


def parse_postgres_url(value: str) -> URL:
    """Parse a Postgres URL; nothing else does.

    Raises ValueError if it is not one, if it can be read in two ways, or if it has a parameter that no connection
    takes; the message shows nothing of it but the name of such a parameter.
    """
    from sqlalchemy.engine import make_url  # noqa: PLC0415  (quick to start if there is no URL)
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    scheme, _, rest = value.partition("://")
    head, _, parameters = rest.partition("?")
    at = head.count("@")
    if (
        at > 1
        or (at and "@" not in head.partition("/")[0])
        or (not at and "@" in parameters and (":" in head or "/" not in head))
        or "#" in rest
        or re.search("%(?![0-9A-Fa-f]{2})", rest)
    ):
        raise ValueError(_ENCODE)
    if "%00" in rest:
        raise ValueError("has %00, a character that Postgres does not take; if a password has these three, write %2500")
    try:
        url = make_url(value)
        fits = (
            scheme in ("postgresql", "postgres")
            and bool(url.database)
            and (url.port is None or 0 < url.port < 65536)
            and re.fullmatch(r"[\w.:%-]*", url.host or "")
            and all("=" in parameter for parameter in parameters.split("&") if parameter)
        )
    except (ArgumentError, ValueError):
        fits = False
    if not fits:
        # Not the parser's own error: it would show the URL, and with it the password.
        raise ValueError("must look like postgresql://user:password@host:5432/database")
    if parameters:
        _check_parameters(url, parameters)
    if url.host and url.host.lower().startswith("%2f"):
        # The folder of a Unix socket.
        return url._replace(host=None).update_query_dict({"host": unquote(url.host)})
    return url


def _check_parameters(url: URL, parameters: str) -> None:
    """Raise ValueError for a parameter that one of the two drivers does not know: ours, or Dagster's."""
    from psycopg import pq  # noqa: PLC0415
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    ours = (option.keyword.decode() for option in pq.Conninfo.get_defaults())
    names = {name for name in ours if _dagster_takes(name)}
    unknown = [name for name in url.query if name not in names]
    if unknown and ("@" in parameters or any("password" in name or "secret" in name for name in url.query)):
        # What looks like a name may be the rest of a password.
        raise ValueError(f"has a parameter that Postgres does not know, or {_ENCODE}")
    for name in unknown:
        nearest = get_close_matches(name, names, n=1, cutoff=0.75)
        raise ValueError(
            f"has the parameter {name!r}, which Postgres does not know" + (f"; perhaps {nearest[0]}" if nearest else "")
        )
    try:
        url.set(drivername="postgresql+psycopg").get_dialect()().create_connect_args(url)
    except ArgumentError:
        raise ValueError("its parameters host and port do not fit each other; write host=name:port for each") from None


def _dagster_takes(name: str) -> bool:
    import psycopg2  # type: ignore[import-untyped]  # noqa: PLC0415
    from psycopg2.extensions import make_dsn  # type: ignore[import-untyped]  # noqa: PLC0415

    try:
        make_dsn(**{name: "1"})
    except psycopg2.ProgrammingError:
        return False
    return True

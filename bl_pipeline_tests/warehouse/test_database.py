"""A warehouse that cannot be used: what its user reads."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import psycopg
import pytest

from bl_pipeline.settings import SettingsError, load_settings
from bl_pipeline.warehouse.database import WarehouseError, open_warehouse
from bl_pipeline_tests.conftest import PASSWORD, as_user


def why_not(url: str) -> str:
    """The message if a warehouse cannot be opened; the password is never in it."""
    with pytest.raises(WarehouseError) as caught, open_warehouse(load_settings(env_file=None, bl_database_url=url)):
        pass
    message = str(caught.value)
    assert PASSWORD not in message
    assert len(message.splitlines()) % 2 == 0  # of each problem: what it is, and what to do
    assert caught.value.__cause__ is None
    return message


def test_a_user_who_may_not_make_tables(empty_database_url: str, weak_user: str) -> None:
    message = why_not(as_user(empty_database_url, weak_user))
    database = empty_database_url.rpartition("/")[2]
    assert "may not make schemas in the database" in message
    assert f'GRANT CREATE ON DATABASE "{database}" TO "{weak_user}"' in message


def test_tables_of_another_user(database_url: str, weak_user: str) -> None:
    message = why_not(as_user(database_url, weak_user))
    assert f'The user "{weak_user}" may not read the tables in the schema sync' in message
    assert f'GRANT USAGE ON SCHEMA sync TO "{weak_user}"' in message


def test_reports_of_another_user_that_have_to_be_made_anew(database_url: str, weak_user: str) -> None:
    """Only their owner can, which no grant on a table changes."""
    owner = urlsplit(database_url).username
    with psycopg.connect(database_url, autocommit=True) as admin:
        for schema in ("sync", "landing", "sales", "books", "reports"):
            admin.execute(f"GRANT ALL ON SCHEMA {schema} TO {weak_user}")
            admin.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {weak_user}")
        url = as_user(database_url, weak_user)
        with open_warehouse(load_settings(env_file=None, bl_database_url=url)):
            pass
        admin.execute("UPDATE sync.report_views SET digest = 'old'")
        message = why_not(url)
        assert f"They belong to {owner}, and only their owner may change them" in message
        assert f'GRANT "{owner}" TO "{weak_user}";' in message
        admin.execute(f'DROP OWNED BY "{weak_user}"')


Spoil = Callable[[str], str]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda url: f"{url}_of_nobody", "does not exist"),
        (lambda url: as_user(url, "nobody"), "authentication failed"),
        (lambda url: url.replace("127.0.0.1", "nowhere.invalid"), "failed to resolve host"),
    ],
    ids=["database", "user", "host"],
)
def test_a_connection_that_fails_says_what_to_check(empty_database_url: str, spoil: Spoil, reason: str) -> None:
    message = why_not(spoil(empty_database_url))
    assert "cannot be reached" in message
    assert reason in message
    assert "Check BL_DATABASE_URL (host, port, database, user, password)" in message


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        ("sslmode=full", 'invalid sslmode value: "full"'),
        ("connect_timeout=soon", "bad value for connect_timeout: 'soon'"),
        ("keepalives=yes", 'invalid integer value "yes" for connection option "keepalives"'),
        ("port=99999", 'invalid port number: "99999"'),
    ],
)
def test_a_value_in_the_url_that_no_connection_takes_is_a_wrong_setting(parameter: str, said: str) -> None:
    """Caught: it was a warehouse that cannot be reached (exit 6)."""
    settings = load_settings(env_file=None, bl_database_url=f"postgresql://me:{PASSWORD}@127.0.0.1:1/db?{parameter}")
    with pytest.raises(SettingsError) as caught, open_warehouse(settings):
        pass
    assert str(caught.value) == f"Settings to correct:\n  BL_DATABASE_URL: {said}"

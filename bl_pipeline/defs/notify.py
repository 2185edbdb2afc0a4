"""Messages for people: to the log, and to the addresses of BL_NOTIFY_URLS."""

import logging
from urllib.parse import unquote, urlsplit

from bl_pipeline.settings import Settings, SettingsError

_SHORTEST = 6


def notify(settings: Settings, *, title: str, message: str, log: logging.Logger) -> bool:
    """Log a message, and send it to the addresses set, such as mailto:// and json:// URLs of Apprise.

    Returns whether it has arrived: False if an address did not answer, which is logged. Raises SettingsError if an
    address is not understood.
    """
    message = without_secrets(settings, message)
    log.warning("%s: %s", title, message)
    addresses = settings.notify_urls
    if not addresses:
        return True
    import apprise  # noqa: PLC0415

    sender = apprise.Apprise()
    for number, address in enumerate(addresses, start=1):
        # The address contains a password, so the message has its position only.
        if not sender.add(address):
            raise SettingsError(f"BL_NOTIFY_URLS: address {number} is not one that Apprise understands.")
    arrived = bool(sender.notify(title=title, body=message))
    if not arrived:
        log.error("The message could not be sent to all addresses of BL_NOTIFY_URLS.")
    return arrived


def without_secrets(settings: Settings, text: str) -> str:
    """The text with every secret of the settings removed: errors of libraries may quote their arguments."""
    secrets: set[str] = set()
    for secret in settings.secrets:
        for part in secret.get_secret_value().split():
            password = urlsplit(part).password if "://" in part else None
            secrets |= {part, *((password, unquote(password)) if password else ())}
    # The longest first: a URL as a whole, before the password in it. What is too short is no secret, but part of words.
    for part in sorted((part for part in secrets if len(part) >= _SHORTEST), key=len, reverse=True):
        text = text.replace(part, "***")
    return text

"""Where readable messages go: the log, and whatever BL_NOTIFY_URLS names."""

import logging

from bl_pipeline.settings import Settings, SettingsError


def notify(settings: Settings, *, title: str, message: str, log: logging.Logger) -> None:
    """Log a message, and send it to the addresses set, such as mailto:// and json:// URLs of Apprise.

    Raises SettingsError where an address is not understood. One that does not answer is logged.
    """
    log.warning("%s: %s", title, message)
    addresses = settings.notify_urls
    if not addresses:
        return
    import apprise  # noqa: PLC0415

    sender = apprise.Apprise()
    for number, address in enumerate(addresses, start=1):
        # The address holds a password, so it is named by its place.
        if not sender.add(address):
            raise SettingsError(f"BL_NOTIFY_URLS: address {number} is not one that Apprise understands.")
    if not sender.notify(title=title, body=message):
        log.error("The message could not be sent to all addresses of BL_NOTIFY_URLS.")

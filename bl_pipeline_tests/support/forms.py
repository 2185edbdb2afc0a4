"""Forms of a page as a browser would send them."""

from __future__ import annotations

from html.parser import HTMLParser


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, list[str]]]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag == "form":
            self.found.append((given.get("action") or "", {}))
        elif tag == "input" and self.found and given.get("name"):
            self.found[-1][1].setdefault(str(given["name"]), []).append(given.get("value") or "")


def fields_of(page: str, action: str) -> dict[str, list[str]]:
    """The inputs of the first form that goes to this address, with their values. Boxes count as ticked."""
    parser = _Forms()
    parser.feed(page)
    return next(fields for where, fields in parser.found if where == action)

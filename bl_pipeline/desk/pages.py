"""Pages of the desk from templates: HTML in which every value is escaped."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from bl_pipeline.bricklink import OrderStatus, PaymentStatus
from bl_pipeline.desk import words
from bl_pipeline.desk.state import desks_of, find_desk, path_of
from bl_pipeline.reports.labels import heading
from bl_pipeline.wording import plural

_templates = Environment(
    loader=PackageLoader("bl_pipeline.desk"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters |= {
    "money": words.money,
    "when": words.when,
    "time_input": words.time_input,
    "day": words.day,
    "ago": words.ago,
    "plural": plural,
    "lines": words.lines,
    "reason": words.reason,
    "heading": heading,
}
_templates.globals |= {"order_statuses": tuple(OrderStatus), "payment_statuses": tuple(PaymentStatus)}


def page(request: Request, name: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """The page made of the template `name`.html, with these values and those that every page needs.

    `desk` is that of the store, or that of all stores; `root` is what the addresses of its pages begin with.
    """
    desks, desk = desks_of(request), find_desk(request)
    values = {
        "desks": desks,
        "desk": desk or desks,
        "store": desk.store if desk else None,
        "root": desk.root if desk else "",
        "path": path_of(request),
        "now": desks.all[0].clock(),
        "zone": desk.settings.bl_timezone if desk else desks.zone,
        **values,
    }
    return HTMLResponse(_templates.get_template(f"{name}.html").render(values), status_code=status)

"""Pages of the desk from templates: HTML in which every value is escaped."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from bl_pipeline.bricklink import OrderStatus, PaymentStatus
from bl_pipeline.desk import words
from bl_pipeline.desk.state import Desk
from bl_pipeline.reports.labels import heading, plural

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
    """The page made of the template `name`.html, with these values, and `desk`, `path` and `now` beside them."""
    desk: Desk = request.app.state.desk
    values = {
        "desk": desk,
        "path": request.url.path,
        "now": desk.clock(),
        "zone": desk.settings.bl_timezone,
        **values,
    }
    return HTMLResponse(_templates.get_template(f"{name}.html").render(values), status_code=status)

"""How each fault looks in an answer, down to the bytes that are sent."""

from typing import Any, NamedTuple

from bl_pipeline.sandbox.api import Envelope, as_bytes, refusal
from bl_pipeline.sandbox.faults import Fault
from bl_pipeline.sandbox.wire import Json

JSON_TYPE = "text/html;charset=utf-8"
"""What BrickLink calls its JSON."""

_NGINX = (
    "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{0}</h1></center>\r\n"
    "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
_MAINTENANCE = "<!DOCTYPE html><html><head><title>BrickLink</title></head><body>We'll be back soon.</body></html>"
ERROR_PAGE = "<!DOCTYPE html><html><head><title>Error</title></head><body>Oops, something went wrong.</body></html>"
_MONEY = ("grand_total", "unit_price_final", "unit_price")
_COUNTS = ("total_count", "quantity")
_IDS = ("order_id", "inventory_id")


class Answer(NamedTuple):
    """An answer as it is sent. `code` is the one in the envelope, None if there is no envelope.

    `length` is the length in the header if it is not the body's; the connection is then closed.
    """

    status: int
    body: bytes
    code: int | None
    content_type: str = JSON_TYPE
    location: str | None = None
    length: int | None = None


def enveloped(envelope: Envelope, status: int = 200) -> Answer:
    """The answer that sends an envelope as it is."""
    return Answer(status, as_bytes(envelope.as_json()), envelope.code)


def page(status: int, html: str) -> Answer:
    """An HTML page in place of an answer."""
    return Answer(status, html.encode(), None, "text/html")


def spoiled(fault: Fault, good: Envelope, consumer_key: str) -> Answer:
    """The answer that a fault makes of a good one.

    Args:
        fault: any that has an answer: not TIMEOUT or RESET.
    """
    fixed = _fixed(fault, consumer_key)
    if fixed is not None:
        return fixed
    answer = good.as_json()
    if fault in {Fault.CUT, Fault.CUT_SHORT}:
        whole = as_bytes(answer)
        length = len(whole) if fault is Fault.CUT_SHORT else None
        return Answer(200, whole[: len(whole) // 2], good.code, length=length)
    if fault is Fault.CODE_AS_STRING:
        answer["meta"]["code"] = str(good.code)
    elif fault is Fault.DATA_ABSENT:
        answer.pop("data", None)
    elif fault is Fault.DATA_NULL:
        answer["data"] = None
    elif fault is Fault.WRONG_TYPE_DATA:
        answer["data"] = "OK"
    else:
        _mistype(answer.get("data"), fault)
    return Answer(200, as_bytes(answer), good.code)


def _fixed(fault: Fault, consumer_key: str) -> Answer | None:
    """The answer of a fault that does not depend on the good one; None if it does."""
    match fault:
        case Fault.EMPTY:
            return Answer(200, b"", None)
        case Fault.HTML200:
            return page(200, _MAINTENANCE)
        case Fault.HTML503:
            return page(503, _NGINX.format("503 Service Temporarily Unavailable"))
        case Fault.HTTP500:
            return page(500, _NGINX.format("500 Internal Server Error"))
        case Fault.RATE_LIMIT_HTTP:
            return page(429, _NGINX.format("429 Too Many Requests"))
        case Fault.RATE_LIMIT_ENVELOPE:
            return enveloped(refusal(429, "API call limit exceeded"))
        case Fault.ENVELOPE500:
            return enveloped(refusal(500, "INTERNAL_SERVER_ERROR"))
        case Fault.REDIRECT:
            return Answer(302, b"", None, location="/error.page?code=500")
        case Fault.UNAUTHORIZED:
            return enveloped(refusal(401, "SIGNATURE_INVALID: Invalid Signature"))
        case Fault.UNAUTHORIZED_HTTP:
            return enveloped(refusal(401, "SIGNATURE_INVALID: Invalid Signature"), 401)
        case Fault.IP_MISMATCH:
            return enveloped(refusal(401, f"TOKEN_IP_MISMATCHED: consumer: {consumer_key} IP: 203.0.113.7"))
        case Fault.FORBIDDEN:
            return enveloped(refusal(403, "PERMISSION_DENIED"))
        case _:
            return None


def _mistype(data: Any, fault: Fault) -> None:
    """Put a value of the wrong type into the first record of the data, wherever it has the field."""
    record = data
    while isinstance(record, list) and record:
        record = record[0]
    if not isinstance(record, dict):
        return
    if fault is Fault.WRONG_TYPE_MONEY:
        fields: Json = record.get("cost", record)
        for name in _MONEY:
            if name in fields:
                fields[name] = fields[name].replace(".", ",")
    else:
        names, wrong = (_COUNTS, "many") if fault is Fault.WRONG_TYPE_COUNT else (_IDS, {"value": 1})
        record.update({name: wrong for name in names if name in record})

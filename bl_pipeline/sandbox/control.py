"""The sandbox's own controls: changes to the store, faults, and the requests so far.

JSON in and out, no OAuth, real HTTP statuses; an error is `{"error": "..."}`. Amounts are text.
"""

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from bl_pipeline.sandbox.live import move_on
from bl_pipeline.sandbox.order import SandboxOrder
from bl_pipeline.sandbox.served import Served
from bl_pipeline.sandbox.store import NotPossibleError, Store, UnknownOrderError
from bl_pipeline.sandbox.wire import Json

Converter = Callable[[Any], Any]


class _Action(NamedTuple):
    change: Callable[..., object]
    parameters: Mapping[str, Converter]


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _amount(value: Any) -> Decimal:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"not an amount: {value!r}") from None


def _rating(value: Any) -> int:
    if value not in (0, 1, 2):
        raise ValueError("a rating is 0, 1 or 2")
    return int(value)


_TRACKING: Mapping[str, Converter] = {"tracking_no": _text, "tracking_link": _text}
_ACTIONS = {
    "pay": _Action(Store.pay, {}),
    "pack": _Action(Store.pack, {}),
    "ship": _Action(Store.ship, _TRACKING),
    "receive": _Action(Store.receive, {}),
    "complete": _Action(Store.complete, {}),
    "cancel": _Action(Store.cancel, {}),
    "set_status": _Action(Store.set_status, {"status": str}),
    "set_payment_status": _Action(Store.set_payment_status, {"status": str}),
    "edit_costs": _Action(
        Store.edit_costs,
        dict.fromkeys(("shipping", "insurance", "etc1", "etc2", "credit", "coupon"), _amount),
    ),
    "edit_remarks": _Action(Store.edit_remarks, {"remarks": _text}),
    "edit_tracking": _Action(Store.edit_tracking, _TRACKING),
    "file": _Action(Store.file, {}),
    "unfile": _Action(Store.unfile, {}),
    "purge": _Action(Store.purge, {}),
    "add_batch": _Action(Store.add_batch, {}),
    "remove_last_item": _Action(Store.remove_last_item, {}),
    "write_message": _Action(Store.write_message, {"body": str, "subject": _text}),
    "rate": _Action(Store.rate, {"rating": _rating, "comment": str}),
}


class _NoSuchPathError(LookupError):
    pass


def control(served: Served, method: str, path: str, body: bytes) -> tuple[int, Json]:
    """Do what is asked; returns the HTTP status and the answer.

    Args:
        path: the path after "/sandbox/".
        body: a JSON object, or nothing.
    """
    try:
        asked = json.loads(body) if body else {}
        if not isinstance(asked, dict):
            raise ValueError("the body is no JSON object")
        return 200, _do(served, method, path.split("/"), asked)
    except (_NoSuchPathError, UnknownOrderError) as error:
        return 404, {"error": str(error)}
    except NotPossibleError as error:
        return 409, {"error": str(error)}
    except (ValueError, TypeError, KeyError) as error:
        return 400, {"error": str(error) or repr(error)}


def _do(served: Served, method: str, path: list[str], asked: Json) -> Json:
    store = served.store
    match (method, path):
        case "GET", ["store"]:
            return _summary(store)
        case "GET", ["requests"]:
            return served.summary()
        case "GET", ["orders", order_id]:
            return _order_with_items(served, store.order(int(order_id)))
        case "POST", ["orders"]:
            asked = _converted({"paid": bool, "buyer_name": _text}, asked)
            return {"order_id": store.place_order(**asked)}
        case "POST", ["orders", order_id, name] if name in _ACTIONS:
            action = _ACTIONS[name]
            action.change(store, int(order_id), **_converted(action.parameters, asked))
            return _order_with_items(served, store.order(int(order_id)))
        case "POST", ["live"]:
            asked = _converted({"new": int, "changed": int, "seed": int}, asked)
            return {"changes": move_on(store, **asked)}
        case "POST", ["advance"]:
            return {"now": store.advance(timedelta(seconds=float(asked["seconds"]))).isoformat()}
        case "POST", ["latency"]:
            served.latency = float(asked["seconds"])
            return {"latency": served.latency}
        case "POST", ["faults"]:
            return _plan(served, asked)
        case "POST", ["faults", "clear"]:
            served.faults.clear()
            return {"faults": "none"}
    raise _NoSuchPathError(f"{method} /sandbox/{'/'.join(path)} is not a thing to ask")


def _converted(parameters: Mapping[str, Converter], asked: Json) -> Json:
    unknown = sorted(asked.keys() - parameters.keys())
    if unknown:
        raise ValueError(f"unknown: {', '.join(unknown)}")
    return {name: parameters[name](value) for name, value in asked.items()}


def _plan(served: Served, asked: Json) -> Json:
    """{"kind", ["path"], ["times"]} or {"rate", ["kinds"], ["seed"]}; both with ["after_effect"]."""
    if "after_effect" in asked:
        served.faults.after_effect = bool(asked.pop("after_effect"))
    if "rate" in asked:
        given = _converted({"rate": float, "kinds": list, "seed": int}, asked)
        served.faults.at_random(**given)
        return {"faults": "at random"}
    given = _converted({"kind": str, "path": _text, "times": int}, asked)
    if given.get("path") is None:
        served.faults.next(given["kind"], times=given.get("times", 1))
    else:
        served.faults.on(given["path"], given["kind"], given.get("times"))
    return {"faults": given["kind"]}


def _summary(store: Store) -> Json:
    sales = store.sales.values()
    statuses = sorted({order.status for order in sales})
    return {
        "now": store.now.isoformat(),
        "sales": len(sales),
        "filed": sum(order.is_filed for order in sales),
        "purged": sum(order.is_purged for order in sales),
        "purchases": len(store.purchases),
        "statuses": {status: sum(order.status == status for order in sales) for status in statuses},
        "order_ids": sorted(order.order_id for order in sales),
    }


def _order_with_items(served: Served, order: SandboxOrder) -> Json:
    """The order's detail, and its items, also those that the API does not send any more."""
    return {"order": served.wire.detail(order), "items": served.wire.items(order)}

"""A BrickLink to run against: a store made from a seed, over real HTTP, with all the API's peculiarities.

Written from the API's description, independent of the client that it tests.

    store = Store.grow(orders=300, seed=7)
    with SandboxServer(store) as server:
        ...  # a client, set up with server.environment()
"""

from bl_pipeline.sandbox.api import BASE_PATH
from bl_pipeline.sandbox.catalogue import CATALOGUE, COLORS, NO_COLOR, CatalogueItem, Color
from bl_pipeline.sandbox.conversation import Feedback, Message
from bl_pipeline.sandbox.faults import PASSING, WRONG_TYPES, Fault, Faults
from bl_pipeline.sandbox.live import move_on
from bl_pipeline.sandbox.oauth import Credentials
from bl_pipeline.sandbox.order import Batch, Costs, Lot, Payment, SandboxOrder, Shipping
from bl_pipeline.sandbox.people import Address, Buyer, Country
from bl_pipeline.sandbox.served import RecordedRequest
from bl_pipeline.sandbox.server import SandboxServer
from bl_pipeline.sandbox.store import NotPossibleError, Store, UnknownOrderError
from bl_pipeline.sandbox.wire import Wire

__all__ = [
    "BASE_PATH",
    "CATALOGUE",
    "COLORS",
    "NO_COLOR",
    "PASSING",
    "WRONG_TYPES",
    "Address",
    "Batch",
    "Buyer",
    "CatalogueItem",
    "Color",
    "Costs",
    "Country",
    "Credentials",
    "Fault",
    "Faults",
    "Feedback",
    "Lot",
    "Message",
    "NotPossibleError",
    "Payment",
    "RecordedRequest",
    "SandboxOrder",
    "SandboxServer",
    "Shipping",
    "Store",
    "UnknownOrderError",
    "Wire",
    "move_on",
]

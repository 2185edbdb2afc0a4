"""What a store has: its stock, its buyers, and the orders made of them."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache
from random import Random
from typing import Literal, NamedTuple

from bl_pipeline.sandbox.catalogue import CATALOGUE, COLORS, NO_COLOR, CatalogueItem, escaped
from bl_pipeline.sandbox.order import ZERO, Batch, Costs, Lot, Payment, SandboxOrder, Shipping, to_cents
from bl_pipeline.sandbox.people import CURRENCIES, Buyer, exchange_rate, invent_buyers

SELLER_NAME = "example_bricks"
STORE_NAME = "Example Bricks"
_OTHER_SELLERS = (("plateau_shop", "Plateau & Sons"), ("stud_farm", "The Stud Farm"), ("axl", "Axl's Axles"))

_STOCK_SIZE = 1200
_METHODS = (
    (116410, "DHL Päckchen - Small"),
    (116411, "PostNL - Letterbox parcel"),
    (116412, "Tracked Parcel (International)"),
    (116413, "Oversize Letter"),
    (116414, "Local pick-up"),
)
_PAYMENT_METHODS = (
    ("PayPal (Onsite)", 50),
    ("Credit/Debit (Powered by Stripe)", 30),
    ("IBAN", 12),
    ("Bank Transfer", 6),
    ("Cash", 2),
)
_DESCRIPTIONS = (
    None,
    None,
    None,
    "like new",
    escaped("Don't miss it :)"),
    escaped("Light scratches (see photo), seller's own", 2),
    '<a href="https://example.org/x"><img alt="warning" src="https://example.org/x"></a>',
    "<b>Bulk</b> &lt;10 left&gt;",
    "",
)
_REMARKS = (None, None, "A-01", "nbox09", "used-042", escaped("Bob's shelf (left)"), "Kiste Ü4")
_ORDER_REMARKS = (
    "Please combine with my other order",
    escaped("It's a gift (no invoice)"),
    "Danke!",
    "<i>hurry</i>",
)


class Life(NamedTuple):
    """How far an order has come: what happened to it last, and when it was paid and shipped."""

    status: str
    changed: datetime
    payment_status: str
    paid: datetime | None
    shipped: datetime | None


class Market:
    """The stock and the buyers of one store: the same seed and size give the same ones.

    Args:
        seed: decides everything.
        buyers: how many buyers there are.
        currencies: what the store sells in, the usual one first.
    """

    def __init__(self, seed: int, buyers: int, currencies: Sequence[str]) -> None:
        unknown = sorted(set(currencies) - CURRENCIES)
        if unknown or not currencies:
            raise ValueError(f"no currency to sell in: {', '.join(unknown) or 'none given'}")
        self.currencies = tuple(currencies)
        self.stock = _stock(seed)
        self.buyers = invent_buyers(Random(f"{seed}/buyers"), buyers)

    def buyer(self, rng: Random) -> Buyer:
        """A buyer: a few come again and again, most come once or twice."""
        return self.buyers[int(len(self.buyers) * rng.random() ** 2)]

    def batch(self, rng: Random, lots: int, before: Sequence[Lot] = ()) -> Batch:
        """A batch of different lots; one of those bought `before` tends to be bought again."""
        chosen = rng.sample(self.stock, min(lots, len(self.stock)))
        known = [lot for lot in before if lot.inventory_id is not None]
        if known and rng.random() < 0.5:
            again = rng.choice(known)
            chosen = [again, *(lot for lot in chosen[1:] if lot.inventory_id != again.inventory_id)]
        return tuple(_sold(rng, lot) for lot in chosen)

    def batches(self, rng: Random) -> tuple[Batch, ...]:
        """The batches of a new order: nearly always one, of mostly a few lots and at times very many."""
        first = self.batch(rng, 1 + int(rng.expovariate(0.2)))
        if rng.random() < 0.06:
            return (first, self.batch(rng, rng.randrange(1, 4), first))
        return (first,)

    def order(
        self,
        rng: Random,
        order_id: int,
        ordered: datetime,
        life: Life,
        *,
        buyer: Buyer,
        buyer_order_count: int,
        direction: Literal["in", "out"] = "in",
        batches: tuple[Batch, ...] | None = None,
    ) -> SandboxOrder:
        """A new order of `buyer`, or of the store itself if the direction is "out"."""
        currency = self._currency(rng)
        seller, shop = (SELLER_NAME, STORE_NAME) if direction == "in" else rng.choice(_OTHER_SELLERS)
        if direction == "out":
            buyer = buyer._replace(name=SELLER_NAME, email="seller@example.com")
        country = buyer.country
        foreign = country.currency != currency and rng.random() < 0.35
        disp_currency = country.currency if foreign else currency
        if batches is None:
            batches = self.batches(rng)
        costs = _costs(rng, batches, buyer)
        method_id, method = rng.choice(_METHODS)
        tracking_no = f"TR{order_id:010d}" if life.shipped and rng.random() < 0.7 else None
        linked = tracking_no is not None and rng.random() < 0.6
        return SandboxOrder(
            order_id=order_id,
            direction=direction,
            date_ordered=ordered,
            date_status_changed=life.changed,
            seller_name=seller,
            store_name=shop,
            buyer=buyer,
            buyer_order_count=buyer_order_count,
            status=life.status,
            is_filed=False,
            batches=batches,
            currency=currency,
            costs=costs,
            disp_currency=disp_currency,
            disp_rate=exchange_rate(currency, disp_currency),
            payment=Payment(_payment_method(rng), disp_currency, life.paid, life.payment_status),
            shipping=Shipping(
                method_id,
                method,
                tracking_no,
                f"https://track.example.org/{tracking_no}" if linked else None,
                life.shipped,
                buyer.address,
            ),
            sales_tax_collected_by_bl=country.code == "US",
            vat_collected_by_bl=None if rng.random() < 0.15 else country.code == "UK",
            require_insurance=costs.insurance > 0,
            is_invoiced=life.status != "PENDING",
            drive_thru_sent=life.shipped is not None and rng.random() < 0.5,
            remarks=rng.choice(_ORDER_REMARKS) if rng.random() < 0.1 else None,
        )

    def _currency(self, rng: Random) -> str:
        if len(self.currencies) == 1 or rng.random() < 0.6:
            return self.currencies[0]
        return rng.choice(self.currencies[1:])


def _price(rng: Random, typical: Decimal) -> Decimal:
    """A price about the typical one: in whole cents mostly, with sub-cent parts at times."""
    price = max(typical * Decimal(rng.randrange(60, 181)) / 100, Decimal("0.01"))
    places = Decimal("0.0001") if rng.random() < 0.3 else Decimal("0.01")
    return price.quantize(places).quantize(ZERO)


@cache
def _stock(seed: int) -> tuple[Lot, ...]:
    """The lots on offer, with the quantity that is left of each; a few have no inventory_id any more."""
    rng, lots = Random(f"{seed}/stock"), []
    inventory_id = 190_000_000
    # Parts three times as often as their share of the catalogue, as in a real shop.
    parts = [item for item in CATALOGUE if item.type == "PART"]
    for item in rng.choices((*CATALOGUE, *parts, *parts), k=_STOCK_SIZE):
        inventory_id += rng.randrange(1, 9000)
        price = _price(rng, item.price)
        sale = Decimal(rng.choice((100, 100, 100, 95, 90, 75))) / 100
        lots.append(
            Lot(
                inventory_id=inventory_id if rng.random() > 0.01 else None,
                item=item,
                color=rng.choice(COLORS) if item.type == "PART" else NO_COLOR,
                quantity=_left(rng, item),
                condition="N" if rng.random() < 0.6 else "U",
                completeness=rng.choice(("C", "B", "S")) if item.type == "SET" else None,
                unit_price=price,
                unit_price_final=max((price * sale).quantize(ZERO), Decimal("0.0010")),
                weight=item.weight,
                description=rng.choice(_DESCRIPTIONS),
                remarks=rng.choice(_REMARKS),
            )
        )
    return tuple(lots)


def _left(rng: Random, item: CatalogueItem) -> int:
    return rng.randrange(1, 200) if item.type == "PART" else rng.randrange(1, 4)


def _sold(rng: Random, lot: Lot) -> Lot:
    """What a buyer takes of a lot: a few pieces rather than all."""
    return lot._replace(quantity=1 + int(lot.quantity * rng.random() ** 3))


def _payment_method(rng: Random) -> str:
    methods = [method for method, _ in _PAYMENT_METHODS]
    return rng.choices(methods, [weight for _, weight in _PAYMENT_METHODS])[0]


def _cents(rng: Random, low: int, high: int) -> Decimal:
    return Decimal(rng.randrange(low, high)).scaleb(-2)


def _costs(rng: Random, batches: tuple[Batch, ...], buyer: Buyer) -> Costs:
    """What comes on top of the items, and what is taken off: at most half of what they cost."""
    code = buyer.country.code
    credit = coupon = ZERO
    if rng.random() < 0.1:
        subtotal = sum((lot.unit_price_final * lot.quantity for batch in batches for lot in batch), ZERO)
        if rng.random() < 0.5:
            credit = to_cents(subtotal * rng.randrange(1, 50) / 100)
        else:
            coupon = to_cents(subtotal / 10)
    if code == "US":
        sales_tax_rate = Decimal(rng.choice(("0", "6.25", "8.875")))
    else:
        # In Canada it is the seller who collects it: the tax stays in what the seller gets.
        sales_tax_rate = Decimal("5") if code == "CA" else Decimal(0)
    return Costs(
        shipping=_cents(rng, 150, 2500),
        insurance=_cents(rng, 150, 400) if rng.random() < 0.06 else ZERO,
        etc1=_cents(rng, 25, 150) if rng.random() < 0.1 else ZERO,
        etc2=_cents(rng, 10, 90) if rng.random() < 0.04 else ZERO,
        credit=credit,
        coupon=coupon,
        sales_tax_rate=sales_tax_rate,
        vat_rate=buyer.country.vat,
    )

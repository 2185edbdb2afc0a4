"""What the seller of the difficult store imports: refunds and fees, as the text of the files."""

from __future__ import annotations

from bl_pipeline.sandbox import Store

REFUNDS = "date,order_id,amount,currency,reference,note"
FEES = "date,reference,order_id,amount,currency,source,kind,note"


def refunds_csv(store: Store) -> str:
    """Whole refunds, parts, corrections, one in another currency, and one that no order at BrickLink asks for."""
    paid = [order for order in store.sales.values() if order.payment.date_paid is not None]
    cancelled = [order for order in paid if order.status in {"CANCELLED", "NSS", "NRS"}]
    sound = [order for order in paid if order.status == "COMPLETED"]
    whole, part, abroad, unasked = cancelled[0], cancelled[1], cancelled[2], sound[0]
    lines = [
        f"2026-07-01,{whole.order_id},{whole.grand_total},{whole.currency},W-1,whole",
        f"2026-07-02,{part.order_id},1.0001,{part.currency},P-1,",
        f"2026-07-03,{part.order_id},0.5,{part.currency},P-2,twice by mistake",
        f"2026-07-04,BL-{part.order_id},-0.25,{part.currency},P-3,corrected",
        f"2026-07-05,{abroad.order_id},3.33,CAD,A-1,",
        f"2026-07-06,{unasked.order_id},2,{unasked.currency},U-1,",
    ]
    return "\n".join([REFUNDS, *lines, ""])


def fees_csv(store: Store) -> str:
    """Several sources, kinds, currencies and months, with a credit; on the first and the last day of a month."""
    first, second = list(store.sales)[:2]
    return f"""{FEES}
2026-05-31,T1,{first},0.87,EUR,paypal,payment_fee,
2026-06-01,T2,{second},0.4512,EUR,PayPal,payment_fee,
2026-06-30,T3,,3.5,EUR,paypal,payment_fee,
2026-06-30,T3,,120.99,EUR,paypal,payout,
2026-06-30,T3,,7,USD,paypal,payment_fee,
2026-06-15,2026-05,,31.20,USD,bricklink,bricklink_fee,bill of May
2026-06-20,2026-05-credit,,-1.85,USD,bricklink,bricklink_fee,
2026-06-21,00340434,{first},5.49,EUR,dhl,postage,
2026-07-01,envelopes,,12,EUR,office,other,
""".replace("T3,,7", "T4,,7")

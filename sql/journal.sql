-- The journal
--
-- Double entry: each change of an order that the books have to know is an entry whose debits are equal to its credits.
-- It is append-only. A change takes the old values back and books the new ones, on the day it was seen.
--
-- Question: What was booked, when, and because of which answer of BrickLink?
-- Group: Single orders and lots
-- Grain: store, entry_no, line_no
-- Columns:
--   store: key of the store, from BL_STORE
--   entry_no: number of the entry in its store, from 1
--   line_no: number of the line in its entry, from 1
--   document: reference of the order: BL-<order id>
--   platform: where the order was placed: bricklink
--   platform_order_id: the order's id at the platform
--   event: sale, correction, cancellation or batch
--   booking_date [date]: day to which it is booked, in the store's time zone
--   tax_point [date]: day of the order's tax point as first booked: the earlier of payment and dispatch
--   order_date [UTC]: when it was ordered, as known then
--   seen_at [UTC]: when the answer was received that showed it
--   period [date]: first day of the month of booking_date
--   corrects_period [date]: first day of the month of the tax point, if it is another one than period; else null
--   account_key: receivable, sales_goods, sales_shipping, sales_charges, discounts, output_vat, sales_tax_payable or
--     marketplace_tax_clearing
--   is_reversal: takes back a line of the order's entry before; false for a line of the new values
--   country_code: country of the address, ISO 3166-1 alpha-2
--   region: home, eu, third or unclear: where that is, seen from the seller's country
--   special_territory: territory with tax rules other than those of its country; null for none
--   vat_rate [%]: VAT rate
--   tax_kind: standard, oss, export, marketplace, none or unclear
--   debit [currency]: amount; 0 if the line is a credit
--   credit [currency]: amount; 0 if the line is a debit
--   currency: ISO 4217 code of the amounts
--   source_document_id: landing.documents: the answer that showed it
--   previous_document_id: the same of the order's entry before; null for its first
--   booked_at [UTC]: when the entry was written
-- Caveats:
--   The balance of an account is sum(debit) - sum(credit). Currencies are never added together.
--   A period that is closed gets no entry any more: what is seen later is booked to the first open one.
-- Period: booking_date
SELECT
    store,
    entry_no,
    line_no,
    document,
    platform,
    platform_order_id,
    event,
    booking_date,
    tax_point,
    order_date,
    seen_at,
    period,
    corrects_period,
    account_key,
    is_reversal,
    country_code,
    region,
    special_territory,
    trim_scale(vat_rate) AS vat_rate,
    tax_kind,
    debit,
    credit,
    currency,
    source_document_id,
    previous_document_id,
    booked_at
FROM books.journal

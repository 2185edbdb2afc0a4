-- Fees and payouts by month, as imported
--
-- What payment services, BrickLink and carriers charge, and what is paid out, as far as the seller has imported it with
-- bl import fees. BrickLink's API shows none of it, and nothing here is estimated.
--
-- Question: What did each month cost in fees and postage, and what was paid out, as far as it was imported?
-- Group: Books
-- Grain: store, month, source, kind, currency
-- Columns:
--   store: key of the store, from BL_STORE
--   month [date]: first day of the month of the day in the file
--   source: who charges or pays it, such as paypal, stripe or bricklink
--   kind: payment_fee, bricklink_fee, postage, payout (what the payment service moves to the bank) or other
--   currency: ISO 4217 code of the amount
--   lines [lines]: how many lines were imported, corrections too
--   amount [currency]: what the seller pays, or of a payout receives, with what corrections and credits take off
-- Caveats:
--   A month without rows is one of which nothing was imported: that does not say that nothing was charged.
--   Never add payouts to fees. Currencies are never added together.
-- Period: month
SELECT
    store,
    date_trunc('month', date)::date AS month,
    source,
    kind,
    currency,
    count(*) AS lines,
    sum(amount) AS amount
FROM books.imported_fees
GROUP BY 1, 2, 3, 4, 5

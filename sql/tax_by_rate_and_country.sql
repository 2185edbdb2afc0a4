-- Tax by rate and country
--
-- Question: What VAT and sales tax is in the revenue, at which rate, from where, and who pays it to the tax office?
-- Group: Tax, credits and cancellations
-- Grain: store, basis, month, country_code, vat_rate, currency
-- Columns:
--   store: key of the store, from BL_STORE
--   basis: which date counts: order_date, paid_date or shipped_date
--   month [date]: first day of the month, in the store's time zone (BL_TIMEZONE)
--   country_code: country of the address, ISO 3166-1 alpha-2; null if there is no address
--   vat_rate [%]: VAT rate; null if BrickLink gives none
--   currency: ISO 4217 code of the amounts
--   orders [orders]: how many
--   total [currency]: what the buyers pay, all tax included
--   net [currency]: total less all VAT and sales tax in it
--   net_by_seller [currency]: of net, what the seller pays VAT on: orders with VAT that BrickLink does not collect
--   vat_by_seller [currency]: VAT in the total that the seller pays to the tax office
--   vat_by_bricklink [currency]: VAT in the total that BrickLink collects and pays
--   sales_tax_by_seller [currency]: sales tax in the total that the seller pays to the tax office
--   sales_tax_by_bricklink [currency]: sales tax in the total that BrickLink collects and pays
--   tax_collected_by_bricklink [currency]: what BrickLink kept in fact: total - final_total
--   unexplained [currency]: tax_collected_by_bricklink - vat_by_bricklink - sales_tax_by_bricklink; 0 if there is no error
--   revenue [currency]: what the seller gets: total - tax_collected_by_bricklink; VAT and sales tax by the seller are in it
-- Caveats:
--   Every order is in each basis whose date it has: filter on one basis before adding anything up.
--   If BrickLink does not say that it collects a tax, the seller does. VAT is BrickLink's figure, not computed here.
-- Period: month, adds up
-- Chart: vat_by_seller by country_code
SELECT
    store,
    basis,
    month,
    country_code,
    vat_rate,
    currency,
    count(*) AS orders,
    sum(total) AS total,
    sum(total) - coalesce(sum(vat_by_seller), 0) - coalesce(sum(vat_by_bricklink), 0)
        - coalesce(sum(sales_tax_by_seller), 0) - coalesce(sum(sales_tax_by_bricklink), 0) AS net,
    coalesce(
        sum(total - vat_by_seller - coalesce(sales_tax_by_seller, 0) - coalesce(sales_tax_by_bricklink, 0))
            FILTER (WHERE vat_by_seller <> 0),
        0
    ) AS net_by_seller,
    coalesce(sum(vat_by_seller), 0) AS vat_by_seller,
    coalesce(sum(vat_by_bricklink), 0) AS vat_by_bricklink,
    coalesce(sum(sales_tax_by_seller), 0) AS sales_tax_by_seller,
    coalesce(sum(sales_tax_by_bricklink), 0) AS sales_tax_by_bricklink,
    sum(tax_collected_by_bricklink) AS tax_collected_by_bricklink,
    sum(tax_collected_by_bricklink) - coalesce(sum(vat_by_bricklink), 0)
        - coalesce(sum(sales_tax_by_bricklink), 0) AS unexplained,
    sum(revenue) AS revenue
FROM reports.revenue_dates
GROUP BY store, basis, month, country_code, vat_rate, currency

-- What was ordered and what of it is paid, by currency. Sums are of the whole minor units beside each amount of money,
-- which are exact; summing the amounts themselves would make floats of them.
SELECT
  currency,
  count(*) AS orders,
  sum(total_minor) AS total_minor,
  sum(paid_minor) AS paid_minor
FROM orders
WHERE status <> 'cancelled' AND currency IS NOT NULL
GROUP BY currency

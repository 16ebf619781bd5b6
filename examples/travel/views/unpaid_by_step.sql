-- Requests for payment that were not paid yet, by the step at which they stand, and since when the oldest has stood there.
SELECT
  activity,
  count(*) AS requests,
  min(last_at) AS oldest
FROM payments
WHERE NOT paid
GROUP BY activity

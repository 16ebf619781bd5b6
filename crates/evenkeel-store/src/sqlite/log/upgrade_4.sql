-- From format 3 to 4: books on every source. How often an event was sent again before is known to nobody.
CREATE TABLE accounts(
  source TEXT PRIMARY KEY,
  received INTEGER NOT NULL,
  admitted INTEGER NOT NULL,
  duplicate INTEGER NOT NULL,
  waiting INTEGER NOT NULL,
  quarantined INTEGER NOT NULL,
  held INTEGER NOT NULL,
  discarded INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO accounts
SELECT source, sum(admitted + quarantined + discarded), sum(admitted), 0, 0, sum(quarantined), sum(held), sum(discarded)
FROM (
  SELECT source, 1 AS admitted, 0 AS quarantined, 0 AS held, 0 AS discarded FROM events
  UNION ALL
  SELECT source, 0, state IN ('quarantined', 'held'), state = 'held', state = 'discarded' FROM quarantine
) GROUP BY source;

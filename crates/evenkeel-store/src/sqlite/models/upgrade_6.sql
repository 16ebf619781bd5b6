-- Of the tables that are there already no sum is known: their indexes are made whole where they are asked.
CREATE TABLE _ek_indexes(
  table_id INTEGER PRIMARY KEY,
  sum BLOB NOT NULL
) STRICT;

-- From format 7 to 8: what writers had seen by their tokens is kept with their events, wherever these are. Of those that are
-- there already it is not known.
ALTER TABLE events ADD COLUMN saw INTEGER;
ALTER TABLE events ADD COLUMN request INTEGER;
ALTER TABLE quarantine ADD COLUMN saw INTEGER;
ALTER TABLE quarantine ADD COLUMN request INTEGER;
ALTER TABLE waiting ADD COLUMN saw INTEGER;
ALTER TABLE waiting ADD COLUMN request INTEGER;

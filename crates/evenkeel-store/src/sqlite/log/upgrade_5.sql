-- From format 4 to 5: what waits of undeclared sources is found quickly.
CREATE INDEX quarantine_untrusted ON quarantine(source)
  WHERE reason = 'untrusted_source' AND state IN ('quarantined', 'held');

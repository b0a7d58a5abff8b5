-- The alarms of a domain are shown and kept apart from those of all others.
CREATE INDEX alarm_by_domain ON alarm (domain, id DESC);

-- A reply that is kept for whoever asks again lives as long as its job; nobody looks for old ones.

DROP INDEX idempotency_by_age;

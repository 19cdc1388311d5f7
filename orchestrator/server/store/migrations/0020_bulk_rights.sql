-- Whether who gave an order may end jobs: repeating one may end others, as submitting it would.

ALTER TABLE bulk ADD COLUMN may_cancel BIGINT NOT NULL DEFAULT 0;

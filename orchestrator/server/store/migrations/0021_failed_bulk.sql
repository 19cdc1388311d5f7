-- An order whose filter this version does not understand: why it could not go on.

ALTER TABLE bulk ADD COLUMN failure TEXT;

"""Who may do what: one reviewed table, and the middleware that asks it first."""

"""Layer 3, program one: `orchestrator run`, which keeps children alive."""

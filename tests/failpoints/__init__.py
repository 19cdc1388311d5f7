"""Every failpoint with every action, on one story of real programs, before the judge of chaos."""

"""The rules of a doctor, each with what it is told and what it says."""

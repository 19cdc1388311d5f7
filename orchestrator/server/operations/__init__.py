"""What the server does: one function for each thing that can be asked, each one transaction.

Load, decide with the pure core, apply. No clock, randomness or new id is made here; all three come
with the transaction or as arguments, so that the same call gives the same answer.
"""

"""A report for somebody who is to find out what is wrong: gathered, redacted, looked through."""

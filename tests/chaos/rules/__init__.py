"""The rules of the judge, a file for each thing that they are about."""

"""Changes to the tables. First only add, a release later remove: old code runs meanwhile."""

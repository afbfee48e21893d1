"""A backfill in stages: one wish of many jobs, each started by `runs.start` and remembered in a book.

`wish` is what is asked for and what the book holds, `round` the rules, `drive` what callers with a thread call. Its
names are those of `planasonix.runs`.
"""

"""Waiting for a job or backfill that somebody else starts: the first one of a connection since some moment.

`wish` says what is waited for, `judge` holds the rules, and `look` takes one look without I/O of its own. `blocking`
waits in a thread; `shared` lets all who wait in one event loop share their list pages (`board`).
"""

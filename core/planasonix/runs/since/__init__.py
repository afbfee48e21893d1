"""Waiting for a run that somebody else starts: the first one of a connection, or of a pipeline, since some moment.

`wish` says what is waited for, `judge` holds the rules, `look` takes one look without I/O of its own, and `shared` lets
all who wait in one event loop share their list pages.
"""

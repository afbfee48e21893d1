"""Jobs and backfills that somebody else started: what has ended since the last look, for many connections at once.

For whoever looks again and again and keeps a text in between: a sensor, a scheduled flow. `cursor` is that text,
`lists` finds what is new at the least cost in calls, and `poll` is one look with a time limit, fair to all connections.
`hinted` is a look without lists, for whoever hears of ends by events.
"""

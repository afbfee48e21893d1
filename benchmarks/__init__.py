"""`make bench`: the figures of DESIGN §8 that exist by now."""

"""The world of the lab: namespaces, links, NATs, distance, and programs that live in it.

Nothing here knows what Peerlift is; see `parts` for that.
"""

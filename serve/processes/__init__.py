"""Servers' processes: `process_tree` finds, lists and stops them; `ports` tells who listens."""

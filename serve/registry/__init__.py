"""The servers that run here: `records` on disk, each with a `lock`, and their state."""

"""The installed vLLM: its version, the names used of it, its start, its caches and its last words.

vLLM itself is imported when an engine starts.
"""

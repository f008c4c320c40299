"""Read the input: files, lines, templates and rows become `Request`s.

Other folders import `discovery`, `scan`, `scan_cache`, `rows`, `lines` and `template`. Nothing here
knows an engine or the journal.
"""

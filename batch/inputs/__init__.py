"""Read the input: files, lines, templates and rows become `Request`s.

Nothing here knows an engine or the journal.
"""

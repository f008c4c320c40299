"""The files of a run: results (which are the journal), errors, manifest and lock.

Others import `opening`, `sink`, `journal`, `lock`, `manifest`, `records` and `output_files`.
Nothing here knows an engine.
"""

"""The files of a run: the results are the journal, with manifest, lock and errors file.

Others import `sink`, `lock` and `output_files`.
"""

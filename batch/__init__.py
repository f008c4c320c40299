"""`qchat batch`: answer the rows of JSONL files. `run` connects the parts.

One direction: `request` and `background` <- `inputs` <- `journal` <- `run`; `engines` <- `run`.
"""

"""A finished run as one page to look at: `--report FILE.html`.

`write` is the door. `reading` makes a `RunReport` of fixed size out of the run's files in one pass,
`page` makes HTML of it, `charts` draws; `html` escapes everything that is not its own.
"""

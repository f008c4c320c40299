"""From typed options, recipe and machine to vLLM's command line: `options`, `plan`.

`launcher_options` is the part that `qchat.serve.launcher` reads.
"""

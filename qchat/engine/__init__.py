"""vLLM, models and the hardware, before and while an engine starts.

`batch` and `serve` import the modules they need; vLLM itself is imported when an engine starts.
"""

"""What is known of vLLM, models and this machine before and while an engine starts.

`batch` and `serve` import the modules they need; vLLM itself is imported when an engine starts.
"""

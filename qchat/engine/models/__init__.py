"""What a model is, read before it is loaded: config, sizes, layers, chat template, parsers.

From a folder, the hub's local cache or a hub's small files; nothing here knows a machine or vLLM.
"""

"""qchat: chat, bulk answers and a server for open models on vLLM."""

__version__ = "0.2.0"

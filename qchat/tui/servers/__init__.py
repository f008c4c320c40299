"""The servers that the chat can use: probing one, watching it, starting one on this machine."""

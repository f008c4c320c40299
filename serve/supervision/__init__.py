"""One server's life: `attached` and `detached` start a `supervisor`, which restarts vLLM."""

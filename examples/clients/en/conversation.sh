#!/bin/sh
# Several turns: the server remembers no request, so each one has the whole history.
set -eu
base_url=${QCHAT_BASE_URL:-http://localhost:8000}

# curl reads the key from standard input, so it is on no command line (ps); without a key, nothing.
auth() {
  [ -z "${QCHAT_API_KEY:-}" ] || printf 'header = "Authorization: Bearer %s"\n' "$QCHAT_API_KEY"
}

auth | curl --config - --fail-with-body --silent --show-error --connect-timeout 5 \
  "$base_url/v1/chat/completions" \
  -H "Content-Type: application/json" \
  -d '{
    "model": "Qwen3-32B",
    "messages": [
      {"role": "system", "content": "You are a helpful assistant."},
      {"role": "user", "content": "What is machine learning?"},
      {"role": "assistant", "content": "Machine learning is a branch of artificial intelligence in which programs learn patterns from data instead of following hand-written rules. The three common kinds are supervised, unsupervised and reinforcement learning."},
      {"role": "user", "content": "Can you give me an example?"}
    ],
    "max_tokens": 1024,
    "temperature": 0.7,
    "top_p": 0.8,
    "chat_template_kwargs": {"enable_thinking": false}
  }'
echo

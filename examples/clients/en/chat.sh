#!/bin/sh
# One question: the answer is in choices[0].message.content, the usage in usage.
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
      {"role": "user", "content": "Please introduce yourself"}
    ],
    "max_tokens": 1024,
    "temperature": 0.7,
    "top_p": 0.8,
    "chat_template_kwargs": {"enable_thinking": false}
  }'
echo

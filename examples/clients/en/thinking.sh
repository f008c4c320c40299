#!/bin/sh
# Thinking: the thoughts are in message.reasoning, the answer in message.content; both count
# towards max_tokens.
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
      {"role": "user", "content": "How many letters r are in strawberry?"}
    ],
    "max_tokens": 2048,
    "temperature": 0.6,
    "top_p": 0.95,
    "chat_template_kwargs": {"enable_thinking": true}
  }'
echo

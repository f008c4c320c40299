#!/bin/sh
# 流式响应：每个 data: 行是一小段 JSON，最后一行是 data: [DONE]。
set -eu
base_url=${QCHAT_BASE_URL:-http://localhost:8000}

# 密钥从标准输入交给 curl，不会出现在命令行（ps）里；没有设置密钥就什么也不交。
auth() {
  [ -z "${QCHAT_API_KEY:-}" ] || printf 'header = "Authorization: Bearer %s"\n' "$QCHAT_API_KEY"
}

auth | curl --config - --fail-with-body --silent --show-error --connect-timeout 5 --no-buffer \
  "$base_url/v1/chat/completions" \
  -H "Content-Type: application/json" \
  -d '{
    "model": "Qwen3-32B",
    "messages": [
      {"role": "user", "content": "写一首关于春天的诗"}
    ],
    "max_tokens": 1024,
    "temperature": 0.7,
    "top_p": 0.8,
    "chat_template_kwargs": {"enable_thinking": false},
    "stream": true,
    "stream_options": {"include_usage": true}
  }'

#!/bin/sh
# 思考模式：思考过程在 message.reasoning，回答在 message.content，两者都算进 max_tokens。
set -eu
base_url=${QCHAT_BASE_URL:-http://localhost:8000}

# 密钥从标准输入交给 curl，不会出现在命令行（ps）里；没有设置密钥就什么也不交。
auth() {
  [ -z "${QCHAT_API_KEY:-}" ] || printf 'header = "Authorization: Bearer %s"\n' "$QCHAT_API_KEY"
}

auth | curl --config - --fail-with-body --silent --show-error --connect-timeout 5 \
  "$base_url/v1/chat/completions" \
  -H "Content-Type: application/json" \
  -d '{
    "model": "Qwen3-32B",
    "messages": [
      {"role": "user", "content": "鸡和兔共有10只，脚共有28只，鸡和兔各有多少只？"}
    ],
    "max_tokens": 2048,
    "temperature": 0.6,
    "top_p": 0.95,
    "chat_template_kwargs": {"enable_thinking": true}
  }'
echo

#!/bin/sh
# 基础对话：回答在 choices[0].message.content，用量在 usage。
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
      {"role": "user", "content": "你好，请介绍一下自己"}
    ],
    "max_tokens": 1024,
    "temperature": 0.7,
    "top_p": 0.8,
    "chat_template_kwargs": {"enable_thinking": false}
  }'
echo

#!/bin/sh
# 多轮对话：服务不记得上一次请求，每次都要带上全部历史。
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
      {"role": "system", "content": "你是一个专业的AI助手"},
      {"role": "user", "content": "什么是机器学习？"},
      {"role": "assistant", "content": "机器学习是人工智能的一个分支..."},
      {"role": "user", "content": "能给我举个具体例子吗？"}
    ],
    "max_tokens": 1024,
    "temperature": 0.7,
    "top_p": 0.8,
    "chat_template_kwargs": {"enable_thinking": false}
  }'
echo

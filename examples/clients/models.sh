#!/bin/sh
# 模型列表：data[].id 就是请求里 model 的取值。
set -eu
base_url=${QCHAT_BASE_URL:-http://localhost:8000}

# 密钥从标准输入交给 curl，不会出现在命令行（ps）里；没有设置密钥就什么也不交。
auth() {
  [ -z "${QCHAT_API_KEY:-}" ] || printf 'header = "Authorization: Bearer %s"\n' "$QCHAT_API_KEY"
}

auth | curl --config - --fail-with-body --silent --show-error --connect-timeout 5 \
  "$base_url/v1/models"
echo

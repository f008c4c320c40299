#!/bin/sh
# 健康检查：服务就绪时返回 200，不需要密钥。
set -eu
base_url=${QCHAT_BASE_URL:-http://localhost:8000}

curl --fail --silent --show-error --connect-timeout 5 "$base_url/health"
echo "服务正常：$base_url"

#!/bin/sh
# Checks a server with an OpenAI-style API: for machines that have only a shell and curl.
# `qchat doctor` looks at more.
set -u

case "${QCHAT_LANG:-${LC_ALL:-${LC_MESSAGES:-${LANG:-}}}}" in
zh*) chinese=1 ;;
*) chinese='' ;;
esac

# The text in the language of QCHAT_LANG, or else of the locale: t ENGLISH CHINESE
t() {
    if [ -n "$chinese" ]; then printf '%s' "$2"; else printf '%s' "$1"; fi
}

usage() {
    t 'Usage: check-service.sh [OPTIONS] [URL]

Checks a server: health, key, models, an answer, a streamed answer, latency.
URL is its address (http://localhost:8000).

  -m MODEL    the model to ask (the first one that the server offers)
  -k FILE     a file with the key, which only you can read (chmod 600): KEY, or NAME KEY
  -e VAR      the variable that holds the key (QCHAT_API_KEY)
  -t SECONDS  how long one request may take (30)
  -h          this text

Exit code: 0 all is well, 1 something is not, 2 wrong usage.

  ./check-service.sh
  ./check-service.sh -m Qwen3-32B http://localhost:8000
  ./check-service.sh -k ~/.config/qchat/keys/Qwen3-8B.key https://lab.example
' '用法：check-service.sh [选项] [地址]

检查服务：健康状态、密钥、模型、一次回答、一次流式回答、延迟。
地址默认为 http://localhost:8000。

  -m 模型    要询问的模型（默认为服务提供的第一个）
  -k 文件    存放密钥的文件，只有你可读（chmod 600）：密钥，或 名称 密钥
  -e 变量    存放密钥的环境变量（QCHAT_API_KEY）
  -t 秒数    每个请求最长时间（30）
  -h         显示本说明

退出码：0 一切正常，1 有问题，2 用法错误。

  ./check-service.sh
  ./check-service.sh -m Qwen3-32B http://localhost:8000
  ./check-service.sh -k ~/.config/qchat/keys/Qwen3-8B.key https://lab.example
'
}

# Wrong usage: one sentence, nothing was asked.
refuse() {
    printf '%s: %s\n' "$(t Error 错误)" "$1" >&2
    exit 2
}

failed=0 warned=0
ok() { printf '%s  %s\n' "$(t 'ok      ' '正常')" "$1"; }
warning() {
    printf '%s  %s\n' "$(t 'warning ' '注意')" "$1"
    warned=1
}
problem() {
    printf '%s  %s\n' "$(t 'problem ' '问题')" "$1"
    failed=1
}

end() {
    if [ "$failed" -ne 0 ]; then
        t 'There are problems.' '存在问题。'
    elif [ "$warned" -ne 0 ]; then
        t 'It works, with warnings.' '可以使用，但有需要注意之处。'
    else
        t 'All is well.' '一切正常。'
    fi
    echo
    exit "$failed"
}

model='' key_file='' variable=QCHAT_API_KEY limit=30
while getopts m:k:e:t:h option; do
    case "$option" in
    m) model=$OPTARG ;;
    k) key_file=$OPTARG ;;
    e) variable=$OPTARG ;;
    t) limit=$OPTARG ;;
    h) usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ $# -le 1 ] || refuse "$(t 'there is more than one address; see -h.' '只能给出一个地址；见 -h。')"
url=${1:-http://localhost:8000}
case "$url" in
*@*) refuse "$(t 'no name or password can stand in the address.' '地址中不能包含用户名或密码。')" ;;
http://?* | https://?*) ;;
*) refuse "$(t "the address must begin with http:// or https://: $url" "地址必须以 http:// 或 https:// 开头：$url")" ;;
esac
case "$limit" in
'' | *[!0-9]* | 0*) refuse "$(t "-t takes whole seconds, not: $limit" "-t 需要整数秒：$limit")" ;;
esac
case "$variable" in
'' | [0-9]* | *[!A-Za-z0-9_]*) refuse "$(t '-e takes the name of a variable.' '-e 需要环境变量的名称。')" ;;
esac
command -v curl >/dev/null || refuse "$(t 'curl is not installed.' '未安装 curl。')"
root=${url%/}
root=${root%/v1}

# The key: never on a command line, where everybody on this machine can read it.
key=''
if [ -n "$key_file" ]; then
    rights=$(ls -ldL -- "$key_file" 2>/dev/null) ||
        refuse "$(t "can't read the key file: $key_file" "无法读取密钥文件：$key_file")"
    case "$rights" in
    -???------*) ;;
    *) refuse "$(t "others can read the key; run: chmod 600 $key_file" "其他人可以读取密钥，请运行：chmod 600 $key_file")" ;;
    esac
    key=$(awk 'NF && $1 !~ /^#/ { print $NF; exit }' "$key_file") || exit 2
    [ -n "$key" ] || refuse "$(t "there is no key in $key_file" "文件中没有密钥：$key_file")"
else
    eval "key=\${$variable-}"
fi
case "$key" in
*[!!-~]*) refuse "$(t 'the key must be one word of plain ASCII characters.' '密钥必须是一个由 ASCII 字符组成的词。')" ;;
esac

umask 077
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

case "$root" in
http://localhost | http://localhost[:/]* | http://127.* | 'http://[::1]'*)
    here=1
    direct='*' # a proxy of the environment has no business with this machine
    ;;
*)
    here=''
    direct=${no_proxy:-${NO_PROXY:-}}
    ;;
esac

# curl with the key, which comes through its standard input: ask PATH [OPTION...]
ask() {
    path=$1
    shift
    if [ -n "$key" ]; then
        printf 'header = "Authorization: Bearer %s"\n' \
            "$(printf '%s' "$key" | sed 's/[\\"]/\\&/g')"
    fi | curl -q -sS --config - --noproxy "$direct" --connect-timeout 5 --max-time "$limit" \
        "$@" "$root$path" 2>"$folder/error"
}

# The same; prints the status and the seconds it took, and leaves the body in a file.
get() {
    : >"$folder/body"
    ask "$@" -o "$folder/body" -w '%{http_code} %{time_total}\n'
}

# One safe line of what the server or curl has said.
said() {
    tr -d '\000-\010\013-\037\177' <"$1" | tr '\n' ' ' | cut -c 1-300 | sed 's/ *$//'
}

# Text as it stands in JSON.
json() {
    printf '%s' "$1" | sed 's/[\\"]/\\&/g'
}

milliseconds() {
    awk -v s="$1" 'BEGIN { printf "%.0f", s * 1000 }'
}

seconds() {
    awk -v s="$1" 'BEGIN { printf "%.2f", s }'
}

body() {
    printf '{"model": "%s", "messages": [{"role": "user", "content": "%s"}], %s}' \
        "$(json "$model")" "$1" "$2"
}

printf '%s %s\n' "$(t Checking 检查)" "$root"

# Health.
answer=$(get /health)
code=$?
status=${answer%% *}
if [ "$code" -eq 28 ]; then
    problem "$(t "It does not answer within $limit s: it hangs, or it is overloaded." "服务在 $limit 秒内没有响应：可能已卡住或过载。")"
    end
elif [ "$code" -ne 0 ]; then
    problem "$(t "It can't be reached: $(said "$folder/error")" "无法连接服务：$(said "$folder/error")")"
    printf '          %s\n' "$(t 'Check the address, and that the server runs.' '请检查地址以及服务是否在运行。')"
    end
fi
case "$status" in
200) ok "$(t "It is well; /health took $(milliseconds "${answer#* }") ms." "服务健康；/health 用时 $(milliseconds "${answer#* }") 毫秒。")" ;;
5??)
    problem "$(t "It says that it is not well (status $status); see its log." "服务报告异常（状态码 ${status}），请查看日志。")"
    ;;
*) ok "$(t "It answers; /health is not there (status $status)." "服务有响应；没有 /health（状态码 ${status}）。")" ;;
esac

# Key and models.
if [ -n "$key" ] && [ -z "$here" ]; then
    case "$root" in
    http:*) warning "$(t 'The key travels in clear text: use https://.' '密钥以明文传输，请使用 https://。')" ;;
    esac
fi
answer=$(get /v1/models)
status=${answer%% *}
case "$status" in
200) ;;
000)
    problem "$(t "It does not list its models: $(said "$folder/error")" "无法列出模型：$(said "$folder/error")")"
    end
    ;;
401 | 403)
    if [ -n "$key" ]; then
        problem "$(t 'It refuses the key.' '服务拒绝了密钥。')"
    else
        problem "$(t "It wants a key: put it in $variable, or give its file with -k." "服务需要密钥：请设置环境变量 $variable 或用 -k 指定文件。")"
    fi
    end
    ;;
*)
    problem "$(t "It does not list its models (status $status): $(said "$folder/body")" "无法列出模型（状态码 ${status}）：$(said "$folder/body")")"
    end
    ;;
esac
awk '{
    while (match($0, /"id" *: *"[^"]*"/)) {
        id = substr($0, RSTART, RLENGTH)
        sub(/^"id" *: *"/, "", id); sub(/"$/, "", id)
        if (id !~ /^modelperm-/) print id
        $0 = substr($0, RSTART + RLENGTH)
    }
}' "$folder/body" >"$folder/models"
if [ ! -s "$folder/models" ]; then
    problem "$(t 'It offers no model.' '服务没有提供任何模型。')"
    end
elif [ -z "$model" ]; then
    model=$(head -n 1 "$folder/models")
elif ! grep -Fqx -e "$model" "$folder/models"; then
    problem "$(t "It does not offer $model, but: $(said "$folder/models")" "服务没有模型 ${model}，只有：$(said "$folder/models")")"
    end
fi
ok "$(t "It offers: $(said "$folder/models")" "可用模型：$(said "$folder/models")")"
if [ -n "$key" ]; then
    given=$key key=''
    answer=$(get /v1/models)
    key=$given
    case "${answer%% *}" in
    200) warning "$(t 'It answers without the key, too: the key protects nothing.' '没有密钥也能访问：密钥没有起到保护作用。')" ;;
    *) ok "$(t 'It accepts the key, and refuses who has none.' '密钥有效，没有密钥则被拒绝。')" ;;
    esac
fi

# An answer in one piece.
answer=$(get /v1/chat/completions -H 'Content-Type: application/json' \
    -d "$(body Hello '"max_tokens": 16')")
code=$?
status=${answer%% *}
if [ "$code" -ne 0 ]; then
    problem "$(t "No answer came: $(said "$folder/error")" "没有收到回答：$(said "$folder/error")")"
    end
elif [ "$status" != 200 ]; then
    problem "$(t "It refused a question (status $status): $(said "$folder/body")" "服务拒绝了请求（状态码 ${status}）：$(said "$folder/body")")"
    end
elif ! grep -q '"choices"' "$folder/body"; then
    problem "$(t "What it sent is no answer: $(said "$folder/body")" "返回内容不是有效回答：$(said "$folder/body")")"
    end
elif ! grep -Eq '"(content|reasoning|reasoning_content)" *: *"[^"]' "$folder/body"; then
    warning "$(t "$model gave an empty answer." "$model 的回答为空。")"
else
    ok "$(t "$model answers; a short answer took $(seconds "${answer#* }") s." "$model 回答正常；一次短回答用时 $(seconds "${answer#* }") 秒。")"
fi

# A streamed answer: its pieces, and when they came by curl's own clock. What curl tells of the
# request, the key in it, is dropped by awk and goes nowhere.
: >"$folder/stream"
seen=$(ask /v1/chat/completions -N -H 'Content-Type: application/json' \
    -d "$(body 'Count from 1 to 30.' '"max_tokens": 64, "stream": true')" \
    -o "$folder/stream" --trace-ascii - --trace-time -w '\nSTATUS %{http_code}\n' |
    awk '
    function clock(text, part) {
        split(text, part, ":")
        return part[1] * 3600 + part[2] * 60 + part[3]
    }
    $1 ~ /^[0-9][0-9]:[0-9][0-9]:[0-9]/ {
        now = clock($1)
        if (!begun) { start = now; begun = 1 }
        if ($2 == "<=" && $3 == "Recv" && $4 == "data,") {
            if (!pieces) first = now
            else if (now - last < 0.002) within += now - last
            if (!pieces || now - last >= 0.002) bursts++
            pieces++
            last = now
        }
    }
    $1 == "STATUS" { status = $2 }
    END { print status, bursts + 0, first - start, last - start, within + 0 }')
status=${seen%% *} seen=${seen#* }
bursts=${seen%% *}
pieces=$(grep -c '^data: *{' "$folder/stream")
# Held back: few bursts, long waits between them, and next to no time within them.
verdict=$(echo "$seen $pieces" | awk '{
    held = $5 > 3 * $1 && $3 > 0.1 * $1 && $4 < $3 * 0.1
    printf "%.2f %s", $2, held ? "held" : "streams"
}')
first=${verdict% *}
if [ "$status" != 200 ]; then
    problem "$(t "It refused to stream (status $status): $(said "$folder/stream")" "服务拒绝了流式请求（状态码 ${status}）：$(said "$folder/stream")")"
elif grep '^data: *{"error"' "$folder/stream" >"$folder/body"; then
    problem "$(t "The stream failed: $(said "$folder/body")" "流式回答出错：$(said "$folder/body")")"
elif ! grep -q '^data: *\[DONE\]' "$folder/stream"; then
    problem "$(t "The stream broke off after $pieces pieces. $(said "$folder/error")" "流式回答在 $pieces 个片段后中断。$(said "$folder/error")")"
elif [ "${verdict#* }" = held ]; then
    warning "$(t "$pieces pieces came in $bursts bursts: something on the way holds them back (nginx: proxy_buffering off)." "$pieces 个片段分 $bursts 批到达：中间有缓冲（nginx: proxy_buffering off）。")"
else
    ok "$(t "Answers stream: $pieces pieces, the first after $first s." "流式输出正常：$pieces 个片段，首个片段在 $first 秒后到达。")"
fi
end

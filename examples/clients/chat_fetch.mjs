// 用 fetch 提问（Node 18 以上自带 fetch）。
const BASE_URL = process.env.QCHAT_BASE_URL ?? 'http://localhost:8000';
const API_KEY = process.env.QCHAT_API_KEY;

async function chatWithQwen(message) {
  const response = await fetch(`${BASE_URL}/v1/chat/completions`, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      ...(API_KEY && { Authorization: `Bearer ${API_KEY}` }),
    },
    body: JSON.stringify({
      model: 'Qwen3-32B',
      messages: [{ role: 'user', content: message }],
      max_tokens: 1024,
      temperature: 0.7,
      top_p: 0.8,
      chat_template_kwargs: { enable_thinking: false },
    }),
    // Node 的 fetch 等响应头最多 300 秒，更长的回答请用流式。
    signal: AbortSignal.timeout(300_000),
  });
  if (!response.ok) {
    // fetch 不会为 4xx 和 5xx 抛出错误。
    throw new Error(`${response.status}: ${await response.text()}`);
  }
  const data = await response.json();
  return data.choices[0].message.content;
}

try {
  console.log((await chatWithQwen('什么是区块链技术？')).trim());
} catch (error) {
  // 连接失败时 fetch 只说 “fetch failed”，原因在 cause 里。
  console.error(`请求失败：${error.cause?.message || error.cause?.code || error.message}`);
  process.exitCode = 1;
}

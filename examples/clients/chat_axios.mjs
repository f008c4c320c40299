// 用 axios 提问。先在本目录运行 npm ci。
import axios from 'axios';

const API_KEY = process.env.QCHAT_API_KEY;

const client = axios.create({
  baseURL: process.env.QCHAT_BASE_URL ?? 'http://localhost:8000',
  headers: API_KEY ? { Authorization: `Bearer ${API_KEY}` } : {},
  timeout: 600_000,
});

async function chatCompletion(messages) {
  const { data } = await client.post('/v1/chat/completions', {
    model: 'Qwen3-32B',
    messages,
    max_tokens: 1024,
    temperature: 0.7,
    top_p: 0.8,
    chat_template_kwargs: { enable_thinking: false },
  });
  return data.choices[0].message.content;
}

try {
  const answer = await chatCompletion([
    { role: 'system', content: '你是一个专业的编程助手' },
    { role: 'user', content: '帮我写一个JavaScript的快速排序算法' },
  ]);
  console.log(answer.trim());
} catch (error) {
  // 不要打印整个 error：它的 config 里有密钥。
  const { response } = error;
  const answer = response && `${response.status}: ${JSON.stringify(response.data)}`;
  console.error(`请求失败：${answer || error.message || error.code}`);
  process.exitCode = 1;
}

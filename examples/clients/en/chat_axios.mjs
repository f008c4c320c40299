// A question with axios. Run npm ci in the folder above first.
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
    { role: 'system', content: 'You are a helpful assistant.' },
    { role: 'user', content: 'Write a debounce function in JavaScript' },
  ]);
  console.log(answer.trim());
} catch (error) {
  // Don't print the whole error: its config has the key.
  const { response } = error;
  const answer = response && `${response.status}: ${JSON.stringify(response.data)}`;
  console.error(`Request failed: ${answer || error.message || error.code}`);
  process.exitCode = 1;
}

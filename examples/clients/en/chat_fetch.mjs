// A question with fetch (part of Node since 18).
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
    // Node waits 300 s at most for the head of a response; stream longer answers.
    signal: AbortSignal.timeout(300_000),
  });
  if (!response.ok) {
    // fetch throws nothing for 4xx and 5xx.
    throw new Error(`${response.status}: ${await response.text()}`);
  }
  const data = await response.json();
  return data.choices[0].message.content;
}

try {
  console.log((await chatWithQwen('What is machine learning?')).trim());
} catch (error) {
  // Where the connection fails, fetch says "fetch failed"; the cause says why.
  console.error(`Request failed: ${error.cause?.message || error.cause?.code || error.message}`);
  process.exitCode = 1;
}

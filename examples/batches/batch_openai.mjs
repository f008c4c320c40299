// A batch with OpenAI's client for Node, against a server that was started with
// `qchat serve --batches`.
import fs from "node:fs";
import OpenAI from "openai";

const client = new OpenAI({
  baseURL: (process.env.QCHAT_BASE_URL ?? "http://127.0.0.1:8000") + "/v1",
  apiKey: process.env.QCHAT_API_KEY,
});
const model = process.env.QCHAT_MODEL ?? "Qwen3-32B";
const questions = ["你好，请介绍一下你自己", "什么是机器学习？"];

const tasks = questions.map((question, index) => ({
  custom_id: `task-${index}`,
  method: "POST",
  url: "/v1/chat/completions",
  body: { model, messages: [{ role: "user", content: question }] },
}));
fs.writeFileSync("tasks.jsonl", tasks.map((task) => JSON.stringify(task) + "\n").join(""));

const file = await client.files.create({
  file: fs.createReadStream("tasks.jsonl"),
  purpose: "batch",
});
let batch = await client.batches.create({
  input_file_id: file.id,
  endpoint: "/v1/chat/completions",
  completion_window: "24h",
});
while (!["completed", "failed", "expired", "cancelled"].includes(batch.status)) {
  await new Promise((resolve) => setTimeout(resolve, 1000));
  batch = await client.batches.retrieve(batch.id);
}
console.log(batch.status, batch.request_counts);

const content = await client.files.content(batch.output_file_id);
for (const line of (await content.text()).trim().split("\n")) {
  const result = JSON.parse(line);
  console.log(result.custom_id, result.response.body.choices[0].message.content);
}

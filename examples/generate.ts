/**
 * Continues a prompt with a model, streaming; Ctrl-C stops the reply.
 *
 *   node examples/generate.ts MODEL "Once upon a time"      (Node 22.18 or newer; with Node 20: npx tsx examples/generate.ts …)
 */
import process from 'node:process';
import { loadEngine } from 'cria';

const [model, prompt = 'Once upon a time'] = process.argv.slice(2);
if (model === undefined) {
  process.stderr.write('say which model: a folder, a .gguf file, or a Hugging Face id that was pulled\n');
  process.exit(2);
}
const { engine, tokenizer, stopIds, dispose } = await loadEngine(model);
const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort());

const promptIds = tokenizer.encode(prompt, { bos: tokenizer.roles.addsBos });
const reply = engine.generate({
  promptIds,
  stopIds,
  maxTokens: 60,
  sampling: { temperature: 0.8, minP: 0.05 },
  seed: 1,
  signal: interrupted.signal,
});
try {
  for await (const { text } of reply) process.stdout.write(text);
  const { timings, finishReason } = await reply.result;
  process.stderr.write(`\n(${finishReason}; ${timings.decodeTps.toFixed(1)} tokens/s)\n`);
} catch (error) {
  if (!interrupted.signal.aborted) throw error;
}
await dispose();

/**
 * Vercel's AI SDK and LangChain against the server, over a real socket.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { HumanMessage } from '@langchain/core/messages';
import { tool as langchainTool } from '@langchain/core/tools';
import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai';
import { APICallError, embed, generateObject, generateText, streamText, tool, type ToolSet } from 'ai';
import { z } from 'zod';
import { type RunningServer, runServer } from './running-server.ts';

const MODEL = 'toy';
const PROMPT = 'What does a llama eat?';
const Animal = z.object({ legs: z.enum(['two', 'four']), isLlama: z.boolean() });

let running: RunningServer;
before(async () => {
  running = await runServer({ model: { contextLength: 2048, batch: 4 } });
});
after(() => running.stop());

const provider = () =>
  createOpenAICompatible({
    name: 'cria',
    baseURL: `${running.url}/v1`,
    includeUsage: true,
    supportsStructuredOutputs: true,
  });

const model = (fields: object = {}) =>
  new ChatOpenAI({
    model: MODEL,
    apiKey: 'unused',
    configuration: { baseURL: `${running.url}/v1` },
    maxTokens: 200,
    maxRetries: 0,
    modelKwargs: { seed: 6 },
    ...fields,
  });

describe('AI SDK', () => {
  it('streams what it would give whole', async () => {
    const request = { model: provider()(MODEL), prompt: PROMPT, maxOutputTokens: 20, seed: 4 };
    const whole = await generateText(request);
    const streamed = streamText(request);
    assert.equal(await streamed.text, whole.text);
    assert.deepEqual((await streamed.usage).outputTokens, whole.usage.outputTokens);
    assert.ok(['stop', 'length'].includes(await streamed.finishReason));
  });

  it('gets objects of a zod schema', async () => {
    const { object } = await generateObject({
      model: provider()(MODEL),
      prompt: PROMPT,
      schema: Animal,
      seed: 1,
      maxOutputTokens: 200,
    });
    assert.ok(Animal.safeParse(object).success);
  });

  it('has tools called', async () => {
    const tools: ToolSet = {
      weather: tool({ description: 'Weather', inputSchema: z.object({ unit: z.enum(['c', 'f']) }) }),
    };
    const { toolCalls, finishReason } = await generateText({
      model: provider()(MODEL),
      prompt: PROMPT,
      tools,
      toolChoice: 'required',
      providerOptions: { cria: { parallel_tool_calls: false } },
      seed: 1,
      maxOutputTokens: 200,
    });
    assert.equal(finishReason, 'tool-calls');
    assert.equal(toolCalls[0]!.toolName, 'weather');
    assert.ok(['c', 'f'].includes((toolCalls[0]!.input as { unit: string }).unit));
  });

  it('gets embeddings, and errors it understands', async () => {
    const { embedding } = await embed({ model: provider().embeddingModel(MODEL), value: 'hay' });
    assert.ok(embedding.length > 10);
    const wrong = generateText({ model: provider()('none'), prompt: PROMPT, maxRetries: 0 });
    await assert.rejects(wrong, (error) => APICallError.isInstance(error) && error.statusCode === 404);
  });
});

describe('LangChain', () => {
  it('streams what it would give whole', async () => {
    const whole = await model({ maxTokens: 20 }).invoke([new HumanMessage(PROMPT)]);
    let text = '';
    for await (const chunk of await model({ maxTokens: 20 }).stream([new HumanMessage(PROMPT)])) text += chunk.text;
    assert.equal(text, whole.text);
    assert.ok((whole.usage_metadata as { output_tokens: number } | undefined)!.output_tokens > 0);
  });

  it('gets structured output of a zod schema', async () => {
    const value = await model().withStructuredOutput(Animal, { method: 'jsonSchema' }).invoke(PROMPT);
    assert.ok(Animal.safeParse(value).success);
  });

  it('has tools called', async () => {
    const weather = langchainTool(() => 'sun', {
      name: 'weather',
      description: 'Weather',
      schema: z.object({ unit: z.enum(['c', 'f']) }),
    });
    const { tool_calls: calls } = await model().bindTools([weather], { tool_choice: 'weather' }).invoke(PROMPT);
    assert.equal(calls![0]!.name, 'weather');
    assert.ok(['c', 'f'].includes(calls![0]!.args['unit'] as string));
  });

  it('gets embeddings', async () => {
    const embeddings = new OpenAIEmbeddings({
      model: MODEL,
      apiKey: 'unused',
      configuration: { baseURL: `${running.url}/v1` },
    });
    const vectors = await embeddings.embedDocuments(['hay', 'a llama']);
    assert.deepEqual([vectors.length, vectors[0]!.length], [2, vectors[1]!.length]);
  });
});

/**
 * `cria chat`: talk to a model in the terminal. Models that were trained on conversations answer; others continue what is typed.
 */
import { createInterface, type Interface } from 'node:readline';
import { Command } from 'commander';
import type { Engine } from '../infer/engine.ts';
import { assumedChatFormat } from '../infer/model-files.ts';
import type { ChatFormat, ChatMessage } from '../tokenizer/chat-message.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { CapacityError } from '../util/errors.ts';
import { type CommandIo, logLine } from './io.ts';
import { addModelFlags, type ModelFlags, openModel, stopIdsOf } from './open-model.ts';
import { addSamplingFlags, type SamplingFlags, samplingOf, seedOf } from './sampling-flags.ts';

interface Flags extends ModelFlags, SamplingFlags {
  readonly system?: string;
  readonly chat?: boolean;
  readonly completion?: boolean;
}

const DEFAULT_MODEL = 'nano';
const DEFAULT_CONTEXT = 8192;
const MAX_CONTINUATION = 256; // tokens; such a model would go on until the context is full

/** The command, not yet run. */
export function chatCommand(io: CommandIo): Command {
  const command = new Command('chat')
    .description('talk to a model in the terminal')
    .argument('[model]', 'a model folder, .gguf file, training run or nano', DEFAULT_MODEL)
    .option('--system <text>', 'how the model is to behave')
    .option('--chat', "use the chat format, even if the model's files do not say that it knows it")
    .option('--completion', 'continue what is typed, without a chat format');
  return addModelFlags(addSamplingFlags(command)).action((model: string, flags: Flags) => chat(model, flags, io));
}

/** Talks to MODEL until the input ends. */
export async function chat(name: string, flags: Flags, io: CommandIo): Promise<void> {
  const [{ Engine }, { ModelRunner }] = await Promise.all([
    import('../infer/engine.ts'),
    import('../infer/model-runner.ts'),
  ]);
  const [sampling, firstSeed] = [samplingOf(flags), seedOf(flags)]; // wrong ones are refused before the model is loaded
  const opened = await openModel(name, flags, io);
  try {
    const tokenizer = await opened.loadTokenizer();
    const format = flags.completion ? null : await opened.chatFormat(tokenizer);
    const chosen = flags.chat ? (format ?? (await assumedChatFormat(tokenizer))) : format;
    const model = await opened.load({ wantedContext: DEFAULT_CONTEXT, batch: 1 });
    const engine = new Engine(new ModelRunner(model), tokenizer);
    const dialog = chosen ? conversation(chosen, flags.system ?? null) : completion(tokenizer);
    await converse({
      engine,
      dialog,
      contextLength: model.contextLength,
      stopIds: stopIdsOf(opened, tokenizer),
      sampling,
      firstSeed,
      io,
    });
    await engine.dispose();
  } finally {
    await opened.close();
  }
}

/** What the model is given for a line typed, and what stays of the exchange. */
interface Dialog {
  readonly welcome: string;
  /** Most tokens of a reply; null: until the model ends it. */
  readonly maxTokens: number | null;
  promptFor(line: string): number[];
  remember(line: string, reply: string): void;
  clear(): void;
}

function conversation(format: ChatFormat, system: string | null): Dialog {
  const opening: readonly ChatMessage[] = system === null ? [] : [{ role: 'system', content: system }];
  let messages = opening;
  return {
    welcome: 'Type a message. Ctrl-C stops a reply, /clear starts afresh, /exit ends.',
    maxTokens: null,
    promptFor: (line) => format.encode([...messages, { role: 'user', content: line }], { addGenerationPrompt: true }),
    remember: (line, reply) => {
      messages = [...messages, { role: 'user', content: line }, { role: 'assistant', content: reply }];
    },
    clear: () => {
      messages = opening;
    },
  };
}

function completion(tokenizer: Tokenizer): Dialog {
  return {
    welcome: 'This model was not trained to chat: it continues what you type. Ctrl-C stops it, /exit ends.',
    maxTokens: MAX_CONTINUATION,
    promptFor: (line) => tokenizer.encode(line, { bos: tokenizer.roles.addsBos }),
    remember: () => {},
    clear: () => {},
  };
}

interface Session {
  readonly engine: Engine;
  readonly dialog: Dialog;
  readonly contextLength: number;
  readonly stopIds: readonly number[];
  readonly sampling: ReturnType<typeof samplingOf>;
  readonly firstSeed: number;
  readonly io: CommandIo;
}

async function converse(session: Session): Promise<void> {
  const { dialog, io, sampling, firstSeed } = session;
  const terminal = createInterface({
    input: io.stdin,
    output: io.stdout,
    prompt: '> ',
    terminal: io.stdin.isTTY === true,
  });
  let reply: AbortController | null = null;
  terminal.on('SIGINT', () => (reply ? reply.abort() : terminal.close()));
  logLine(io, dialog.welcome);
  showPrompt(terminal, io);
  let numReplies = 0;
  for await (const line of terminal) {
    if (line.trim() === '/exit') break;
    if (line.trim() === '/clear') dialog.clear();
    else if (line.trim() !== '') {
      reply = new AbortController();
      await answer(session, line, { sampling, seed: firstSeed + numReplies++, signal: reply.signal });
      reply = null;
    }
    showPrompt(terminal, io);
  }
  terminal.close();
}

function showPrompt(terminal: Interface, io: CommandIo): void {
  if (io.stdin.isTTY) terminal.prompt();
}

/** One reply, streamed; a context that is full is said and forgotten, not the end. */
async function answer(
  { engine, dialog, contextLength, stopIds, io }: Session,
  line: string,
  request: { sampling: ReturnType<typeof samplingOf>; seed: number; signal: AbortSignal },
): Promise<void> {
  let reply = '';
  try {
    const promptIds = dialog.promptFor(line);
    const room = contextLength - promptIds.length;
    const maxTokens = dialog.maxTokens !== null && dialog.maxTokens < room ? dialog.maxTokens : null;
    const generation = engine.generate({ ...request, promptIds, maxTokens, stopIds });
    for await (const { text } of generation) {
      reply += text;
      io.stdout.write(text);
    }
    const { finishReason } = await generation.result;
    io.stdout.write('\n');
    if (finishReason === 'length' && maxTokens === null)
      logLine(io, `(the context of ${contextLength} tokens is full)`);
  } catch (error) {
    if (error instanceof CapacityError) return logLine(io, `${error.message}; /clear starts afresh`);
    if (!request.signal.aborted) throw error;
    io.stdout.write('\n');
  }
  dialog.remember(line, reply);
}

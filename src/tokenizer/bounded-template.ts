/**
 * Runs a chat template within bounds of time and memory: it comes with a checkpoint that nobody vouches for, and Jinja has loops.
 * Knows nothing of chats. Whatever goes beyond a bound throws an Error, as the library does for all else that is wrong with a template.
 */
import { Environment, Interpreter, parse, tokenize } from '@huggingface/jinja';

/** Far more than any published template needs for a conversation of thousands of messages. */
export interface TemplateBounds {
  readonly milliseconds: number;
  /** Elements of a list and of all that is in it, and sixteenths of characters of a text. */
  readonly valueSize: number;
}

const DEFAULT_BOUNDS: TemplateBounds = { milliseconds: 10_000, valueSize: 2 ** 20 };
const MAX_TEMPLATE_LENGTH = 2 ** 20;
const MAX_WHITE_SPACE = 1000; // in a row
const CHARACTERS_PER_ELEMENT = 16;
const STEPS_BETWEEN_CLOCKS = 64;

/** What a template writes, given the values of its variables. */
export type BoundedTemplate = (context: Readonly<Record<string, unknown>>) => string;

/** A template ready to run; throws an Error if it does not parse. */
export function boundedTemplate(source: string, bounds: TemplateBounds = DEFAULT_BOUNDS): BoundedTemplate {
  checkLength(source);
  const program = parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
  return (context) => {
    const environment = new Environment();
    const globals = { ...GLOBALS, range: (...ends: number[]) => boundedRange(bounds.valueSize, ends) };
    for (const [name, value] of Object.entries({ ...globals, ...context })) environment.set(name, value);
    return String(new BoundedInterpreter(environment, bounds).run(program).value);
  };
}

/** The library looks for a tag behind each white space, in time that grows with the square of a run of them. */
function checkLength(source: string): void {
  if (source.length > MAX_TEMPLATE_LENGTH) throw new Error(`it has ${source.length} characters`);
  for (const [run] of source.matchAll(/\s+/g)) {
    if (run.length > MAX_WHITE_SPACE) throw new Error(`it has ${run.length} white spaces in a row`);
  }
}

const GLOBALS = {
  true: true,
  false: false,
  none: null,
  True: true,
  False: false,
  None: null,
  raise_exception: (message: string) => {
    throw new Error(message);
  },
};

/** Python's range; JavaScript's own arguments, so the library's keyword arguments do not come here. */
function boundedRange(maxLength: number, ends: readonly number[]): number[] {
  const [start, stop, step = 1] = ends.length === 1 ? [0, ends[0]!] : [ends[0]!, ends[1]!, ends[2]];
  if (step === 0) throw new Error('range() step must not be zero');
  const length = Math.max(0, Math.ceil((stop - start) / step)) || 0;
  if (length > maxLength) throw new Error(`range() of ${length} numbers`);
  return Array.from({ length }, (_, i) => start + i * step);
}

interface Value {
  readonly type: string;
  readonly value: unknown;
}

/** The library's declarations name modules that Node's resolution does not find; this is what is used of them. */
interface TemplateInterpreter {
  run(program: object): Value;
  /** Called for every node of the template. */
  evaluate(node: object | undefined, environment: object): Value;
}
const NAMESPACE = 'NamespaceValue';
const LibraryInterpreter = Interpreter as new (environment: object) => TemplateInterpreter;

class BoundedInterpreter extends LibraryInterpreter {
  readonly #bounds: TemplateBounds;
  readonly #deadlineMs: number;
  readonly #sizes = new WeakMap<object, number>();
  #steps = 0;

  constructor(environment: object, bounds: TemplateBounds) {
    super(environment);
    this.#bounds = bounds;
    this.#deadlineMs = performance.now() + bounds.milliseconds;
  }

  override evaluate(node: object | undefined, environment: object): Value {
    const { milliseconds, valueSize } = this.#bounds;
    if (++this.#steps % STEPS_BETWEEN_CLOCKS === 0 && performance.now() > this.#deadlineMs) {
      throw new Error(`it runs for more than ${milliseconds / 1000} s`);
    }
    const value = super.evaluate(node, environment);
    if (this.#sizeOf(value) > valueSize) throw new Error('it builds a value that is too large');
    return value;
  }

  /**
   * Lists share their elements, so a few steps can build one that takes forever to write: its size is that of all it would write. It never
   * changes, as only namespaces do, and those are kept out of other values.
   */
  #sizeOf({ type, value }: Value): number {
    if (typeof value === 'string') return value.length / CHARACTERS_PER_ELEMENT;
    if (!Array.isArray(value) && !(value instanceof Map)) return 1;
    const known = this.#sizes.get(value);
    if (known !== undefined) return known;
    let size = 1;
    for (const element of value.values() as Iterable<Value>) {
      if (element.type === NAMESPACE) throw new Error('it puts a namespace into another value');
      size += this.#sizeOf(element);
    }
    if (type !== NAMESPACE) this.#sizes.set(value, size);
    return size;
  }
}

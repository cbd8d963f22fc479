import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ShapeError } from '../util/errors.ts';
import { checkGraph } from './check.ts';
import { type Graph, rootState, trace, Trace } from './graph.ts';
import { add, affine, assign, cacheWrite, mul } from './ops.ts';
import { hashGraph, printGraph } from './print.ts';
import { reshape } from './rewrite.ts';

const example = (factor = 2) =>
  trace((t) => {
    const x = t.input('x', 'f32', [2, 3]);
    const total = t.state('total', 'f32', [2, 3]);
    const scaled = t.region('layers.0', () => affine(x, factor));
    t.output('total', assign(total, add(total, scaled)));
  });

describe('a trace', () => {
  it('records nodes in execution order with their inputs, outputs and region', () => {
    const { nodes, inputs, states, outputs } = example();
    assert.deepEqual(
      nodes.map(({ op, region }) => [op, region]),
      [
        ['affine', 'layers.0'],
        ['add', null],
        ['assign', null],
      ],
    );
    assert.equal(nodes[0]!.inputs[0], inputs[0]);
    assert.deepEqual(nodes[1]!.inputs, [states[0], nodes[0]!.outputs[0]]);
    assert.equal(outputs.get('total'), nodes[2]!.outputs[0]);
  });

  it('gives the same state for the same name, and refuses another type for it', () => {
    const t = new Trace();
    assert.equal(t.state('w', 'f32', [2]), t.state('w', 'f32', [2]));
    assert.throws(() => t.state('w', 'f32', [3]), new ShapeError('w: already declared as f32 [2]'));
    assert.throws(() => t.state('w', 'bf16', [2]), ShapeError);
  });

  it('refuses an input or an output that is named twice', () => {
    const t = new Trace();
    const x = t.input('x', 'f32', [2]);
    assert.throws(() => t.input('x', 'f32', [2]), ShapeError);
    t.output('y', x);
    assert.throws(() => t.output('y', x), /output y is named twice/);
  });

  it('refuses tensors of another trace', () => {
    const [a, b] = [new Trace().input('a', 'f32', [2]), new Trace().input('b', 'f32', [2])];
    assert.throws(() => add(a, b), /mixes tensors of two traces/);
  });

  it('refuses to change what is not a state', () => {
    const t = new Trace();
    const x = t.input('x', 'f32', [2]);
    assert.throws(() => assign(x, x), /assign changes its input 0, which must be a state/);
  });

  it('restores the region after an error', () => {
    const t = new Trace();
    assert.throws(() => t.region('inner', () => assert.fail()));
    t.constant(1, []);
    assert.equal(t.nodes[0]!.region, null);
  });
});

describe('rootState', () => {
  it('follows state updates back to the state, and stops at other operators', () => {
    const t = new Trace();
    const cache = t.state('cache', 'f32', [4, 2]);
    const [x, slots] = [t.input('x', 'f32', [1, 2]), t.input('slots', 'i32', [1])];
    const second = cacheWrite(cacheWrite(cache, x, slots), x, slots);
    assert.equal(rootState(second), cache);
    assert.equal(second.name, 'cache');
    assert.equal(rootState(mul(second, second)), null);
    assert.equal(rootState(x), null);
  });
});

describe('checkGraph', () => {
  it('accepts what a trace records', () => checkGraph(example()));

  it('refuses a read of a state that was replaced', () => {
    const graph = trace((t) => {
      const w = t.state('w', 'f32', [2]);
      assign(w, t.constant(0, [2]));
      t.output('y', affine(w, 2));
    });
    assert.throws(() => checkGraph(graph), /affine reads w after it was replaced/);
  });

  it('refuses nodes out of order, and outputs of a type that the rule does not give', () => {
    const graph = example();
    assert.throws(() => checkGraph({ ...graph, nodes: graph.nodes.toReversed() }), /before it is computed/);
    const [first, ...rest] = graph.nodes;
    const outputs = [{ ...first!.outputs[0]!, dtype: 'bf16' as const }];
    assert.throws(() => checkGraph({ ...graph, nodes: [{ ...first!, outputs }, ...rest] }), /not of the type/);
  });
});

describe('printGraph', () => {
  it('prints one line for each state, input, node and output', () => {
    assert.equal(
      printGraph(example()),
      [
        'state total f32 [2, 3]',
        'input x f32 [2, 3]',
        '%2 f32 [2, 3] = affine(x) {"factor":2,"offset":0} # layers.0',
        '%3 f32 [2, 3] = add(total, %2)',
        '%4 f32 [2, 3] = assign(total, %3)',
        'output total = %4',
        '',
      ].join('\n'),
    );
  });

  it('has equal hashes exactly for equal graphs', () => {
    assert.equal(hashGraph(example()), hashGraph(example()));
    assert.notEqual(hashGraph(example(2)), hashGraph(example(3)));
  });
});

/** (x * y) * 3 on so many rows. */
function tripled(rows: number): Graph {
  return trace((t) => t.output('out', affine(mul(t.input('x', 'f32', [rows, 4]), t.input('y', 'f32', [rows, 4])), 3)));
}

describe('reshape', () => {
  it('gives the graph that tracing at the other shapes gives', () => {
    const shapes = ['x', 'y'].map((name) => [name, [5, 4]] as const);
    assert.equal(printGraph(reshape(tripled(2), new Map(shapes))), printGraph(tripled(5)));
    assert.throws(() => reshape(tripled(2), new Map([['x', [5, 4]]])), ShapeError);
  });

  it('refuses graphs with sizes of their own', () => {
    const graph = trace((t) => t.output('out', add(t.input('x', 'f32', [2]), t.constant(1, [2]))));
    assert.throws(() => reshape(graph, new Map([['x', [3]]])), /constant keeps its size/);
  });
});

/**
 * Writing a zip archive of stored (uncompressed) members the way torch does: data aligned to 64 bytes, zip64 if needed.
 * Format: PKWARE APPNOTE.TXT 4.3; alignment: pytorch caffe2/serialize/inline_container.cc (padding in extra field "FB").
 */
import { crc32 } from 'node:zlib';
import type { ByteSink } from '../util/atomic-file.ts';
import { invariant } from '../util/errors.ts';

const ALIGNMENT = 64;
const MAX_32 = 0xffffffff;
const ZIP64_EXTRA = 0x0001;
const PADDING_EXTRA = 0x4246; // "FB"

interface WrittenMember {
  readonly name: Uint8Array;
  readonly crc: number;
  readonly bytes: number;
  readonly headerOffset: number;
}

export interface ZipWriter {
  /** Adds a member of exactly `numBytes` bytes that `chunks` yields. */
  add(name: string, numBytes: number, chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void>;
  /** Writes the directory; nothing may be added afterwards. */
  finish(): Promise<void>;
}

/** A writer of zip members into `sink`; `limit32` (for tests) is the size from which zip64 fields are used. */
export function zipWriter(sink: ByteSink, limit32 = MAX_32): ZipWriter {
  const written: WrittenMember[] = [];
  return {
    async add(name, numBytes, chunks) {
      const nameBytes = new TextEncoder().encode(name);
      const headerOffset = sink.position;
      const header = localHeader(nameBytes, numBytes, headerOffset, numBytes >= limit32);
      await sink.write(header);
      const start = sink.position;
      let crc = 0;
      for await (const chunk of chunks) {
        crc = crc32(chunk, crc);
        await sink.write(chunk);
      }
      invariant(sink.position - start === numBytes, `internal: member ${name} gave ${sink.position - start} bytes`);
      new DataView(header.buffer).setUint32(14, crc, true);
      await sink.writeAt(headerOffset, header);
      written.push({ name: nameBytes, crc, bytes: numBytes, headerOffset });
    },
    async finish() {
      const start = sink.position;
      for (const member of written) await sink.write(directoryEntry(member, limit32));
      await sink.write(directoryEnd(written.length, start, sink.position - start, limit32));
    },
  };
}

/** Fields in their order: a number is written little-endian in the bytes given, anything else as it is. */
function packed(fields: readonly (readonly [bytes: 2 | 4 | 8, value: number] | Uint8Array)[]): Uint8Array<ArrayBuffer> {
  const length = fields.reduce((sum, field) => sum + (field instanceof Uint8Array ? field.length : field[0]), 0);
  const target = new Uint8Array(length);
  const view = new DataView(target.buffer);
  let position = 0;
  for (const field of fields) {
    if (field instanceof Uint8Array) target.set(field, position);
    else if (field[0] === 2) view.setUint16(position, field[1], true);
    else if (field[0] === 4) view.setUint32(position, field[1], true);
    else view.setBigUint64(position, BigInt(field[1]), true);
    position += field instanceof Uint8Array ? field.length : field[0];
  }
  return target;
}

function localHeader(name: Uint8Array, bytes: number, offset: number, isZip64: boolean): Uint8Array<ArrayBuffer> {
  const zip64 = isZip64 ? packed([[2, ZIP64_EXTRA], [2, 16], [8, bytes], [8, bytes]]) : new Uint8Array(0); // prettier-ignore
  const unpadded = offset + 30 + name.length + zip64.length + 4;
  const padding = (ALIGNMENT - (unpadded % ALIGNMENT)) % ALIGNMENT;
  const fill = packed([[2, PADDING_EXTRA], [2, padding], new Uint8Array(padding).fill(0x5a)]); // prettier-ignore
  const size = isZip64 ? MAX_32 : bytes;
  // signature, version, flags (names are UTF-8), method, time, date, crc (patched later), sizes, name and extra lengths
  return packed([[4, 0x04034b50], [2, isZip64 ? 45 : 20], [2, 0x0800], [2, 0], [2, 0], [2, 0x21], [4, 0],
    [4, size], [4, size], [2, name.length], [2, zip64.length + fill.length], name, zip64, fill]); // prettier-ignore
}

function directoryEntry(member: WrittenMember, limit32: number): Uint8Array {
  const isLarge = member.bytes >= limit32;
  const isFar = member.headerOffset >= limit32;
  const fields: [8, number][] = [];
  if (isLarge) fields.push([8, member.bytes], [8, member.bytes]);
  if (isFar) fields.push([8, member.headerOffset]);
  const extra = fields.length === 0 ? new Uint8Array(0) : packed([[2, ZIP64_EXTRA], [2, fields.length * 8], ...fields]);
  const version = fields.length === 0 ? 20 : 45;
  const size = isLarge ? MAX_32 : member.bytes;
  // ... name, extra, comment lengths, disk, attributes (internal, external), offset of the local header
  return packed([[4, 0x02014b50], [2, version], [2, version], [2, 0x0800], [2, 0], [2, 0], [2, 0x21], [4, member.crc],
    [4, size], [4, size], [2, member.name.length], [2, extra.length], [2, 0], [2, 0], [2, 0], [4, 0],
    [4, isFar ? MAX_32 : member.headerOffset], member.name, extra]); // prettier-ignore
}

function directoryEnd(count: number, start: number, bytes: number, limit32: number): Uint8Array {
  const isZip64 = count >= 0xffff || start >= limit32 || bytes >= limit32;
  const zip64 = isZip64
    ? packed([[4, 0x06064b50], [8, 44], [2, 45], [2, 45], [4, 0], [4, 0], [8, count], [8, count], [8, bytes], [8, start],
        [4, 0x07064b50], [4, 0], [8, start + bytes], [4, 1]]) // prettier-ignore
    : new Uint8Array(0);
  const shortCount = isZip64 ? 0xffff : count;
  return packed([zip64, [4, 0x06054b50], [2, 0], [2, 0], [2, shortCount], [2, shortCount],
    [4, isZip64 ? MAX_32 : bytes], [4, isZip64 ? MAX_32 : start], [2, 0]]); // prettier-ignore
}

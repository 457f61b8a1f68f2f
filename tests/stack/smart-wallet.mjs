// A smart wallet as small as can be: a program that hands an instruction on to another program, and signs it for its
// vault. No wallet's real program exists outside of the public clusters; what matters here is that the transfer is
// made by a program, out of an account that nobody has a key of.
//
// An instruction to it has as accounts the program to call, then that program's accounts in their order, of which the
// fourth is signed for: the vault, derived from "wallet" and a bump. Its data are the bump, then the data to hand on.

const [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, frame] = Array(11).keys();

// Below the end of the stack frame: descriptions of all accounts (56 bytes each), references to those handed on (16
// each), the instruction, its seeds, the one signer, the first seed's text.
const [INFOS, METAS, CALL, SEEDS, SIGNER, WORD] = [-1024, -512, -256, -200, -160, -144];
const VAULT = 4;

const bytes = (length, write) => {
  const out = Buffer.alloc(length);
  write(out);
  return out;
};
const u16 = (...values) => Buffer.concat(values.map((it) => bytes(2, (out) => out.writeUInt16LE(it))));
const u32 = (...values) => Buffer.concat(values.map((it) => bytes(4, (out) => out.writeUInt32LE(it))));
const u64 = (...values) => Buffer.concat(values.map((it) => bytes(8, (out) => out.writeBigUInt64LE(BigInt(it)))));
const pad = (data) => Buffer.concat([data, Buffer.alloc((8 - (data.length % 8)) % 8)]);

// The chain's instruction set (SBPF, version 0): 8 bytes each.
const encode = (opcode, to = 0, from = 0, offset = 0, value = 0) =>
  bytes(8, (out) => {
    out.writeUInt8(opcode, 0);
    out.writeUInt8(to | (from << 4), 1);
    out.writeInt16LE(offset, 2);
    out.writeInt32LE(value, 4);
  });
const move = (to, from) => encode(0xbf, to, from);
const set = (to, value) => encode(0xb7, to, 0, 0, value);
const add = (to, value) => encode(0x07, to, 0, 0, value);
const addFrom = (to, from) => encode(0x0f, to, from);
const and = (to, value) => encode(0x57, to, 0, 0, value);
const shiftLeft = (to, value) => encode(0x67, to, 0, 0, value);
const load = (to, from, offset) => encode(0x79, to, from, offset);
const loadByte = (to, from, offset) => encode(0x71, to, from, offset);
const store = (to, offset, from) => encode(0x7b, to, from, offset);
const storeByte = (to, offset, from) => encode(0x73, to, from, offset);
const exit = encode(0x95);
const address = (to, offset) => [move(to, frame), add(to, offset)];
const label = (name) => ({ name });
const always = (target) => ({ opcode: 0x05, to: 0, from: 0, value: 0, target });
const ifAtLeast = (to, from, target) => ({ opcode: 0x3d, to, from, value: 0, target });
const ifEqual = (to, value, target) => ({ opcode: 0x15, to, from: 0, value, target });
const unlessEqual = (to, value, target) => ({ opcode: 0x55, to, from: 0, value, target });

// Register 1 holds where the input is: how many accounts, each account, the data. Register 6 walks over the input, 7
// is how many accounts there are, 8 walks over their descriptions, 9 counts.
const PROGRAM = [
  load(r7, r1, 0), move(r6, r1), add(r6, 8), ...address(r8, INFOS), set(r9, 0),
  label('account'), ifAtLeast(r9, r7, 'all'),
  loadByte(r1, r6, 0), unlessEqual(r1, 0xff, 'failed'), // an account that is there twice is written otherwise
  move(r1, r6), add(r1, 8), store(r8, 0, r1), // address
  move(r2, r6), add(r2, 72), store(r8, 8, r2), // lamports
  load(r2, r6, 80), store(r8, 16, r2), // length of its data
  move(r3, r6), add(r3, 88), store(r8, 24, r3), // its data
  move(r3, r6), add(r3, 40), store(r8, 32, r3), // owner
  loadByte(r4, r6, 1), storeByte(r8, 48, r4), // signs
  loadByte(r5, r6, 2), storeByte(r8, 49, r5), // is written to
  loadByte(r3, r6, 3), storeByte(r8, 50, r3), // is a program
  add(r2, 7), and(r2, -8), addFrom(r6, r2), add(r6, 88 + 10240), load(r3, r6, 0), store(r8, 40, r3), // rent epoch
  add(r6, 8), add(r8, 56),
  ifEqual(r9, 0, 'next'), // the program itself is not handed on
  unlessEqual(r9, VAULT, 'reference'), set(r4, 1),
  label('reference'), move(r2, r9), shiftLeft(r2, 4), ...address(r3, METAS - 16), addFrom(r3, r2),
  store(r3, 0, r1), storeByte(r3, 8, r5), storeByte(r3, 9, r4),
  label('next'), add(r9, 1), always('account'),

  label('all'), // and register 6 is at the data, behind its length
  load(r1, frame, INFOS), store(frame, CALL, r1),
  ...address(r1, METAS), store(frame, CALL + 8, r1), move(r1, r7), add(r1, -1), store(frame, CALL + 16, r1),
  move(r1, r6), add(r1, 9), store(frame, CALL + 24, r1), load(r1, r6, 0), add(r1, -1), store(frame, CALL + 32, r1),
  ...[...Buffer.from('wallet')].flatMap((byte, i) => [set(r1, byte), storeByte(frame, WORD + i, r1)]),
  ...address(r1, WORD), store(frame, SEEDS, r1), set(r1, 6), store(frame, SEEDS + 8, r1),
  move(r1, r6), add(r1, 8), store(frame, SEEDS + 16, r1), set(r1, 1), store(frame, SEEDS + 24, r1),
  ...address(r1, SEEDS), store(frame, SIGNER, r1), set(r1, 2), store(frame, SIGNER + 8, r1),
  ...address(r1, CALL), ...address(r2, INFOS), move(r3, r7), ...address(r4, SIGNER), set(r5, 1),
  label('syscall'), encode(0x85, 0, 1, 0, -1), exit, // the loader puts the call in
  label('failed'), set(r0, 1), exit,
];

function assemble(lines) {
  const places = {};
  let place = 0;
  for (const line of lines) {
    if (line.name) places[line.name] = place;
    else place += 1;
  }
  const code = lines
    .filter((line) => !line.name)
    .map((line, i) =>
      Buffer.isBuffer(line) ? line : encode(line.opcode, line.to, line.from, places[line.target] - i - 1, line.value),
    );
  return { code: Buffer.concat(code), syscall: places.syscall * 8 };
}

// The program as an ELF file in which every address is a place in the file. Its one relocation is the system call.
export function smartWallet() {
  const { code, syscall } = assemble(PROGRAM);
  const [header, segment, section] = [64, 56, 64];
  const start = header + 3 * segment;
  const text = Buffer.from('\0sol_invoke_signed_c\0');
  const parts = {
    '.text': code,
    '.dynamic': Buffer.alloc(160),
    '.dynsym': Buffer.concat([Buffer.alloc(24), u32(1), Buffer.from([0x10, 0]), u16(0), u64(0, 0)]),
    '.dynstr': pad(text),
    '.rel.dyn': Buffer.concat([u64(start + syscall), u32(10, 1)]),
    '.s': undefined,
  };
  const names = Buffer.from(`\0${Object.keys(parts).join('\0')}\0`);
  parts['.s'] = pad(names);
  const at = {};
  let end = start;
  for (const [name, part] of Object.entries(parts)) {
    at[name] = end;
    end += part.length;
  }
  parts['.dynamic'] = u64(
    ...[6, at['.dynsym'], 11, 24, 5, at['.dynstr'], 10, text.length], // symbols and their names
    ...[17, at['.rel.dyn'], 18, parts['.rel.dyn'].length, 19, 16], // relocations
    ...[0x16, 0, 0x1e, 4, 0, 0],
  );

  const count = Object.keys(parts).length + 1;
  const describe = (name, type, flags, link, info, entry, address = at[name]) =>
    Buffer.concat([
      u32(names.indexOf(`${name}\0`), type), u64(flags, address, at[name], parts[name].length), u32(link, info),
      u64(8, entry),
    ]);
  const loaded = (type, flags, from, length) =>
    Buffer.concat([u32(type, flags), u64(from, from, from, length, length, 8)]);
  return Buffer.concat([
    Buffer.from([0x7f, ...Buffer.from('ELF'), 2, 1, 1]), Buffer.alloc(9), u16(3, 247), u32(1),
    u64(start, header, end), u32(0), u16(header, segment, 3, section, count, count - 1),
    loaded(1, 5, start, code.length),
    loaded(1, 4, at['.dynamic'], at['.s'] - at['.dynamic']),
    loaded(2, 6, at['.dynamic'], 160),
    ...Object.values(parts),
    Buffer.alloc(section),
    describe('.text', 1, 6, 0, 0, 0),
    describe('.dynamic', 6, 3, 4, 0, 16),
    describe('.dynsym', 11, 2, 4, 1, 24),
    describe('.dynstr', 3, 2, 0, 0, 0),
    describe('.rel.dyn', 9, 2, 3, 0, 16),
    describe('.s', 3, 0, 0, 0, 0, 0),
  ]);
}

// @ts-check
//
// What stands between the compiled module and JavaScript in the published build. wasm-bindgen's own helpers
// serve every engine and every way of loading; these serve the browsers and the ways that there are here.
import { Refusal } from "./setup/log.mjs";

/**
 * The module keeps JavaScript's values as numbers: places in a list, of which the lower half is for what it is
 * only lent. What it knows by name from the start are `undefined`, `null`, `true` and `false`.
 */
const HELPERS = `
const heap = [...Array(1024), undefined, null, true, false];
let heap_next = heap.length;
let stack_pointer = 1024;
let wasm;
let WASM_VECTOR_LEN;

const getObject = (idx) => heap[idx];

const isLikeNone = (it) => it == null;

function addHeapObject(obj) {
    const idx = heap_next;
    heap_next = heap[idx] ?? idx + 1;
    heap[idx] = obj;
    return idx;
}

function takeObject(idx) {
    const ret = heap[idx];
    if (idx > 1027) {
        heap[idx] = heap_next;
        heap_next = idx;
    }
    return ret;
}

function addBorrowedObject(obj) {
    heap[--stack_pointer] = obj;
    return stack_pointer;
}

// Its memory is another buffer when it has grown.
const bytesOf = (ptr, len) => new Uint8Array(wasm.memory.buffer, ptr, len);

const getDataViewMemory0 = () => new DataView(wasm.memory.buffer);

const getStringFromWasm0 = (ptr, len) => new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytesOf(ptr, len));

function passStringToWasm0(arg) {
    const bytes = new TextEncoder().encode(arg);
    WASM_VECTOR_LEN = bytes.length;
    const ptr = wasm.__wbindgen_malloc(WASM_VECTOR_LEN, 1);
    bytesOf(ptr, WASM_VECTOR_LEN).set(bytes);
    return ptr;
}

export default async function load({ module_or_path = new URL('whoshere_bg.wasm', import.meta.url) }) {
    let source = await module_or_path;
    if (typeof source === 'string' || source instanceof URL || source instanceof Request) source = await fetch(source);
    if (source instanceof Response) {
        if (!source.ok) throw new Error(\`\${source.url} answers \${source.status}\`);
        // Not streamed: that needs a server that knows what it is.
        source = await source.arrayBuffer();
    }
    const made = await WebAssembly.instantiate(source, __wbg_get_imports());
    wasm = (made.instance ?? made).exports;
}
`;

/** What the module exports for wasm-bindgen's helpers, these don't call, and so isn't exported any more. */
export const NOT_CALLED = [
  "__abort_handler",
  "__instance_terminated",
  "__wbindgen_realloc",
  "__wbindgen_free",
];

/**
 * The glue with helpers that are a quarter of the size.
 *
 * @param {string} glue as wasm-bindgen made it
 */
export function withOwnHelpers(glue) {
  const at = glue.indexOf("\nfunction addHeapObject(");
  if (at === -1) throw new Refusal("The glue's helpers begin with another one than expected.");
  const [kept, theirs] = [glue.slice(0, at), glue.slice(at)];
  const names = (/** @type {string} */ text) =>
    [...text.matchAll(/^(?:async )?(?:function|let|const) (\w+)/gm)].map(([, name]) => name);
  const ours = names(HELPERS);
  const missing = names(theirs).filter(
    (name) => !ours.includes(name) && new RegExp(`\\b${name}\\b`).test(kept),
  );
  if (missing.length > 0) throw new Refusal(`The glue needs helpers of ours: ${missing}.`);
  const plain = kept
    .replaceAll(", wasm.__wbindgen_malloc, wasm.__wbindgen_realloc)", ")")
    .replaceAll("__proto__: null,", "")
    // No memory of a page's is half of what there can be.
    .replaceAll("(arg0 >>> 0) + 4 *", "arg0 + 4 *");
  const whole = plain + HELPERS;
  const called = NOT_CALLED.filter((name) => whole.includes(`wasm.${name}`));
  if (called.length > 0) throw new Refusal(`The glue calls what isn't exported: ${called}.`);
  return whole;
}

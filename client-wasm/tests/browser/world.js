// A page whose socket, clock and browser events are in a test's hands.
//
// wasm-bindgen's test runner serves the compiled tests, and with them the crate's functions, under this
// name; everything else comes from the crate's folder.
import { call } from "/wasm-bindgen-test";
import { Here } from "../../js/here.js";
import { connectOptions } from "../../js/options.js";

const RELAY = "wss://relay.example/v1/presence";
export const KEY = "document:42";
const SESSION = "00000000000000a1";
const GRACE = 30_000;

/** The clock. It goes on from test to test, because the crate's own never goes back. */
class Clock {
  #now = Math.ceil(performance.now());
  #wall = 1_700_000_000_000;
  #timers = new Map();
  #last = 0;

  constructor() {
    performance.now = () => this.#now;
    Date.now = () => this.#wall;
    window.setTimeout = (callback, delay = 0) => {
      this.#last += 1;
      this.#timers.set(this.#last, { callback, at: this.#now + Math.max(delay, 0) });
      return this.#last;
    };
    window.clearTimeout = (id) => this.#timers.delete(id);
  }

  get nTimers() {
    return this.#timers.size;
  }

  /** Lets time pass, with all that falls into it. */
  async pass(milliseconds) {
    const end = this.#now + milliseconds;
    for (;;) {
      await settled();
      const due = [...this.#timers].filter(([, { at }]) => at <= end);
      if (due.length === 0) break;
      const [id, { callback, at }] = due.reduce((a, b) => (b[1].at < a[1].at ? b : a));
      this.#timers.delete(id);
      this.#move(Math.max(at - this.#now, 0));
      callback();
    }
    this.#move(end - this.#now);
    await settled();
  }

  /** Lets the computer sleep: nothing runs, and only the wall clock goes on. */
  sleep(milliseconds) {
    this.#wall += milliseconds;
  }

  /** Runs what is due without letting time pass. */
  wake() {
    return this.pass(0);
  }

  #move(milliseconds) {
    this.#now += milliseconds;
    this.#wall += milliseconds;
  }
}

export const clock = new Clock();

/** Lets promises settle that have nothing to wait for. */
export async function settled() {
  for (let i = 0; i < 10; i += 1) await Promise.resolve();
}

/** The page's sockets, from the first on. */
export let sockets = [];

/** What `navigator.sendBeacon` was given. */
export let beacons = [];

/** What was written to the console as a warning, and what was reported as uncaught. */
export let warnings = [];
export let reported = [];

const realSocket = window.WebSocket;

class FakeSocket {
  sent = [];
  closedWith = null;
  readyState = realSocket.CONNECTING;
  onopen = null;
  onmessage = null;
  onclose = null;

  constructor(url, protocol) {
    if (FakeSocket.refusal) throw FakeSocket.refusal;
    Object.assign(this, { url, protocol });
    sockets.push(this);
  }

  send(text) {
    equal(typeof text, "string", "frames are text");
    this.sent.push(JSON.parse(text));
  }

  close(code) {
    this.closedWith = code;
    this.readyState = realSocket.CLOSING;
  }

  // What the relay does.

  open() {
    this.readyState = realSocket.OPEN;
    this.onopen?.({ type: "open" });
  }

  say(frame) {
    this.onmessage?.({ type: "message", data: JSON.stringify(frame) });
  }

  sayRaw(data) {
    this.onmessage?.({ type: "message", data });
  }

  lose(code = 1006) {
    this.readyState = realSocket.CLOSED;
    this.onclose?.({ type: "close", code });
  }

  /** Up to the moment where the page is live: open, hello, welcome. */
  welcome({ resumed = false, session = SESSION } = {}) {
    this.open();
    const epoch = { id: "5eed000000000001", age_ms: 60_000 };
    const times = { heartbeat_ms: 10_000, grace_ms: GRACE, expires_in_ms: 3_600_000 };
    this.say({ welcome: { session, resume: "resume-token", resumed, ...times, epoch } });
  }

  /** The frames of a kind that the page has sent. */
  frames(kind) {
    return this.sent.filter((frame) => kind in frame).map((frame) => frame[kind]);
  }
}

export function refuseSockets(error) {
  FakeSocket.refusal = error;
}

export function lastSocket() {
  return sockets.at(-1);
}

const handles = [];

/** What belongs to the test; the rest of the page is the runner's. */
export const root = document.createElement("main");
document.body.append(root);

/** Begins a test in an empty page. Every test calls it first. */
export function begin() {
  for (const here of handles.splice(0)) here.leave();
  root.replaceChildren();
  refuseSockets(null);
  [sockets, beacons, warnings, reported] = [[], [], [], []];
  window.WebSocket = FakeSocket;
  navigator.sendBeacon = (url, body) => beacons.push({ url, body: JSON.parse(body) }) > 0;
  console.warn = (...args) => warnings.push(args);
  window.reportError = (error) => reported.push(error);
}

/** What `connect` gives, without its loading of the module. */
export function enter(options = {}) {
  const given = { url: RELAY, key: KEY, token: "token", ...options };
  const here = new Here(call, connectOptions(given));
  handles.push(here);
  return here;
}

/** A page that is live and knows who is here. */
export async function live(presences = [alice()], options = {}) {
  const here = enter(options);
  await settled();
  const socket = lastSocket();
  socket.welcome();
  snapshot(socket, presences);
  await settled();
  return { here, socket };
}

export function snapshot(socket, presences, rev = 1, key = KEY) {
  socket.say({ snapshot: { key, rev, presences } });
}

/** A change from one rev to the next. */
export function delta(socket, from, change, key = KEY) {
  socket.say({ delta: { key, from, to: from + 1, ...change } });
}

/** Somebody. Ids of sessions are small numbers; that of the page itself is `0xa1`. */
export function presence(name, session, { since = 0, state = "active", meta = {}, ...user } = {}) {
  return {
    session: session.toString(16).padStart(16, "0"),
    user: { id: `u-${name}`, name, color: "#336699", ...user },
    since,
    state,
    meta,
  };
}

export const alice = (rest) => presence("alice", 0xa1, { since: -1000, ...rest });
export const bob = (rest) => presence("bob", 0xb0, { since: 1000, ...rest });
export const carol = (rest) => presence("carol", 0xc0, { since: 2000, ...rest });

export const left = (someone, reason = "left") => ({ session: someone.session, reason });

/** An element with an id in the page. */
export function place(id = "place") {
  const element = document.createElement("div");
  element.id = id;
  root.append(element);
  return element;
}

export function ok(value, message) {
  if (!value) throw new Error(message ?? "not true");
}

export function equal(actual, expected, message = "") {
  const [a, b] = [actual, expected].map((it) => JSON.stringify(it));
  if (!Object.is(actual, expected) && (a !== b || a === undefined)) {
    throw new Error(`${message}\n  is       ${a ?? actual}\n  expected ${b ?? expected}`);
  }
}

/** The error that a function throws. */
export function thrown(call) {
  try {
    call();
  } catch (error) {
    return error;
  }
  throw new Error("it throws nothing");
}

/** The code of the error that a function throws, and whether its message has a text. */
export function refused(code, text, call) {
  const error = thrown(call);
  equal(error.code, code, error.message);
  ok(error.message.includes(text), `"${error.message}" doesn't mention ${text}`);
}

/** What happened to the DOM below an element, as `MutationObserver` saw it. */
export function watch(element) {
  const observer = new MutationObserver(() => {});
  observer.observe(element, {
    attributes: true,
    characterData: true,
    childList: true,
    subtree: true,
  });
  return () => observer.takeRecords();
}

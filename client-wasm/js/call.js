// @ts-check
//
// What the module can be told and asked, by the numbers of driver.rs, and what each call takes and answers.

/**
 * @typedef {object} Calls what comes after a call's number; a key is always the first
 * @property {[idleMs: number, isHidden: boolean, seed: number]} 0
 * @property {[]} 1
 * @property {[]} 2
 * @property {[]} 3
 * @property {[]} 4
 * @property {[event: import("./shell.js").PageEvent, isHidden: boolean]} 5
 * @property {[dial: number]} 6
 * @property {[dial: number, data: unknown]} 7
 * @property {[dial: number, code: number]} 8
 * @property {[fetch: number, token: string | undefined]} 9
 * @property {[key: string, meta: import("./shell.js").Meta, isDeduped: boolean, mode: number]} 10
 * @property {[key: string]} 11
 * @property {[key: string, name: string, value: string | undefined]} 12
 * @property {[key: string]} 13
 * @property {[key: string]} 14
 * @property {[]} 15
 * @property {[key: string, teller: import("./dom.js").Teller, kinds: number, muteAbove: number]} 16
 * @property {[part: number, pointed: number | undefined, focused: number | undefined]} 17
 * @property {[part: number]} 18
 * @property {[]} 19
 */

/** Begins a driver, whose number comes back. It is away while hidden, and after a time unless that is 0. */
export const START = 0;
/** Ends it: calls with its number mean nothing any more. */
export const STOP = 1;
/** What is to be done next, as `Connection` has it; nothing if nothing is. */
export const POLL = 2;
/** In how many milliseconds `TIMER` is to be called; nothing if there is nothing to wait for. */
export const DELAY = 3;
export const TIMER = 4;
export const PAGE_EVENT = 5;
export const SOCKET_OPEN = 6;
/** A text came in, or what isn't one. If it says who has viewed a key, that key and the reader come back. */
export const SOCKET_MESSAGE = 7;
/** A socket was closed, or could not be opened. */
export const SOCKET_CLOSED = 8;
/** The page's token, or `undefined` if there is none to be had now. */
export const TOKEN = 9;
/** Enters a key, or changes its meta and mode if it is entered already. The modes are those of options.js. */
export const JOIN = 10;
export const LEAVE = 11;
/** Says something as JSON, or ends it. 0 comes back if it is one too many, else 1. */
export const PULSE = 12;
export const ASK_LAST_SEEN = 13;
/** Everybody who is in a key, oldest first. */
export const MEMBERS = 14;
/** How long the last heartbeat's answer took, in milliseconds; not a number if there was none. */
export const ROUND_TRIP = 15;
/** Tells who joins (1), who leaves (2) or both (3), unless too many are here. A part's number comes back. */
export const FLASH = 16;
/** Keeps what flashes where it is while somebody reads, by the numbers of what pointer and focus are on. */
export const HOLD = 17;
/** Takes flashes away. */
export const REMOVE = 18;
/** The page's token function has another token now. */
export const RENEW_TOKEN = 19;

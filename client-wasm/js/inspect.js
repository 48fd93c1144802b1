// @ts-check
//
// The inspector: what the connection does, who is here and why, and what has happened lately. Loaded when
// a page first asks for it. All texts reach it as text; its styles are an adopted sheet in a shadow tree,
// which a strict content security policy allows and the page's own styles don't reach.

/** Most entries of the log; the oldest go first. */
const MAX_EVENTS = 100;
/** Most people of whom it is still shown why they went. */
const MAX_GONE = 20;
/** Most people who are here that have a row: of a crowd those who came first. */
const MAX_ROWS = 100;

const STYLES = `
  :host { all: initial; color-scheme: light dark; }
  section {
    box-sizing: border-box; max-height: 60vh; overflow: auto; padding: 12px;
    border: 1px solid GrayText; border-radius: 8px; background: Canvas; color: CanvasText;
    font: 13px/1.5 ui-monospace, monospace;
  }
  .floating { position: fixed; inset-block-end: 12px; inset-inline-end: 12px; z-index: 2147483647;
    width: min(480px, calc(100vw - 24px)); }
  header { display: flex; justify-content: space-between; align-items: baseline; gap: 12px; }
  h2, h3 { margin: 0; font: inherit; font-weight: bold; }
  h3 { margin-block-start: 12px; }
  dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 12px; margin: 8px 0 0; }
  dd, ol { margin: 0; overflow-wrap: anywhere; }
  ol { padding: 0; list-style: none; }
  table { width: 100%; border-collapse: collapse; }
  th, td { padding: 2px 8px 2px 0; text-align: start; vertical-align: top; }
  td { overflow-wrap: break-word; }
  td:last-child { overflow-wrap: anywhere; }
  button { font: inherit; }
  :focus-visible { outline: 2px solid Highlight; outline-offset: 2px; }
`;

/**
 * @typedef {import("../index.js").Here} Here
 * @typedef {import("../index.js").Member} Member
 */

/**
 * @param {Here} here
 * @param {HTMLElement} target
 * @param {boolean} isFloating
 * @param {() => number | undefined} roundTrip the last one, in milliseconds
 * @returns {() => void} takes it away
 */
export function inspect(here, target, isFloating, roundTrip) {
  const host = document.createElement("div");
  const root = host.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(STYLES);
  root.adoptedStyleSheets = [sheet];

  const facts = element("dl");
  const roster = element("tbody");
  const log = element("ol");
  const close = element("button", "Close");
  const panel = element("section");
  panel.ariaLabel = "whoshere inspector";
  panel.tabIndex = 0;
  panel.className = isFloating ? "floating" : "";
  const names = element("tr");
  for (const name of ["who", "state", "tabs", "why", "meta"]) {
    const head = element("th", name);
    head.scope = "col";
    names.append(head);
  }
  const table = element("table");
  const head = element("thead");
  head.append(names);
  table.append(head, roster);
  table.ariaLabel = "Roster";
  const header = element("header");
  header.append(element("h2", "whoshere"), close);
  panel.append(header, facts, element("h3", "Roster"), table, element("h3", "Events"), log);
  root.append(panel);

  /** Why somebody is here. @type {Map<string, string>} */
  const reasons = new Map(here.members.map(({ id }) => [id, "was here first"]));
  /** @type {{ member: Member, why: string }[]} */
  const gone = [];
  /** The rows of those who are here, and of those who went. @type {Map<string, Row>[]} */
  let rows = [new Map(), new Map()];
  const more = element("tr");
  const rest = element("td");
  rest.colSpan = 5;
  more.append(rest);
  let isOutdated = false;

  const draw = () => {
    isOutdated = false;
    const round = roundTrip();
    setFacts(facts, [
      ["key", here.key],
      ["state", here.state],
      ["round trip", round === undefined ? "not measured yet" : `${round.toFixed(1)} ms`],
      ["here", `${here.count}`],
    ]);
    const shown = here.members.slice(0, MAX_ROWS);
    const [present = new Map(), past = new Map()] = rows;
    const before = [
      shown.map((it) => drawn(present.get(it.id), it, reasons.get(it.id) ?? "", it.state)),
      gone.map(({ member, why }) => drawn(past.get(member.id), member, why, "gone")),
    ];
    rows = before.map((all) => new Map(all.map((it) => [it.member.id, it])));
    const [first = [], last = []] = before.map((all) => all.map(({ row }) => row));
    const nMore = here.count - shown.length;
    if (rest.textContent !== `and ${nMore} more`) rest.textContent = `and ${nMore} more`;
    place(roster, [...first, ...(nMore > 0 ? [more] : []), ...last]);
  };
  const drawSoon = () => {
    if (!isOutdated) requestAnimationFrame(draw);
    isOutdated = true;
  };
  const note = (/** @type {string} */ text, line = element("li")) => {
    line.textContent = `${new Date().toISOString().slice(11, 23)} ${text}`;
    log.prepend(line);
    while (log.children.length > MAX_EVENTS) log.lastChild?.remove();
    drawSoon();
    return line;
  };
  const quietly = (/** @type {boolean} */ quiet) => (quiet ? ", quietly" : "");
  /**
   * The lines of pulses that go on. A cursor says another 20 times a second, and would push out all else, so
   * that each has one.
   *
   * @type {Map<string, { line: HTMLLIElement, n: number }>}
   */
  const pulses = new Map();

  const stops = [
    here.on("join", ({ member, quiet }) => {
      forget(gone, member);
      reasons.set(member.id, `joined${quietly(quiet)}`);
      note(`join ${member.name}${quietly(quiet)}`);
    }),
    here.on("leave", ({ member, reason, quiet }) => {
      forget(gone, member);
      reasons.delete(member.id);
      gone.unshift({ member, why: `${reason}${quietly(quiet)}` });
      gone.length = Math.min(gone.length, MAX_GONE);
      note(`leave ${member.name}: ${reason}${quietly(quiet)}`);
    }),
    here.on("update", ({ member }) => {
      note(`update ${member.name}: ${member.state}, ${JSON.stringify(member.meta)}`);
    }),
    here.on("pulse", ({ member, session, name, value }) => {
      const id = `${session} ${name}`;
      const known = pulses.get(id);
      const n = (known?.n ?? 0) + 1;
      const times = n > 1 ? `, ${n} times` : "";
      const said = value === null ? "over" : JSON.stringify(value);
      const line = note(`pulse ${member.name} ${name}: ${said}${times}`, known?.line);
      if (value === null) pulses.delete(id);
      else pulses.set(id, { line, n });
    }),
    here.on("location", ({ member, location }) => {
      note(`location ${member.name}: ${location ?? "nowhere"}`);
    }),
    // What an area would say that isn't told otherwise.
    here.on("flash", ({ text }) => void note(`flash ${text}`)),
    here.on("state", (event) => {
      note(`state ${event.state}${"reason" in event ? `: ${event.reason}` : ""}`);
    }),
    here.on("change", ({ count, members }) => {
      for (const { id } of members) if (!reasons.has(id)) reasons.set(id, "was here first");
      note(`change: ${count} here`);
    }),
    here.on("error", (error) => {
      note(`error ${error.code}: ${error.message}`);
      // Without a listener it would be there, and this one isn't the page's own.
      console.warn(error);
    }),
  ];
  const timer = setInterval(drawSoon, 1000);
  const stop = () => {
    clearInterval(timer);
    for (const it of stops.splice(0)) it();
    host.remove();
  };
  close.addEventListener("click", stop);
  draw();
  target.append(host);
  return stop;
}

/**
 * @param {{ member: Member }[]} gone
 * @param {Member} member who is here again, or goes again
 */
function forget(gone, { id }) {
  const at = gone.findIndex(({ member }) => member.id === id);
  if (at >= 0) gone.splice(at, 1);
}

/**
 * @typedef {object} Row
 * @property {HTMLTableRowElement} row
 * @property {Member} member as it is drawn
 *
 * @param {Row | undefined} known what it has
 * @param {Member} member
 * @param {string} why
 * @param {string} state
 * @returns {Row}
 */
function drawn(known, member, why, state) {
  const row = known?.row ?? element("tr");
  const who = `${member.name}${member.self ? " (you)" : ""}`;
  // A meta may be large, and most stay as they are.
  const meta = known?.member === member ? undefined : JSON.stringify(member.meta);
  for (const [index, text] of [who, state, `${member.sessions}`, why, meta].entries()) {
    const cell = row.children[index] ?? row.appendChild(element("td"));
    if (text !== undefined && cell.textContent !== text) cell.textContent = text;
  }
  return { row, member };
}

/**
 * Moves only what isn't there already.
 *
 * @param {HTMLElement} parent
 * @param {HTMLElement[]} children all that it is to have
 */
function place(parent, children) {
  const kept = new Set(children);
  for (const it of [...parent.children]) if (!kept.has(/** @type {any} */ (it))) it.remove();
  for (const [index, it] of children.entries()) {
    const there = parent.children[index] ?? null;
    if (there !== it) parent.insertBefore(it, there);
  }
}

/**
 * Writes only what has changed, so that a selection in it stays.
 *
 * @param {HTMLElement} list
 * @param {[name: string, value: string][]} facts
 */
function setFacts(list, facts) {
  for (const [index, [name, value]] of facts.entries()) {
    if (list.children.length <= 2 * index) list.append(element("dt", name), element("dd"));
    const place = /** @type {Element} */ (list.children[2 * index + 1]);
    if (place.textContent !== value) place.textContent = value;
  }
}

/**
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {string} [text]
 */
function element(name, text = "") {
  const element = document.createElement(name);
  element.textContent = text;
  return element;
}

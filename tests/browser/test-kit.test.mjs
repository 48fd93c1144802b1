// @ts-check
//
// `whoshere/testing`, as somebody uses it in tests of their own page.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Stage } from "../support/browser.mjs";

const stage = new Stage();

/**
 * Runs a test of somebody's page in that page.
 *
 * @template T
 * @param {import("node:test").TestContext} t
 * @param {() => Promise<T>} run
 */
async function inPage(t, run) {
  const viewer = await stage.blank(t, "somebody");
  // One test opens a socket to nowhere.
  viewer.mayLoseNetwork = true;
  return viewer.page.evaluate(run);
}

test("bob drops for 20 s: nothing changes; for 41 s: he leaves, once", async (t) => {
  const startedAt = performance.now();
  const seen = await inPage(t, async () => {
    const { createKit } = await import("/sdk/testing.js");
    const kit = await createKit({ seed: 7 });
    const here = await kit.connect({ key: "document:42", user: "alice" });
    /** @type {string[]} */
    const events = [];
    here.on("join", ({ member }) => events.push(`${member.name} joined`));
    here.on("leave", ({ member, reason }) => events.push(`${member.name} left: ${reason}`));
    here.bar("#bar");

    const bob = kit.user("bob").opens("document:42");
    await kit.tick();
    const dot = document.querySelector("[data-name=bob]");
    const isSame = () => dot !== null && dot === document.querySelector("[data-name=bob]");
    const seen = { came: events.splice(0), held: /** @type {unknown[]} */ ([]), events };

    for (const reset of [false, true]) {
      bob.drops({ reset });
      await kit.tick(20_000);
      bob.returns();
      await kit.tick(60_000);
      seen.held.push(here.count, isSame(), ...events);
    }
    bob.drops();
    await kit.tick(41_000);
    bob.returns();
    await kit.tick(60_000);
    seen.held.push(here.count);
    kit.close();
    return seen;
  });
  assert.deepEqual(seen.came, ["bob joined"]);
  assert.deepEqual(seen.held, [2, true, 2, true, 2]);
  assert.deepEqual(seen.events, ["bob left: timeout", "bob joined"]);
  assert.ok(performance.now() - startedAt < 20_000, "four minutes take no time");
});

test("who was here last is told, also after the relay was away", async (t) => {
  const seen = await inPage(t, async () => {
    const { createKit } = await import("/sdk/testing.js");
    const kit = await createKit({ seed: 7, now: 1_790_000_000_000 });
    for (const name of ["bob", "carol"]) {
      const tab = kit.user(name).opens("document:42");
      await kit.tick(1000);
      tab.closes();
    }
    await kit.tick(12 * 60_000);
    const here = await kit.connect({ key: "document:42", user: "alice" });
    const ask = async () => {
      /** @type {readonly import("whoshere").Seen[] | undefined} */
      let all;
      here.lastSeen().then((it) => {
        all = it;
      });
      await kit.tick(1);
      const seen = /** @type {import("whoshere").Seen[]} */ (/** @type {unknown} */ (all)).filter(
        ({ self }) => !self,
      );
      return seen.map(({ userId, at }) => [userId, Math.round((kit.now - at) / 60_000)]);
    };
    const before = await ask();
    kit.relay.stops();
    await kit.tick(10_000);
    kit.relay.starts();
    await kit.tick(20_000);
    const after = await ask();
    kit.close();
    return { before, after };
  });
  assert.deepEqual(seen.before, [
    ["carol", 12],
    ["bob", 12],
  ]);
  assert.deepEqual(seen.after, [
    ["carol", 13],
    ["bob", 13],
  ]);
});

test("the page's own network and the relay go and come, and nobody notices", async (t) => {
  const seen = await inPage(t, async () => {
    const { createKit } = await import("/sdk/testing.js");
    const kit = await createKit();
    const here = await kit.connect({ key: "document:42", user: "alice" });
    const bob = kit.user("bob").opens("document:42");
    await kit.tick();
    /** @type {string[]} */
    const events = [];
    here.on("join", ({ member }) => events.push(`${member.name} joined`));
    here.on("leave", ({ member }) => events.push(`${member.name} left`));
    here.on("state", ({ state }) => events.push(state));
    const names = () => bob.members.map(({ name }) => name).join();
    const seen = [];

    kit.page.drops({ reset: true });
    await kit.tick(15_000);
    seen.push(here.state, names());
    kit.page.returns();
    await kit.tick(3000);
    seen.push(here.state, names());

    kit.page.drops();
    await kit.tick(25_000);
    seen.push(here.state, names());
    kit.page.returns();
    await kit.tick(3000);
    seen.push(here.state, names());

    kit.relay.stops();
    await kit.tick(10_000);
    seen.push(here.state, bob.state, names());
    kit.relay.starts();
    await kit.tick(5000);
    seen.push(here.state, bob.state, names());

    kit.page.drops();
    await kit.tick(41_000);
    seen.push(names());
    kit.close();
    return { seen, events };
  });
  assert.deepEqual(seen.seen, [
    ...["reconnecting", "alice,bob", "live", "alice,bob"],
    ...["reconnecting", "alice,bob", "live", "alice,bob"],
    ...["reconnecting", "reconnecting", "alice,bob", "live", "live", "alice,bob"],
    "bob",
  ]);
  const once = ["reconnecting", "live"];
  assert.deepEqual(seen.events, [...once, ...once, ...once, "reconnecting"]);
});

test("the others see what the page does, and the page what they do", async (t) => {
  const seen = await inPage(t, async () => {
    const { createKit } = await import("/sdk/testing.js");
    const kit = await createKit({ now: new Date("2030-01-01T00:00:00Z") });
    const began = new Date().toISOString();
    const here = await kit.connect({ key: "document:42", user: { id: "u-1", name: "alice" } });
    const person = kit.user({ id: "u-2", name: "bob", color: "#00ff7f" });
    const bob = person.opens("document:42", { meta: { section: "goals" } });
    const second = person.opens("document:42");
    person.opens("document:43");
    await kit.tick();
    const [, dot] = here.members;
    const alone = [here.count, dot?.name, dot?.color, dot?.sessions, dot?.meta.section];
    const areAlike =
      String(Object.keys(bob.members[1] ?? {}).sort()) === String(Object.keys(dot ?? {}).sort());

    here.update({ is_typing: true });
    bob.updates({ section: null, page: 3 });
    await kit.tick();
    const metas = [bob.members[0]?.meta, here.members[1]?.meta];
    const ages = bob.members.map(({ since }) => since - kit.now);

    bob.closes();
    await kit.tick();
    const kept = here.count;
    second.closes();
    await kit.tick();
    const gone = here.count;

    const carol = kit.user("carol").opens("document:42");
    await kit.tick();
    const before = carol.members.map(({ name, self }) => `${name} ${self}`);
    here.leave();
    await kit.tick();
    const after = carol.members.map(({ name }) => name);
    kit.close();
    return { began, alone, areAlike, metas, ages, kept, gone, before, after };
  });
  assert.equal(seen.began, "2030-01-01T00:00:00.000Z");
  assert.deepEqual(seen.alone, [2, "bob", "#00ff7f", 2, "goals"]);
  assert.ok(seen.areAlike, "a tab's members have the fields of the SDK's");
  assert.deepEqual(seen.metas, [{ is_typing: true }, { page: 3 }]);
  assert.ok(
    seen.ages.every((age) => age <= 0 && age >= -1000),
    `${seen.ages}`,
  );
  assert.deepEqual([seen.kept, seen.gone], [2, 1]);
  assert.deepEqual(seen.before, ["alice false", "carol true"]);
  assert.deepEqual(seen.after, ["carol"]);
});

test("what a page loads when it first asks for it is there after the next tick", async (t) => {
  const seen = await inPage(t, async () => {
    const { createKit } = await import("/sdk/testing.js");
    const kit = await createKit();
    const here = await kit.connect({ key: "document:42", user: "alice" });
    const bob = kit.user("bob").opens("document:42", { meta: { at: "goals" } });
    await kit.tick();
    const target = document.body.appendChild(document.createElement("div"));
    const field = target.appendChild(document.createElement("input"));
    const seen = [];

    here.typing(field, { name: "note" });
    await kit.tick(0);
    seen.push(document.querySelectorAll(".presence-typing").length);
    here.inspect(target);
    await kit.tick(0);
    seen.push(target.lastElementChild?.shadowRoot?.querySelectorAll("tbody tr").length);
    here.on("location", ({ location }) => seen.push(location));
    await kit.tick(0);
    bob.updates({ at: "plan" });
    here.bar("#bar");
    await kit.tick();
    const dot = document.querySelector("[data-name=bob]");
    dot?.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
    await kit.tick(0);
    seen.push(dot?.hasAttribute("data-named"));
    here.follow("bob");
    await kit.tick(0);
    seen.push(bob.members[0]?.meta.following ?? "not yet");
    here.leave();

    // A tag binds the page's elements with one part, which then asks for theirs.
    await import("/sdk/element.js");
    const tag = Object.assign(document.createElement("whos-here"), { token: kit.token("alice") });
    for (const [name, value] of Object.entries({
      url: kit.url,
      key: "document:42",
      locale: "de",
    })) {
      tag.setAttribute(name, value);
    }
    field.setAttribute("data-presence-typing", "");
    field.id = "note";
    document.body.append(tag);
    await kit.tick();
    bob.pulses("typing", "note");
    await kit.tick();
    seen.push(document.querySelector(".presence-typing-text")?.textContent);
    kit.close();
    return seen;
  });
  assert.deepEqual(seen, [1, 2, "plan", true, "bob", "bob schreibt …"]);
});

test("what others say for the moment is seen: who is typing, where they point, what a page makes of its own", async (t) => {
  const seen = await inPage(t, async () => {
    const { createKit } = await import("/sdk/testing.js");
    const kit = await createKit();
    const here = await kit.connect({ key: "document:42", user: "alice" });
    /** @type {string[]} */
    const heard = [];
    here.on("pulse", ({ member, name, value }) => {
      heard.push(`${member.name} ${name} ${JSON.stringify(value)}`);
    });
    const surface = document.body.appendChild(document.createElement("div"));
    const field = surface.appendChild(document.createElement("input"));
    Object.assign(surface, { id: "surface" }).style.height = "100px";
    here.typing(field, { name: "note" });
    here.cursors(surface);
    const bob = kit.user("bob").opens("document:42");
    await kit.tick();
    const line = () => document.querySelector(".presence-typing-text")?.textContent;
    const cursors = () =>
      [...document.querySelectorAll(".presence-cursor")].map((it) => it.textContent).join();
    const shown = [];

    bob.pulses("typing", "note");
    bob.pulses("cursor", { at: ["surface", 0.5, 0.5] });
    bob.pulses("page", 7);
    await kit.tick();
    shown.push(line(), cursors());
    // It holds for as long as he says it, though a relay forgets it after 5 s.
    await kit.tick(30_000);
    shown.push(line(), cursors(), here.pulses("page")[0]?.value);
    bob.pulses("typing", null);
    await kit.tick();
    shown.push(line(), cursors());
    bob.drops();
    await kit.tick(8000);
    shown.push(cursors(), here.pulses("page").length, here.count);
    kit.close();
    return { shown, heard };
  });
  assert.deepEqual(seen.shown, [
    ...["bob is typing…", "bob", "bob is typing…", "bob", 7],
    ...["", "bob", "", 0, 2],
  ]);
  assert.deepEqual(seen.heard, [
    ...['bob typing "note"', 'bob cursor {"at":["surface",0.5,0.5]}', "bob page 7"],
    ...["bob typing null", "bob cursor null", "bob page null"],
  ]);
});

test("a tab that goes behind others is away until it is back, and says nothing meanwhile", async (t) => {
  const seen = await inPage(t, async () => {
    const { createKit } = await import("/sdk/testing.js");
    const kit = await createKit();
    const here = await kit.connect({ key: "document:42", user: "alice" });
    here.bar("#bar");
    const person = kit.user("bob");
    const bob = person.opens("document:42");
    await kit.tick();
    /** @type {unknown[]} */
    const seen = [];
    const look = async () => {
      await kit.tick();
      const dot = /** @type {HTMLElement} */ (document.querySelector("[data-name=bob]"));
      seen.push(here.members[1]?.state, dot.dataset.state, here.pulses("page").length);
    };
    bob.pulses("page", 7);
    await look();
    bob.away();
    bob.pulses("page", 8);
    await look();
    const second = person.opens("document:42");
    await look();
    second.away();
    await look();
    bob.back();
    bob.pulses("page", 9);
    await look();

    /** @type {string[]} */
    const told = [];
    const listen = () => told.push(`${document.visibilityState} ${document.hidden}`);
    document.addEventListener("visibilitychange", listen);
    const page = async () => {
      await kit.tick();
      return bob.members[0]?.state;
    };
    kit.page.hides();
    kit.page.hides();
    const own = [await page()];
    kit.page.shows();
    own.push(await page());
    await kit.tick(300_000);
    own.push(await page());
    kit.page.hides();
    kit.close();
    const after = [Object.hasOwn(document, "hidden"), document.hidden];
    return { seen, told, own, after };
  });
  assert.deepEqual(seen.seen, [
    ...["active", "active", 1],
    ...["away", "away", 0],
    ...["active", "active", 0],
    ...["away", "away", 0],
    ...["active", "active", 1],
  ]);
  assert.deepEqual(seen.own, ["away", "active", "away"], "five minutes without a touch, as well");
  assert.deepEqual(seen.told, ["hidden true", "visible false", "hidden true", "visible false"]);
  assert.deepEqual(seen.after, [false, false]);
});

test("somebody who looks on sees the page and is seen by nobody", async (t) => {
  const seen = await inPage(t, async () => {
    const { createKit } = await import("/sdk/testing.js");
    const kit = await createKit();
    const here = await kit.connect({ key: "document:42", user: "alice" });
    const seen = [];
    for (const mode of /** @type {const} */ (["join", "observe", "invisible"])) {
      const tab = kit.user(mode).opens("document:42", { mode });
      await kit.tick();
      tab.pulses("page", 7);
      await kit.tick();
      const names = tab.members.map(({ name }) => name).join();
      seen.push([tab.state, names, here.count, here.pulses("page").length]);
    }
    kit.close();
    return seen;
  });
  assert.deepEqual(seen, [
    ["live", "alice,join", 2, 1],
    ["live", "alice,join", 2, 1],
    ["live", "alice,join", 2, 1],
  ]);
});

test("who is kicked is gone at once and stays out for as long as it was said, the page as well", async (t) => {
  const seen = await inPage(t, async () => {
    const { createKit } = await import("/sdk/testing.js");
    const kit = await createKit();
    const here = await kit.connect({ key: "document:42", user: "alice" });
    const other = await kit.connect({ key: "document:43", user: "alice" });
    /** @type {string[]} */
    const events = [];
    here.on("leave", ({ member, reason }) => events.push(`${member.name} left: ${reason}`));
    here.on("error", ({ code }) => events.push(`error ${code}`));
    const person = kit.user("bob");
    const bob = person.opens("document:42");
    await kit.tick();
    const counts = [here.count];
    kit.relay.kicks("bob");
    await kit.tick();
    counts.push(here.count);
    const state = bob.state;
    person.opens("document:42");
    await kit.tick(299_000);
    counts.push(here.count);
    await kit.tick(1000);
    person.opens("document:42");
    await kit.tick();
    counts.push(here.count);

    kit.relay.kicks({ id: "alice" }, { key: "document:42", seconds: 60 });
    await kit.tick();
    const states = [here.state, other.state];
    kit.relay.kicks("alice");
    other.on("error", () => {});
    await kit.tick();
    states.push(other.state);
    kit.close();
    return { counts, state, events, states };
  });
  assert.deepEqual(seen.counts, [2, 1, 1, 2]);
  assert.equal(seen.state, "stopped");
  assert.deepEqual(seen.events, ["bob left: kicked", "error kicked"]);
  assert.deepEqual(seen.states, ["stopped", "live", "stopped"]);
});

test("a page that connects by itself is served, and its token is held against it", async (t) => {
  const seen = await inPage(t, async () => {
    const { createKit } = await import("/sdk/testing.js");
    const { connect } = await import("/sdk/index.js");
    const kit = await createKit();
    let nTokens = 0;
    const token = () => {
      nTokens += 1;
      return kit.token("alice", { keys: ["document:42"], ttl: 60 });
    };
    const here = await connect({ url: "wss://app.example/v1/presence", key: "document:42", token });
    const other = await connect({ url: kit.url, key: "document:43", token });
    other.on("error", () => {});
    await kit.tick();
    const states = [here.state, other.state];
    const code = await other.ready.catch((error) => error.code);
    // The token runs out twice, which nobody notices.
    await kit.tick(130_000);
    const later = [here.state, here.count, nTokens >= 3];
    here.leave();
    kit.close();
    return { states, code, later };
  });
  assert.deepEqual(seen.states, ["live", "stopped"]);
  assert.equal(seen.code, "key_denied");
  assert.deepEqual(seen.later, ["live", 1, true]);
});

test("time stands still but in tick, and is the page's own again after close", async (t) => {
  const seen = await inPage(t, async () => {
    const { createKit } = await import("/sdk/testing.js");
    const real = { Date, WebSocket, setTimeout, setInterval, requestAnimationFrame };
    const before = Date.now();
    const kit = await createKit();
    /** @type {string[]} */
    const calls = [];
    const tell = (/** @type {string} */ what) => calls.push(`${what} ${Date.now() - kitBegan}`);
    const kitBegan = Date.now();
    const began = performance.now();
    setTimeout(tell, 500, "timeout");
    clearTimeout(setTimeout(tell, 500, "cleared"));
    const interval = setInterval(tell, 300, "interval");
    requestAnimationFrame(() => tell("frame"));
    await new Promise((resolve) => real.setTimeout.call(window, resolve, 50));
    const still = [...calls, performance.now() - began, Date.now() - kitBegan];
    await kit.tick(1000);
    clearInterval(interval);
    await kit.tick(1000);
    const passed = [performance.now() - began, Date.now() - kitBegan];
    // Another socket is none of the kit's business.
    const own = new WebSocket(location.origin.replace("http", "ws"), "chat.v1");
    const isReal = own instanceof real.WebSocket;
    own.onclose = () => {};
    kit.close();
    kit.close();
    const isBack = Object.entries(real).every(
      ([name, it]) => /** @type {any} */ (window)[name] === it,
    );
    const again = await createKit();
    const here = await again.connect({ key: "document:42", user: "alice" });
    const state = here.state;
    again.close();
    return { still, calls, passed, isReal, isBack, state, drift: Date.now() - before };
  });
  assert.deepEqual(seen.still, [0, 0]);
  assert.deepEqual(seen.calls, [
    ...["frame 16", "interval 300", "timeout 500", "interval 600", "interval 900"],
  ]);
  assert.deepEqual(seen.passed, [2000, 2000]);
  assert.ok(seen.isReal && seen.isBack);
  assert.equal(seen.state, "live");
  assert.ok(seen.drift >= 0 && seen.drift < 60_000);
});

test("the same seed gives the same run, another one another", async (t) => {
  const ids = await inPage(t, async () => {
    const { createKit } = await import("/sdk/testing.js");
    const ids = [];
    for (const seed of [3, 3, 4]) {
      const kit = await createKit({ seed });
      const options = /** @type {const} */ ({ key: "document:42", user: "alice", dedupe: "none" });
      ids.push((await kit.connect(options)).self?.id);
      kit.close();
    }
    return ids;
  });
  assert.match(`${ids[0]}`, /^[0-9a-f]{16}$/);
  assert.equal(ids[0], ids[1]);
  assert.notEqual(ids[0], ids[2]);
});

test("what makes no sense is an error that says so", async (t) => {
  const codes = await inPage(t, async () => {
    const { createKit } = await import("/sdk/testing.js");
    /** @type {string[]} */
    const codes = [];
    const fails = async (/** @type {() => unknown} */ call) => {
      try {
        await call();
        codes.push("none");
      } catch (error) {
        const { code, message } = /** @type {any} */ (error);
        codes.push(`${code} ${message.split(":")[0]}`);
      }
    };
    await fails(() => createKit(/** @type {any} */ ({ sede: 1 })));
    await fails(() => createKit({ seed: 0.5 }));
    await fails(() => createKit({ now: Number.NaN }));
    const kit = await createKit();
    await fails(() => createKit());
    await fails(() => kit.tick(-1));
    const ticking = kit.tick();
    await fails(() => kit.tick());
    await ticking;
    await fails(() => kit.user("bob").opens("no key"));
    await fails(() => kit.user("bob").opens("k", { meta: /** @type {any} */ ([]) }));
    await fails(() => kit.user("bob").opens("k", /** @type {any} */ ({ mata: {} })));
    await fails(() => kit.user(/** @type {any} */ ({ name: "bob" })));
    await fails(() => kit.connect(/** @type {any} */ ({ user: "a", key: "no key" })));
    const bob = kit.user("bob").opens("k");
    await fails(() => bob.updates({ text: "x".repeat(5000) }));
    await fails(() => kit.user("bob").opens("k", { mode: /** @type {any} */ ("seen") }));
    await fails(() => bob.pulses("Typing", 1));
    await fails(() => bob.pulses("typing", "x".repeat(511)));
    await fails(() => bob.pulses("typing", /** @type {any} */ (undefined)));
    await fails(() => bob.pulses("typing", /** @type {any} */ (1n)));
    await fails(() => kit.relay.kicks(""));
    await fails(() => kit.relay.kicks("bob", { key: "no key" }));
    await fails(() => kit.relay.kicks("bob", { seconds: 86_401 }));
    await fails(() => kit.relay.kicks("bob", /** @type {any} */ ({ minutes: 1 })));
    kit.relay.stops();
    await fails(() => kit.relay.kicks("bob"));
    kit.close();
    await fails(() => kit.page.hides());
    await fails(() => kit.tick());
    await fails(() => bob.drops());
    return codes;
  });
  assert.deepEqual(codes, [
    "bad_options createKit",
    "bad_options seed",
    "bad_options now",
    "bad_options createKit",
    "bad_options tick",
    "bad_options tick",
    "bad_key key",
    "bad_meta meta",
    "bad_options opens",
    "bad_options user",
    "bad_key key",
    "bad_meta meta",
    "bad_options mode",
    ...Array(4).fill("bad_pulse pulses"),
    "bad_options user",
    "bad_key key",
    "bad_options seconds",
    "bad_options kicks",
    "bad_options kicks",
    "bad_options kit",
    "bad_options kit",
    "bad_options kit",
  ]);
});

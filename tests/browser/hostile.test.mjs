// @ts-check
//
// What a page does with people, tokens and options that mean no good, or make no sense.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { Stage, until } from "../support/browser.mjs";
import { Peer } from "../support/peer.mjs";
import { mintToken } from "../support/relay.mjs";

const stage = new Stage();

const RTL = "\u202eecila\u202c";
const NAMES = [
  "<img src=x onerror=document.title='pwned'>",
  "</span><script>document.title='pwned'</script>",
  "&lt;b&gt; &amp; 'quotes' \"double\"",
  "javascript:document.title='pwned'",
  "__proto__",
  "constructor",
  "علي بن أبي طالب",
  RTL,
  "👩‍👩‍👧‍👦🏳️‍🌈",
  "e\u0301\u0302\u0303\u0304\u0305",
  "n".repeat(256),
];

test("names are text wherever they are shown, and nothing in them runs", async (t) => {
  const key = stage.key(t);
  const alice = await stage.visit(t, "alice");
  await alice.page.evaluate("document.title = 'mine'");
  for (const name of NAMES) {
    const peer = await Peer.open(stage.relay);
    await peer.hello(mintToken({ sub: name.slice(0, 40), name }));
    await peer.join(key, { at: "goals", hand: true });
    await alice.sees(["alice", name]);
    const flash = (await alice.seen()).flashes.at(-1);
    assert.deepEqual([flash?.text, flash?.tags], [`${name} joined`, "SPAN,BDI"]);
    const dots = alice.page.locator(".presence-dots .presence-name");
    assert.equal(await dots.last().textContent(), name);
    await peer.close(1001);
    await alice.sees(["alice"]);
  }
  const [title, nStrangers, prototype] = await alice.page.evaluate(() => [
    document.title,
    document.querySelectorAll("img, .presence script").length,
    Object.keys(Object.prototype).length,
  ]);
  assert.deepEqual([title, nStrangers, prototype], ["mine", 0, 0]);
});

test("the page itself shows its reader's name as text, too", async (t) => {
  const name = "<img src=x onerror=document.title='pwned'>";
  const mallory = await stage.visit(t, name);
  await mallory.sees([name]);
  assert.equal(
    await mallory.page.locator("#lead").textContent(),
    `You are reading this as ${name}.`,
  );
  assert.equal(await mallory.page.locator("img").count(), 0);
  assert.notEqual(await mallory.page.title(), "pwned");
});

test("however long a name is, all fits into the window, and a flash says what its owner did", async (t) => {
  const alice = await stage.visit(t, "alice", { look: { viewport: { width: 320, height: 640 } } });
  await alice.sees(["alice"]);
  const atFlash = await alice.atNextFlash((it) => {
    const range = document.createRange();
    range.selectNode(/** @type {Node} */ (it.lastChild));
    const whole = it.getBoundingClientRect();
    const verb = range.getBoundingClientRect();
    return { start: whole.left, verb: verb.left, verbEnd: verb.right, end: whole.right };
  });
  for (const [i, name] of ["n".repeat(256), "long name ".repeat(25).trim()].entries()) {
    const peer = await Peer.open(stage.relay);
    await peer.hello(mintToken({ sub: `u-${i}`, name }));
    await peer.join(stage.key(t), { at: "goals", hand: true });
  }
  const { start, verb, verbEnd, end } = await atFlash();
  assert.ok(0 <= start && start < verb && verb < verbEnd && verbEnd < end && end <= 320);

  await alice.page.getByText("3 here", { exact: true }).waitFor();
  await alice.page.locator(".presence-dot").nth(1).hover();
  await alice.page.locator(".presence-dot[data-named]").waitFor();
  const boxes = await alice.page.evaluate(() => {
    const label = ".presence-dot:hover .presence-label";
    const shown = document.querySelectorAll(
      `.presence, .presence-dot, .lookers, .person, ${label}`,
    );
    return [...shown].map((it) => {
      const { left, right } = it.getBoundingClientRect();
      return { what: it.className, left, right };
    });
  });
  assert.ok(boxes.some(({ what }) => what === "presence-label"));
  for (const { what, left, right } of boxes) {
    assert.ok(left >= 0 && right <= 320, `${what} goes from ${left} to ${right}`);
  }
  const isWide = await alice.page.evaluate("document.documentElement.scrollWidth > innerWidth");
  assert.equal(isWide, false, "the page can be scrolled sideways");
});

test("a name that turns the direction of writing turns only itself", async (t) => {
  const alice = await stage.visit(t, "alice");
  await alice.sees(["alice"]);
  const atFlash = await alice.atNextFlash(({ firstChild, lastChild }) =>
    [firstChild, lastChild].map((node) => {
      const range = document.createRange();
      range.selectNode(/** @type {Node} */ (node));
      return range.getBoundingClientRect().toJSON();
    }),
  );
  const peer = await Peer.open(stage.relay);
  await peer.hello(mintToken({ sub: "mallory", name: "\u202eyrollam" }));
  await peer.join(stage.key(t));
  const [name, verb] = await atFlash();
  assert.ok(verb.left >= name.right - 1, "that he joined stands behind his name");

  await alice.page.evaluate(() => document.documentElement.setAttribute("dir", "rtl"));
  const order = await alice.page.locator(".presence-count").evaluate(({ firstChild }) =>
    [0, 2].map((at) => {
      const range = document.createRange();
      range.setStart(/** @type {Node} */ (firstChild), at);
      range.setEnd(/** @type {Node} */ (firstChild), at + 1);
      return range.getBoundingClientRect().left;
    }),
  );
  assert.ok(Number(order[0]) < Number(order[1]), '"2 here" is read from the left on any page');
});

test("__proto__ is a user and a meta field like any other", async (t) => {
  const key = stage.key(t);
  const alice = await stage.blank(t, "alice");
  await alice.enter({ key, token: mintToken("alice") });
  const mallory = await stage.blank(t, "mallory");
  const token = mintToken({ sub: "__proto__", name: "mallory" });
  await mallory.page.evaluate(
    async ({ key, token }) => {
      const { connect } = await import("/sdk/index.js");
      const meta = JSON.parse('{"__proto__":{"polluted":1},"constructor":2,"toString":3}');
      const here = await connect({ url: "/v1/presence", key, token, meta });
      here.update(JSON.parse('{"__proto__":{"polluted":2},"hasOwnProperty":4}'));
      await here.ready;
      Object.assign(window, { here });
    },
    { key, token },
  );
  await alice.sees(["alice", "mallory"]);
  await alice.page.evaluate(
    () =>
      new Promise((resolve) => {
        const { here } = /** @type {any} */ (window);
        const isThere = () => Object.hasOwn(here.members[1].meta, "hasOwnProperty");
        if (isThere()) resolve(true);
        here.on("update", () => isThere() && resolve(true));
      }),
  );
  const found = await alice.page.evaluate(() => {
    const { here } = /** @type {any} */ (window);
    const { userId, meta } = here.members[1];
    return [userId, JSON.stringify(meta), /** @type {any} */ ({}).polluted, typeof here.members];
  });
  assert.deepEqual(found, [
    "__proto__",
    '{"__proto__":{"polluted":2},"constructor":2,"toString":3,"hasOwnProperty":4}',
    undefined,
    "object",
  ]);
  await mallory.page.close();
  await alice.sees(["alice"]);
});

test("metas that other parsers refuse cost nobody else anything", async (t) => {
  const key = stage.key(t);
  const alice = await stage.blank(t, "alice");
  await alice.enter({ key, token: mintToken("alice") });
  const odd = await Peer.open(stage.relay);
  await odd.hello(mintToken("odd"));
  const meta = '{"n":1e999,"s":"\\ud800","s":"again","deep":[[[[[[[[[[[[[[1]]]]]]]]]]]]]]}';
  odd.send(`{"join":{"key":"${key}","meta":${meta}}}`);
  await alice.sees(["alice", "odd"]);
  const bob = await stage.visit(t, "bob");
  for (const viewer of [alice, bob]) await viewer.sees(["alice", "bob", "odd"]);
});

test("a token's color that isn't one doesn't reach any page", async (t) => {
  const alice = await stage.visit(t, "alice");
  const mallory = await stage.blank(t, "mallory");
  const color = "red;background:url(/x)";
  await mallory.enter({ key: stage.key(t), token: mintToken({ sub: "mallory", color }) });
  await alice.sees(["alice", "mallory"]);
  const style = await alice.dot("mallory").getAttribute("style");
  const expected = createHash("sha1").update("mallory").digest("hex").slice(0, 6);
  assert.match(
    style ?? "",
    new RegExp(`^--presence-color: ?#${expected}; --presence-ink: ?#\\w{6};$`),
  );
});

test("tokens that the relay refuses stop the page, which says so", async (t) => {
  const key = stage.key(t);
  const refused = /** @type {const} */ ([
    ["signed with none", mintToken("mallory", { algorithm: "none" })],
    ["signed with another algorithm", mintToken("mallory", { algorithm: "HS512" })],
    ["signed by somebody else", mintToken("mallory", { secret: "x".repeat(40) })],
    ["no token at all", "garbage"],
    ["without a user", mintToken({})],
  ]);
  const watcher = await stage.visit(t, "watcher");
  const page = await stage.blank(t, "mallory");
  for (const [what, token] of refused) {
    await page.connect({ key, token });
    await page.becomes("stopped");
    assert.deepEqual(await page.events(), ["state stopped denied", "error denied"], what);
    assert.equal(await page.page.evaluate("here.ready.catch((it) => it.code)"), "denied", what);
  }
  await watcher.sees(["watcher"]);
});

test("an expired token is asked for again, and the page goes on trying", async (t) => {
  const page = await stage.blank(t, "late");
  const exp = Math.floor(Date.now() / 1000) - 60;
  await page.connect({ key: stage.key(t), token: mintToken({ sub: "late", exp }) });
  await new Promise((resolve) => setTimeout(resolve, 1500));
  assert.equal(await page.page.evaluate("here.state"), "connecting");
  assert.deepEqual(await page.events(), []);
});

test("options that make no sense are refused with a code and a word about what is wrong", async (t) => {
  const page = await stage.blank(t, "nobody");
  const key = stage.key(t);
  const wrong = /** @type {[object, string, RegExp][]} */ ([
    [{ key, colour: "red" }, "bad_options", /"colour"/],
    [{}, "bad_options", /key/],
    [{ key: 42 }, "bad_options", /key/],
    [{ key, token: undefined }, "bad_options", /token/],
    [{ key, token: "" }, "bad_options", /token/],
    [{ key, token: 42 }, "bad_options", /token/],
    [{ key, dedupe: "tab" }, "bad_options", /dedupe/],
    [{ key, url: undefined }, "bad_options", /url/],
    [{ key, url: "ftp://relay.example/" }, "bad_url", /ftp/],
    [{ key, url: "http://[" }, "bad_url", /url/],
    [{ key: "" }, "bad_key", /128/],
    [{ key: "k".repeat(129) }, "bad_key", /128/],
    [{ key: "document 42" }, "bad_key", /128/],
    [{ key: "document:{" }, "bad_key", /\{name\}/],
    [{ key: "document:42", params: { doc_id: 42 } }, "bad_key", /placeholder/],
    [{ key: "document:{id}", params: { id: "4 2" } }, "bad_key", /128/],
    [{ key, meta: ["goals"] }, "bad_meta", /object/],
    [{ key, meta: "goals" }, "bad_meta", /object/],
    [{ key, meta: { notes: "x".repeat(4 * 1024 * 1024) } }, "bad_meta", /4096/],
  ]);
  for (const [options, code, message] of wrong) {
    const error = await page.connectError(/** @type {Record<string, unknown>} */ (options));
    const what = JSON.stringify(options).slice(0, 80);
    assert.equal(error.name, "PresenceError", what);
    assert.equal(error.code, code, `${what}: ${error.message}`);
    assert.match(error.message, message, what);
  }
});

test("an update that makes no sense is refused, and the meta stays as it was", async (t) => {
  const alice = await stage.blank(t, "alice");
  await alice.enter({ key: stage.key(t), token: mintToken("alice"), meta: { section: "goals" } });
  await alice.sees(["alice"]);
  const codes = await alice.page.evaluate(() => {
    const { here } = /** @type {any} */ (window);
    const circular = /** @type {any} */ ({});
    circular.self = circular;
    const deep = JSON.parse(`{"a":${"[".repeat(600)}${"]".repeat(600)}}`);
    const notes = "x".repeat(4 * 1024 * 1024);
    return [["array"], "text", null, circular, deep, { notes }, { n: 1n }].map((patch) => {
      try {
        here.update(patch);
        return "taken";
      } catch (error) {
        return /** @type {any} */ (error).code;
      }
    });
  });
  assert.deepEqual(codes, Array(7).fill("bad_meta"));
  await alice.page.evaluate("here.update({ is_typing: true })");
  const bob = await stage.blank(t, "bob");
  await bob.enter({ key: stage.key(t), token: mintToken("bob") });
  await bob.sees(["alice", "bob"]);
  const meta = await bob.page.evaluate("here.members[0].meta");
  assert.deepEqual(meta, { section: "goals", is_typing: true });
});

test("targets that aren't there, and listeners that throw, harm nobody else", async (t) => {
  const alice = await stage.blank(t, "alice");
  await alice.enter({ key: stage.key(t), token: mintToken("alice") });
  const codes = await alice.page.evaluate(() => {
    const { here } = /** @type {any} */ (window);
    const acts = [
      () => here.bar("#nowhere"),
      () => here.bar("::::"),
      () => here.bar(null),
      () => here.flash(42),
      () => here.bar("#bar", { max: 0 }),
      () => here.bar("#bar", { most: 5 }),
      () => here.on("joined", () => {}),
      () => here.on("join", "not a function"),
    ];
    return acts.map((act) => {
      try {
        act();
        return "taken";
      } catch (error) {
        return /** @type {any} */ (error).code;
      }
    });
  });
  assert.deepEqual(codes, [...Array(4).fill("bad_target"), ...Array(4).fill("bad_options")]);

  await alice.page.evaluate(() => {
    const { here } = /** @type {any} */ (window);
    here.on("join", () => {
      throw new Error("a listener's own mistake");
    });
    here.on("join", () => {
      document.title = "heard";
    });
  });
  const bob = await stage.visit(t, "bob");
  await alice.sees(["alice", "bob"]);
  await bob.sees(["alice", "bob"]);
  assert.equal(await alice.page.title(), "heard");
  const [problem, ...others] = alice.problems.splice(0);
  assert.match(problem ?? "", /a listener's own mistake/);
  assert.deepEqual(others, []);
});

test("a page that updates ten thousand times in a second tells the last value, and stays live", async (t) => {
  const alice = await stage.blank(t, "alice");
  const bob = await stage.blank(t, "bob");
  const key = stage.key(t);
  await alice.enter({ key, token: mintToken("alice") });
  await bob.enter({ key, token: mintToken("bob") });
  await bob.sees(["alice", "bob"]);
  await alice.page.evaluate(() => {
    const { here } = /** @type {any} */ (window);
    for (let i = 1; i <= 10_000; i += 1) here.update({ i });
  });
  await bob.page.evaluate(
    () =>
      new Promise((resolve) => {
        const { here } = /** @type {any} */ (window);
        const isThere = () => here.members[0].meta.i === 10_000;
        if (isThere()) resolve(true);
        here.on("update", () => isThere() && resolve(true));
      }),
  );
  assert.deepEqual(
    (await alice.events()).filter((it) => !it.startsWith("update")),
    ["state live", "join bob"],
  );
});

test("what a relay has nested 100,000 deep is a broken frame, and the page goes on", async (t) => {
  const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
  const key = stage.key(t);
  const presence = (/** @type {string} */ meta, info = "{}") =>
    `{"session":"00000000000000ff","user":{"id":"m","name":"m","color":"#336699","info":${info}},` +
    `"since":0,"state":"active","meta":${meta}}`;
  const snapshot = (/** @type {string} */ of) =>
    `{"snapshot":{"key":"${key}","rev":1,"presences":[${of}]}}`;
  const delta = (/** @type {string} */ changes) =>
    `{"delta":{"key":"${key}","from":1,"to":2,${changes}}}`;
  const session = '"session":"00000000000000ff"';
  const broken = [
    snapshot(presence(`{"a":${deep}}`)),
    snapshot(presence("{}", `{"a":${deep}}`)),
    delta(`"joined":[${presence(`{"a":${deep}}`)}]`),
    delta(`"updated":[{${session},"meta":{"a":${deep}}}]`),
    delta(`"pulses":[{${session},"name":"cursor","value":${deep}}]`),
  ];
  /** How each socket was closed. @type {Map<object, number | undefined>} */
  const closed = new Map();
  const alice = await stage.blank(t, "alice", {
    watch: (page) =>
      page.routeWebSocket(/presence/, (socket) => {
        const relay = socket.connectToServer();
        relay.onMessage((message) => {
          socket.send(message);
          if (!String(message).startsWith('{"snapshot"')) return;
          const next = broken.shift();
          if (next !== undefined) socket.send(next);
        });
        socket.onClose((code) => {
          closed.set(socket, code);
          relay.close({ code });
        });
      }),
  });
  await alice.enter({ key, token: mintToken("alice") });
  await until("all were refused", () => closed.size === 5, 60_000);
  assert.deepEqual([...closed.values()], Array(5).fill(4000));
  await alice.becomes("live");
  await alice.sees(["alice"]);
  // The module is alive.
  await alice.page.evaluate("here.update({ section: 'goals' })");
  const bob = await stage.blank(t, "bob");
  await bob.enter({ key, token: mintToken("bob") });
  await alice.sees(["alice", "bob"]);
});

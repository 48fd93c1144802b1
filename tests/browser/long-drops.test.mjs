// @ts-check
//
// What happens after the grace, which is short here; real-times.test.mjs waits for the real one. And what
// else can be wrong between a page and the relay: nobody answers at first, something else answers, a token
// expires.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Stage, until } from "../support/browser.mjs";
import { sleep } from "../support/peer.mjs";
import { mintToken } from "../support/relay.mjs";

const GRACE_MS = 2000;

const stage = new Stage({ args: ["--grace", `${GRACE_MS}ms`, "--heartbeat", "1s"] });

describe("drops", { concurrency: 3 }, () => {
  test("P6: whoever is dropped for longer than the grace is gone once, and the others see them leave", async (t) => {
    const proxy = await stage.proxy(t);
    const alice = await stage.blank(t, "alice");
    await alice.enter({ key: stage.key(t), token: mintToken("alice") });
    const bob = await stage.visit(t, "bob", { at: proxy.http });
    bob.mayLoseNetwork = true;
    await alice.sees(["alice", "bob"]);

    const droppedAt = Date.now();
    proxy.drop();
    await alice.hasFlashed(["bob joined", "bob left"]);
    const { dots } = await alice.seen();
    assert.ok(Number(dots.at(-1)?.at) - droppedAt >= GRACE_MS, "the whole grace was waited out");
    await proxy.goOn();
    await bob.becomes("live");
    await alice.sees(["alice", "bob"]);
    const events = (await alice.events()).filter((it) => !it.startsWith("update"));
    assert.deepEqual(events, ["state live", "join bob", "leave bob timeout", "join bob"]);
  });

  test("a page that is cut off for longer than the grace shows that it doesn't know, then what is", async (t) => {
    const proxy = await stage.proxy(t);
    const alice = await stage.visit(t, "alice", { at: proxy.http });
    alice.mayLoseNetwork = true;
    const bob = await stage.visit(t, "bob");
    await alice.sees(["alice", "bob"]);
    proxy.drop();
    await alice.page.locator(".presence[data-state=stale]").waitFor();
    await alice.sees(["alice", "bob"]);
    await bob.page.close();
    const carol = await stage.visit(t, "carol");
    await carol.sees(["carol"]);
    await proxy.goOn();
    // By now it waits long between dials, unless the browser says that the network is back.
    await alice.page.evaluate("window.dispatchEvent(new Event('online'))");
    await alice.sees(["alice", "carol"]);
    await alice.page.locator(".presence[data-state=live]").waitFor();
    await alice.hasFlashed(["bob joined"]);
    await carol.hasFlashed(["alice joined"]);
  });

  test("a relay that can't be reached at first is dialed until it can", async (t) => {
    const proxy = await stage.proxy(t);
    const alice = await stage.blank(t, "alice", { at: proxy.http });
    alice.mayLoseNetwork = true;
    proxy.drop();
    await alice.connect({ key: stage.key(t), token: mintToken("alice") });
    assert.equal(await alice.page.evaluate("here.state"), "connecting");
    await sleep(2000);
    assert.equal(await alice.page.evaluate("here.state"), "connecting");
    await proxy.goOn();
    await alice.sees(["alice"]);
    assert.deepEqual(await alice.events(), ["state live"]);
  });

  test("that the network is back is a reason to dial at once", async (t) => {
    const proxy = await stage.proxy(t);
    const alice = await stage.visit(t, "alice", { at: proxy.http });
    alice.mayLoseNetwork = true;
    proxy.drop();
    await alice.becomes("reconnecting");
    await alice.page.evaluate(() => {
      window.WebSocket = class extends WebSocket {
        /** @param {ConstructorParameters<typeof WebSocket>} options */
        constructor(...options) {
          super(...options);
          Object.assign(window, { dialedAt: performance.now() });
        }
      };
    });
    // Not while it is dialing anyway.
    await until("it dials when the browser is online", () =>
      alice.page.evaluate(() => {
        const startedAt = performance.now();
        window.dispatchEvent(new Event("online"));
        return /** @type {any} */ (window).dialedAt >= startedAt;
      }),
    );
    await proxy.goOn();
    await alice.becomes("live");
  });

  test("an address that answers 404 is dialed ever more slowly, without an error", async (t) => {
    const alice = await stage.blank(t, "alice");
    alice.mayLoseNetwork = true;
    /** @type {number[]} */
    const dials = [];
    alice.page.on("websocket", () => dials.push(Date.now()));
    const token = mintToken("alice");
    await alice.connect({ url: "/nowhere/presence", key: stage.key(t), token });
    while (dials.length < 4) await sleep(100);
    const waits = dials.slice(1).map((at, i) => at - (dials[i] ?? 0));
    assert.ok(Number(waits.at(-1)) > Number(waits[0]), `waited ${waits} ms between dials`);
    assert.equal(await alice.page.evaluate("here.state"), "connecting");
    assert.deepEqual(await alice.events(), []);
    assert.deepEqual((await alice.bar()).slice(0, 1), ["Connecting…"]);
  });

  test("a token that expires on a live page changes nothing for anybody", async (t) => {
    const alice = await stage.visit(t, "alice");
    const bob = await stage.blank(t, "bob");
    let nTokens = 0;
    bob.page.on("request", (request) => {
      if (request.url().includes("/dev/token")) nTokens += 1;
    });
    await bob.enter({ key: stage.key(t), tokenPath: "/dev/token?user=bob&ttl=2s" });
    for (const viewer of [alice, bob]) await viewer.sees(["alice", "bob"]);
    const helds = [await alice.hold(), await bob.hold()];
    // It says something all the time, also while the socket is about to be closed.
    await bob.page.evaluate("void setInterval(() => here.update({ now: Date.now() }), 5)");
    await until("four tokens were fetched", () => nTokens >= 4, 30_000);
    for (const assertHeld of helds) await assertHeld();
    const others = (await bob.events()).filter((it) => it !== "update bob");
    assert.deepEqual(others, ["state live"], "it never flickers");
  });

  test("a token function that fails is called again, and its error is told", async (t) => {
    const alice = await stage.blank(t, "alice");
    let nTokens = 0;
    await alice.page.route("**/dev/token**", async (route) => {
      nTokens += 1;
      if (nTokens < 3) await route.abort();
      else await route.continue();
    });
    alice.mayLoseNetwork = true;
    await alice.connect({ key: stage.key(t), tokenPath: "/dev/token?user=alice" });
    await alice.hasHeard(["error token_failed", "error token_failed", "state live"]);
    await alice.sees(["alice"]);
  });

  test("a page about an error in a token's place is no refusal, at first and at a renewal", async (t) => {
    const alice = await stage.blank(t, "alice");
    let nTokens = 0;
    await alice.page.route("**/dev/token**", async (route) => {
      nTokens += 1;
      if (nTokens % 2 === 0) await route.continue();
      else await route.fulfill({ status: 502, body: "<h1>502 Bad Gateway</h1>" });
    });
    alice.mayLoseNetwork = true;
    await alice.connect({ key: stage.key(t), tokenPath: "/dev/token?user=alice&ttl=2s" });
    await until("two tokens were good", () => nTokens >= 5, 30_000);
    await alice.sees(["alice"]);
    const events = await alice.events();
    assert.deepEqual(events.slice(0, 2), ["error token_failed", "state live"]);
    assert.ok(!events.some((it) => it.includes("denied") || it.includes("stopped")), `${events}`);
  });
});

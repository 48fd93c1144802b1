// @ts-check
//
// P5: a network drop shorter than the grace changes nothing for anybody.
//
// The relay has the real grace of 30 s, but beats every second, so that silence is noticed sooner.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Stage } from "../support/browser.mjs";
import { sleep } from "../support/peer.mjs";
import { mintToken } from "../support/relay.mjs";

/** @typedef {import("../support/browser.mjs").Viewer} Viewer */
/** @typedef {import("../support/proxy.mjs").TcpProxy} TcpProxy */

const stage = new Stage({ args: ["--heartbeat", "1s"] });

/**
 * What can happen to a network, and whether the dropped page notices.
 *
 * @type {[name: string, isNoticed: boolean, drop: (proxy: TcpProxy) => Promise<void>][]}
 */
const DROPS = [
  [
    "reset and refused for 4 s",
    true,
    async (proxy) => {
      proxy.drop();
      await sleep(4000);
    },
  ],
  [
    "silent for 3 s, which nobody notices",
    false,
    async (proxy) => {
      proxy.stall();
      await sleep(3000);
    },
  ],
  [
    "silent for 8 s, which both ends notice",
    true,
    async (proxy) => {
      proxy.stall();
      await sleep(8000);
    },
  ],
  [
    "silent until the page dials again, then reset",
    true,
    async (proxy) => {
      proxy.stall();
      await sleep(7000);
      proxy.drop();
    },
  ],
  [
    "reset ten times in a row",
    true,
    async (proxy) => {
      for (let i = 0; i < 10; i += 1) {
        proxy.reset();
        await sleep(300);
      }
    },
  ],
];

describe("P5", { concurrency: 3 }, () => {
  for (const [name, isNoticed, drop] of DROPS) {
    test(`P5: a network that is ${name}, changes nothing for anybody`, async (t) => {
      const proxy = await stage.proxy(t);
      const alice = await stage.visit(t, "alice");
      const bob = await stage.visit(t, "bob", { at: proxy.http });
      bob.mayLoseNetwork = true;
      for (const viewer of [alice, bob]) await viewer.sees(["alice", "bob"]);
      const helds = [await alice.hold(), await bob.hold()];

      const dropped = drop(proxy);
      if (isNoticed) await bob.becomes("reconnecting");
      await dropped;
      await proxy.goOn();
      await bob.becomes("live");
      await bob.page.locator("#note").fill("I am back");
      await alice.readsTyping("bob is typing…");
      await bob.page.locator("#note").blur();
      await alice.readsTyping("");
      for (const assertHeld of helds) await assertHeld();
    });
  }

  test("P5: a dropped page hears of no join and no leave, and nobody hears of one from it", async (t) => {
    const proxy = await stage.proxy(t);
    const key = stage.key(t);
    const alice = await stage.blank(t, "alice");
    const bob = await stage.blank(t, "bob", { at: proxy.http });
    bob.mayLoseNetwork = true;
    await alice.enter({ key, token: mintToken("alice") });
    await bob.enter({ key, token: mintToken("bob"), meta: { section: "goals" } });
    await alice.hasHeard(["state live", "join bob"]);
    const sinceOfBob = () => alice.page.evaluate("here.members[1].since");
    const since = await sinceOfBob();

    proxy.drop();
    await bob.becomes("reconnecting");
    // What happens meanwhile is told as soon as it can be, as one thing.
    await bob.page.evaluate("here.update({ section: 'risks' }), here.update({ is_typing: true })");
    await sleep(2000);
    await proxy.goOn();

    await bob.becomes("live");
    await alice.hasHeard(["state live", "join bob", "update bob"]);
    const meta = await alice.page.evaluate("here.members[1].meta");
    assert.deepEqual(meta, { section: "risks", is_typing: true });
    assert.equal(await sinceOfBob(), since, "it is the same visit");
    assert.deepEqual(await bob.events(), [
      "state live",
      "state reconnecting",
      "state live",
      "update bob",
    ]);
  });

  test("a dropped page finds out what it has missed at once, without flashes", async (t) => {
    const proxy = await stage.proxy(t);
    const key = stage.key(t);
    const alice = await stage.blank(t, "alice", { at: proxy.http });
    alice.mayLoseNetwork = true;
    await alice.enter({ key, token: mintToken("alice") });
    const bob = await stage.visit(t, "bob");
    await alice.hasFlashed(["bob joined"]);

    proxy.drop();
    await bob.page.close();
    const carol = await stage.visit(t, "carol");
    await carol.sees(["alice", "carol"]);
    await proxy.goOn();
    await alice.sees(["alice", "carol"]);
    const events = (await alice.events()).filter((it) => !it.startsWith("state"));
    assert.deepEqual(events.slice(0, 3).sort(), [
      "join bob",
      "join carol quietly",
      "leave bob left quietly",
    ]);
    await alice.hasFlashed(["bob joined"]);
  });

  test("a page that is closed while its network is down still leaves, when the network is up", async (t) => {
    const proxy = await stage.proxy(t);
    const alice = await stage.blank(t, "alice");
    await alice.enter({ key: stage.key(t), token: mintToken("alice") });
    const bob = await stage.visit(t, "bob", { at: proxy.http });
    bob.mayLoseNetwork = true;
    await alice.sees(["alice", "bob"]);
    proxy.drop();
    await bob.becomes("reconnecting");
    // By then it waits seconds between two dials, and the page is closed in one of these pauses.
    await sleep(4000);
    await proxy.goOn();
    await bob.page.close();
    await alice.sees(["alice"], 5000);
    assert.equal((await alice.events()).at(-1), "leave bob left");
  });
});

// @ts-check
//
// P16: a relay may be killed, restarted or deployed under everybody's eyes, and nobody sees it.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Stage } from "../support/browser.mjs";
import { sleep } from "../support/peer.mjs";

const stage = new Stage();

describe("restarts", { concurrency: 2 }, () => {
  for (const signal of /** @type {const} */ (["SIGKILL", "SIGTERM"])) {
    test(`P16: a relay ended with ${signal} and started again changes nothing for anybody`, async (t) => {
      const relay = await stage.anotherRelay(t);
      const alice = await stage.visit(t, "alice", { at: relay.http });
      const bob = await stage.visit(t, "bob", { at: relay.http });
      for (const viewer of [alice, bob]) {
        viewer.mayLoseNetwork = true;
        await viewer.sees(["alice", "bob"]);
      }
      const helds = [await alice.hold(), await bob.hold()];

      await relay.stop(signal);
      for (const viewer of [alice, bob]) await viewer.becomes("reconnecting");
      await sleep(2000);
      await relay.startAgain();
      for (const viewer of [alice, bob]) await viewer.becomes("live");
      await bob.page.locator("#note").fill("Still here");
      await alice.readsTyping("bob is typing…");
      await bob.page.locator("#note").blur();
      await alice.readsTyping("");
      for (const assertHeld of helds) await assertHeld();

      // And all goes on as if nothing had been.
      await bob.page.close();
      await alice.sees(["alice"]);
      await alice.hasFlashed(["bob joined", "bob left"]);
    });
  }

  test("P16: who first looks just after a restart sees those who come back without a flash", async (t) => {
    const relay = await stage.anotherRelay(t);
    const proxy = await stage.proxyOf(t, relay);
    const alice = await stage.visit(t, "alice", { at: relay.http });
    const bob = await stage.visit(t, "bob", { at: proxy.http });
    for (const viewer of [alice, bob]) {
      viewer.mayLoseNetwork = true;
      await viewer.sees(["alice", "bob"]);
    }

    // Bob's way to the relay is broken for longer than the relay itself.
    proxy.drop();
    await relay.stop("SIGKILL");
    await relay.startAgain();
    await alice.becomes("live");
    const carol = await stage.visit(t, "carol", { at: relay.http });
    await carol.sees(["alice", "carol"]);
    await alice.sees(["alice", "bob", "carol"]);
    await proxy.goOn();
    await bob.becomes("live");
    for (const viewer of [alice, bob, carol]) await viewer.sees(["alice", "bob", "carol"]);
    assert.deepEqual(await carol.flashes(), []);
    assert.deepEqual((await alice.flashes()).slice(-1), ["carol joined"]);
    for (const viewer of [alice, bob]) {
      const names = (await viewer.seen()).dots.map(({ what, name }) => `${what} ${name}`);
      assert.ok(!names.includes("removed bob") && !names.includes("removed alice"), `${names}`);
    }
  });

  test("P16: who doesn't come back after a restart is seen to leave once, when the grace has passed", async (t) => {
    const relay = await stage.anotherRelay(t, ["--grace", "4s"]);
    const proxy = await stage.proxyOf(t, relay);
    const alice = await stage.visit(t, "alice", { at: relay.http });
    const bob = await stage.visit(t, "bob", { at: proxy.http });
    for (const viewer of [alice, bob]) {
      viewer.mayLoseNetwork = true;
      await viewer.sees(["alice", "bob"]);
    }
    proxy.drop();
    const lostAt = Date.now();
    await relay.stop("SIGKILL");
    await relay.startAgain();
    await alice.becomes("live");
    await alice.hasFlashed(["bob joined", "bob left"]);
    const gone = (await alice.seen()).dots.at(-1);
    assert.deepEqual([gone?.what, gone?.name], ["removed", "bob"]);
    assert.ok(Number(gone?.at) - lostAt >= 4000, `gone after ${Number(gone?.at) - lostAt} ms`);
    await alice.sees(["alice"]);
  });
});

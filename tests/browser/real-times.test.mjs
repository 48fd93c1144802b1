// @ts-check
//
// P5 and P6 with the times that people get: 10 s until a dot dims, 30 s until it goes.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Stage } from "../support/browser.mjs";
import { sleep } from "../support/peer.mjs";

const GRACE_MS = 30_000;
/** Silence is noticed with the first missed beat. */
const HEARTBEAT_MS = 10_000;
/** What else may hold up a busy machine that tests. */
const SLACK_MS = 3000;

const stage = new Stage();

describe("real times", { concurrency: true }, () => {
  test("P5: in a drop of 20 s the dot dims after 10 s, and is as before when its owner is back", async (t) => {
    const proxy = await stage.proxy(t);
    const alice = await stage.visit(t, "alice");
    const bob = await stage.visit(t, "bob", { at: proxy.http });
    bob.mayLoseNetwork = true;
    for (const viewer of [alice, bob]) await viewer.sees(["alice", "bob"]);
    const [held, heldByBob] = [await alice.hold(), await bob.hold()];

    const droppedAt = Date.now();
    proxy.drop();
    await alice.seesAs("bob", "reconnecting", 15_000);
    const dimmedAfter = Date.now() - droppedAt;
    assert.ok(dimmedAfter >= 10_000, `it dimmed after ${dimmedAfter} ms already`);
    assert.match(await alice.page.locator(".presence").ariaSnapshot(), /bob, reconnecting/);
    await sleep(20_000 - dimmedAfter);
    await proxy.goOn();
    await alice.seesAs("bob", "active");
    await bob.becomes("live");
    // The note behind the name came and went; the dot is the same.
    await held({ nBarChanges: 2 });
    await heldByBob();
  });

  test("P6: who is cut off is gone after 30 s, once, and the others see it", async (t) => {
    const proxy = await stage.proxy(t);
    const alice = await stage.visit(t, "alice");
    const bob = await stage.visit(t, "bob", { at: proxy.http });
    bob.mayLoseNetwork = true;
    await alice.sees(["alice", "bob"]);
    const droppedAt = Date.now();
    proxy.drop();
    await alice.sees(["alice"], GRACE_MS + 2 * SLACK_MS);
    await assertGoneOnce(alice, droppedAt, GRACE_MS, GRACE_MS + SLACK_MS);
    // Bob's own page says that it doesn't know any more.
    await bob.page.locator(".presence[data-state=stale]").waitFor();
  });

  test("P6: who falls silent is gone within 30 to 40 s, once, and the others see it", async (t) => {
    const proxy = await stage.proxy(t);
    const alice = await stage.visit(t, "alice");
    const bob = await stage.visit(t, "bob", { at: proxy.http });
    bob.mayLoseNetwork = true;
    await alice.sees(["alice", "bob"]);
    const droppedAt = Date.now();
    proxy.stall();
    const latest = GRACE_MS + HEARTBEAT_MS + SLACK_MS;
    await alice.sees(["alice"], latest + SLACK_MS);
    await assertGoneOnce(alice, droppedAt, GRACE_MS, latest);
  });
});

/**
 * @param {import("../support/browser.mjs").Viewer} viewer
 * @param {number} droppedAt
 * @param {number} earliestMs
 * @param {number} latestMs
 */
async function assertGoneOnce(viewer, droppedAt, earliestMs, latestMs) {
  await viewer.hasFlashed(["bob joined", "bob left"]);
  const { dots } = await viewer.seen();
  assert.deepEqual(
    dots.map(({ what, name }) => `${what} ${name}`),
    ["added alice", "added bob", "removed bob"],
  );
  const ms = Number(dots.at(-1)?.at) - droppedAt;
  assert.ok(ms >= earliestMs && ms <= latestMs, `gone ${ms} ms after the drop`);
}

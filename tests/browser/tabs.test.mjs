// @ts-check
//
// P8: the same person in several tabs is one person; and several connects on one page.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Stage, until } from "../support/browser.mjs";
import { mintToken } from "../support/relay.mjs";

const stage = new Stage();

test("P8: three tabs of one person are one dot, one join, and one leave when the last one goes", async (t) => {
  const watcher = await stage.blank(t, "watcher");
  await watcher.enter({ key: stage.key(t), token: mintToken("watcher") });
  const first = await stage.visit(t, "alice");
  const context = first.page.context();
  const tabs = [first, await stage.visit(t, "alice", { context })];
  tabs.push(await stage.visit(t, "alice", { context }));
  const nSessions = () => watcher.page.evaluate("here.members.at(-1).sessions");
  for (const tab of tabs) await tab.sees(["alice", "watcher"]);
  await watcher.sees(["alice", "watcher"]);
  await until("three tabs are there", async () => (await nSessions()) === 3);
  await watcher.hasSaid("alice joined");

  for (const [i, tab] of tabs.entries()) {
    const left = 2 - i;
    await tab.page.close();
    if (left > 0) await until(`${left} tabs are left`, async () => (await nSessions()) === left);
  }
  await watcher.sees(["watcher"]);
  const events = (await watcher.events()).filter((it) => !it.startsWith("update"));
  assert.deepEqual(events, ["state live", "join alice", "leave alice left"]);
  await watcher.hasFlashed(["alice joined", "alice left"]);
  const { dots } = await watcher.seen();
  assert.equal(dots.filter(({ name }) => name === "alice").length, 2, "it came and it went");
});

test("P8: nobody's own tabs flash on their own pages", async (t) => {
  const first = await stage.visit(t, "alice");
  await first.sees(["alice"]);
  const second = await stage.visit(t, "alice", { context: first.page.context() });
  await second.sees(["alice"]);
  await second.page.close();
  const bob = await stage.visit(t, "bob");
  await bob.sees(["alice", "bob"]);
  await first.hasFlashed(["bob joined"]);
  assert.match(await first.page.locator(".presence").ariaSnapshot(), /alice \(you\)\n.*bob/);
});

test('P8: with dedupe: "none" three tabs are three dots', async (t) => {
  const watcher = await stage.blank(t, "watcher");
  const key = stage.key(t);
  await watcher.enter({ key, token: mintToken("watcher"), dedupe: "none" });
  const tabs = [];
  for (let n = 1; n <= 3; n += 1) {
    tabs.push(await stage.visit(t, "alice"));
    // Those who come within a second share a sentence, and who leaves within it has never been here.
    await until(`join ${n} is said`, async () => (await watcher.seen()).said.length === n);
  }
  await watcher.sees(["alice", "alice", "alice", "watcher"]);
  for (const tab of tabs) await tab.sees(["alice", "watcher"]);
  await tabs[1]?.page.close();
  await watcher.sees(["alice", "alice", "watcher"]);
  await watcher.hasFlashed(["alice joined", "alice joined", "alice joined", "alice left"]);
});

test('P8: with dedupe: "none", too, nobody hears or sees flashes of their own tabs', async (t) => {
  const key = stage.key(t);
  const first = await stage.blank(t, "alice");
  await first.enter({ key, token: mintToken("alice"), dedupe: "none" });
  const second = await stage.visit(t, "alice");
  await first.sees(["alice", "alice"]);
  await second.page.close();
  await first.sees(["alice"]);
  assert.deepEqual(await first.events(), ["state live"]);
  assert.deepEqual(await first.flashes(), []);
});

test("several connects with one token share a socket, and the same key is one presence", async (t) => {
  const key = stage.key(t);
  const watcher = await stage.blank(t, "watcher");
  await watcher.enter({ key, token: mintToken("watcher") });
  const alice = await stage.blank(t, "alice");
  let nSockets = 0;
  alice.page.on("websocket", () => {
    nSockets += 1;
  });
  const token = mintToken("alice");
  await alice.enter({ key, token, meta: { section: "goals" } });
  await alice.page.evaluate(
    async ({ key, token }) => {
      const { connect } = await import("/sdk/index.js");
      const options = { url: "/v1/presence", token };
      const again = await connect({ ...options, key, meta: { color: "blue" } });
      const other = await connect({ ...options, key: `${key}/comments` });
      await Promise.all([again.ready, other.ready]);
      for (const it of [again, other]) it.bar(document.body);
      Object.assign(window, { again, other });
    },
    { key, token },
  );
  assert.equal(nSockets, 1);
  await until("both metas are one", async () => {
    const meta = await watcher.page.evaluate("here.members.at(-1).meta");
    return JSON.stringify(meta) === '{"section":"goals","color":"blue"}';
  });
  assert.equal(await watcher.page.evaluate("here.members.at(-1).sessions"), 1);

  await alice.page.evaluate("again.leave()");
  const counts = await alice.page.locator(".presence-count").allTextContents();
  assert.deepEqual(counts, ["2 here", "1 here"], "its own bar is taken away, the others stay");
  await watcher.sees(["alice", "watcher"]);
  await alice.page.evaluate("here.leave()");
  await watcher.sees(["watcher"]);
  assert.equal(await alice.page.evaluate("other.state"), "live");
  assert.equal(nSockets, 1);
});

test("who leaves and enters again on the same page is a new visit", async (t) => {
  const key = stage.key(t);
  const watcher = await stage.blank(t, "watcher");
  await watcher.enter({ key, token: mintToken("watcher") });
  const alice = await stage.blank(t, "alice");
  await alice.enter({ key, token: mintToken("alice") });
  await watcher.sees(["alice", "watcher"]);
  await alice.page.evaluate("here.leave(), here.leave()");
  await watcher.sees(["watcher"]);
  assert.equal(await alice.page.locator(".presence").count(), 0);
  await alice.enter({ key, token: mintToken("alice") });
  await watcher.sees(["alice", "watcher"]);
  await alice.sees(["alice", "watcher"]);
});

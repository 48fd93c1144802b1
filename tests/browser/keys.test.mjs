// @ts-check
//
// P7: who looks at one thing never sees who looks at another; and how a key is made.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Stage } from "../support/browser.mjs";
import { mintToken } from "../support/relay.mjs";

const stage = new Stage();

test("P7: those who look at one document never see those who look at another", async (t) => {
  const doc = stage.doc(t);
  const alice = await stage.visit(t, "alice", { doc: `${doc}-a` });
  const bob = await stage.visit(t, "bob", { doc: `${doc}-b` });
  for (const viewer of [alice, bob]) await viewer.sees([viewer.name]);
  await bob.page.locator("#note").fill("Nobody else reads this");
  // Who comes later to the same document is told after everything before, so nothing is under way.
  const carol = await stage.visit(t, "carol", { doc: `${doc}-a` });
  await alice.sees(["alice", "carol"]);
  await alice.hasSaid("carol joined");
  await bob.page.close();
  await carol.page.close();
  await alice.sees(["alice"]);
  const names = (await alice.seen()).dots.map(({ name }) => name);
  assert.deepEqual(names, ["alice", "carol", "carol"]);
  await alice.hasFlashed(["carol joined", "carol left"]);
});

test("somebody who logs in on a page that stays takes the place of who was there", async (t) => {
  const key = stage.key(t);
  const watcher = await stage.blank(t, "watcher");
  await watcher.enter({ key, token: mintToken("watcher") });
  const page = await stage.blank(t, "page");
  let token = mintToken({ sub: "alice", info: { role: "reader" } });
  await page.page.route("**/token", (route) => route.fulfill({ body: token }));
  await page.enter({ key, tokenPath: "/token", meta: { section: "goals" } });
  await watcher.sees(["alice", "watcher"]);
  const self = () => page.page.evaluate("[here.self?.name, here.self?.info?.role, here.state]");
  assert.deepEqual(await self(), ["alice", "reader", "live"]);

  token = mintToken({ sub: "bob", info: { role: "editor" } });
  await page.page.evaluate("here.renewToken()");
  await watcher.sees(["bob", "watcher"]);
  await page.sees(["bob", "watcher"]);
  assert.deepEqual(await self(), ["bob", "editor", "live"]);
  const bob = await watcher.page.evaluate(
    "(({ meta, info }) => [meta.section, info.role])(here.members.find(({ name }) => name === 'bob'))",
  );
  assert.deepEqual(bob, ["goals", "editor"]);
  const told = (await watcher.events()).filter((it) => /alice|bob/.test(it));
  assert.deepEqual(told.toSorted(), ["join alice", "join bob", "leave alice left"]);
  const own = (await page.events()).filter((it) => /^state|alice|bob/.test(it));
  assert.deepEqual(own, ["state live"], "nobody is told of oneself, and nothing was interrupted");
});

test("P7: a token for document:42 doesn't open document:43", async (t) => {
  const watcher = await stage.visit(t, "watcher", { doc: 43 });
  const alice = await stage.blank(t, "alice");
  const token = mintToken({ sub: "alice", keys: ["document:42"] });
  await alice.connect({ key: "document:43", token });
  await alice.hasHeard(["state live", "state stopped key_denied", "error key_denied"]);
  assert.equal(await alice.page.evaluate("here.state"), "stopped");
  assert.equal(await alice.page.evaluate("here.ready.catch((error) => error.code)"), "key_denied");
  assert.equal(await alice.page.evaluate("here.count"), 0);

  // The same token still opens what it is for.
  await alice.enter({ key: "document:42", token });
  await alice.becomes("live");
  await watcher.sees(["watcher"]);
  assert.deepEqual(await watcher.flashes(), []);
});

test("P7: one refused key doesn't end another one of the same connection", async (t) => {
  const alice = await stage.blank(t, "alice");
  const token = mintToken({ sub: "alice", keys: [stage.key(t)] });
  await alice.enter({ key: stage.key(t), token });
  await alice.sees(["alice"]);
  const refused = await alice.page.evaluate(async (token) => {
    const { connect } = await import("/sdk/index.js");
    const there = await connect({ url: "/v1/presence", key: "document:elsewhere", token });
    there.on("error", () => {});
    return there.ready.catch((error) => [error.name, error.code, there.state]);
  }, token);
  assert.deepEqual(refused, ["PresenceError", "key_denied", "stopped"]);
  assert.deepEqual(await alice.events(), ["state live"]);
  const bob = await stage.visit(t, "bob");
  await alice.sees(["alice", "bob"]);
  await bob.sees(["alice", "bob"]);
});

test("P7: a key's placeholders are filled in from params", async (t) => {
  const doc = stage.doc(t);
  const alice = await stage.visit(t, "alice");
  const bob = await stage.blank(t, "bob");
  const token = mintToken("bob");
  await bob.enter({ key: "document:{doc_id}", params: { doc_id: doc }, token });
  assert.equal(await bob.page.evaluate("here.key"), `document:${doc}`);
  for (const viewer of [alice, bob]) await viewer.sees(["alice", "bob"]);
});

test("P7: a param that is missing or empty is an error that names it", async (t) => {
  const page = await stage.blank(t, "nobody");
  for (const params of [undefined, {}, { doc: 42 }, { doc_id: "" }, { toString: 1 }]) {
    const { code, message } = await page.connectError({ key: "document:{doc_id}", params });
    assert.equal(code, "missing_param");
    assert.match(message, /"doc_id"/);
  }
  const inherited = await page.connectError({ key: "document:{constructor}", params: {} });
  assert.equal(inherited.code, "missing_param");
});

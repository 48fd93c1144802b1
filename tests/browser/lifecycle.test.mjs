// @ts-check
//
// What becomes of a page: it is reloaded, put away and restored, duplicated, left.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Stage, until } from "../support/browser.mjs";
import { mintToken } from "../support/relay.mjs";

// Playwright switches the back-forward cache off, because it confuses tests. That is why there is one.
const stage = new Stage({ launch: { ignoreDefaultArgs: ["--disable-back-forward-cache"] } });

test("a reload of the only tab takes the dot away and brings it back, and is no news", async (t) => {
  const alice = await stage.blank(t, "alice");
  await alice.connect({ key: stage.key(t), token: mintToken("alice") });
  const bob = await stage.visit(t, "bob");
  await alice.sees(["alice", "bob"]);
  await bob.page.reload();
  await bob.sees(["alice", "bob"]);
  await alice.hasHeard(["state live", "join bob", "leave bob left", "join bob"], 10_000, /update/);
  const { flashes, dots } = await alice.seen();
  assert.deepEqual(
    dots.map(({ what, name }) => `${what} ${name}`),
    ["added alice", "added bob", "removed bob", "added bob"],
  );
  assert.deepEqual(await alice.flashes(), ["bob joined", "bob left"]);
  const [, left] = flashes;
  assert.equal(left?.goneAt, dots.at(-1)?.at, "that bob left is withdrawn when he is back");
  assert.deepEqual(await bob.flashes(), [], "nobody flashes for who comes to a page");
});

test("ten reloads in a row leave one dot", async (t) => {
  const alice = await stage.visit(t, "alice");
  const bob = await stage.visit(t, "bob");
  for (let i = 0; i < 10; i += 1) await bob.page.reload({ waitUntil: "domcontentloaded" });
  for (const viewer of [alice, bob]) await viewer.sees(["alice", "bob"]);
  await bob.page.close();
  await alice.sees(["alice"]);
});

test("a page in the back-forward cache has left; restored, it has joined and is live again", async (t) => {
  const alice = await stage.blank(t, "alice");
  await alice.connect({ key: stage.key(t), token: mintToken("alice") });
  const bob = await stage.visit(t, "bob");
  let nSockets = 0;
  bob.page.on("websocket", () => {
    nSockets += 1;
  });
  await alice.sees(["alice", "bob"]);
  await bob.page.evaluate("window.isTheSame = true");

  await bob.page.goto(`${stage.relay.http}/`);
  await alice.sees(["alice"]);
  const carol = await stage.visit(t, "carol");
  await alice.sees(["alice", "carol"]);
  await bob.page.goBack({ waitUntil: "commit" });
  assert.deepEqual((await bob.seen()).shows, [false, true], "it wasn't restored but loaded");
  assert.equal(await bob.page.evaluate("window.isTheSame"), true);

  for (const viewer of [alice, bob]) await viewer.sees(["alice", "bob", "carol"]);
  await bob.becomes("live");
  const events = (await alice.events()).filter((it) => it.includes("bob"));
  assert.deepEqual(
    events.filter((it) => !it.startsWith("update")),
    ["join bob", "leave bob left", "join bob"],
  );
  assert.deepEqual(await bob.flashes(), [], "what happened meanwhile is no news");
  assert.equal(nSockets, 1, "it has dialed once since it was restored");

  await bob.page.locator("#note").fill("Back again");
  await carol.page.getByText("bob is typing…").waitFor();
  await carol.page.close();
  await bob.sees(["alice", "bob"]);
});

test("a page that is left and restored again and again stays one dot with one socket", async (t) => {
  const alice = await stage.visit(t, "alice");
  const bob = await stage.visit(t, "bob");
  for (let i = 0; i < 3; i += 1) {
    await alice.sees(["alice", "bob"]);
    await bob.page.goto(`${stage.relay.http}/`);
    await alice.sees(["alice"]);
    await bob.page.goBack({ waitUntil: "commit" });
    await bob.sees(["alice", "bob"]);
  }
  const { shows, dots } = await bob.seen();
  assert.deepEqual(shows, [false, true, true, true]);
  // Alice's dot may be made anew, since she may have gone meanwhile; but nobody is twice in the bar.
  const now = await bob.page.locator(".presence-dots > li").count();
  assert.equal(now, 2);
  assert.ok(dots.length >= 2);
});

test("a duplicated tab is another session of the same person", async (t) => {
  const alice = await stage.blank(t, "alice");
  await alice.connect({ key: stage.key(t), token: mintToken("alice") });
  const bob = await stage.visit(t, "bob");
  await alice.sees(["alice", "bob"]);
  const nSessions = () => alice.page.evaluate("here.members[1].sessions");
  const opened = bob.page.context().waitForEvent("page");
  // A page opened by another one gets a copy of its sessionStorage, as a duplicated tab does.
  await bob.page.evaluate("void window.open(location.href)");
  const copy = await opened;
  await until("there are two tabs", async () => (await nSessions()) === 2);
  await bob.page.close();
  await until("there is one", async () => (await nSessions()) === 1);
  assert.equal(await copy.locator(".presence-count").textContent(), "2 here");
  await copy.close();
  await alice.sees(["alice"]);
  assert.deepEqual(await alice.flashes(), ["bob joined", "bob left"]);
});

// @ts-check
//
// Somebody whom the application has put out: their page is told and stays away, and the others see them go at once.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Stage, until } from "../support/browser.mjs";
import { mintToken } from "../support/relay.mjs";

const stage = new Stage();

const KICKED = ["state live", "state stopped kicked", "error kicked"];

test("who is put out of a key is told so, stays out by itself, and is seen to go at once", async (t) => {
  const key = stage.key(t);
  const alice = await enter(t, "alice", key);
  const bob = await stage.blank(t, "bob");
  let nSockets = 0;
  bob.page.on("websocket", () => {
    nSockets += 1;
  });
  await bob.enter({ key, token: mintToken("bob") });
  await alice.hasSaid("bob joined");
  await bob.sees(["alice", "bob"]);

  assert.deepEqual(await kick(`keys/${key}/kick`, { user: "bob", seconds: 3600 }), { kicked: 1 });
  await alice.hasHeard(["state live", "join bob", "leave bob kicked"], undefined, /^update/);
  await alice.sees(["alice"]);
  await bob.hasHeard(KICKED, undefined, /^(join|update)/);
  assert.deepEqual(
    await bob.page.evaluate(() => {
      const { here } = /** @type {any} */ (window);
      const bar = /** @type {HTMLElement} */ (document.querySelector(".presence"));
      const text = bar.querySelector(".presence-count")?.textContent;
      return [here.state, here.count, bar.dataset.state, bar.querySelectorAll("li").length, text];
    }),
    ["stopped", 0, "stopped", 0, ""],
  );

  // Nothing that wakes a page brings it back, nor does what it says.
  await bob.page.evaluate(() => {
    const { here } = /** @type {any} */ (window);
    here.update({ n: 1 });
    here.mode = "observe";
    here.renewToken();
    window.dispatchEvent(new Event("online"));
    window.dispatchEvent(new Event("pageshow"));
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await sleep(1500);
  assert.equal(nSockets, 1, "it dialed again");
  assert.equal(await bob.page.evaluate("here.state"), "stopped");
  await alice.sees(["alice"]);

  // Whoever loads the page again is told the same, also if they want to look on only.
  for (const mode of ["join", "observe"]) {
    const again = await stage.blank(t, `bob, who wants to ${mode}`);
    await again.connect({ key, token: mintToken("bob"), mode });
    assert.equal(await again.page.evaluate("here.ready.catch(({ code }) => code)"), "kicked");
    await again.hasHeard(KICKED);
  }
  await alice.sees(["alice"]);
  assert.deepEqual(await alice.flashes(), ["bob joined", "bob left"]);
});

test("who is put out of one key goes on in the others, and is let in again after that time", async (t) => {
  const key = stage.key(t);
  const other = `${key}:other`;
  const bob = await enter(t, "bob", key);
  await bob.page.evaluate(
    async (options) => {
      const { connect } = await import("/sdk/index.js");
      const second = await connect(/** @type {any} */ (options));
      await second.ready;
      Object.assign(window, { second });
    },
    { url: "/v1/presence", key: other, token: await bob.page.evaluate("token") },
  );
  assert.deepEqual(await kick(`keys/${key}/kick`, { user: "bob", seconds: 1 }), { kicked: 1 });
  await bob.hasHeard(KICKED);
  const alice = await enter(t, "alice", other);
  await alice.sees(["alice", "bob"]);
  const sees = () => bob.page.evaluate("second.members.map(({ name }) => name).join()");
  await until("bob sees alice in the other key", async () => (await sees()) === "bob,alice");

  await until("he is let in", async () => {
    const code = await bob.page.evaluate(
      async (options) => {
        const { connect } = await import("/sdk/index.js");
        const here = await connect(/** @type {any} */ (options));
        // Else each refusal is a warning.
        here.on("error", () => {});
        return here.ready.then(
          () => "in",
          (/** @type {any} */ error) => error.code,
        );
      },
      { url: "/v1/presence", key, token: await bob.page.evaluate("token") },
    );
    assert.ok(["in", "kicked"].includes(code), code);
    return code === "in";
  });
});

test("who is put out of everything is told so in every key, however they are there", async (t) => {
  const key = stage.key(t);
  const alice = await enter(t, "alice", key);
  const mallory = await enter(t, "mallory", key);
  const onlooker = await stage.blank(t, "mallory's other tab");
  await onlooker.enter({ key, token: mintToken("mallory"), mode: "observe" });
  await alice.hasSaid("mallory joined");
  await kick("users/mallory/kick", { seconds: 3600 });
  for (const page of [mallory, onlooker]) await page.hasHeard(KICKED, undefined, /^(join|update)/);
  await alice.hasHeard(
    ["state live", "join mallory", "leave mallory kicked"],
    undefined,
    /^update/,
  );
  await alice.sees(["alice"]);
});

/**
 * @param {import("node:test").TestContext} t
 * @param {string} name
 * @param {string} key
 */
async function enter(t, name, key) {
  const viewer = await stage.blank(t, name);
  const token = mintToken(name);
  await viewer.enter({ key, token });
  await viewer.page.evaluate((token) => Object.assign(window, { token }), token);
  return viewer;
}

/**
 * @param {string} path
 * @param {object} body
 */
async function kick(path, body) {
  const token = mintToken({ sub: "server", can: ["kick"] });
  const response = await fetch(`${stage.relay.http}/v1/${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  assert.equal(response.status, 200, await response.clone().text());
  return response.json();
}
